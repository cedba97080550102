//! Writing files into a directory and nowhere else: every step down is taken without following links. A file gets its
//! name when it is whole.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::fs::{Gid, Uid};
use rustix::fs::{
    chownat, fchmod, fchown, fsync, futimens, mkdirat, openat, renameat, statat, symlinkat, unlinkat, utimensat,
};

use crate::model::{Sha256, TreeEntry};

/// What names of unfinished files begin with.
pub const UNFINISHED: &str = ".promsafe-unfinished-";

/// Whether something got the owner it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It has it.
    AsWanted,
    /// The system did not permit it: it belongs to this process.
    NotPermitted,
}

/// A directory that files are written into.
#[derive(Debug)]
pub struct TargetDirectory {
    root: OwnedFd,
    path: PathBuf,
}

/// A file that has no name yet that anybody would look for.
#[derive(Debug)]
pub struct UnfinishedFile {
    file: File,
    directory: OwnedFd,
    unfinished: String,
    name: String,
}

impl TargetDirectory {
    /// Opens the directory, or makes it with those above it.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub fn open_or_make(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        std::fs::create_dir_all(&path)?;
        let root = rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory below, by way of directories alone.
    fn descend(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = self.root.try_clone()?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if name == ".." {
                return Err(io::ErrorKind::InvalidFilename.into());
            }
            directory = openat(&directory, name, flags, Mode::empty())?;
        }
        Ok(directory)
    }

    /// The directory a path is in, and its name there.
    fn parent<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if matches!(name, "" | "." | "..") {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        Ok((self.descend(parent)?, name))
    }

    /// Makes a directory that this process can write into; it is no error if it is there.
    ///
    /// # Errors
    /// When it cannot be made, or when something else is there.
    pub fn make_directory(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match mkdirat(&parent, name, Mode::RWXU) {
            Err(rustix::io::Errno::EXIST) => {
                let directory = File::from(self.descend(path)?);
                let mode = directory.metadata()?.mode();
                if mode & 0o700 != 0o700 {
                    fchmod(&directory, Mode::from_raw_mode(mode & 0o7777 | 0o700))?;
                }
                Ok(())
            }
            made => Ok(made?),
        }
    }

    /// Begins a file. Until it is finished, one that is there stays.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(&self, path: &str) -> io::Result<UnfinishedFile> {
        let (directory, name) = self.parent(path)?;
        // Of one length, whatever the name: it may be as long as names can be.
        let unfinished = format!("{UNFINISHED}{}", &Sha256::of(name.as_bytes()).to_string()[..16]);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&directory, &unfinished, flags, Mode::RUSR | Mode::WUSR)?);
        Ok(UnfinishedFile { file, directory, unfinished, name: name.to_owned() })
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    /// When there is none, or a link.
    pub fn open(&self, path: &str) -> io::Result<File> {
        let (directory, name) = self.parent(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(openat(&directory, name, flags, Mode::empty())?))
    }

    /// Makes a link with owner and time; one that is there is replaced.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn link(&self, entry: &TreeEntry) -> io::Result<Owner> {
        let (directory, name) = self.parent(&entry.path)?;
        let target = entry.target.as_deref().unwrap_or_default();
        let unfinished = format!("{UNFINISHED}{}", &Sha256::of(name.as_bytes()).to_string()[..16]);
        remove_name(&directory, &unfinished)?;
        symlinkat(target, &directory, &unfinished)?;
        renameat(&directory, &unfinished, &directory, name)?;
        let there = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let owner = owned((there.st_uid, there.st_gid), entry, |uid, gid| {
            chownat(&directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        })?;
        utimensat(&directory, name, &times(entry.modified_ns), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(owner)
    }

    /// Gives a file that is there, or a directory, mode, owner and time. A directory is then on disk with all its names.
    ///
    /// # Errors
    /// When it is not there or the system refuses anything but the owner.
    pub fn dress(&self, entry: &TreeEntry) -> io::Result<Owner> {
        let file = match entry.kind {
            crate::model::TreeEntryKind::Directory => File::from(self.descend(&entry.path)?),
            _ => self.open(&entry.path)?,
        };
        let owner = match dress(&file, entry) {
            // The root of a volume belongs to whoever mounted it, and may be written to by its group.
            Err(error) if entry.path.is_empty() && error.kind() == io::ErrorKind::PermissionDenied => Owner::AsWanted,
            other => other?,
        };
        fsync(&file)?;
        Ok(owner)
    }

    /// Removes a file, a link, or a directory with all that is in it. It is no error if there is none.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let parent = match self.parent(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            parent => parent?,
        };
        remove_all(&parent.0, parent.1)
    }
}

impl UnfinishedFile {
    /// Writes bytes at an offset.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Gives it mode, owner and time, has it on disk, and gives it its name.
    ///
    /// # Errors
    /// When the system refuses anything but the owner.
    pub fn finish(&self, entry: &TreeEntry) -> io::Result<Owner> {
        let owner = dress(&self.file, entry)?;
        self.file.sync_all()?;
        renameat(&self.directory, &self.unfinished, &self.directory, &self.name)?;
        Ok(owner)
    }

    /// Removes it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn give_up(&self) -> io::Result<()> {
        remove_name(&self.directory, &self.unfinished)
    }
}

/// Mode, owner and time. The owner first: a change of it takes set-user-id away, and the time last.
fn dress(file: &File, entry: &TreeEntry) -> io::Result<Owner> {
    let there = file.metadata()?;
    let owner = owned((there.uid(), there.gid()), entry, |uid, gid| fchown(file, uid, gid))?;
    if file.metadata()?.mode() & 0o7777 != entry.mode {
        fchmod(file, Mode::from_raw_mode(entry.mode))?;
    }
    futimens(file, &times(entry.modified_ns))?;
    Ok(owner)
}

/// Sets owner and group as far as it is permitted.
fn owned(
    there: (u32, u32),
    entry: &TreeEntry,
    change: impl Fn(Option<Uid>, Option<Gid>) -> rustix::io::Result<()>,
) -> io::Result<Owner> {
    let uid = (there.0 != entry.uid).then(|| Uid::from_raw(entry.uid));
    let gid = (there.1 != entry.gid).then(|| Gid::from_raw(entry.gid));
    if uid.is_none() && gid.is_none() {
        return Ok(Owner::AsWanted);
    }
    match change(uid, gid) {
        Ok(()) => Ok(Owner::AsWanted),
        // INVAL: an id that the user namespace does not have.
        Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {
            // A member of the group may give it away to the group all the same.
            if uid.is_some() && gid.is_some() {
                let _ = change(None, gid);
            }
            Ok(Owner::NotPermitted)
        }
        Err(error) => Err(error.into()),
    }
}

fn times(modified_ns: i64) -> Timestamps {
    let time =
        Timespec { tv_sec: modified_ns.div_euclid(1_000_000_000), tv_nsec: modified_ns.rem_euclid(1_000_000_000) };
    Timestamps { last_access: time, last_modification: time }
}

fn remove_name(directory: &OwnedFd, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

fn remove_all(directory: &OwnedFd, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(rustix::io::Errno::ISDIR) => {}
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        removed => return Ok(removed?),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let below = openat(directory, name, flags, Mode::empty())?;
    let mut names = Vec::new();
    for found in rustix::fs::Dir::read_from(&below)? {
        let found = found?.file_name().to_owned();
        if found.as_bytes() != b"." && found.as_bytes() != b".." {
            names.push(found.into_string().map_err(io::Error::other)?);
        }
    }
    names.iter().try_for_each(|name| remove_all(&below, name))?;
    Ok(unlinkat(directory, name, AtFlags::REMOVEDIR)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::model::TreeEntryKind;

    fn entry(path: &str, kind: TreeEntryKind) -> TreeEntry {
        let own = fs::metadata("/proc/self").unwrap();
        TreeEntry {
            path: path.to_owned(),
            kind,
            mode: 0o640,
            uid: own.uid(),
            gid: own.gid(),
            modified_ns: -1_500_000_000,
            bytes: 0,
            pieces: Vec::new(),
            target: Some("/nowhere".to_owned()),
        }
    }

    #[test]
    fn file_has_its_name_when_it_is_whole_with_mode_and_time() {
        let root = tempfile::tempdir().unwrap();
        let target = TargetDirectory::open_or_make(root.path().join("made/here")).unwrap();
        target.make_directory("a").unwrap();
        target.make_directory("a").unwrap();
        let name = "n".repeat(255);
        let file = target.create(&format!("a/{name}")).unwrap();
        file.write_at(3, b"def").unwrap();
        file.write_at(0, b"abc").unwrap();
        let path = root.path().join("made/here/a").join(&name);
        assert!(!path.exists());
        let entry = entry(&format!("a/{name}"), TreeEntryKind::File);
        assert_eq!(file.finish(&entry).unwrap(), Owner::AsWanted);
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, fs::read(&path).unwrap()), (0o640, b"abcdef".to_vec()));
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (-2, 500_000_000));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_written_read_or_removed_through_a_link_or_above() {
        let root = tempfile::tempdir().unwrap();
        let (inside, outside) = (root.path().join("inside"), root.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), b"safe").unwrap();
        let target = TargetDirectory::open_or_make(&inside).unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(outside.join("file"), inside.join("file")).unwrap();
        for path in ["link/file", "link/new", "../outside/new", "..", "", "link/..", "a/../../outside/new"] {
            assert!(target.create(path).is_err(), "{path}");
            assert!(target.open(path).is_err(), "{path}");
            assert!(target.make_directory(path).is_err(), "{path}");
        }
        assert!(target.open("file").is_err() && target.make_directory("link").is_err());
        assert!(target.dress(&entry("link", TreeEntryKind::Directory)).is_err());
        assert!(target.remove("link/file").is_err());
        // A file takes the place of a link to another; what it led to stays.
        target.create("file").unwrap().finish(&entry("file", TreeEntryKind::File)).unwrap();
        target.remove("link").unwrap();
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 1);
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"safe");
    }

    #[test]
    fn links_are_made_again_and_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let target = TargetDirectory::open_or_make(root.path()).unwrap();
        let link = entry("link", TreeEntryKind::Link);
        for _ in 0..2 {
            assert_eq!(target.link(&link).unwrap(), Owner::AsWanted);
        }
        let metadata = fs::symlink_metadata(root.path().join("link")).unwrap();
        assert_eq!((metadata.is_symlink(), metadata.mtime()), (true, -2));
        assert_eq!(fs::read_link(root.path().join("link")).unwrap(), Path::new("/nowhere"));
    }

    #[test]
    fn directories_go_with_all_that_is_in_them() {
        let root = tempfile::tempdir().unwrap();
        let target = TargetDirectory::open_or_make(root.path()).unwrap();
        for path in ["a", "a/b", "a/b/c"] {
            target.make_directory(path).unwrap();
            fs::write(root.path().join(path).join("file"), b"").unwrap();
        }
        target.remove("a").unwrap();
        target.remove("a").unwrap();
        target.remove("no/such").unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn directory_that_this_process_may_not_write_into_is_opened_for_it() {
        let root = tempfile::tempdir().unwrap();
        let target = TargetDirectory::open_or_make(root.path()).unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::set_permissions(root.path().join("a"), fs::Permissions::from_mode(0o2550)).unwrap();
        target.make_directory("a").unwrap();
        assert_eq!(fs::metadata(root.path().join("a")).unwrap().permissions().mode() & 0o7777, 0o2750);
    }
}
