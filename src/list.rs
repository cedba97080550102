//! The list pipeline: the records of all complete backups, and what is not complete.

use futures::StreamExt;

use crate::model::{BackupId, BackupRecord};
use crate::store::{Store, StoreError};

/// Records in flight at once.
const READS_IN_FLIGHT: usize = 8;

/// What a store holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Complete backups, oldest first.
    pub backups: Vec<BackupRecord>,
    /// Backups whose record cannot be read, with the reason.
    pub unreadable: Vec<(BackupId, StoreError)>,
    /// What runs that did not end left behind: no backups.
    pub unfinished: Vec<BackupId>,
}

/// Reads the record of every backup.
///
/// # Errors
/// When the store cannot be listed.
pub async fn list(store: &Store) -> Result<Listing, StoreError> {
    let listed = store.list().await?;
    let (sealed, unfinished): (Vec<_>, Vec<_>) = listed.into_iter().partition(|backup| backup.sealed);
    let reads = sealed.into_iter().map(async |backup| {
        let opened = store.open_backup(&backup.id).await;
        (backup.id, opened.map(|opened| opened.record().clone()))
    });
    let mut reads = futures::stream::iter(reads).buffered(READS_IN_FLIGHT);
    let mut listing =
        Listing { unfinished: unfinished.into_iter().map(|backup| backup.id).collect(), ..Listing::default() };
    while let Some((id, read)) = reads.next().await {
        match read {
            Ok(record) => listing.backups.push(record),
            Err(error @ (StoreError::Damaged { .. } | StoreError::NewerFormat { .. })) => {
                listing.unreadable.push((id, error));
            }
            // Deleted since it was listed.
            Err(StoreError::NoSuchBackup { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(listing)
}
