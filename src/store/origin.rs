//! Which store this is: a file in it that is written once, with digits no other store has.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, unique};
use crate::layout;
use crate::model::{Origin, Sha256};

/// What `store.json` holds. Written since promsafe 0.2 with the SHA-256 of the id, so that no bit of it can change unseen.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreFile {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
}

impl StoreFile {
    fn new(id: String) -> Self {
        Self { sha256: Some(Sha256::of(id.as_bytes())), id }
    }

    /// Reads the bytes; they are spelt in one way alone.
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let file: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let digits = file.id.len() == 32 && file.id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digits || serde_json::to_vec(&file).is_ok_and(|spelt| spelt != bytes) {
            return Err("it is not spelt as promsafe spells it".to_owned());
        }
        match file.sha256 {
            Some(sha256) if sha256 != Sha256::of(file.id.as_bytes()) => {
                Err("its sha256 is not that of its id".to_owned())
            }
            _ => Ok(file),
        }
    }
}

impl Store {
    /// Which store this is; `None` as long as no backup with snapshots was begun in it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the file is not what was written, or when the store cannot be read.
    pub async fn origin(&self) -> Result<Option<Origin>, StoreError> {
        let Some(bytes) = self.backend.get(layout::STORE).await? else { return Ok(None) };
        let file = StoreFile::read(&bytes).map_err(|why| StoreError::Damaged {
            file: self.at(layout::STORE),
            why: format!("it does not hold the identity of the store: {why}"),
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
        let file = StoreFile::new(unique());
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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn identity_written_by_older_releases_is_read() {
        let old = format!(r#"{{"id":"{ID}"}}"#);
        assert_eq!(StoreFile::read(old.as_bytes()).unwrap().id, ID);
        assert!(StoreFile::read(format!(r#"{{"id": "{ID}"}}"#).as_bytes()).is_err());
    }

    #[test]
    fn every_flipped_bit_of_the_identity_is_an_error() {
        let bytes = serde_json::to_vec(&StoreFile::new(ID.to_owned())).unwrap();
        assert_eq!(StoreFile::read(&bytes).unwrap().id, ID);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(StoreFile::read(&flipped).is_err(), "bit {bit}");
        }
    }
}
