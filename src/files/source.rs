//! Reading a directory with all that a copy of it keeps. Links are seen, never followed.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};

use super::LocalDirectory;
use crate::model::{TreeEntry, TreeEntryKind};

/// What is in a directory.
#[derive(Debug, Default)]
pub struct Looked {
    /// Directories, files and links, sorted by name; files without their pieces.
    pub entries: Vec<TreeEntry>,
    /// What cannot be copied: its name as far as it can be written, and what it is.
    pub strange: Vec<(String, String)>,
}

/// A file that is being copied.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
}

/// When a file was last changed, and how long it is: what differs when it was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Size in bytes.
    pub bytes: u64,
    /// Nanoseconds since the epoch.
    pub modified_ns: i64,
}

impl Stamp {
    /// The stamp of an entry.
    pub fn of(entry: &TreeEntry) -> Self {
        Self { bytes: entry.bytes, modified_ns: entry.modified_ns }
    }
}

impl LocalDirectory {
    /// The entry of the directory itself.
    ///
    /// # Errors
    /// When it is none or cannot be read.
    pub fn look_at_root(&self) -> io::Result<TreeEntry> {
        // The root itself may be a link: that is how the caller named the directory.
        let metadata = std::fs::metadata(self.root())?;
        if metadata.is_dir() {
            Ok(entry(String::new(), TreeEntryKind::Directory, &metadata, None))
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    /// What is in a directory below the root. What vanishes meanwhile is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look(&self, path: &str) -> io::Result<Looked> {
        let mut looked = Looked::default();
        for found in std::fs::read_dir(self.at(path))? {
            let found = found?;
            let metadata = match found.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let Ok(name) = found.file_name().into_string() else {
                let readable = found.file_name().as_bytes().escape_ascii().to_string();
                looked.strange.push((readable, "its name is not UTF-8".to_owned()));
                continue;
            };
            let kind = match metadata.file_type() {
                kind if kind.is_file() => TreeEntryKind::File,
                kind if kind.is_dir() => TreeEntryKind::Directory,
                kind if kind.is_symlink() => TreeEntryKind::Link,
                kind => {
                    looked.strange.push((name, format!("it is {}", special(kind))));
                    continue;
                }
            };
            let target = match kind {
                TreeEntryKind::Link => {
                    match std::fs::read_link(found.path()).map(|to| to.into_os_string().into_string()) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        Ok(Err(_)) => {
                            looked.strange.push((name, "it leads to a name that is not UTF-8".to_owned()));
                            continue;
                        }
                        target => target?.ok(),
                    }
                }
                TreeEntryKind::File | TreeEntryKind::Directory => None,
            };
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            looked.entries.push(entry(path, kind, &metadata, target));
        }
        looked.entries.sort_by(|a, b| a.path.cmp(&b.path));
        looked.strange.sort();
        Ok(looked)
    }

    /// Whether there is a file of this path.
    pub fn has_file(&self, path: &str) -> bool {
        std::fs::symlink_metadata(self.at(path)).is_ok_and(|metadata| metadata.is_file())
    }

    /// Opens a file to copy it. A link in its place is an error.
    ///
    /// # Errors
    /// When it cannot be opened, or is no file.
    pub fn open_source(&self, path: &str) -> io::Result<SourceFile> {
        // NONBLOCK: a pipe that took the file's place must not hold the copy up.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(self.at(path))?;
        if file.metadata()?.is_file() { Ok(SourceFile { file }) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

impl SourceFile {
    /// Reads its bytes from here on, until the buffer is full or the file ends; how many they are.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Its stamp now.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn stamp(&self) -> io::Result<Stamp> {
        let metadata = self.file.metadata()?;
        Ok(Stamp { bytes: metadata.len(), modified_ns: modified_ns(&metadata) })
    }
}

fn entry(path: String, kind: TreeEntryKind, metadata: &Metadata, target: Option<String>) -> TreeEntry {
    TreeEntry {
        path,
        kind,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        modified_ns: modified_ns(metadata),
        bytes: if kind == TreeEntryKind::File { metadata.len() } else { 0 },
        pieces: Vec::new(),
        target,
    }
}

fn modified_ns(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

fn special(kind: std::fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_socket() => "a socket",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "neither file, directory nor link",
    }
}
