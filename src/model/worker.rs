//! What a worker, the program in a Job beside a volume, is told and what it tells: lines of JSON, so that both ends know them.

use serde::{Deserialize, Serialize};

use super::Sha256;

/// Longest line of a report in bytes: with how the run ended before it, it fits into a termination message (kubernetes
/// `pkg/kubelet/container`, `MaxContainerTerminationMessageLength` 4096).
const LONGEST_BYTES: usize = 3900;

/// How far a worker is: the lines it prints while it works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerProgress {
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes there are, as far as that is known.
    pub total_bytes: u64,
}

/// What a worker says last, when it did its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// The tree object.
    pub tree: Sha256,
    /// Size of the tree object in bytes.
    pub tree_bytes: u64,
    /// Files in it.
    pub files: u64,
    /// Size of all its files together, in bytes.
    pub bytes: u64,
    /// Of these sent over the network, in bytes.
    pub sent_bytes: u64,
    /// What could not be saved or brought back while the rest was, in words.
    pub problems: Vec<String>,
    /// What is not as it was and need not be, in words: owners other than the one who wrote.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Problems that there was no room for.
    #[serde(default)]
    pub more_problems: u64,
}

impl WorkerReport {
    /// The report on one line; problems that do not fit are counted.
    pub fn line(mut self) -> String {
        loop {
            let line = serde_json::to_string(&self).unwrap_or_default();
            if line.len() <= LONGEST_BYTES || self.problems.pop().is_none() && self.notes.pop().is_none() {
                return line;
            }
            self.more_problems += 1;
        }
    }

    /// The report in what a worker said last: its last line.
    pub fn read(said: &str) -> Option<Self> {
        serde_json::from_str(said.trim_end().lines().next_back()?).ok()
    }

    /// All problems in words, also those there was no room for.
    pub fn problems(&self) -> Vec<String> {
        let more = (self.more_problems > 0).then(|| format!("and {} more", self.more_problems));
        self.problems.iter().cloned().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_fits_a_termination_message_and_counts_what_does_not() {
        let problems: Vec<String> = (0..500).map(|n| format!("file-{n}: permission denied")).collect();
        let report = WorkerReport {
            tree: Sha256::of(b"tree"),
            tree_bytes: 1,
            files: 2,
            bytes: 3,
            sent_bytes: 4,
            problems,
            notes: Vec::new(),
            more_problems: 0,
        };
        let line = report.clone().line();
        assert!(line.len() <= LONGEST_BYTES, "{}", line.len());
        let read = WorkerReport::read(&format!("exit code 3: done\n{line}\n")).unwrap();
        assert_eq!((read.tree, read.problems.len() as u64 + read.more_problems), (report.tree, 500));
        assert!(read.problems().last().unwrap().starts_with("and "));
        assert_eq!(WorkerReport::read("exit code 1: failed\nerror: no"), None);
    }
}
