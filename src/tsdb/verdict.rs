//! What was found in a data directory, in terms of what Prometheus will do with it.

use serde::Serialize;

/// How bad a finding is. A directory is as bad as its worst finding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Nothing is lost.
    #[default]
    Ok,
    /// The end of what was being written is missing: normal after a crash, repaired by Prometheus when it starts.
    TornTail,
    /// Prometheus starts, and something that was there is gone or cannot be queried.
    Degraded,
    /// Prometheus does not start.
    Fatal,
}

/// What will be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// How many series are affected; `None` when that cannot be told.
    pub series: Option<u64>,
    /// How many samples; `None` when that cannot be told.
    pub samples: Option<u64>,
    /// Oldest time affected, in milliseconds since the epoch.
    pub from_ms: Option<i64>,
    /// Newest time affected, in milliseconds since the epoch, inclusive.
    pub to_ms: Option<i64>,
}

/// One thing that is not as Prometheus would have left it in peace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub grade: Grade,
    /// The file or directory, relative to the data directory.
    pub path: String,
    /// Where in the file, in bytes.
    pub offset: Option<u64>,
    /// What is wrong, and what Prometheus will do about it; lower case, no full stop.
    pub what: String,
    /// What will be missing.
    pub loss: Option<Loss>,
}

impl Finding {
    /// Something wrong with a file or directory.
    pub fn new(grade: Grade, path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { grade, path: path.into(), offset: None, what: what.into(), loss: None }
    }

    /// Where in the file.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// What will be missing.
    #[must_use]
    pub fn losing(mut self, loss: Loss) -> Self {
        self.loss = Some(loss);
        self
    }
}

/// How much of a block was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Looked {
    /// At its `meta.json`; series, chunks and samples are what that says.
    #[default]
    Meta,
    /// At every byte that Prometheus would read.
    Whole,
}

/// A block.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BlockReport {
    /// Name of its directory.
    pub name: String,
    /// The worst of its findings.
    pub grade: Grade,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Oldest time it covers, in milliseconds since the epoch, by `meta.json`.
    pub min_time_ms: Option<i64>,
    /// End of what it covers, exclusive, by `meta.json`.
    pub max_time_ms: Option<i64>,
    /// Series in its index.
    pub series: u64,
    /// Chunks that its index names.
    pub chunks: u64,
    /// Samples in these chunks.
    pub samples: u64,
    /// Its newest sample, in milliseconds since the epoch, when it was looked at whole.
    pub newest_sample_ms: Option<i64>,
    /// All its files together, in bytes.
    pub bytes: u64,
    /// How much of it was looked at.
    pub looked: Looked,
}

/// A log: `wal`, `wbl`, a checkpoint, or `chunks_head`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Its directory, such as `wal/checkpoint.00000042`.
    pub name: String,
    /// The worst of its findings.
    pub grade: Grade,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Its files.
    pub segments: u64,
    /// Records, or head chunks, that can be read.
    pub records: u64,
    /// Series that it introduces, or series that its head chunks are of.
    pub series: u64,
    /// Samples and histograms in it.
    pub samples: u64,
    /// How many of these samples Prometheus leaves out when it starts, since a block covers their time.
    pub samples_in_blocks: u64,
    /// Oldest sample, in milliseconds since the epoch.
    pub min_time_ms: Option<i64>,
    /// Newest sample, in milliseconds since the epoch: what the log reaches up to.
    pub max_time_ms: Option<i64>,
    /// All its files together, in bytes.
    pub bytes: u64,
}

/// A whole data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of everything found.
    pub grade: Grade,
    /// Blocks, oldest first.
    pub blocks: Vec<BlockReport>,
    /// Logs.
    pub logs: Vec<LogReport>,
    /// What concerns the directory: leftovers, overlaps, gaps, blocks of the future.
    pub findings: Vec<Finding>,
}

impl BlockReport {
    /// Adds a finding; the block is as bad as its worst one.
    pub fn take(&mut self, finding: Finding) {
        self.grade = self.grade.max(finding.grade);
        self.findings.push(finding);
    }
}

impl Report {
    /// The newest sample that any part has, in milliseconds since the epoch.
    pub fn newest_sample_ms(&self) -> Option<i64> {
        let logs = self.logs.iter().filter_map(|log| log.max_time_ms);
        self.blocks.iter().filter_map(|block| block.newest_sample_ms).chain(logs).max()
    }

    /// Everything found, the directory's own last.
    pub fn all_findings(&self) -> impl Iterator<Item = &Finding> {
        let blocks = self.blocks.iter().flat_map(|block| &block.findings);
        blocks.chain(self.logs.iter().flat_map(|log| &log.findings)).chain(&self.findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_is_greater() {
        assert!(Grade::Ok < Grade::TornTail && Grade::TornTail < Grade::Degraded && Grade::Degraded < Grade::Fatal);
    }
}
