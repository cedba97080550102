//! What a Prometheus data directory holds and whether Prometheus will start on it, read byte by byte.
//!
//! Synchronous and in bounded memory: files are read in pieces through [`Directory`], never whole. Any bytes whatever
//! give a verdict, never a panic. Facts: prometheus `tsdb/docs/format`, `tsdb/index`, `tsdb/chunks`, `tsdb/wlog`,
//! `tsdb/record`, and how `tsdb/db.go` and `tsdb/head.go` open a directory.

mod directory;
mod verdict;

pub use directory::{Directory, Entry, EntryKind, ReadAt};
pub use verdict::{BlockReport, Finding, Grade, LogReport, Loss, Report};
