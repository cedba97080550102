//! Reading the trees of copied volumes from the store, entry by entry; a tree that gives no entries is damage of its object.

use crate::model::{BackupRecord, CopyRecord, Sha256, TreeEntry, VolumeRecord};
use crate::store::{Store, StoreError};
use crate::tree_format::TreeReader;
use crate::words;

/// The copied volumes of a backup.
pub fn copies(record: &BackupRecord) -> impl Iterator<Item = (&VolumeRecord, &CopyRecord)> {
    record.volumes.iter().filter_map(|volume| Some((volume, volume.copy.as_ref()?)))
}

/// What a copied volume is called, such as `monitoring/prometheus-db`, or the directory it is a copy of.
pub fn name_of(record: &BackupRecord, volume: &VolumeRecord) -> String {
    match &record.directory {
        Some(directory) => format!("{}:{}", directory.host, directory.path),
        None => format!("{}/{}", volume.volume.namespace, volume.volume.claim),
    }
}

/// Shows every entry of a tree.
///
/// # Errors
/// [`StoreError::Damaged`] naming the tree when it is missing, not what was written, or no tree; or when the store
/// cannot be read.
pub async fn walk(store: &Store, tree: &Sha256, mut see: impl FnMut(TreeEntry)) -> Result<(), StoreError> {
    let bytes = store.get_data(tree).await?;
    for entry in TreeReader::new(bytes.as_slice()) {
        match entry {
            Ok(entry) => see(entry),
            Err(error) => return Err(StoreError::Damaged { file: store.data_path(tree), why: words::chain(&error) }),
        }
    }
    Ok(())
}
