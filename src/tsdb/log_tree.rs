//! Logs in memory, for tests: those that Prometheus wrote, and what is done to them.
//!
//! testdata/tsdb-logs/README.md says where the files and the expected verdicts are from.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::LazyLock;

use super::directory::{Directory, Entry, EntryKind, ReadAt};
use super::logs::inspect;
use super::verdict::{Finding, Grade, LogReport};

/// End of the newest in-order block that was beside `snappy` and `zstd-start-times`.
const BLOCK_END_MS: Option<i64> = Some(1_790_006_400_000);

/// A tree of files in memory.
#[derive(Clone)]
pub(super) struct Tree(pub(super) BTreeMap<String, Vec<u8>>);

impl Tree {
    pub(super) fn of(archive: &[u8]) -> Self {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(flate2::read::GzDecoder::new(archive)).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if entry.header().entry_type().is_file() {
                files.insert(path, bytes);
            }
        }
        Self(files)
    }

    pub(super) fn snappy() -> Self {
        static TREE: LazyLock<Tree> =
            LazyLock::new(|| Tree::of(include_bytes!("../../testdata/tsdb-logs/snappy.tar.gz")));
        TREE.clone()
    }

    pub(super) fn zstd() -> Self {
        static TREE: LazyLock<Tree> =
            LazyLock::new(|| Tree::of(include_bytes!("../../testdata/tsdb-logs/zstd-start-times.tar.gz")));
        TREE.clone()
    }

    pub(super) fn file(&mut self, path: &str) -> &mut Vec<u8> {
        self.0.get_mut(path).unwrap()
    }

    pub(super) fn flip(&mut self, path: &str, offset: usize) {
        self.file(path)[offset] ^= 0x10;
    }

    pub(super) fn remove(&mut self, prefix: &str) {
        let before = self.0.len();
        self.0.retain(|path, _| !path.starts_with(prefix));
        assert!(self.0.len() < before, "{prefix}");
    }

    pub(super) fn add(&mut self, path: &str) {
        self.0.insert(path.to_owned(), vec![0]);
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let bytes = self.0.remove(from).unwrap();
        self.0.insert(to.to_owned(), bytes);
    }

    pub(super) fn inspect(&self) -> Vec<LogReport> {
        inspect(self, BLOCK_END_MS).unwrap()
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        self.inspect().into_iter().flat_map(|report| report.findings).collect()
    }

    pub(super) fn grade(&self) -> Grade {
        self.inspect().iter().map(|report| report.grade).max().unwrap_or_default()
    }
}

impl Directory for Tree {
    fn list(&self, path: &str) -> io::Result<Vec<Entry>> {
        let above = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut entries = BTreeMap::new();
        for (path, bytes) in &self.0 {
            let Some(rest) = path.strip_prefix(&above) else { continue };
            let (name, kind, bytes) = match rest.split_once('/') {
                Some((name, _)) => (name, EntryKind::Directory, 0),
                None => (rest, EntryKind::File, bytes.len() as u64),
            };
            entries.insert(name, Entry { name: name.to_owned(), kind, bytes });
        }
        if entries.is_empty() && !path.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(entries.into_values().collect())
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn ReadAt + '_>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Bytes(bytes)))
    }
}

struct Bytes<'a>(&'a [u8]);

impl ReadAt for Bytes<'_> {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
}
