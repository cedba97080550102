//! A copied volume in a store as a data directory: what reads TSDBs reads it where it lies. Synchronous towards its reader;
//! pieces come from the store as they are needed, held to their hash, a few kept and a few fetched ahead.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use tokio::runtime::Handle;

use crate::model::{PIECE_BYTES, Sha256, TreeEntry, TreeEntryKind};
use crate::store::{Store, StoreError};
use crate::trees;
use crate::tsdb::{Directory, Entry, EntryKind, ReadAt};
use crate::words;

/// Pieces kept and being fetched at most, 8 MiB each, unless more readers than that wait for one. A reader of a block needs
/// one of its index and those ahead of its chunks.
const KEPT: usize = 8;
/// Pieces fetched at once when a file is read from one to the next.
const AHEAD: usize = 2;

/// The files of a tree.
pub struct StoredDirectory<'a> {
    store: &'a Store,
    runtime: Handle,
    /// Entries by the path of the directory they are in, sorted by name.
    directories: BTreeMap<String, Vec<Entry>>,
    files: BTreeMap<String, StoredPieces>,
    shelf: Mutex<Shelf>,
    sound: Mutex<HashSet<Sha256>>,
}

/// Pieces in memory; the one asked for last is the last.
#[derive(Default)]
struct Shelf {
    kept: VecDeque<(Sha256, Arc<Vec<u8>>)>,
    /// How many are being fetched.
    coming: usize,
}

impl Shelf {
    /// Makes room for pieces before they come.
    fn expect(&mut self, pieces: usize) {
        self.coming += pieces;
        while self.kept.len() + self.coming > KEPT && self.kept.pop_front().is_some() {}
    }
}

struct StoredPieces {
    bytes: u64,
    pieces: Vec<Sha256>,
}

impl<'a> StoredDirectory<'a> {
    /// Reads the tree; the files are read as they are asked for, which must not happen on a thread of the runtime that
    /// has other things to do: [`tokio::task::spawn_blocking`] and [`tokio::task::block_in_place`] have such threads.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the tree is, or when the store cannot be read.
    pub async fn open(store: &'a Store, tree: &Sha256) -> Result<Self, StoreError> {
        let mut directories: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        let mut files = BTreeMap::new();
        trees::walk(store, tree, |entry| {
            let TreeEntry { path, kind, bytes, pieces, .. } = entry;
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let kind = match kind {
                TreeEntryKind::File => EntryKind::File,
                TreeEntryKind::Directory => EntryKind::Directory,
                TreeEntryKind::Link => EntryKind::Other,
            };
            if !path.is_empty() {
                let entry = Entry { name: name.to_owned(), kind, bytes };
                directories.entry(directory.to_owned()).or_default().push(entry);
            }
            match kind {
                EntryKind::Directory => drop(directories.entry(path).or_default()),
                EntryKind::File => drop(files.insert(path, StoredPieces { bytes, pieces })),
                EntryKind::Other => {}
            }
        })
        .await?;
        for entries in directories.values_mut() {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let (shelf, sound) = (Mutex::default(), Mutex::default());
        Ok(Self { store, runtime: Handle::current(), directories, files, shelf, sound })
    }

    /// Pieces that were read and have their hash.
    pub fn into_sound(self) -> HashSet<Sha256> {
        self.sound.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a piece; with it those that follow are fetched when the one before it was just read.
    fn piece(&self, pieces: &[Sha256], at: usize) -> io::Result<Arc<Vec<u8>>> {
        let wanted = pieces[at];
        if let Some(bytes) = self.kept(&wanted) {
            return Ok(bytes);
        }
        let goes_on = at.checked_sub(1).is_some_and(|before| self.kept(&pieces[before]).is_some());
        let ahead = if goes_on { AHEAD } else { 1 };
        let missing: Vec<Sha256> =
            pieces[at..].iter().take(ahead).filter(|piece| self.kept(piece).is_none()).copied().collect();
        let coming = missing.len();
        self.shelf().expect(coming);
        let fetches = missing.into_iter().map(async |piece| (piece, self.store.get_data(&piece).await));
        let answers: Vec<_> = self.runtime.block_on(futures::stream::iter(fetches).buffered(AHEAD).collect());
        self.shelf().coming -= coming;
        let mut found = None;
        for (piece, bytes) in answers {
            match bytes {
                Ok(bytes) => {
                    let bytes = Arc::new(bytes);
                    if piece == wanted {
                        found = Some(Arc::clone(&bytes));
                    }
                    self.keep(piece, bytes);
                }
                // Of those ahead nobody has asked yet.
                Err(error) if piece == wanted => return Err(io::Error::other(words::chain(&error))),
                Err(_) => {}
            }
        }
        found.ok_or_else(|| io::Error::other("the piece was not fetched"))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, piece: &Sha256) -> Option<Arc<Vec<u8>>> {
        let mut in_memory = self.shelf();
        let at = in_memory.kept.iter().position(|(sha256, _)| sha256 == piece)?;
        let found = in_memory.kept.remove(at)?;
        let bytes = Arc::clone(&found.1);
        in_memory.kept.push_back(found);
        Some(bytes)
    }

    fn keep(&self, piece: Sha256, bytes: Arc<Vec<u8>>) {
        self.sound.lock().unwrap_or_else(PoisonError::into_inner).insert(piece);
        self.shelf().kept.push_back((piece, bytes));
    }
}

impl Directory for StoredDirectory<'_> {
    fn list(&self, path: &str) -> io::Result<Vec<Entry>> {
        match self.directories.get(path) {
            Some(entries) => Ok(entries.clone()),
            None if self.files.contains_key(path) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn ReadAt + '_>> {
        match self.files.get(path) {
            Some(file) => Ok(Box::new(StoredFile { directory: self, file })),
            None if self.directories.contains_key(path) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A file of a tree.
struct StoredFile<'a> {
    directory: &'a StoredDirectory<'a>,
    file: &'a StoredPieces,
}

impl ReadAt for StoredFile<'_> {
    fn bytes(&self) -> u64 {
        self.file.bytes
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        if offset >= self.file.bytes || into.is_empty() {
            return Ok(0);
        }
        let piece = usize::try_from(offset / PIECE_BYTES).map_err(io::Error::other)?;
        let bytes = self.directory.piece(&self.file.pieces, piece)?;
        let begin = usize::try_from(offset % PIECE_BYTES).map_err(io::Error::other)?;
        let there = bytes.get(begin..).unwrap_or_default();
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }
}
