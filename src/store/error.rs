//! What can go wrong with a store, in the terms the exit codes need. No text holds a secret.

use std::error::Error;

use crate::layout::LayoutError;
use crate::model::BackupId;

/// The cause of a failure, as the layer below words it.
pub type Cause = Box<dyn Error + Send + Sync>;

/// What went wrong with the store, a backup or one of its files.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No complete backup is called so.
    #[error("find backup {wanted} in {url}: {there}")]
    NoSuchBackup {
        /// What was asked for.
        wanted: String,
        /// The store.
        url: String,
        /// What the store holds instead.
        there: String,
    },
    /// There is none to be found, whatever it is called.
    #[error("no complete backup in {url}")]
    NoBackups {
        /// The store.
        url: String,
    },
    /// Several backups begin so.
    #[error("find backup {wanted} in {url}: {} of them begin so: {}", candidates.len(), names(candidates))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The store.
        url: String,
        /// All that begin so, oldest first.
        candidates: Vec<BackupId>,
    },
    /// A file of a backup is missing or not what was written.
    #[error("read {file}: it is damaged: {why}")]
    Damaged {
        /// Path of the file in the store.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A sound backup of a format this program does not know.
    #[error("read {file}: it has format {format}, which needs {needs} or newer")]
    NewerFormat {
        /// Path of the file in the store.
        file: String,
        /// The format it says.
        format: u32,
        /// The program that reads it, such as `promsafe 0.3`.
        needs: String,
    },
    /// The store did not answer, or not in time.
    #[error("{doing} {object}: the store cannot be reached")]
    Unreachable {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// The object, with the address of its store.
        object: String,
        /// What the network says.
        #[source]
        source: Cause,
    },
    /// The store refused who asked.
    #[error("{doing} {object} as {who}: access denied")]
    AccessDenied {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// The object, with the address of its store.
        object: String,
        /// Who asked: access key id and where it came from, never the secret.
        who: String,
        /// What the store says.
        #[source]
        source: Cause,
    },
    /// The bucket does not exist.
    #[error("{doing} {object}: there is no bucket {bucket} at {endpoint}")]
    NoSuchBucket {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// The object, with the address of its store.
        object: String,
        /// The bucket.
        bucket: String,
        /// Where it was looked for.
        endpoint: String,
    },
    /// Nothing in the store is ever overwritten.
    #[error("write {object}: it exists already, and nothing in a store is overwritten")]
    AlreadyExists {
        /// The object, with the address of its store.
        object: String,
    },
    /// The store answered with a failure of its own.
    #[error("{doing} {object}")]
    Access {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// The object, with the address of its store.
        object: String,
        /// What the store says.
        #[source]
        source: Cause,
    },
    /// An option of the store that cannot be used.
    #[error("use {option}")]
    Configure {
        /// The option and its value.
        option: String,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// A name no file of a backup may have.
    #[error(transparent)]
    NameFile(#[from] LayoutError),
    /// The record to be sealed is not the record of what was put.
    #[error("seal backup {id}: {why}")]
    RecordDiffers {
        /// The backup.
        id: BackupId,
        /// What does not fit.
        why: String,
    },
}

fn names(ids: &[BackupId]) -> String {
    ids.iter().map(BackupId::as_str).collect::<Vec<_>>().join(", ")
}
