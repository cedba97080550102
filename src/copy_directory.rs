//! The pipeline of a copy without a cluster: look, copy, seal. What it makes is a backup of one volume and no objects.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::copy::{Copied, CopyError, CopyOf, CopyRequest, Reading, copy, earlier_trees};
use crate::files::host_name;
use crate::model::{BackupId, BackupRecord, ClusterIdentity, DirectorySource, Refusal, Reporter, VolumeRecord};
use crate::store::{Store, StoreError, StoreLock, StoreLockError};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct CopyDirectoryRequest {
    /// Name of the backup.
    pub id: BackupId,
    /// When it began.
    pub started_at: Timestamp,
    /// Absolute path of the directory, as [`directory_to_copy`] found it.
    pub directory: PathBuf,
    /// Whether blocks are read that an earlier copy holds.
    pub reading: Reading,
    /// At most so many bytes are sent a second.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// A backup that is in the store.
#[derive(Debug)]
pub struct DirectoryCopied {
    /// Its record, as sealed.
    pub record: BackupRecord,
    /// What was copied.
    pub copied: Copied,
    /// The whole run.
    pub took: Duration,
}

/// There is no backup.
#[derive(Debug, thiserror::Error)]
pub enum CopyDirectoryError {
    /// It cannot be taken. Nothing was changed.
    #[error("refused: nothing was changed")]
    Refused(Vec<Refusal>),
    /// The store cannot be used.
    #[error("use the store")]
    UseStore(#[source] StoreError),
    /// The files could not be copied.
    #[error("copy {directory}")]
    Copy {
        /// The directory.
        directory: String,
        /// Why.
        #[source]
        source: CopyError,
    },
    /// The lock of the store is lost.
    #[error(transparent)]
    Lock(#[from] StoreLockError),
    /// The record could not be written.
    #[error("seal the backup {id}")]
    Seal {
        /// The backup.
        id: BackupId,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// Copies a directory and seals a backup of it. To be run within [`StoreLock::hold`]: pieces that are there already must not
/// be removed before the record refers to them.
///
/// # Errors
/// When there is no backup in the store at the end. What was sent stays, and the next run goes on from there.
pub async fn copy_directory(
    store: &Store,
    request: &CopyDirectoryRequest,
    lock: &StoreLock<'_>,
    reporter: &dyn Reporter,
) -> Result<DirectoryCopied, CopyDirectoryError> {
    let begun = Instant::now();
    let source = DirectorySource { host: host_name(), path: request.directory.display().to_string() };
    // Each is a handful of requests that the next copy of a large directory waits for more than for its data.
    let copy_of = CopyOf::Directory(source.clone());
    let looked = futures::try_join!(store.check_writable(), earlier_trees(store, &copy_of));
    let (_, known_trees) = looked.map_err(CopyDirectoryError::UseStore)?;
    let wanted = CopyRequest {
        known_trees,
        reading: request.reading,
        bytes_per_second: request.bytes_per_second,
        refuse_empty: true,
        ..CopyRequest::new(&request.directory, &source.path)
    };
    let copied = copy(store, &wanted, reporter).await;
    let copied = copied.map_err(|error| match error {
        CopyError::Empty { .. } => CopyDirectoryError::Refused(vec![nothing_in(&source)]),
        error => CopyDirectoryError::Copy { directory: source.path.clone(), source: error },
    })?;
    let record = record(request, source, &copied);
    lock.still_held().await?;
    let sealing = async { store.begin(&request.id).await?.seal(&record).await };
    sealing.await.map_err(|source| CopyDirectoryError::Seal { id: request.id.clone(), source })?;
    Ok(DirectoryCopied { record, copied, took: begun.elapsed() })
}

/// The absolute path of a directory that a user named. Writes nothing, not even a lock.
///
/// # Errors
/// [`CopyDirectoryError::Refused`] when it cannot be copied.
pub fn directory_to_copy(store: &Store, named: &Path) -> Result<PathBuf, CopyDirectoryError> {
    directory_of(store, named).map_err(|refusal| CopyDirectoryError::Refused(vec![refusal]))
}

fn directory_of(store: &Store, named: &Path) -> Result<PathBuf, Refusal> {
    let refused =
        |why: String, fix: &str| Refusal { object: format!("directory {}", named.display()), why, fix: fix.to_owned() };
    let path = named
        .canonicalize()
        .map_err(|error| refused(format!("cannot be found: {error}"), "name a directory that is there"))?;
    if !path.is_dir() {
        return Err(refused("is no directory".to_owned(), "name the directory that Prometheus keeps its data in"));
    }
    if path.to_str().is_none() {
        return Err(refused("has a path that is not UTF-8".to_owned(), "name it by a link with a plain path"));
    }
    if store.directory().is_some_and(|root| is_inside(root, &path)) {
        return Err(refused("holds the store itself".to_owned(), "name a store outside of it with --store"));
    }
    Ok(path)
}

/// A backup of nothing would be found when it is needed: most often the disk is not mounted.
fn nothing_in(source: &DirectorySource) -> Refusal {
    Refusal {
        object: format!("directory {}", source.path),
        why: "holds no file that can be copied".to_owned(),
        fix: "mount its disk, or name the directory that Prometheus keeps its data in".to_owned(),
    }
}

/// Whether a path that need not be there yet is in a directory.
fn is_inside(path: &Path, directory: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_default();
    absolute.ancestors().find_map(|above| above.canonicalize().ok()).is_some_and(|there| there.starts_with(directory))
}

fn record(request: &CopyDirectoryRequest, source: DirectorySource, copied: &Copied) -> BackupRecord {
    let copy = copied.record(request.started_at);
    BackupRecord {
        directory: Some(source),
        finished_at: Timestamp::now(),
        volumes: vec![VolumeRecord::of_directory(copy)],
        ..BackupRecord::empty(request.id.clone(), ClusterIdentity::default(), request.started_at)
    }
}
