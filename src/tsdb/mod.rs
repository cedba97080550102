//! What a Prometheus data directory holds and whether Prometheus will start on it, read byte by byte.
//!
//! Synchronous and in bounded memory: files are read in pieces through [`Directory`], never whole. Any bytes whatever
//! give a verdict, never a panic. Facts: prometheus `tsdb/docs/format`, `tsdb/index`, `tsdb/chunks`, `tsdb/wlog`,
//! `tsdb/record`, and how `tsdb/db.go` and `tsdb/head.go` open a directory.

mod compression;
mod directory;
mod head_chunks;
mod head_file;
#[cfg(test)]
mod log_damage_tests;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod log_tree;
mod logs;
mod numbering;
mod record;
mod refs;
mod segments;
mod tally;
mod verdict;
mod wal;

use std::io;

pub use directory::{Directory, Entry, EntryKind, ReadAt};
pub use verdict::{BlockReport, Finding, Grade, LogReport, Loss, Report};

/// Looks at the logs: `wal` with its checkpoints, `wbl`, `chunks_head` and chunk snapshots, those that there are. Samples
/// before the end of the newest block of in-order samples, in milliseconds since the epoch, exclusive, are in blocks.
///
/// # Errors
/// When a directory or a file cannot be read.
pub fn inspect_logs(directory: &dyn Directory, newest_block_end_ms: Option<i64>) -> io::Result<Vec<LogReport>> {
    logs::inspect(directory, newest_block_end_ms)
}
