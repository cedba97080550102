//! The termination message of a container: how the run ended and its last words, where `kubectl describe pod` shows them.

use std::path::PathBuf;

use super::{CODES, Exit};
use crate::model::Event;
use crate::report::OutputFormat;

/// What the kubelet reads of the file (kubernetes `pkg/kubelet/kuberuntime`, `MaxContainerTerminationMessageLength`).
const LONGEST_BYTES: usize = 4096;
/// Stands for lines that were left out.
const LEFT_OUT: &str = "…";

/// Where the message goes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct TerminationLog {
    /// Write the exit code and the last lines here too; a pod shows /dev/termination-log in its status
    #[arg(long, env = "PROMSAFE_TERMINATION_LOG", value_name = "FILE")]
    termination_log: Option<PathBuf>,
}

impl TerminationLog {
    /// Writes how the run ended. `text` is what was printed for people.
    pub(super) fn tell(&self, exit: Exit, text: &str, output: OutputFormat) {
        let Some(path) = &self.termination_log else { return };
        if let Err(error) = std::fs::write(path, message(exit, text)) {
            // How the run ended does not depend on it.
            let doing = format!("cannot write the termination message to {}: {error}", path.display());
            output.reporter().event(&Event::Step { doing });
        }
    }
}

/// The exit code, the first line when it is an error, and as many of the last lines as there is room for.
fn message(exit: Exit, text: &str) -> String {
    let meaning = CODES.iter().find(|(code, _)| *code == exit).map_or("", |(_, meaning)| meaning);
    let mut head = format!("exit code {}: {meaning}\n", exit as u8);
    let mut lines: Vec<&str> = text.lines().collect();
    if lines.first().is_some_and(|line| line.starts_with("error")) {
        head += cut(lines.remove(0), LONGEST_BYTES / 2);
        head.push('\n');
    }
    let mut room = LONGEST_BYTES - head.len() - LEFT_OUT.len() - 1;
    let mut tail = Vec::new();
    for line in lines.iter().rev() {
        if line.len() + 1 > room {
            break;
        }
        room -= line.len() + 1;
        tail.push(*line);
    }
    if tail.len() < lines.len() {
        tail.push(LEFT_OUT);
    }
    tail.reverse();
    head + &tail.join("\n")
}

/// The beginning of a line, whole characters only.
fn cut(line: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_says_the_code_and_keeps_error_and_hint_when_it_is_long() {
        let refusals = "REFUSED  ä\n".repeat(1000);
        let text = format!("error: backup failed: refused\n{refusals}hint: mend it");
        let message = message(Exit::Refused, &text);
        assert!(message.len() <= LONGEST_BYTES, "{}", message.len());
        assert!(message.starts_with("exit code 4: refused before anything was changed\nerror: backup failed"));
        assert!(message.contains("\n…\nREFUSED") && message.ends_with("\nhint: mend it"));
    }

    #[test]
    fn message_of_one_endless_line_fits() {
        let error = message(Exit::Failed, &format!("error: {}", "ä".repeat(9000)));
        assert!(error.len() <= LONGEST_BYTES && error.contains("error: ä"));
        assert!(message(Exit::Failed, &"x".repeat(9000)).len() <= LONGEST_BYTES);
        assert_eq!(message(Exit::Done, "SAVED  id"), "exit code 0: done\nSAVED  id");
    }
}
