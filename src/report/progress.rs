//! Progress on stderr: lines for people, JSON lines for programs.

use std::io::{IsTerminal, Write};

use serde_json::{Value, json};

use crate::model::{Event, Reporter};

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
            Event::Waiting { .. } | Event::Wrote { .. } => {}
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
