//! Directories in memory, for tests of the readers.

use std::collections::BTreeMap;
use std::io;

use super::{Directory, Entry, EntryKind, ReadAt};

/// A file in memory.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl ReadAt for Bytes {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap().min(self.0.len());
        let read = into.len().min(self.0.len() - from);
        into[..read].copy_from_slice(&self.0[from..from + read]);
        Ok(read)
    }
}

/// Files by path.
#[derive(Clone, Default)]
pub(super) struct Tree(pub(super) BTreeMap<String, Vec<u8>>);

impl Tree {
    pub(super) fn bytes_of(&mut self, path: &str) -> &mut Vec<u8> {
        self.0.get_mut(path).unwrap_or_else(|| panic!("no {path}"))
    }
}

impl Directory for Tree {
    fn list(&self, path: &str) -> io::Result<Vec<Entry>> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut entries = BTreeMap::new();
        for (file, bytes) in self.0.iter().filter(|(file, _)| file.starts_with(&prefix)) {
            let rest = &file[prefix.len()..];
            let entry = match rest.split_once('/') {
                Some((name, _)) => Entry { name: name.to_owned(), kind: EntryKind::Directory, bytes: 0 },
                None => Entry { name: rest.to_owned(), kind: EntryKind::File, bytes: bytes.len() as u64 },
            };
            entries.insert(entry.name.clone(), entry);
        }
        if entries.is_empty() && !path.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(entries.into_values().collect())
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn ReadAt + '_>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Bytes(bytes.clone())))
    }
}
