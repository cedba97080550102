//! Trees of copied volumes, entry by entry, to bytes and back: gzip of JSON lines. Holds what makes a tree safe to write
//! to a disk: nothing in it leads out of its root. Knows no store and no disk. `docs/format.md` is its twin.

use std::cmp::Ordering;
use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use crate::model::{TreeEntry, TreeEntryKind};

/// Longest line that is read: the pieces of a file of 7 TiB. It bounds what a damaged tree can make a reader hold.
const LONGEST_LINE_BYTES: u64 = 64 << 20;

/// Largest mode: permission bits with set-user-id, set-group-id and sticky.
const MODE_BITS: u32 = 0o7777;

/// Why a tree could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The bytes could not be written; memory is all it needs.
    #[error("write the tree")]
    Write(#[source] io::Error),
    /// The bytes are no gzip.
    #[error("read the tree as gzip")]
    Read(#[source] io::Error),
    /// A line that is no entry.
    #[error("read line {line} of the tree")]
    ReadLine {
        /// Its number, from 1.
        line: u64,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A line that does not end.
    #[error("read line {line} of the tree: it is longer than {LONGEST_LINE_BYTES} bytes")]
    LineTooLong {
        /// Its number, from 1.
        line: u64,
    },
    /// A tree without a root.
    #[error("read the tree: it is empty")]
    Empty,
    /// An entry that cannot be, or not in this place.
    #[error("take {path:?} into the tree: {why}")]
    Entry {
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The order of entries: part by part, so that all that is in a directory follows it.
pub fn in_order(a: &str, b: &str) -> Ordering {
    // No part holds a slash; below every other byte it ends a part as the end of the path does.
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

/// Takes entries in order and gives the bytes of the tree.
#[derive(Debug)]
pub struct TreeWriter {
    gzip: GzEncoder<Vec<u8>>,
    rules: Rules,
}

impl Default for TreeWriter {
    fn default() -> Self {
        // No time and no name: equal entries give equal bytes.
        let gzip = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::default());
        Self { gzip, rules: Rules::default() }
    }
}

impl TreeWriter {
    /// Adds an entry.
    ///
    /// # Errors
    /// When it cannot be, or does not come behind the last one.
    pub fn entry(&mut self, entry: &TreeEntry) -> Result<(), TreeError> {
        self.rules.admit(entry)?;
        let mut line = serde_json::to_vec(entry).map_err(|error| TreeError::Write(error.into()))?;
        line.push(b'\n');
        self.gzip.write_all(&line).map_err(TreeError::Write)
    }

    /// The bytes.
    ///
    /// # Errors
    /// When there was no entry.
    pub fn finish(self) -> Result<Vec<u8>, TreeError> {
        self.rules.complete()?;
        self.gzip.finish().map_err(TreeError::Write)
    }
}

/// Gives the entries of a tree one after the other; after an error nothing more.
#[derive(Debug)]
pub struct TreeReader<R: BufRead> {
    lines: BufReader<GzDecoder<R>>,
    rules: Rules,
    line: u64,
    ended: bool,
}

impl<R: BufRead> TreeReader<R> {
    /// Reads the bytes of a tree.
    pub fn new(bytes: R) -> Self {
        Self { lines: BufReader::new(GzDecoder::new(bytes)), rules: Rules::default(), line: 0, ended: false }
    }

    fn read(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        self.line += 1;
        let mut line = Vec::new();
        let mut limited = (&mut self.lines).take(LONGEST_LINE_BYTES);
        limited.read_until(b'\n', &mut line).map_err(TreeError::Read)?;
        if line.is_empty() {
            let behind = self.lines.get_mut().get_mut().fill_buf().map_err(TreeError::Read)?;
            if !behind.is_empty() {
                return Err(TreeError::Read(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "something stands behind its end",
                )));
            }
            return self.rules.complete().map(|()| None);
        }
        if line.len() as u64 == LONGEST_LINE_BYTES {
            return Err(TreeError::LineTooLong { line: self.line });
        }
        let entry: TreeEntry =
            serde_json::from_slice(&line).map_err(|source| TreeError::ReadLine { line: self.line, source })?;
        self.rules.admit(&entry)?;
        Ok(Some(entry))
    }
}

impl<R: BufRead> Iterator for TreeReader<R> {
    type Item = Result<TreeEntry, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read().transpose();
        self.ended = !matches!(read, Some(Ok(_)));
        read
    }
}

/// What holds for every entry of a tree, and for an entry behind those before it.
#[derive(Debug, Default)]
struct Rules {
    last: Option<String>,
    /// The directories the last entry is in, and itself if it is one.
    open: Vec<String>,
}

impl Rules {
    fn admit(&mut self, entry: &TreeEntry) -> Result<(), TreeError> {
        let wrong = |why| TreeError::Entry { path: entry.path.clone(), why };
        if let Some(why) = unfit(entry) {
            return Err(wrong(why));
        }
        match &self.last {
            None if !entry.path.is_empty() => return Err(wrong("the first entry has to be the root")),
            None => {}
            Some(last) => match in_order(last, &entry.path) {
                Ordering::Less => {}
                Ordering::Equal => return Err(wrong("it is there twice")),
                Ordering::Greater => return Err(wrong("it stands in the wrong place")),
            },
        }
        if let Some(parent) = parent(&entry.path) {
            while self.open.last().is_some_and(|open| !is_in(parent, open)) {
                self.open.pop();
            }
            if self.open.last().is_none_or(|open| open != parent) {
                return Err(wrong("what it is in is no directory of the tree"));
            }
        }
        if entry.kind == TreeEntryKind::Directory {
            self.open.push(entry.path.clone());
        }
        self.last = Some(entry.path.clone());
        Ok(())
    }

    fn complete(&self) -> Result<(), TreeError> {
        if self.last.is_some() { Ok(()) } else { Err(TreeError::Empty) }
    }
}

/// What a path is in; nothing is around the root.
fn parent(path: &str) -> Option<&str> {
    if path.is_empty() { None } else { Some(path.rsplit_once('/').map_or("", |(parent, _)| parent)) }
}

/// Whether a path is this directory or in it.
fn is_in(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory);
    directory.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What is wrong with an entry, wherever it stands.
fn unfit(entry: &TreeEntry) -> Option<&'static str> {
    let names = || entry.path.split('/');
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    let is_root = entry.path.is_empty();
    match entry.kind {
        _ if !is_root && !names().all(is_name) => Some("it is no path below the root"),
        _ if entry.mode > MODE_BITS => Some("its mode is more than permission bits"),
        TreeEntryKind::File | TreeEntryKind::Link if is_root => Some("the root has to be a directory"),
        TreeEntryKind::File if entry.target.is_some() => Some("a file leads nowhere"),
        TreeEntryKind::File if !entry.is_whole() => Some("it has not as many pieces as its size needs"),
        TreeEntryKind::File => None,
        _ if entry.bytes > 0 || !entry.pieces.is_empty() => Some("only files have bytes"),
        TreeEntryKind::Directory => entry.target.as_ref().map(|_| "a directory leads nowhere"),
        TreeEntryKind::Link => match entry.target.as_deref() {
            None | Some("") => Some("the link leads nowhere"),
            Some(target) => target.contains('\0').then_some("the link leads to what is no path"),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{PIECE_BYTES, Sha256};

    fn entry(path: &str, kind: TreeEntryKind) -> TreeEntry {
        TreeEntry {
            path: path.to_owned(),
            kind,
            mode: 0o755,
            uid: 65534,
            gid: 2000,
            modified_ns: 1_700_000_000_123_456_789,
            bytes: 0,
            pieces: Vec::new(),
            target: (kind == TreeEntryKind::Link).then(|| "wal/00000001".to_owned()),
        }
    }

    fn directory(path: &str) -> TreeEntry {
        entry(path, TreeEntryKind::Directory)
    }

    fn file(path: &str, bytes: u64) -> TreeEntry {
        let pieces = (0..bytes.div_ceil(PIECE_BYTES)).map(|n| Sha256::of(format!("{path}{n}").as_bytes()));
        TreeEntry { bytes, pieces: pieces.collect(), ..entry(path, TreeEntryKind::File) }
    }

    fn pack(entries: &[TreeEntry]) -> Result<Vec<u8>, TreeError> {
        let mut writer = TreeWriter::default();
        entries.iter().try_for_each(|entry| writer.entry(entry))?;
        writer.finish()
    }

    fn unpack(bytes: &[u8]) -> Result<Vec<TreeEntry>, TreeError> {
        TreeReader::new(bytes).collect()
    }

    /// The bytes of these lines, whatever they hold.
    fn gzip(text: &str) -> Vec<u8> {
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    fn lines(entries: &[TreeEntry]) -> String {
        entries.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect()
    }

    #[test]
    fn entries_come_back_and_equal_entries_give_equal_bytes() {
        let entries = [
            directory(""),
            file("a", 0),
            directory("b"),
            file("b/c", PIECE_BYTES + 1),
            entry("b/link", TreeEntryKind::Link),
            file("b-d", 1),
        ];
        let bytes = pack(&entries).unwrap();
        assert_eq!(unpack(&bytes).unwrap(), entries);
        assert_eq!(pack(&entries).unwrap(), bytes);
        assert_eq!(bytes[4..10], [0, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn what_is_in_a_directory_follows_it_whatever_the_names_are() {
        let mut paths = ["b-d", "b", "", "b/c", "b/c/x", "b/c-", "a", "ä", "b.x"];
        paths.sort_by(|a, b| in_order(a, b));
        assert_eq!(paths, ["", "a", "b", "b/c", "b/c/x", "b/c-", "b-d", "b.x", "ä"]);
    }

    #[test]
    fn what_leads_out_of_the_root_or_cannot_be_is_refused_by_writer_and_reader() {
        let root = || directory("");
        let with = |change: fn(&mut TreeEntry), mut entry: TreeEntry| {
            change(&mut entry);
            vec![root(), entry]
        };
        for (entries, why) in [
            (vec![file("a", 1)], "the first entry has to be the root"),
            (vec![file("", 1)], "the root has to be a directory"),
            (vec![root(), root()], "it is there twice"),
            (vec![root(), file("a", 1), file("a", 1)], "it is there twice"),
            (vec![root(), file("b", 1), file("a", 1)], "it stands in the wrong place"),
            (vec![root(), file("..", 1)], "it is no path below the root"),
            (vec![root(), file("../x", 1)], "it is no path below the root"),
            (vec![root(), file("/etc/passwd", 1)], "it is no path below the root"),
            (vec![root(), directory("a"), file("a/./b", 1)], "it is no path below the root"),
            (vec![root(), directory("a"), file("a//b", 1)], "it is no path below the root"),
            (vec![root(), directory("a/")], "it is no path below the root"),
            (vec![root(), file("a\0b", 1)], "it is no path below the root"),
            (vec![root(), file("a", 1), file("a/b", 1)], "what it is in is no directory of the tree"),
            (
                vec![root(), entry("a", TreeEntryKind::Link), file("a/b", 1)],
                "what it is in is no directory of the tree",
            ),
            (vec![root(), file("a/b", 1)], "what it is in is no directory of the tree"),
            (vec![root(), directory("a"), directory("ab"), file("ab/c/d", 1)], "what it is in is no directory"),
            (with(|entry| entry.mode = 0o10_0644, file("a", 1)), "its mode is more than permission bits"),
            (with(|entry| entry.bytes = 0, file("a", 1)), "it has not as many pieces as its size needs"),
            (with(|entry| entry.target = Some("b".into()), file("a", 1)), "a file leads nowhere"),
            (with(|entry| entry.target = Some("b".into()), directory("a")), "a directory leads nowhere"),
            (with(|entry| entry.bytes = 1, directory("a")), "only files have bytes"),
            (with(|entry| entry.target = None, entry("a", TreeEntryKind::Link)), "the link leads nowhere"),
            (
                with(|entry| entry.target = Some("\0".into()), entry("a", TreeEntryKind::Link)),
                "leads to what is no path",
            ),
        ] {
            let read = unpack(&gzip(&lines(&entries))).unwrap_err().to_string();
            assert!(read.contains(why), "{read}, not {why}: {entries:?}");
            let written = pack(&entries).unwrap_err().to_string();
            assert_eq!(written, read);
        }
    }

    #[test]
    fn empty_and_spoilt_trees_are_errors() {
        assert!(matches!(pack(&[]), Err(TreeError::Empty)));
        assert!(matches!(unpack(&gzip("")), Err(TreeError::Empty)));
        assert!(matches!(unpack(b""), Err(TreeError::Read(_))));
        assert!(matches!(unpack(b"hello"), Err(TreeError::Read(_))));
        assert!(matches!(unpack(&gzip("{}\n")), Err(TreeError::ReadLine { line: 1, .. })));
        let bytes = pack(&[directory(""), file("a", 3)]).unwrap();
        for end in 0..bytes.len() {
            assert!(unpack(&bytes[..end]).is_err(), "cut at {end}");
        }
        let twice = [bytes.clone(), bytes].concat();
        assert!(matches!(unpack(&twice), Err(TreeError::Read(_))));
    }

    #[test]
    fn line_that_does_not_end_is_given_up() {
        struct Spaces;
        impl Read for Spaces {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                into.fill(b' ');
                Ok(into.len())
            }
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        io::copy(&mut Spaces.take(LONGEST_LINE_BYTES + 1), &mut gzip).unwrap();
        let read = unpack(&gzip.finish().unwrap());
        assert!(matches!(read, Err(TreeError::LineTooLong { line: 1 })), "{read:?}");
    }

    #[test]
    fn fields_of_a_newer_program_are_ignored() {
        let line = r#"{"path":"","kind":"directory","mode":493,"uid":0,"gid":0,"modified_ns":0,"xattrs":{}}"#;
        assert_eq!(unpack(&gzip(line)).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_give_entries_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(unpack(&bytes));
        }

        #[test]
        fn a_flipped_bit_never_gives_other_entries(at in 0_usize..1000, bit in 0_u8..8) {
            let entries = [directory(""), file("a", 3), directory("b"), file("b/c", PIECE_BYTES * 3)];
            let mut bytes = pack(&entries).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            // Time, file name and system of the header mean nothing; all else is held by the CRC.
            prop_assert!(unpack(&bytes).is_ok_and(|read| read == entries) || unpack(&bytes).is_err());
        }

        #[test]
        fn any_tree_comes_back(names in proptest::collection::btree_set("[ -.0-~ä]{1,3}", 0..20), bytes in 0..PIECE_BYTES * 3) {
            let mut entries = vec![directory("")];
            for name in names.iter().filter(|name| !matches!(name.as_str(), "." | "..")) {
                entries.push(directory(name));
                entries.push(file(&format!("{name}/x"), bytes));
            }
            entries.sort_by(|a, b| in_order(&a.path, &b.path));
            prop_assert_eq!(unpack(&pack(&entries).unwrap()).unwrap(), entries);
        }
    }
}
