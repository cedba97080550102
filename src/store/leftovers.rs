//! What runs that were killed leave in a store beside their data: probes, and in a directory files that never got their
//! names.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::layout;

/// Something that was left, or that a run is just using.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its path in the store.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written: a probe by the clock of its run, a file by that of its file system.
    pub at: Timestamp,
}

impl Store {
    /// All of them. Where others keep their files in the directory of a store, too, these are not looked at.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        let probes = self.backend.sizes(layout::PROBES).await?.into_iter();
        let probe = |(path, bytes): (String, u64)| Some(Leftover { at: layout::parse_probe_path(&path)?, path, bytes });
        let mut found: Vec<_> = probes.filter_map(probe).collect();
        for prefix in layout::PLACES {
            found.extend(self.backend.unfinished(prefix).await?);
        }
        Ok(found)
    }

    /// Path of one, as errors name it.
    pub fn leftover_path(&self, leftover: &Leftover) -> String {
        self.at(&leftover.path)
    }

    /// Removes one; it is no error if it is gone.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn remove_leftover(&self, leftover: &Leftover) -> Result<(), StoreError> {
        match layout::parse_probe_path(&leftover.path) {
            Some(_) => self.backend.delete(&leftover.path).await,
            None => self.backend.remove_unfinished(&leftover.path).await,
        }
    }
}
