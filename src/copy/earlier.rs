//! Which trees of a store may hold what a new copy needs.

use crate::model::{BackupRecord, DirectorySource, Sha256};
use crate::store::{Store, StoreError};

/// Newest backups that are looked at, and trees that are taken.
const BACKUPS: usize = 20;
const TREES: usize = 3;

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyOf {
    /// A claim.
    Claim {
        /// Its namespace.
        namespace: String,
        /// Its name.
        claim: String,
    },
    /// A directory of a machine.
    Directory(DirectorySource),
}

impl CopyOf {
    fn trees(&self, record: &BackupRecord) -> Vec<Sha256> {
        let directory = record.directory.as_ref();
        let volumes = record.volumes.iter().filter(|record| match self {
            Self::Claim { namespace, claim } => {
                directory.is_none() && record.volume.namespace == *namespace && record.volume.claim == *claim
            }
            Self::Directory(source) => directory == Some(source),
        });
        volumes.filter_map(|volume| Some(volume.copy.as_ref()?.tree)).collect()
    }
}

/// Trees of the newest earlier copies of the same, newest first; of others when there are none of the same. A backup that
/// cannot be read is passed over: nothing but time is lost with it.
///
/// # Errors
/// When the store cannot be listed or does not answer.
pub async fn earlier_trees(store: &Store, copy_of: &CopyOf) -> Result<Vec<Sha256>, StoreError> {
    let (mut same, mut others) = (Vec::new(), Vec::new());
    let listed = store.list().await?;
    for backup in listed.iter().rev().filter(|backup| backup.sealed).take(BACKUPS) {
        let record = match store.open_backup(&backup.id).await {
            Ok(opened) => opened.record().clone(),
            Err(StoreError::Damaged { .. } | StoreError::NewerFormat { .. } | StoreError::NoSuchBackup { .. }) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        same.extend(copy_of.trees(&record));
        others.extend(record.volumes.iter().filter_map(|volume| Some(volume.copy.as_ref()?.tree)));
        if same.len() >= TREES {
            break;
        }
    }
    let mut trees = if same.is_empty() { others } else { same };
    let mut seen = std::collections::HashSet::new();
    trees.retain(|tree| seen.insert(*tree));
    trees.truncate(TREES);
    Ok(trees)
}
