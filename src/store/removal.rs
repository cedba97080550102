//! Removing backups, and looking at what lies in their directories.

use super::{Store, StoreError};
use crate::layout;
use crate::model::BackupId;

impl Store {
    /// The files in the directory of a backup, the record among them, with their sizes in bytes; sorted by name.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn files_of(&self, id: &BackupId) -> Result<Vec<(String, u64)>, StoreError> {
        let prefix = layout::backup_prefix(id);
        let listed = self.backend.sizes(&prefix).await?;
        Ok(listed.into_iter().filter_map(|(key, bytes)| Some((key.strip_prefix(&prefix)?.to_owned(), bytes))).collect())
    }

    /// Path of a file of a backup, as errors name it.
    pub fn path_in(&self, id: &BackupId, name: &str) -> String {
        self.at(&format!("{}{name}", layout::backup_prefix(id)))
    }

    /// Removes a backup: the record first, so that it is no backup from the first moment on, then all beside it. What is
    /// in its directory under names that no backup has is removed too. It is no error if there is nothing.
    ///
    /// # Errors
    /// When the store refuses; what is left is no backup, unless it was the record that could not be removed.
    pub async fn remove_backup(&self, id: &BackupId) -> Result<u64, StoreError> {
        self.backend.delete(&layout::record_path(id)).await?;
        let files = self.backend.list(&layout::backup_prefix(id)).await?;
        for file in &files {
            self.backend.delete(file).await?;
        }
        Ok(files.len() as u64)
    }

    /// Removes what an interrupted run left of a backup; `false` when it is complete, and nothing is removed then.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn remove_unfinished(&self, id: &BackupId) -> Result<bool, StoreError> {
        if self.files_of(id).await?.iter().any(|(name, _)| name == layout::RECORD) {
            return Ok(false);
        }
        self.remove_backup(id).await.map(|_| true)
    }
}
