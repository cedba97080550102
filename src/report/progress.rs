//! Progress on stderr: lines for people, JSON lines for programs.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::model::{Event, Reporter, VolumeProgress};
use crate::quantity::human;

/// State of a volume whose Job is done.
const DONE: &str = "done";

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
            Event::Volumes { doing, for_seconds, volumes } if self.terminal || for_seconds % 30 < 5 => {
                for text in volumes_lines(doing, *for_seconds, volumes) {
                    line(&text);
                }
            }
            Event::Progress { of, done_bytes, total_bytes, sent_bytes, for_seconds } => {
                if self.is_time_for(of, *for_seconds) {
                    let (done, total, sent) = (human(*done_bytes), human(*total_bytes), human(*sent_bytes));
                    line(&format!("  {of}: {done} of {total} done, {sent} of it moved, after {for_seconds} s"));
                }
            }
            Event::Waiting { .. } | Event::Wrote { .. } | Event::Volumes { .. } => {}
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
            Event::Volumes { doing, for_seconds, volumes } => {
                json!({"event": "volumes", "doing": doing, "for_seconds": for_seconds, "volumes": volumes})
            }
            Event::Problem(problem) => json!({"event": "problem", "problem": problem}),
        };
        line(&value.to_string());
    }
}

/// One line for all volumes, and one for each that is under way.
fn volumes_lines(doing: &str, for_seconds: u64, volumes: &[VolumeProgress]) -> Vec<String> {
    let done = volumes.iter().filter(|volume| volume.state == DONE).count();
    let sum = |of: fn(&VolumeProgress) -> u64| volumes.iter().map(of).sum::<u64>();
    let (bytes, all) = (sum(|volume| volume.done_bytes), sum(|volume| volume.total_bytes));
    let mut lines = vec![format!(
        "  {doing} for {for_seconds} s: {done} of {} volumes done, {} of {}",
        volumes.len(),
        human(bytes),
        human(all)
    )];
    lines.extend(volumes.iter().filter(|volume| volume.state != DONE).map(|volume| {
        let percent = (volume.done_bytes * 100).checked_div(volume.total_bytes);
        let percent = percent.map_or_else(String::new, |percent| format!("{percent:>3} % "));
        format!("    {} {percent}{}", volume.volume, volume.state)
    }));
    lines
}

fn line(text: &str) {
    // Nowhere is left to tell of a stderr that cannot be written.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_one_display_and_those_done_are_counted_alone() {
        let volume = |name: &str, state: &str, done_bytes, total_bytes| VolumeProgress {
            volume: name.to_owned(),
            state: state.to_owned(),
            done_bytes,
            total_bytes,
        };
        let volumes =
            [volume("a/x", "done", 1024, 1024), volume("a/y", "running", 512, 1024), volume("b/z", "waiting", 0, 0)];
        let lines = volumes_lines("copying", 30, &volumes);
        assert_eq!(lines[0], "  copying for 30 s: 1 of 3 volumes done, 1.5Ki of 2Ki");
        assert_eq!(lines[1..], ["    a/y  50 % running", "    b/z waiting"]);
    }
}
