//! What a place for files must be able to do. Two places do: a directory and an S3 bucket. `tests/it/store/contract.rs`
//! holds both to every sentence below.

use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Leftover, Remote, StoreAccess, StoreError};
use crate::model::Sha256;

/// An object as it comes in.
#[derive(Debug, Clone)]
pub enum Part {
    /// It begins, and what came before is void: the request had to be sent again.
    Begin,
    /// The next bytes of it.
    Bytes(Bytes),
}

/// A flat map from keys to bytes that can grow and shrink, but in which nothing changes.
///
/// A key is one or more parts joined by slashes; a part is not empty, not `.` or `..`, and holds no NUL. Anything else
/// is an error, whatever is asked. Keys are relative to the store's prefix or directory.
pub trait Backend: Send + Sync {
    /// Creates an object with these bytes. When this returns, the bytes survive a crash of the store.
    ///
    /// An object is there whole or not at all, at any time and for every reader. If the key is taken, this is
    /// [`StoreError::AlreadyExists`] and the object stays as it was; of several writers at once one succeeds. On S3 the
    /// server has to honour `If-None-Match` for that: see [`super::CreateOnly`].
    fn put_new<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<(), StoreError>>;

    /// [`Backend::put_new`] of bytes whose SHA-256 is known, so that it need not be computed again where it is needed.
    fn put_hashed<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        sha256: &'a Sha256,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// All bytes of an object; `None` if there is none.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// All bytes of an object, handed on as they come; `false` if there is none. Nobody who takes them any more is no error:
    /// the rest is not read.
    fn get_parts<'a>(&'a self, key: &'a str, parts: mpsc::Sender<Part>) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The bytes of an object in this range, cut at its end: a range that begins at or behind the end gives no bytes.
    /// `None` if there is no object.
    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// All keys that begin with this text, sorted, however many they are, each with its object's size in bytes. The text
    /// need not end at a slash. What is no object of the store (an unfinished write, a symbolic link) is left out. A store
    /// not yet made is empty.
    fn sizes<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, u64)>, StoreError>>;

    /// What a program elsewhere needs to use the store of this URL; `None` when it cannot be used from elsewhere.
    fn access<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Option<StoreAccess>, StoreError>> {
        let _ = url;
        Box::pin(async { Ok(None) })
    }

    /// The keys of [`Backend::sizes`].
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async move { Ok(self.sizes(prefix).await?.into_iter().map(|(key, _)| key).collect()) })
    }

    /// Writes whose keys begin with this text that were begun and not ended, or not yet. A server shows none.
    fn unfinished<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Leftover>, StoreError>> {
        let _ = prefix;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Removes one of [`Backend::unfinished`]. It is no error if it is gone.
    fn remove_unfinished<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let _ = path;
        Box::pin(async { Ok(()) })
    }

    /// Removes an object. It is no error if there is none.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The server it is on; a directory is on none.
    fn remote(&self) -> Option<Remote> {
        None
    }
}

/// Whether a text can be a key.
pub(super) fn is_key(key: &str) -> bool {
    key.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
}
