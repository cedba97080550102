//! A directory as a backend. Holds the contract of `backend.rs` on any file system that can rename without replacing,
//! or link; what a crash leaves behind is a hidden file that only [`Backend::unfinished`] shows.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::backend::{Backend, Part, is_key};
use super::{Leftover, StoreError};
use crate::layout::UNFINISHED;
use crate::model::Sha256;

/// Bytes of a file that are handed on at once.
const PART_BYTES: usize = 256 << 10;

/// How often a write is tried when another process keeps removing the directory it goes to.
const TRIES: u32 = 5;

/// A directory; made by the first write.
#[derive(Debug, Clone)]
pub(super) struct Local {
    root: PathBuf,
}

impl Local {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Does file work where it may block, and says in an error what it was about.
    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        key: &str,
        work: impl FnOnce(&Path, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (root, owned) = (self.root.clone(), key.to_owned());
        let done = tokio::task::spawn_blocking(move || work(&root, &owned)).await;
        done.map_err(io::Error::other).flatten().map_err(|source| self.error(doing, key, source))
    }

    fn error(&self, doing: &'static str, key: &str, source: io::Error) -> StoreError {
        let object = self.root.join(key).display().to_string();
        match source.kind() {
            ErrorKind::AlreadyExists if doing == WRITE => StoreError::AlreadyExists { object },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                let who = "the user of this process".to_owned();
                StoreError::AccessDenied { doing, object, who, source: source.into() }
            }
            _ => StoreError::Access { doing, object, source: source.into() },
        }
    }
}

const WRITE: &str = "write";

impl Backend for Local {
    fn put_new<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.blocking(WRITE, key, move |root, key| put_new(root, key, &bytes)))
    }

    fn put_hashed<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        _sha256: &'a Sha256,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.blocking(WRITE, key, move |root, key| put_new(root, key, &bytes)))
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(self.blocking("read", key, |root, key| absent_is_none(fs::read(path_of(root, key)?))))
    }

    fn get_parts<'a>(&'a self, key: &'a str, parts: mpsc::Sender<Part>) -> BoxFuture<'a, Result<bool, StoreError>> {
        let hand_on = move |root: &Path, key: &str| {
            let handed = absent_is_none(hand_on(&path_of(root, key)?, &parts))?;
            Ok(handed.is_some())
        };
        Box::pin(self.blocking("read", key, hand_on))
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(self.blocking("read", key, |root, key| absent_is_none(read_range(&path_of(root, key)?, range))))
    }

    fn sizes<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, u64)>, StoreError>> {
        Box::pin(self.blocking("list", prefix, sizes))
    }

    fn unfinished<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Leftover>, StoreError>> {
        Box::pin(self.blocking("list", prefix, unfinished))
    }

    fn remove_unfinished<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let remove = |root: &Path, path: &str| {
            if is_key(path) && is_hidden(path) {
                absent_is_none(remove(root, &root.join(path))).map(drop)
            } else {
                Err(ErrorKind::InvalidFilename.into())
            }
        };
        Box::pin(self.blocking("delete", path, remove))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.blocking("delete", key, |root, key| absent_is_none(delete(root, key)).map(drop)))
    }
}

/// Where a key's bytes are. A key that would leave the root is an error.
fn path_of(root: &Path, key: &str) -> io::Result<PathBuf> {
    if is_key(key) && !is_hidden(key) { Ok(root.join(key)) } else { Err(ErrorKind::InvalidFilename.into()) }
}

fn is_hidden(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with(UNFINISHED))
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        other => other.map(Some),
    }
}

fn put_new(root: &Path, key: &str, bytes: &[u8]) -> io::Result<()> {
    let path = path_of(root, key)?;
    let directory = parent(&path);
    for _ in 1..TRIES {
        match write_new(directory, &path, bytes) {
            // A deletion next door has just removed the emptied directory.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
    }
    write_new(directory, &path, bytes)
}

fn write_new(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_directory(directory)?;
    // Created with O_EXCL and mode 0600; removed when dropped before it has its name.
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|refused| refused.error)?;
    sync_directory(directory)
}

fn hand_on(path: &Path, parts: &mpsc::Sender<Part>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut part = Part::Begin;
    while parts.blocking_send(part).is_ok() {
        let mut bytes = vec![0; PART_BYTES];
        let read = file.read(&mut bytes)?;
        if read == 0 {
            break;
        }
        bytes.truncate(read);
        part = Part::Bytes(bytes.into());
    }
    Ok(())
}

fn read_range(path: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::new();
    file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sizes(root: &Path, prefix: &str) -> io::Result<Vec<(String, u64)>> {
    files(root, prefix, |key, metadata| Ok(path_of(root, key).is_ok().then_some(metadata.len())))
}

fn unfinished(root: &Path, prefix: &str) -> io::Result<Vec<Leftover>> {
    let written = |path: &str, metadata: &fs::Metadata| {
        if !is_hidden(path) {
            return Ok(None);
        }
        Ok(Some((metadata.len(), metadata.modified()?.try_into().map_err(io::Error::other)?)))
    };
    let found = files(root, prefix, written)?.into_iter();
    Ok(found.map(|(path, (bytes, at))| Leftover { path, bytes, at }).collect())
}

/// The files whose paths begin with this text, sorted, with what is wanted of each; without those of which nothing is.
fn files<T>(
    root: &Path,
    prefix: &str,
    wanted: impl Fn(&str, &fs::Metadata) -> io::Result<Option<T>>,
) -> io::Result<Vec<(String, T)>> {
    let inside = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
    if !inside.is_empty() && !is_key(inside) {
        return Ok(Vec::new());
    }
    let mut keys = Vec::new();
    let mut open = vec![inside.to_owned()];
    while let Some(directory) = open.pop() {
        let Some(entries) = absent_is_none(fs::read_dir(root.join(&directory)))? else { continue };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let key = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            let kind = entry.file_type()?;
            let leads_on = key.starts_with(prefix) || prefix.starts_with(&format!("{key}/"));
            if kind.is_dir() && leads_on {
                open.push(key);
            } else if kind.is_file() && key.starts_with(prefix) {
                // Deleted meanwhile: not there.
                let Some(metadata) = absent_is_none(entry.metadata())? else { continue };
                if let Some(wanted) = wanted(&key, &metadata)? {
                    keys.push((key, wanted));
                }
            }
        }
    }
    keys.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(keys)
}

fn delete(root: &Path, key: &str) -> io::Result<()> {
    remove(root, &path_of(root, key)?)
}

fn remove(root: &Path, path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_directory(parent(path))?;
    // Directories are only names: the emptied ones go too, as far as they are below the root and nobody refills them.
    let above = path.ancestors().skip(1).take_while(|directory| *directory != root);
    for directory in above {
        if fs::remove_dir(directory).is_err() {
            break;
        }
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Makes a directory and those above it, for this user alone. Each is on disk when this returns.
fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = parent(directory);
    if above != directory {
        make_directory(above)?;
    }
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(ErrorKind::NotADirectory.into()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(above),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_for_their_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let store = root.path().join("made/here");
        put_new(&store, "a/b", b"secret").unwrap();
        assert_eq!(mode(&store.join("a/b")), 0o600);
        for directory in ["made", "made/here", "made/here/a"] {
            assert_eq!(mode(&root.path().join(directory)), 0o700, "{directory}");
        }
    }

    #[test]
    fn nothing_is_left_beside_a_refused_write() {
        let root = tempfile::tempdir().unwrap();
        put_new(root.path(), "a/b", b"first").unwrap();
        let refused = put_new(root.path(), "a/b", b"second").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(root.path().join("a")).unwrap().count(), 1);
        assert_eq!(fs::read(root.path().join("a/b")).unwrap(), b"first");
    }

    #[test]
    fn unfinished_files_and_strangers_are_not_listed() {
        let root = tempfile::tempdir().unwrap();
        put_new(root.path(), "a/b", b"").unwrap();
        fs::write(root.path().join("a/.unfinished-x"), "half").unwrap();
        symlink("b", root.path().join("a/link")).unwrap();
        symlink("..", root.path().join("a/up")).unwrap();
        fs::create_dir(root.path().join("a/empty")).unwrap();
        assert_eq!(sizes(root.path(), "").unwrap().iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["a/b"]);
    }

    #[test]
    fn keys_do_not_leave_the_directory() {
        let root = tempfile::tempdir().unwrap();
        for key in ["", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a/", "a/.unfinished-1"] {
            assert!(put_new(root.path(), key, b"").is_err(), "{key}");
        }
        assert_eq!(sizes(root.path(), "../").unwrap(), []);
    }

    #[test]
    fn deletion_removes_emptied_directories_but_not_the_root() {
        let root = tempfile::tempdir().unwrap();
        put_new(root.path(), "a/b/c", b"").unwrap();
        put_new(root.path(), "a/d", b"").unwrap();
        delete(root.path(), "a/b/c").unwrap();
        assert!(!root.path().join("a/b").exists());
        delete(root.path(), "a/d").unwrap();
        assert!(root.path().exists() && !root.path().join("a").exists());
    }

    #[test]
    fn one_of_many_writers_wins() {
        let root = tempfile::tempdir().unwrap();
        let write = |n: u8| put_new(root.path(), "a/b", &[n]).is_ok();
        let wins = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|n| scope.spawn(move || write(n))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(wins, 1);
    }
}
