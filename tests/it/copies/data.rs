//! Directories as Prometheus leaves them, and how two of them differ.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Bytes that look like nothing before; the same for the same seed.
pub(super) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(bytes.div_ceil(8)).flatten().take(bytes).collect()
}

/// Writes a file with all above it, and gives it a time of its own.
pub(super) fn write(root: &Path, path: &str, content: &[u8]) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, content).unwrap();
    let at = SystemTime::UNIX_EPOCH
        + Duration::new(1_700_000_000 + u64::from(content.first().copied().unwrap_or(0)), 123_456_789);
    fs::File::options().write(true).open(&file).unwrap().set_modified(at).unwrap();
}

/// Names of blocks.
pub(super) const ULIDS: [&str; 6] = [
    "01JD0BZ8AVD1KZ3A7ERYFSE0X0",
    "01JD0BZ8AVD1KZ3A7ERYFSE0X1",
    "01JD0BZ8AVD1KZ3A7ERYFSE0X2",
    "01JD0BZ8AVD1KZ3A7ERYFSE0X3",
    "01JD0BZ8AVD1KZ3A7ERYFSE0X4",
    "01JD0BZ8AVD1KZ3A7ERYFSE0X5",
];

/// Bytes of the large file of a block: two pieces.
pub(super) const CHUNKS: usize = (8 << 20) + 12_345;

/// Adds a block to a data directory.
pub(super) fn add_block(root: &Path, number: usize) {
    let ulid = ULIDS[number];
    write(root, &format!("{ulid}/meta.json"), format!("{{\"ulid\":\"{ulid}\",\"version\":1}}").as_bytes());
    write(root, &format!("{ulid}/index"), &noise(100 + number as u64, 70_000));
    write(root, &format!("{ulid}/tombstones"), format!("the tombstones of {ulid}").as_bytes());
    write(root, &format!("{ulid}/chunks/000001"), &noise(200 + number as u64, CHUNKS));
}

/// A data directory below `prometheus-db`, with what a running Prometheus has and what a dead one leaves.
pub(super) fn make_volume(root: &Path, blocks: usize) {
    let home = root.join("prometheus-db");
    (0..blocks).for_each(|number| add_block(&home, number));
    for segment in 3..6 {
        write(&home, &format!("wal/{segment:08}"), &noise(segment, 300_000));
    }
    write(&home, "wal/checkpoint.00000002/00000000", &noise(7, 40_000));
    write(&home, "chunks_head/000001", &noise(8, 50_000));
    write(&home, "chunks_head/000002", b"");
    write(&home, "thanos.shipper.json", b"{\"version\":1}");
    for left in ["lock", "queries.active", "01JD0BZ8AVD1KZ3A7ERYFSE0X9.tmp-for-creation/index", "wal/00000006.repair"] {
        write(&home, left, b"not to be copied");
    }
    write(root, "lost+found/x", b"not to be copied");
    write(root, "notes.tmp", b"of nobody's business, so kept");
    fs::set_permissions(home.join("thanos.shipper.json"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o2750)).unwrap();
    std::os::unix::fs::symlink("prometheus-db/wal", root.join("link")).unwrap();
}

/// All that a copy keeps of a file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    content: Vec<u8>,
}

/// All below a directory by path, but for what is not copied.
pub(super) fn kept(root: &Path) -> BTreeMap<String, Kept> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let left = ["lock", "queries.active", ".tmp-for-creation", ".repair", "lost+found"];
        if left.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let content = if metadata.is_symlink() {
            fs::read_link(&path).unwrap().to_str().unwrap().as_bytes().to_vec()
        } else if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let owner = (metadata.uid(), metadata.gid());
        found.insert(name, Kept { mode: metadata.mode(), owner, modified, content });
    }
    found
}

/// Paths that differ between two directories.
pub(super) fn differences(a: &Path, b: &Path) -> Vec<String> {
    let (a, b) = (kept(a), kept(b));
    let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).cloned().collect();
    names.into_iter().filter(|name| a.get(name) != b.get(name)).collect()
}

/// Size of all files below a directory that are copied.
pub(super) fn bytes(root: &Path) -> u64 {
    let files = kept(root).into_iter().filter(|(name, _)| fs::symlink_metadata(root.join(name)).unwrap().is_file());
    files.map(|(_, kept)| kept.content.len() as u64).sum()
}

/// Files below a directory.
pub(super) fn count_files(root: &Path) -> usize {
    let Ok(entries) = fs::read_dir(root) else { return 0 };
    let count = |entry: fs::DirEntry| {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) { count_files(&entry.path()) } else { 1 }
    };
    entries.flatten().map(count).sum()
}
