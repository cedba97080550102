//! Progress on stderr: lines for people, JSON lines for programs.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::model::{Event, Reporter};
use crate::quantity::human;

/// Lines for people. Waiting is told every five seconds on a terminal, progress every two; both every thirty elsewhere.
pub(super) struct Text {
    terminal: bool,
    /// When, in seconds after its beginning, progress was told last; by what it is of.
    told: Mutex<HashMap<String, u64>>,
}

impl Default for Text {
    fn default() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), told: Mutex::default() }
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
            Event::Progress { of, done_bytes, total_bytes, sent_bytes, for_seconds } => {
                if self.is_time_for(of, *for_seconds) {
                    let (done, total, sent) = (human(*done_bytes), human(*total_bytes), human(*sent_bytes));
                    line(&format!("  {of}: {done} of {total} done, {sent} of it moved, after {for_seconds} s"));
                }
            }
            Event::Waiting { .. } | Event::Wrote { .. } => {}
        }
    }
}

impl Text {
    /// Whether to tell of this progress, the last one told of the same being long enough ago.
    fn is_time_for(&self, of: &str, for_seconds: u64) -> bool {
        let every = if self.terminal { 2 } else { 30 };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = for_seconds >= told.get(of).copied().unwrap_or(0) + every;
        if is_time {
            told.insert(of.to_owned(), for_seconds);
        }
        is_time
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
