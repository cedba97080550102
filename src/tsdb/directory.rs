//! Where a data directory is read from: whatever can list its names and read a file at an offset.

use std::io;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: a symbolic link, a socket.
    Other,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without its directory.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Size of a file in bytes; 0 for what is none.
    pub bytes: u64,
}

/// A file that is read at offsets, by several readers at once.
pub trait ReadAt: Send + Sync {
    /// Size in bytes.
    fn bytes(&self) -> u64;

    /// Reads at this offset as much as is there and fits, and says how much; 0 at the end and behind it.
    ///
    /// # Errors
    /// When the bytes cannot be had.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

/// A tree of files. Paths are relative to its root, parts joined by slashes; the root is the empty path.
pub trait Directory: Send + Sync {
    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none, or when it cannot be read.
    fn list(&self, path: &str) -> io::Result<Vec<Entry>>;

    /// Opens a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none, or when it cannot be read.
    fn open(&self, path: &str) -> io::Result<Box<dyn ReadAt + '_>>;
}

/// A directory within another one.
pub struct Below<'a> {
    directory: &'a dyn Directory,
    path: String,
}

impl<'a> Below<'a> {
    /// The directory at this path; the empty path is the other directory itself.
    pub fn new(directory: &'a dyn Directory, path: impl Into<String>) -> Self {
        Self { directory, path: path.into() }
    }

    fn at(&self, path: &str) -> String {
        match (self.path.as_str(), path) {
            ("", path) | (path, "") => path.to_owned(),
            (above, path) => format!("{above}/{path}"),
        }
    }
}

impl Directory for Below<'_> {
    fn list(&self, path: &str) -> io::Result<Vec<Entry>> {
        self.directory.list(&self.at(path))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn ReadAt + '_>> {
        self.directory.open(&self.at(path))
    }
}
