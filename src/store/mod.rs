//! The store: where backups are kept, in an S3 bucket or a directory. The only user of the AWS crates. Nothing in it is
//! ever overwritten; a backup is complete when its `backup.json` is there, which is written last.

mod backend;
mod backup;
mod check;
mod data;
mod envelope;
mod error;
#[cfg(test)]
mod format_doc;
mod leftovers;
mod local;
mod lock;
mod marks;
mod origin;
mod removal;
mod s3;
mod s3_access;
mod s3_answer;
mod s3_client;
mod s3_clock;
mod s3_hash;
#[cfg(test)]
mod samples;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;

#[doc(hidden)]
pub use backend::{Backend, Part};
pub use backup::{Draft, SealedBackup};
pub use check::Fault;
pub use data::{FetchError, Written};
pub use error::{Cause, StoreError};
pub use leftovers::Leftover;
pub use lock::{StoreLock, StoreLockError, StoreLockRequest};
pub use marks::{MarkName, StoreClock, StoreTime};
pub use s3_access::StoreAccess;
pub use url::{StoreUrl, StoreUrlError};

use crate::layout;
use crate::model::{BackupId, Timeouts};

/// How an S3 bucket's name is put into the address of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PathStyle {
    /// Into the path when an endpoint is given, into the host name on AWS itself.
    #[default]
    Auto,
    /// Into the path.
    Always,
    /// Into the host name.
    Never,
}

/// A text other than `auto`, `always` and `never`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is none of auto, always and never")]
pub struct PathStyleError(String);

impl FromStr for PathStyle {
    type Err = PathStyleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            other => Err(PathStyleError(other.to_owned())),
        }
    }
}

/// Where the store is and how to reach it.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Bucket and prefix, or directory.
    pub url: StoreUrl,
    /// Address of an S3 server other than AWS; `None` leaves it to `AWS_ENDPOINT_URL` and the AWS profile.
    pub s3_endpoint: Option<String>,
    /// Region; `None` leaves it to the environment, the AWS profile and the instance, and is `us-east-1` at last.
    pub s3_region: Option<String>,
    /// PEM file of authorities to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// How the bucket's name is put into the address.
    pub s3_path_style: PathStyle,
    /// AWS credentials file that is read again every minute; `None` leaves it to the standard AWS chain.
    pub credentials_file: Option<PathBuf>,
    /// Of these `connect`, `request` and `attempts` count.
    pub timeouts: Timeouts,
}

/// Whether the store itself refuses to overwrite. Where it does not, only the uniqueness of names protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOnly {
    /// A second write to a key was refused.
    Honoured,
    /// A second write to a key was taken (an S3 server that ignores `If-None-Match`).
    Ignored,
}

/// The server a store is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its URL, or which AWS region.
    pub endpoint: String,
    /// How far its clock is ahead of ours, by the `Date` of its last answer; `None` before the first.
    pub clock_skew: Option<jiff::SignedDuration>,
}

/// One backup as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub id: BackupId,
    /// Whether its record is there. Without, it is what an interrupted run left.
    pub sealed: bool,
}

/// A store of backups.
pub struct Store {
    url: StoreUrl,
    backend: Box<dyn Backend>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store. For S3 this finds the credentials; the bucket is not asked yet.
    ///
    /// # Errors
    /// When there are no credentials, or an option cannot be used.
    pub async fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let backend: Box<dyn Backend> = match options.url.place() {
            url::Place::Directory(root) => Box::new(local::Local::new(root.clone())),
            url::Place::S3 { bucket, prefix } => Box::new(s3::S3::open(bucket, prefix, options).await?),
        };
        Ok(Self { url: options.url.clone(), backend })
    }

    /// Where it is.
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// The directory it is; `None` for a bucket.
    pub fn directory(&self) -> Option<&Path> {
        match self.url.place() {
            url::Place::Directory(root) => Some(root),
            url::Place::S3 { .. } => None,
        }
    }

    /// The server it is on; `None` for a directory.
    pub fn remote(&self) -> Option<Remote> {
        self.backend.remote()
    }

    /// What a program elsewhere needs to use it; `None` for a directory, which only this machine has.
    ///
    /// # Errors
    /// When there are no credentials now.
    pub async fn access(&self) -> Result<Option<StoreAccess>, StoreError> {
        self.backend.access(&self.url.to_string()).await
    }

    /// The backend, for the tests that hold it to its contract.
    #[doc(hidden)]
    pub fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    /// Whether backups can be written here, found out by writing, rewriting, reading and deleting a probe.
    ///
    /// # Errors
    /// What a backup would meet: bucket, credentials, permissions, network.
    pub async fn check_writable(&self) -> Result<CreateOnly, StoreError> {
        let key = layout::probe_path(Timestamp::now(), &unique());
        self.backend.put_new(&key, b"promsafe was here".to_vec()).await?;
        let probed = self.probe(&key).await;
        // Deleted whatever the probe gave; the earlier error tells more.
        let deleted = self.backend.delete(&key).await;
        let create_only = probed?;
        deleted?;
        Ok(create_only)
    }

    async fn probe(&self, key: &str) -> Result<CreateOnly, StoreError> {
        let create_only = match self.backend.put_new(key, b"promsafe was here twice".to_vec()).await {
            Err(StoreError::AlreadyExists { .. }) => CreateOnly::Honoured,
            Err(other) => return Err(other),
            Ok(()) => CreateOnly::Ignored,
        };
        match self.backend.get(key).await? {
            Some(bytes) if bytes.starts_with(b"promsafe was here") => Ok(create_only),
            Some(_) => Err(StoreError::Damaged { file: self.at(key), why: "it is not what was written".to_owned() }),
            None => Err(StoreError::Damaged { file: self.at(key), why: "it vanished after its write".to_owned() }),
        }
    }

    /// All backups, oldest first, the unfinished too. Whatever else lies in the store is not looked at.
    ///
    /// # Errors
    /// When the store cannot be listed. A directory that is not there holds no backups; a bucket must exist.
    pub async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let mut sealed_by_id = BTreeMap::new();
        for path in self.backend.list(layout::BACKUPS).await? {
            if let Some((id, name)) = layout::parse_backup_path(&path) {
                *sealed_by_id.entry(id).or_insert(false) |= name == layout::RECORD;
            }
        }
        Ok(sealed_by_id.into_iter().map(|(id, sealed)| Listed { id, sealed }).collect())
    }

    /// The one complete backup that is meant by `latest`, a name, or the beginning of a name.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBackup`] and [`StoreError::Ambiguous`], or when the store cannot be listed.
    pub async fn resolve(&self, wanted: &str) -> Result<BackupId, StoreError> {
        let listed = self.list().await?;
        let sealed = || listed.iter().filter(|listed| listed.sealed).map(|listed| listed.id.clone());
        let mut candidates: Vec<BackupId> = match wanted {
            "latest" => sealed().next_back().into_iter().collect(),
            "" => Vec::new(),
            // The name of an old backup may be the beginning of a newer one's.
            name if sealed().any(|id| id.as_str() == name) => sealed().filter(|id| id.as_str() == name).collect(),
            start => sealed().filter(|id| id.as_str().starts_with(start)).collect(),
        };
        match (candidates.pop(), candidates.is_empty()) {
            (Some(id), true) => Ok(id),
            (None, _) => Err(self.no_such_backup(wanted, &listed)),
            (Some(last), false) => {
                candidates.push(last);
                Err(StoreError::Ambiguous { wanted: wanted.to_owned(), url: self.url.to_string(), candidates })
            }
        }
    }

    fn no_such_backup(&self, wanted: &str, listed: &[Listed]) -> StoreError {
        let sealed: Vec<&str> = listed.iter().filter(|one| one.sealed).map(|one| one.id.as_str()).collect();
        let unfinished = listed.iter().any(|one| !one.sealed && one.id.as_str() == wanted);
        let there = match sealed[..] {
            _ if unfinished => "it was never completed: its backup.json is missing".to_owned(),
            [] => "the store holds no complete backup".to_owned(),
            [only] => format!("the store holds one complete backup, {only}"),
            [.., newest] => format!("the store holds {} complete backups, the newest is {newest}", sealed.len()),
        };
        StoreError::NoSuchBackup { wanted: wanted.to_owned(), url: self.url.to_string(), there }
    }

    /// A path in the store as errors name it.
    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }
}

/// A text no other run comes up with: the standard library seeds each of these from the system's randomness.
fn unique() -> String {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    format!("{:016x}{:016x}", hasher.finish(), RandomState::new().build_hasher().finish())
}
