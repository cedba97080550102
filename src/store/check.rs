//! Looking at objects without using them: are they there, whole, and what was written.

use super::{Store, StoreError};
use crate::layout;
use crate::model::{BackupId, FileRecord, Sha256};

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It is there and not what was written; why.
    Damaged(String),
}

impl Store {
    /// Path of a piece or tree, as errors name it.
    pub fn data_path(&self, sha256: &Sha256) -> String {
        self.at(&layout::data_path(sha256))
    }

    /// Path of the file that tells this store from all others, as errors name it.
    pub fn origin_path(&self) -> String {
        self.at(layout::STORE)
    }

    /// Reads a piece or tree whole and holds it to its size and its name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn check_data(&self, sha256: Sha256, bytes: u64) -> Result<Option<Fault>, StoreError> {
        let Some(read) = self.backend.get(&layout::data_path(&sha256)).await? else { return Ok(Some(Fault::Missing)) };
        if read.len() as u64 != bytes {
            return Ok(Some(Fault::Damaged(format!("it has {} bytes, not {bytes}", read.len()))));
        }
        let found = hashed(read, Sha256::of).await;
        Ok((found != sha256).then(|| Fault::Damaged(format!("its sha256 is {found}"))))
    }

    /// Reads a file of a backup whole and holds it to the record.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn check_file(&self, id: &BackupId, file: &FileRecord) -> Result<Option<Fault>, StoreError> {
        let path = layout::file_path(id, &file.name)?;
        let Some(read) = self.backend.get(&path).await? else { return Ok(Some(Fault::Missing)) };
        if read.len() as u64 != file.bytes {
            return Ok(Some(Fault::Damaged(format!("it has {} bytes, not {}", read.len(), file.bytes))));
        }
        let found = hashed(read, |bytes| Sha256::of(bytes).to_string()).await;
        Ok((found != file.sha256).then(|| Fault::Damaged(format!("its sha256 is {found}, not {}", file.sha256))))
    }
}

/// Hashing takes the processor for a while: on a thread of its own, so that several run at once.
async fn hashed<T: Send + 'static>(bytes: Vec<u8>, hash: impl FnOnce(&[u8]) -> T + Send + 'static) -> T {
    let hashed = tokio::task::spawn_blocking(move || hash(&bytes)).await;
    hashed.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
