//! Which store this is: a file in it that is written once, with digits no other store has.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, unique};
use crate::layout;
use crate::model::Origin;

#[derive(Serialize, Deserialize)]
struct StoreFile {
    id: String,
}

impl Store {
    /// Which store this is; `None` as long as no backup with snapshots was begun in it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the file is not what was written, or when the store cannot be read.
    pub async fn origin(&self) -> Result<Option<Origin>, StoreError> {
        let Some(bytes) = self.backend.get(layout::STORE).await? else { return Ok(None) };
        let file: StoreFile = serde_json::from_slice(&bytes).map_err(|error| StoreError::Damaged {
            file: self.at(layout::STORE),
            why: format!("it does not hold the identity of the store: {error}"),
        })?;
        Ok(Some(Origin { url: self.url.to_string(), id: file.id }))
    }

    /// Which store this is. Says so in the store, if nobody has done so before.
    ///
    /// # Errors
    /// As [`Store::origin`], or when the store cannot be written.
    pub async fn mark(&self) -> Result<Origin, StoreError> {
        if let Some(origin) = self.origin().await? {
            return Ok(origin);
        }
        let file = StoreFile { id: unique() };
        let bytes = serde_json::to_vec(&file)
            .map_err(|error| StoreError::Damaged { file: self.at(layout::STORE), why: error.to_string() })?;
        match self.backend.put_new(layout::STORE, bytes).await {
            Ok(()) => Ok(Origin { url: self.url.to_string(), id: file.id }),
            Err(StoreError::AlreadyExists { object }) => match self.origin().await? {
                Some(origin) => Ok(origin),
                None => Err(StoreError::AlreadyExists { object }),
            },
            Err(error) => Err(error),
        }
    }
}
