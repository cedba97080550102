//! Progress on stderr: lines for people, JSON lines for programs.

use std::io::{IsTerminal, Write};

use serde_json::{Value, json};

use crate::model::{Event, Reporter};
use crate::quantity::human;

/// Lines for people. Waiting is told every five seconds on a terminal, every thirty elsewhere.
pub(super) struct Text {
    terminal: bool,
}

impl Default for Text {
    fn default() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }
}

impl Reporter for Text {
    fn event(&self, event: &Event) {
        match event {
            Event::Step { doing } => line(&format!("… {doing}")),
            Event::Waiting { on, state, for_seconds } if self.terminal || for_seconds % 30 < 5 => {
                line(&format!("  waiting for {on} for {for_seconds} s: {state}"));
            }
            Event::Problem(problem) => {
                line(&format!("! {} {}: {}", problem.tried, problem.object, problem.cause));
            }
            Event::Progress { of, done_bytes, total_bytes, sent_bytes, for_seconds }
                if done_bytes == total_bytes || *for_seconds % if self.terminal { 2 } else { 30 } == 0 =>
            {
                let (done, total, sent) = (human(*done_bytes), human(*total_bytes), human(*sent_bytes));
                line(&format!("  {of}: {done} of {total} done, {sent} of it moved, after {for_seconds} s"));
            }
            Event::Waiting { .. } | Event::Wrote { .. } | Event::Progress { .. } => {}
        }
    }
}

/// One JSON object a line.
pub(super) struct JsonLines;

impl Reporter for JsonLines {
    fn event(&self, event: &Event) {
        let value: Value = match event {
            Event::Step { doing } => json!({"event": "step", "doing": doing}),
            Event::Waiting { on, state, for_seconds } => {
                json!({"event": "waiting", "on": on, "state": state, "for_seconds": for_seconds})
            }
            Event::Progress { of, done_bytes, total_bytes, sent_bytes, for_seconds } => json!({
                "event": "progress",
                "of": of,
                "done_bytes": done_bytes,
                "total_bytes": total_bytes,
                "sent_bytes": sent_bytes,
                "for_seconds": for_seconds,
            }),
            Event::Wrote { object, how } => json!({"event": "wrote", "object": object, "how": how}),
            Event::Problem(problem) => json!({"event": "problem", "problem": problem}),
        };
        line(&value.to_string());
    }
}

fn line(text: &str) {
    // Nowhere is left to tell of a stderr that cannot be written.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
