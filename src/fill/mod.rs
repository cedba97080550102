//! Bringing a copy back: from a tree in the store to files in a directory, each piece verified. What is there already
//! and equal is not written again; nothing is written through a link or out of the directory.

mod check;
mod contents;
mod run;

use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{Problem, Refusal, Reporter, Sha256};
use crate::store::{Store, StoreError};
use crate::tree_format::TreeError;

/// Whether the head comes along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Head {
    /// All is brought back.
    #[default]
    Include,
    /// `wal`, `wbl`, `chunks_head` and memory snapshots are left out.
    LeaveOut,
}

/// What happens when something in the store is damaged or missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// It ends there.
    #[default]
    Stop,
    /// What cannot be whole without it is left out and named; all else is brought back.
    Skip,
}

/// What is brought back, and how.
#[derive(Debug, Clone)]
pub struct FillRequest {
    /// The tree.
    pub tree: Sha256,
    /// Where to: an empty directory, or one that holds what an interrupted run brought back of the same tree.
    pub directory: PathBuf,
    /// What progress and problems call it, such as `monitoring/prometheus-db`.
    pub name: String,
    /// Whether the head comes along.
    pub head: Head,
    /// What happens when something is damaged.
    pub on_damage: OnDamage,
    /// Pieces in flight; each takes 8 MiB.
    pub pieces_in_flight: usize,
    /// Bytes fetched per second at most.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// What was brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// Files in the directory now.
    pub files: u64,
    /// Size of all of them together, in bytes.
    pub bytes: u64,
    /// Of these written by this run, in bytes; the rest was there already.
    pub written_bytes: u64,
    /// What was left out because of damage, such as a block: what, and which object is damaged.
    pub left_out: Vec<Problem>,
    /// What is not as it was, such as owners that could not be set.
    pub problems: Vec<Problem>,
}

/// It was not brought back, or not all of it. Running it again goes on.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The directory holds other things. Nothing was changed.
    #[error("refused: nothing was changed")]
    Refused(Vec<Refusal>),
    /// The store does not hold what it should, or cannot be read.
    #[error("bring back {object}")]
    Read {
        /// The file, or the tree.
        object: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The tree is none.
    #[error("read the tree {tree}")]
    ReadTree {
        /// Its name.
        tree: Sha256,
        /// Why.
        #[source]
        source: TreeError,
    },
    /// The directory cannot be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

/// Brings a copy back. Dropping the future stops it; what was written stays for the next run.
///
/// # Errors
/// When it ended before all was there.
pub async fn fill(store: &Store, request: &FillRequest, reporter: &dyn Reporter) -> Result<Filled, FillError> {
    run::fill(store, request, reporter).await
}
