//! Copying the files of a directory into the store: read once, hashed, sent in pieces that are not there yet. What a
//! running Prometheus does to its directory meanwhile, it outlives; see [`crate::data_directory::order_of_copying`].

mod buffers;
mod classes;
mod earlier;
mod known;
mod pieces;
pub(crate) mod progress;
pub(crate) mod throttle;
mod walk;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use futures::TryFutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use earlier::{CopyOf, earlier_trees};

use crate::files::LocalDirectory;
use crate::model::{CopyRecord, Event, Placement, Problem, Reporter, Sha256, TreeEntry, TreeEntryKind};
use crate::store::{Store, StoreError};
use crate::tree_format::{TreeError, TreeWriter, in_order};
use buffers::Buffers;
use known::KnownBlocks;
use progress::Progress;
use throttle::Throttle;

/// Pieces that are read, hashed and sent at once, unless asked otherwise: they bound the memory.
pub const PIECES_IN_FLIGHT: usize = 5;

/// Whether blocks are read that an earlier copy holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reading {
    /// A block known by its ULID, its `meta.json` and the sizes of its files is taken over from the earlier copy.
    #[default]
    OnlyNew,
    /// All is read.
    Everything,
}

/// What is copied, and how.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// The directory.
    pub directory: PathBuf,
    /// What progress and problems call it, such as `monitoring/prometheus-db`.
    pub name: String,
    /// Trees of earlier copies in the same store, in which known blocks are looked for; see [`earlier_trees`].
    pub known_trees: Vec<Sha256>,
    /// Whether blocks are read that are in these.
    pub reading: Reading,
    /// Pieces in flight; each takes 8 MiB.
    pub pieces_in_flight: usize,
    /// At most so many bytes are sent a second.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Whether a directory without files is [`CopyError::Empty`] and leaves nothing in the store.
    pub refuse_empty: bool,
}

impl CopyRequest {
    /// A copy of this directory with nothing known and nothing limited.
    pub fn new(directory: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            name: name.into(),
            known_trees: Vec::new(),
            reading: Reading::OnlyNew,
            pieces_in_flight: PIECES_IN_FLIGHT,
            bytes_per_second: None,
            refuse_empty: false,
        }
    }
}

/// A copy that is in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Its tree.
    pub tree: Sha256,
    /// Size of the tree object in bytes.
    pub tree_bytes: u64,
    /// Files in it.
    pub files: u64,
    /// Size of all its files together, in bytes.
    pub bytes: u64,
    /// Of these sent by this copy, in bytes.
    pub sent_bytes: u64,
    /// Of these not even read, because an earlier copy holds their blocks, in bytes.
    pub taken_over_bytes: u64,
    /// What could not be copied, or not surely whole.
    pub problems: Vec<Problem>,
}

impl Copied {
    /// What of it stands in a record; who runs the pods is not known here.
    pub fn record(&self, cut_at: Timestamp) -> CopyRecord {
        CopyRecord {
            tree: self.tree,
            tree_bytes: self.tree_bytes,
            files: self.files,
            bytes: self.bytes,
            sent_bytes: self.sent_bytes,
            cut_at,
            volume_mode: "Filesystem".to_owned(),
            run_as_user: None,
            run_as_group: None,
            fs_group: None,
            placement: Placement::default(),
            problems: CopyRecord::told(self.problems.iter().map(Problem::in_words).collect()),
        }
    }
}

/// There is no copy. What was sent stays, and the next one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The directory cannot be read.
    #[error("read directory {path}")]
    ReadDirectory {
        /// Its path.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There are no files in it.
    #[error("{name} holds no file that can be copied")]
    Empty {
        /// What was to be copied.
        name: String,
    },
    /// The store did not take it, or does not hold what it should.
    #[error("write to the store")]
    Store(#[from] StoreError),
    /// What was found makes no tree.
    #[error("make the tree of {name}")]
    MakeTree {
        /// What was copied.
        name: String,
        /// Why.
        #[source]
        source: TreeError,
    },
}

/// Copies a directory into the store. Dropping the future stops it; what was sent stays there for the next one.
///
/// # Errors
/// When there is no copy. A file that cannot be read is a problem, no error.
pub async fn copy(store: &Store, request: &CopyRequest, reporter: &dyn Reporter) -> Result<Copied, CopyError> {
    reporter.event(&Event::Step { doing: format!("looking at what {} holds already", store.url()) });
    let mut problems = Vec::new();
    let known = async {
        match request.reading {
            Reading::OnlyNew => known::read(store, &request.known_trees, &mut problems).await,
            Reading::Everything => Ok(KnownBlocks::default()),
        }
    };
    let source = Arc::new(LocalDirectory::new(&request.directory));
    let there = store.data().map_err(CopyError::Store);
    let (there, known, first) = futures::try_join!(there, known.map_err(CopyError::Store), classes::look(&source))?;
    let copying = Copying {
        store,
        source,
        request,
        there: Mutex::new(there),
        throttle: request.bytes_per_second.map(Throttle::new),
        buffers: Buffers::default(),
        progress: Progress::new(&request.name, reporter),
        sent_bytes: AtomicU64::new(0),
        known,
    };
    let mut tree = copying.directory(first).await?;
    problems.append(&mut tree.problems);
    tree.entries.sort_by(|a, b| in_order(&a.path, &b.path));
    without_orphans(&mut tree.entries);
    let files: Vec<u64> =
        tree.entries.iter().filter(|entry| entry.kind == TreeEntryKind::File).map(|entry| entry.bytes).collect();
    if files.is_empty() && request.refuse_empty {
        return Err(CopyError::Empty { name: request.name.clone() });
    }
    let (tree_sha256, tree_bytes) = copying.write_tree(&tree.entries).await?;
    copying.progress.end();
    Ok(Copied {
        tree: tree_sha256,
        tree_bytes,
        files: files.len() as u64,
        bytes: files.into_iter().sum(),
        sent_bytes: copying.sent_bytes.into_inner(),
        taken_over_bytes: tree.taken_over_bytes,
        problems,
    })
}

/// Drops what the walks of a directory in use do not agree on: what is there twice, and what is in a directory that was
/// not there when its turn came. It is younger than the beginning of the copy.
fn without_orphans(entries: &mut Vec<TreeEntry>) {
    entries.dedup_by(|later, earlier| later.path == earlier.path);
    let mut directories = HashSet::new();
    entries.retain(|entry| {
        let parent = entry.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let is_kept = entry.path.is_empty() || directories.contains(parent);
        if is_kept && entry.kind == TreeEntryKind::Directory {
            directories.insert(entry.path.clone());
        }
        is_kept
    });
}

/// A copy under way.
struct Copying<'a> {
    store: &'a Store,
    source: Arc<LocalDirectory>,
    request: &'a CopyRequest,
    /// What the store holds, with sizes.
    there: Mutex<HashMap<Sha256, u64>>,
    throttle: Option<Throttle>,
    buffers: Buffers,
    progress: Progress<'a>,
    sent_bytes: AtomicU64,
    known: KnownBlocks,
}

/// What a copy comes to.
#[derive(Debug, Default)]
struct Tree {
    entries: Vec<TreeEntry>,
    taken_over_bytes: u64,
    problems: Vec<Problem>,
}

impl Copying<'_> {
    async fn write_tree(&self, entries: &[TreeEntry]) -> Result<(Sha256, u64), CopyError> {
        let mut writer = TreeWriter::default();
        let written = entries.iter().try_for_each(|entry| writer.entry(entry));
        let bytes = written.and_then(|()| writer.finish());
        let bytes = bytes.map_err(|source| CopyError::MakeTree { name: self.request.name.clone(), source })?;
        let (sha256, length) = (Sha256::of(&bytes), bytes.len() as u64);
        if !self.is_there(&sha256, length)? {
            self.store.put_data(&sha256, bytes.into()).await?;
        }
        Ok((sha256, length))
    }

    /// Whether the store holds an object of this name and size.
    fn is_there(&self, sha256: &Sha256, bytes: u64) -> Result<bool, StoreError> {
        let there = self.there.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(sha256).copied();
        match there {
            Some(size) if size != bytes => {
                Err(self.store.damaged_data(sha256, format!("it has {size} bytes, not {bytes}")))
            }
            other => Ok(other.is_some()),
        }
    }

    /// A problem with something in the directory.
    fn problem(&self, path: &str, tried: &str, cause: String, hint: &str) -> Problem {
        let object = if path.is_empty() { self.request.name.clone() } else { format!("{}: {path}", self.request.name) };
        Problem { object, tried: tried.to_owned(), cause, hint: hint.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_walks_do_not_agree_on_is_dropped() {
        let entry = |path: &str, kind| TreeEntry {
            path: path.to_owned(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            modified_ns: 0,
            bytes: 0,
            pieces: Vec::new(),
            target: None,
        };
        let (directory, file) = (TreeEntryKind::Directory, TreeEntryKind::File);
        let mut entries = vec![
            entry("", directory),
            entry("a", directory),
            entry("a", file),
            entry("a/b", file),
            entry("a/b/c", file),
            entry("new/d", directory),
            entry("new/d/e", file),
        ];
        without_orphans(&mut entries);
        assert_eq!(entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["", "a", "a/b"]);
    }
}
