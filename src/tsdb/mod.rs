//! What a Prometheus data directory holds and whether Prometheus will start on it, read byte by byte.
//!
//! Synchronous and in bounded memory: files are read in pieces through [`Directory`], never whole. Any bytes whatever
//! give a verdict, never a panic. Facts: prometheus `tsdb/docs/format`, `tsdb/index`, `tsdb/chunks`, `tsdb/wlog`,
//! `tsdb/record`, and how `tsdb/db.go` and `tsdb/head.go` open a directory.

mod bitmap;
mod block;
mod checksum;
mod chunks;
mod compression;
mod directory;
mod head_chunks;
mod head_file;
mod index;
#[cfg(test)]
mod log_damage_tests;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod log_tree;
mod logs;
mod meta;
mod numbering;
mod record;
mod refs;
mod segments;
mod subset;
mod survey;
mod tally;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timeline;
mod tombstones;
mod ulid;
mod varint;
mod verdict;
mod wal;
mod window;

use std::fmt;
use std::io;

pub use block::inspect_block;
pub use directory::{Below, Directory, Entry, EntryKind, ReadAt};
pub use subset::Subset;
pub use survey::{Survey, locate};
pub use verdict::{BlockReport, Finding, Grade, LogReport, Looked, Loss, Report};

/// Looks at a whole data directory, one block after the other.
///
/// # Errors
/// When bytes cannot be had for another reason than that a file is missing.
pub fn inspect(directory: &dyn Directory, now_ms: Option<i64>, subset: Subset) -> io::Result<Report> {
    let survey = Survey::take(directory, now_ms, subset)?;
    let blocks = survey.chosen().map(|name| inspect_block(directory, name)).collect::<io::Result<_>>()?;
    let logs = inspect_logs(directory, survey.newest_block_end_ms())?;
    survey.conclude(blocks, logs)
}

/// Looks at the logs: `wal` with its checkpoints, `wbl`, `chunks_head` and chunk snapshots, those that there are. Samples
/// before the end of the newest block of in-order samples, in milliseconds since the epoch, exclusive, are in blocks.
///
/// # Errors
/// When a directory or a file cannot be read.
pub fn inspect_logs(directory: &dyn Directory, newest_block_end_ms: Option<i64>) -> io::Result<Vec<LogReport>> {
    logs::inspect(directory, newest_block_end_ms)
}

/// A file that Prometheus could not open either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    Missing,
    NoFile,
}

impl fmt::Display for Absent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Missing => "is missing",
            Self::NoFile => "is no file",
        })
    }
}

/// Opens a file; the inner error is one that Prometheus would have too.
fn open<'a>(directory: &'a dyn Directory, path: &str) -> io::Result<Result<Box<dyn ReadAt + 'a>, Absent>> {
    match directory.open(path) {
        Ok(file) => Ok(Ok(file)),
        Err(error) => absent(error).map(Err),
    }
}

/// Tells that a file is not there from that it cannot be read, which says nothing about the data.
fn absent(error: io::Error) -> io::Result<Absent> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(Absent::Missing),
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => Ok(Absent::NoFile),
        _ => Err(error),
    }
}
