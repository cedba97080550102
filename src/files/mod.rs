//! The file system of this machine, where volumes and data directories are: the gateway to files that are no store's.

mod source;
mod target;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use source::{Looked, SourceFile, Stamp};
pub use target::{Owner, TargetDirectory, UNFINISHED, UnfinishedFile};

use crate::tsdb::{Directory, Entry, EntryKind, ReadAt};

/// Name of this machine.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

/// A directory of the file system.
#[derive(Debug, Clone)]
pub struct LocalDirectory {
    root: PathBuf,
}

impl LocalDirectory {
    /// The directory at this path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl Directory for LocalDirectory {
    fn list(&self, path: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.at(path))? {
            let entry = entry?;
            let kind = match entry.file_type()? {
                kind if kind.is_file() => EntryKind::File,
                kind if kind.is_dir() => EntryKind::Directory,
                _ => EntryKind::Other,
            };
            let bytes = if kind == EntryKind::File { entry.metadata()?.len() } else { 0 };
            entries.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), kind, bytes });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn ReadAt + '_>> {
        let path = self.at(path);
        // Opening a named pipe would wait for its writer.
        let kind = std::fs::metadata(&path)?.file_type();
        if !kind.is_file() {
            return Err(if kind.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput }.into());
        }
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Box::new(LocalFile { file, bytes }))
    }
}

struct LocalFile {
    file: File,
    bytes: u64,
}

impl ReadAt for LocalFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.file.read_at(&mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_files_are_read_at_offsets() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("b"), b"0123456789").unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        let directory = LocalDirectory::new(root.path());
        let names: Vec<_> = directory.list("").unwrap().into_iter().map(|entry| (entry.name, entry.bytes)).collect();
        assert_eq!(names, [("a".to_owned(), 0), ("b".to_owned(), 10)]);
        let file = directory.open("b").unwrap();
        let mut buffer = [0; 4];
        assert_eq!((file.read_at(8, &mut buffer).unwrap(), &buffer[..2]), (2, &b"89"[..]));
        assert_eq!(file.read_at(10, &mut buffer).unwrap(), 0);
        assert_eq!(directory.list("c").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(directory.open("a").err().unwrap().kind(), io::ErrorKind::IsADirectory);
    }
}
