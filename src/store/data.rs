//! Pieces and trees of copied volumes: objects named by the SHA-256 of their bytes. What is read is what was written, or
//! an error that names the object.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use futures::future::try_join_all;
use tokio::sync::mpsc;

use super::backend::Part;
use super::{Store, StoreError};
use crate::layout;
use crate::model::{Hashing, Sha256};

/// Whether an object had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was not there and is now.
    New,
    /// It was there already.
    There,
}

/// Parts of a piece that wait to be hashed and written. The HTTP client gives them up to 400 KiB.
const PARTS_WAITING: usize = 4;

/// A piece was not brought to where it should go.
#[derive(Debug)]
pub enum FetchError {
    /// It could not be read, or is not what was written.
    Read(StoreError),
    /// It could not be written there.
    Write(io::Error),
}

impl Store {
    /// All pieces and trees with their sizes in bytes. This takes 40 bytes of memory and a thousandth of a request each. A
    /// server gives a list one page after the other: sixteen lists, one for each first digit, come at once.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn data(&self) -> Result<HashMap<Sha256, u64>, StoreError> {
        let prefixes: Vec<String> = (0..16).map(|digit| format!("{}{digit:x}", layout::DATA)).collect();
        let listed = try_join_all(prefixes.iter().map(|prefix| self.backend.sizes(prefix))).await?;
        let objects = listed.into_iter().flatten();
        Ok(objects.filter_map(|(key, bytes)| Some((layout::parse_data_path(&key)?, bytes))).collect())
    }

    /// Writes a piece or tree. `sha256` must be that of the bytes: whoever calls has it, and hashing takes time.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put_data(&self, sha256: &Sha256, bytes: Bytes) -> Result<Written, StoreError> {
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

    /// Reads a piece of this size and hands it to `write` as it comes, with the offset in the piece. What was written is
    /// right only when this succeeds; it may begin again meanwhile. `write` may block.
    ///
    /// # Errors
    /// As [`Store::get_data`], and when `write` fails.
    pub async fn fetch_data(
        &self,
        sha256: &Sha256,
        bytes: u64,
        write: impl FnMut(u64, &[u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<(), FetchError> {
        let path = layout::data_path(sha256);
        let (parts, coming) = mpsc::channel(PARTS_WAITING);
        // Hashing and writing take the processor and the disk; meanwhile the next parts come.
        let writing = tokio::task::spawn_blocking(move || take_parts(coming, bytes, write));
        let read = self.backend.get_parts(&path, parts).await;
        let written = writing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let (found, length) = written.map_err(FetchError::Write)?;
        let damaged = |why: String| Err(FetchError::Read(self.damaged_data(sha256, why)));
        match read.map_err(FetchError::Read)? {
            false => damaged("it is missing".to_owned()),
            true if length != bytes => damaged(format!("it has {length} bytes where the tree says {bytes}")),
            true if found != *sha256 => damaged(format!("its {length} bytes have the sha256 {found}")),
            true => Ok(()),
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

/// Hashes and writes parts until no more come; how many bytes they were. Bytes behind the end of the piece belong nowhere.
fn take_parts(
    mut coming: mpsc::Receiver<Part>,
    expected: u64,
    mut write: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<(Sha256, u64)> {
    let (mut hashing, mut length) = (Hashing::default(), 0);
    while let Some(part) = coming.blocking_recv() {
        match part {
            Part::Begin => (hashing, length) = (Hashing::default(), 0),
            Part::Bytes(bytes) => {
                hashing.update(&bytes);
                let room = usize::try_from(expected.saturating_sub(length)).unwrap_or(usize::MAX);
                write(length, &bytes[..bytes.len().min(room)])?;
                length += bytes.len() as u64;
            }
        }
    }
    Ok((hashing.finish(), length))
}
