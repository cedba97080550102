//! Marks: lists of what is to be removed later, each written once under the hash of its bytes, and the clock by which
//! their age is told.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::layout;
use crate::model::Sha256;

/// A mark by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkName {
    /// When it was written, by the clock that was asked then.
    pub at: Timestamp,
    /// Of its bytes.
    pub sha256: Sha256,
}

/// What time it is, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreTime {
    /// The time.
    pub now: Timestamp,
    /// Whose clock it is.
    pub clock: StoreClock,
}

/// Whose clock tells the age of marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreClock {
    /// The server's, which is the same for all who use the store.
    Server,
    /// This machine's: the store is a directory.
    Machine,
    /// This machine's, because the server does not say what time it is.
    MachineForServer,
}

impl Store {
    /// What time it is for this store: the server's time if it said so in its last answer.
    pub fn time(&self) -> StoreTime {
        let own = Timestamp::now();
        match self.remote() {
            None => StoreTime { now: own, clock: StoreClock::Machine },
            Some(remote) => match remote.clock_skew.and_then(|skew| own.checked_add(skew).ok()) {
                Some(now) => StoreTime { now, clock: StoreClock::Server },
                None => StoreTime { now: own, clock: StoreClock::MachineForServer },
            },
        }
    }

    /// All marks, oldest first.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn marks(&self) -> Result<Vec<MarkName>, StoreError> {
        let listed = self.backend.list(layout::MARKS).await?;
        let names = listed.iter().filter_map(|path| layout::parse_mark_path(path));
        Ok(names.map(|(at, sha256)| MarkName { at, sha256 }).collect())
    }

    /// Path of a mark, as errors name it.
    pub fn mark_path(&self, mark: &MarkName) -> String {
        self.at(&layout::mark_path(mark.at, &mark.sha256))
    }

    /// All bytes of a mark, as they were written.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when they are not, or when the store cannot be read.
    pub async fn read_mark(&self, mark: &MarkName) -> Result<Vec<u8>, StoreError> {
        let damaged = |why: &str| StoreError::Damaged { file: self.mark_path(mark), why: why.to_owned() };
        let path = layout::mark_path(mark.at, &mark.sha256);
        let bytes = self.backend.get(&path).await?.ok_or_else(|| damaged("it is missing"))?;
        if Sha256::of(&bytes) == mark.sha256 {
            Ok(bytes)
        } else {
            Err(damaged("its name is not the sha256 of its bytes"))
        }
    }

    /// Writes a mark; one that says the same at the same second is there already and as good.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn write_mark(&self, at: Timestamp, bytes: Vec<u8>) -> Result<MarkName, StoreError> {
        let mark = MarkName { at, sha256: Sha256::of(&bytes) };
        match self.backend.put_new(&layout::mark_path(at, &mark.sha256), bytes).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => Ok(mark),
            Err(error) => Err(error),
        }
    }

    /// Removes a mark.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn delete_mark(&self, mark: &MarkName) -> Result<(), StoreError> {
        self.backend.delete(&layout::mark_path(mark.at, &mark.sha256)).await
    }
}
