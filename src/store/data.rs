//! Pieces and trees of copied volumes: objects named by the SHA-256 of their bytes. What is read is what was written, or
//! an error that names the object.

use std::collections::HashMap;

use super::{Store, StoreError};
use crate::layout;
use crate::model::Sha256;

/// Whether an object had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was not there and is now.
    New,
    /// It was there already.
    There,
}

impl Store {
    /// All pieces and trees with their sizes in bytes. This takes 40 bytes of memory and a thousandth of a request each.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn data(&self) -> Result<HashMap<Sha256, u64>, StoreError> {
        let listed = self.backend.sizes(layout::DATA).await?;
        Ok(listed.into_iter().filter_map(|(key, bytes)| Some((layout::parse_data_path(&key)?, bytes))).collect())
    }

    /// Writes a piece or tree. `sha256` must be that of the bytes: whoever calls has it, and hashing takes time.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_data(&self, sha256: &Sha256, bytes: Vec<u8>) -> Result<Written, StoreError> {
        match self.backend.put_hashed(&layout::data_path(sha256), bytes, sha256).await {
            Ok(()) => Ok(Written::New),
            Err(StoreError::AlreadyExists { .. }) => Ok(Written::There),
            Err(error) => Err(error),
        }
    }

    /// Reads a piece or tree; its bytes have this hash.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is missing or not what was written, or when the store cannot be read.
    pub async fn get_data(&self, sha256: &Sha256) -> Result<Vec<u8>, StoreError> {
        let path = layout::data_path(sha256);
        let damaged = |why: String| StoreError::Damaged { file: self.at(&path), why };
        let Some(bytes) = self.backend.get(&path).await? else { return Err(damaged("it is missing".to_owned())) };
        // Of megabytes this takes milliseconds, in which other requests would stand still.
        let hashed = tokio::task::spawn_blocking(move || (Sha256::of(&bytes), bytes)).await;
        match hashed.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            (found, bytes) if found == *sha256 => Ok(bytes),
            (found, bytes) => Err(damaged(format!("its {} bytes have the sha256 {found}", bytes.len()))),
        }
    }

    /// The error about a piece or tree that is not what it should be.
    pub fn damaged_data(&self, sha256: &Sha256, why: String) -> StoreError {
        StoreError::Damaged { file: self.at(&layout::data_path(sha256)), why }
    }

    /// Removes a piece or tree; it is no error if there is none.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn delete_data(&self, sha256: &Sha256) -> Result<(), StoreError> {
        self.backend.delete(&layout::data_path(sha256)).await
    }
}
