//! One backup: being written ([`Draft`]), and complete ([`SealedBackup`]).

use super::envelope::{self, EnvelopeError};
use super::{Store, StoreError};
use crate::layout;
use crate::model::{BackupId, BackupRecord, FileRecord, Sha256};

/// A backup being written. Until [`Draft::seal`] it is no backup; dropped, it leaves files that a listing shows as
/// unfinished.
#[derive(Debug)]
pub struct Draft<'a> {
    store: &'a Store,
    id: BackupId,
    files: Vec<FileRecord>,
}

/// A complete backup whose record has been verified.
#[derive(Debug)]
pub struct SealedBackup<'a> {
    store: &'a Store,
    record: BackupRecord,
}

impl Store {
    /// Begins a backup of this name. Writes nothing yet.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when a backup of this name is there, finished or not.
    pub async fn begin(&self, id: &BackupId) -> Result<Draft<'_>, StoreError> {
        let prefix = layout::backup_prefix(id);
        if self.backend.list(&prefix).await?.is_empty() {
            Ok(Draft { store: self, id: id.clone(), files: Vec::new() })
        } else {
            Err(StoreError::AlreadyExists { object: self.at(&prefix) })
        }
    }

    /// Reads and verifies the record of a backup.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBackup`], [`StoreError::Damaged`] or [`StoreError::NewerFormat`], or when the store cannot
    /// be read.
    pub async fn open_backup(&self, id: &BackupId) -> Result<SealedBackup<'_>, StoreError> {
        let path = layout::record_path(id);
        let Some(bytes) = self.backend.get(&path).await? else {
            return Err(self.no_such_backup(id.as_str(), &self.list().await?));
        };
        let file = self.at(&path);
        match envelope::open(&bytes) {
            Ok(record) if record.id == *id => Ok(SealedBackup { store: self, record }),
            Ok(record) => Err(StoreError::Damaged { file, why: format!("it is the record of {}", record.id) }),
            Err(EnvelopeError::Damaged(why)) => Err(StoreError::Damaged { file, why }),
            Err(EnvelopeError::Newer { format, needs }) => Err(StoreError::NewerFormat { file, format, needs }),
        }
    }
}

impl Draft<'_> {
    /// Writes one file of the backup, such as [`layout::BUNDLE`].
    ///
    /// # Errors
    /// [`StoreError::NameFile`] for a name unfit for a file, [`StoreError::AlreadyExists`], or when the store cannot
    /// be written.
    pub async fn put(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let path = layout::file_path(&self.id, name)?;
        let sha256 = Sha256::of(&bytes).to_string();
        let file = FileRecord { name: name.to_owned(), bytes: bytes.len() as u64, sha256 };
        self.store.backend.put_new(&path, bytes).await?;
        self.files.push(file);
        Ok(())
    }

    /// The files written so far, as they belong into the record.
    pub fn files(&self) -> &[FileRecord] {
        &self.files
    }

    /// Writes the record, which makes the backup complete.
    ///
    /// # Errors
    /// [`StoreError::RecordDiffers`] when the record is not of this backup and these files,
    /// [`StoreError::AlreadyExists`], or when the store cannot be written.
    pub async fn seal(self, record: &BackupRecord) -> Result<(), StoreError> {
        let differs = |why: String| StoreError::RecordDiffers { id: self.id.clone(), why };
        if record.id != self.id {
            return Err(differs(format!("the record is of {}", record.id)));
        }
        if record.files != self.files {
            return Err(differs("the record lists other files than were written".to_owned()));
        }
        let bytes = envelope::seal(record).map_err(|error| differs(error.to_string()))?;
        self.store.backend.put_new(&layout::record_path(&self.id), bytes).await
    }
}

impl SealedBackup<'_> {
    /// The record.
    pub fn record(&self) -> &BackupRecord {
        &self.record
    }

    /// All bytes of one file of the backup, size and SHA-256 verified.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] naming the file when it is not listed, missing or not what was written; or when the
    /// store cannot be read.
    pub async fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = layout::file_path(&self.record.id, name)?;
        let damaged = |why: String| StoreError::Damaged { file: self.store.at(&path), why };
        let Some(file) = self.record.files.iter().find(|file| file.name == name) else {
            return Err(damaged("backup.json does not list it".to_owned()));
        };
        let Some(bytes) = self.store.backend.get(&path).await? else {
            return Err(damaged("it is missing".to_owned()));
        };
        if bytes.len() as u64 != file.bytes {
            return Err(damaged(format!("it has {} bytes, not {}", bytes.len(), file.bytes)));
        }
        let sha256 = Sha256::of(&bytes).to_string();
        if sha256 != file.sha256 {
            return Err(damaged(format!("its sha256 is {sha256}, not {}", file.sha256)));
        }
        Ok(bytes)
    }
}
