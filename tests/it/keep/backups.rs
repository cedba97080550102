//! Backups with copied data, made by hand: small files, the same way as a copy makes them.

use std::path::Path;

use promsafe::layout;
use promsafe::model::{
    BackupId, BackupRecord, ClusterIdentity, CopyRecord, DirectorySource, PIECE_BYTES, Placement, Sha256, TreeEntry,
    TreeEntryKind, VolumeRecord,
};
use promsafe::store::{Store, StoreError};
use promsafe::tree_format::TreeWriter;

use crate::support::s3::options;

/// A store in a directory.
pub(crate) async fn store_in(root: &Path) -> Store {
    Store::open(&options(&root.display().to_string(), None)).await.unwrap()
}

/// The name of the n-th backup: later ones are newer.
pub(crate) fn id(n: usize) -> BackupId {
    format!("20261121T{:02}{:02}{:02}Z-7f3c", n / 3600, n / 60 % 60, n % 60).parse().unwrap()
}

/// A record of a directory of some machine, without anything in it.
pub(crate) fn record(id: &BackupId) -> BackupRecord {
    let at = "2026-11-21T09:00:00Z".parse().unwrap();
    let directory = Some(DirectorySource { host: "prom-1".into(), path: "/data".into() });
    BackupRecord { directory, ..BackupRecord::empty(id.clone(), ClusterIdentity::default(), at) }
}

fn entry(path: &str, kind: TreeEntryKind) -> TreeEntry {
    TreeEntry {
        path: path.to_owned(),
        kind,
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        modified_ns: 0,
        bytes: 0,
        pieces: Vec::new(),
        target: None,
    }
}

/// Writes pieces and tree of these files; directories are made of their paths, which have one part at most above them.
pub(crate) async fn put_copy(store: &Store, files: &[(&str, Vec<u8>)]) -> Result<CopyRecord, StoreError> {
    let mut files = files.to_vec();
    files.sort_by(|(a, _), (b, _)| promsafe::tree_format::in_order(a, b));
    let mut tree = TreeWriter::default();
    tree.entry(&entry("", TreeEntryKind::Directory)).unwrap();
    let mut last = String::new();
    let mut bytes = 0;
    for (path, content) in &files {
        if let Some((directory, _)) = path.split_once('/').filter(|(directory, _)| *directory != last) {
            tree.entry(&entry(directory, TreeEntryKind::Directory)).unwrap();
            directory.clone_into(&mut last);
        }
        let mut file = TreeEntry { bytes: content.len() as u64, ..entry(path, TreeEntryKind::File) };
        for piece in content.chunks(usize::try_from(PIECE_BYTES).unwrap()) {
            let sha256 = Sha256::of(piece);
            store.put_data(&sha256, piece.to_vec().into()).await?;
            file.pieces.push(sha256);
        }
        bytes += file.bytes;
        tree.entry(&file).unwrap();
    }
    let tree = tree.finish().unwrap();
    let sha256 = Sha256::of(&tree);
    let tree_bytes = tree.len() as u64;
    store.put_data(&sha256, tree.into()).await?;
    Ok(copy_record(sha256, tree_bytes, files.len() as u64, bytes))
}

/// Writes a whole backup with a copy of these files.
pub(crate) async fn put_backup(store: &Store, id: &BackupId, files: &[(&str, Vec<u8>)]) -> BackupRecord {
    let copy = put_copy(store, files).await.unwrap();
    seal(store, id, copy).await
}

/// Seals a backup with this copy.
pub(crate) async fn seal(store: &Store, id: &BackupId, copy: CopyRecord) -> BackupRecord {
    let mut draft = store.begin(id).await.unwrap();
    draft.put(layout::BUNDLE, format!("the bundle of {id}").into_bytes()).await.unwrap();
    let record =
        BackupRecord { volumes: vec![VolumeRecord::of_directory(copy)], files: draft.files().to_vec(), ..record(id) };
    draft.seal(&record).await.unwrap();
    record
}

/// Files whose bytes are told apart by this text.
pub(crate) fn files(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |name: &str, times: usize| format!("{text} {name} ").repeat(times).into_bytes();
    vec![
        ("01J/chunks", bytes("chunks", 300)),
        ("01J/index", bytes("index", 100)),
        ("01J/meta.json", bytes("meta", 3)),
        ("lock", Vec::new()),
        ("wal/00000000", bytes("wal", 50)),
    ]
}

/// All that is below `data/`.
pub(crate) async fn data(store: &Store) -> Vec<String> {
    store.backend().list("data/").await.unwrap()
}

/// A directory with these files.
pub(crate) fn directory_with(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    root
}

fn copy_record(tree: Sha256, tree_bytes: u64, files: u64, bytes: u64) -> CopyRecord {
    CopyRecord {
        tree,
        tree_bytes,
        files,
        bytes,
        sent_bytes: bytes,
        cut_at: "2026-11-21T09:00:00Z".parse().unwrap(),
        volume_mode: "Filesystem".into(),
        run_as_user: None,
        run_as_group: None,
        fs_group: None,
        placement: Placement::default(),
        problems: Vec::new(),
    }
}
