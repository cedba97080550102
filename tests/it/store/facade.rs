//! Backups in a store: begun, sealed, found and verified.

use std::path::Path;

use promsafe::layout;
use promsafe::model::{BackupId, BackupRecord, ClusterIdentity, FileRecord, Sha256};
use promsafe::store::{CreateOnly, Listed, Store, StoreError, Written};
use tempfile::TempDir;

use crate::support::s3::options;

fn id(text: &str) -> BackupId {
    text.parse().unwrap()
}

fn first() -> BackupId {
    id("20261121T090000Z-7f3c")
}

fn record(id: &BackupId, files: &[FileRecord]) -> BackupRecord {
    let at = "2026-11-21T09:00:00Z".parse().unwrap();
    let cluster = ClusterIdentity { uid: "u".into(), version: "v1".into(), server: "https://a".into() };
    BackupRecord { files: files.to_vec(), ..BackupRecord::empty(id.clone(), cluster, at) }
}

async fn seal(store: &Store, id: &BackupId) {
    let mut draft = store.begin(id).await.unwrap();
    draft.put(layout::BUNDLE, b"the bundle".to_vec()).await.unwrap();
    let record = record(id, draft.files());
    draft.seal(&record).await.unwrap();
}

async fn store_in(root: &Path) -> Store {
    Store::open(&options(&root.display().to_string(), None)).await.unwrap()
}

async fn store_with_one_backup() -> (TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    seal(&store, &first()).await;
    (root, store)
}

/// The whole way of a backup through an empty store.
pub(super) async fn a_backup_is_written_listed_and_read(store: &Store) {
    assert_eq!(store.list().await.unwrap(), []);
    let mut draft = store.begin(&first()).await.unwrap();
    draft.put(layout::BUNDLE, b"the bundle".to_vec()).await.unwrap();
    assert_eq!(store.list().await.unwrap(), [Listed { id: first(), sealed: false }]);
    let record = record(&first(), draft.files());
    draft.seal(&record).await.unwrap();
    assert_eq!(store.list().await.unwrap(), [Listed { id: first(), sealed: true }]);
    assert_eq!(store.resolve("latest").await.unwrap(), first());
    let backup = store.open_backup(&first()).await.unwrap();
    assert_eq!(backup.record(), &record);
    assert_eq!(backup.read(layout::BUNDLE).await.unwrap(), b"the bundle");
}

#[tokio::test]
async fn a_backup_is_kept_in_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(&root.path().join("new")).await;
    assert_eq!(store.check_writable().await.unwrap(), CreateOnly::Honoured);
    assert_eq!(std::fs::read_dir(root.path().join("new")).unwrap().count(), 0);
    a_backup_is_written_listed_and_read(&store).await;
    pieces_are_kept_under_their_hash(&store_in(&root.path().join("pieces")).await).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_no_store() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("file"), "").unwrap();
    let error = store_in(&root.path().join("file/below")).await.check_writable().await.unwrap_err();
    assert!(error.to_string().contains("file/below/probes/"), "{error}");
}

#[tokio::test]
async fn a_name_is_used_once() {
    let (_root, store) = store_with_one_backup().await;
    let error = store.begin(&first()).await.unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
}

#[tokio::test]
async fn sealed_backup_is_never_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    let (mut one, mut other) = (store.begin(&first()).await.unwrap(), store.begin(&first()).await.unwrap());
    one.put("a", vec![1]).await.unwrap();
    assert!(matches!(other.put("a", vec![2]).await, Err(StoreError::AlreadyExists { .. })));
    let sealed = record(&first(), one.files());
    one.seal(&sealed).await.unwrap();
    let refused = other.seal(&record(&first(), &[])).await;
    assert!(matches!(refused, Err(StoreError::AlreadyExists { .. })), "{refused:?}");
    assert_eq!(store.open_backup(&first()).await.unwrap().record(), &sealed);
}

#[tokio::test]
async fn only_what_was_written_is_sealed() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    let mut draft = store.begin(&first()).await.unwrap();
    draft.put("a", vec![1]).await.unwrap();
    let refused = draft.seal(&record(&first(), &[])).await;
    assert!(matches!(refused, Err(StoreError::RecordDiffers { .. })), "{refused:?}");
    let other = id("20261122T090000Z-0001");
    let refused = store.begin(&other).await.unwrap().seal(&record(&first(), &[])).await;
    assert!(matches!(refused, Err(StoreError::RecordDiffers { .. })), "{refused:?}");
    let mut draft = store.begin(&other).await.unwrap();
    assert!(matches!(draft.put(layout::RECORD, vec![]).await, Err(StoreError::NameFile(_))));
}

#[tokio::test]
async fn backups_are_found_by_latest_name_and_beginning() {
    let (root, store) = store_with_one_backup().await;
    let (second, third) = (id("20261121T100000Z-0000"), id("20261122T090000Z-0000"));
    seal(&store, &third).await;
    seal(&store, &second).await;
    let debris = id("20261123T090000Z-0000");
    store.begin(&debris).await.unwrap().put("a", vec![]).await.unwrap();
    for stranger in ["README", "backups/lost+found/x", "backups/note.txt"] {
        std::fs::create_dir_all(root.path().join(stranger).parent().unwrap()).unwrap();
        std::fs::write(root.path().join(stranger), "").unwrap();
    }
    let listed: Vec<BackupId> = store.list().await.unwrap().into_iter().map(|listed| listed.id).collect();
    assert_eq!(listed, [first(), second.clone(), third.clone(), debris]);
    for (wanted, found) in
        [("latest", &third), ("20261121T09", &first()), ("20261122", &third), ("20261121T100000Z-0000", &second)]
    {
        assert_eq!(&store.resolve(wanted).await.unwrap(), found, "{wanted}");
    }
    let error = store.resolve("20261121").await.unwrap_err();
    assert!(matches!(&error, StoreError::Ambiguous { candidates, .. } if *candidates == [first(), second]), "{error}");
    // A name of four digits is also the beginning of one of eight.
    seal(&store, &id("20261121T090000Z-7f3c0a1b")).await;
    assert_eq!(store.resolve("20261121T090000Z-7f3c").await.unwrap(), first());
}

#[tokio::test]
async fn what_is_there_is_said_when_a_backup_is_not() {
    let (_root, store) = store_with_one_backup().await;
    store.begin(&id("20261123T090000Z-0000")).await.unwrap().put("a", vec![]).await.unwrap();
    for (wanted, says) in
        [("2027", first().to_string()), ("", first().to_string()), ("20261123T090000Z-0000", "never completed".into())]
    {
        let error = store.resolve(wanted).await.unwrap_err();
        assert!(matches!(error, StoreError::NoSuchBackup { .. }), "{error:?}");
        assert!(error.to_string().contains(&says), "{error}");
    }
    let error = store.open_backup(&id("20270101T000000Z-0000")).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchBackup { .. }), "{error:?}");
}

#[tokio::test]
async fn damage_is_found_and_the_file_named() {
    let (root, store) = store_with_one_backup().await;
    let backup = store.open_backup(&first()).await.unwrap();
    let bundle = root.path().join(layout::file_path(&first(), layout::BUNDLE).unwrap());
    for bytes in [&b"the bundlf"[..], b"the bundle ", b"the bundl", b""] {
        std::fs::write(&bundle, bytes).unwrap();
        is_damage(&backup.read(layout::BUNDLE).await.unwrap_err(), layout::BUNDLE);
    }
    std::fs::remove_file(&bundle).unwrap();
    is_damage(&backup.read(layout::BUNDLE).await.unwrap_err(), layout::BUNDLE);
    is_damage(&backup.read("never-written").await.unwrap_err(), "never-written");
}

#[tokio::test]
async fn a_damaged_or_moved_record_is_named() {
    let (root, store) = store_with_one_backup().await;
    let path = root.path().join(layout::record_path(&first()));
    let sound = std::fs::read(&path).unwrap();
    let moved = id("20300101T000000Z-0000");
    std::fs::create_dir(root.path().join(layout::backup_prefix(&moved))).unwrap();
    std::fs::write(root.path().join(layout::record_path(&moved)), &sound).unwrap();
    is_damage(&store.open_backup(&moved).await.unwrap_err(), layout::RECORD);
    std::fs::write(&path, &sound[1..]).unwrap();
    is_damage(&store.open_backup(&first()).await.unwrap_err(), layout::RECORD);
}

fn is_damage(error: &StoreError, name: &str) {
    let StoreError::Damaged { file, .. } = error else { panic!("{error:?}") };
    assert!(file.ends_with(name), "{file}");
}

/// Pieces are written once, read back, listed with their sizes, and removed; what is damaged is named.
pub(crate) async fn pieces_are_kept_under_their_hash(store: &Store) {
    let (one, two) = (Sha256::of(b"one"), Sha256::of(b"twice"));
    assert_eq!(store.put_data(&one, b"one".as_slice().into()).await.unwrap(), Written::New);
    assert_eq!(store.put_data(&one, b"one".as_slice().into()).await.unwrap(), Written::There);
    assert_eq!(store.put_data(&two, b"twice".as_slice().into()).await.unwrap(), Written::New);
    assert_eq!(store.data().await.unwrap(), [(one, 3), (two, 5)].into());
    assert_eq!(store.get_data(&one).await.unwrap(), b"one");
    store.delete_data(&two).await.unwrap();
    // They are listed by their first digit: some begin with each.
    let many: std::collections::HashMap<Sha256, u64> =
        (0..100_u32).map(|n| (Sha256::of(&n.to_le_bytes()), 4)).collect();
    let digits: std::collections::BTreeSet<u8> = many.keys().map(|sha256| sha256.as_bytes()[0] >> 4).collect();
    assert_eq!(digits.len(), 16);
    for n in 0..100_u32 {
        let bytes = n.to_le_bytes();
        store.put_data(&Sha256::of(&bytes), bytes.to_vec().into()).await.unwrap();
    }
    let mut there = store.data().await.unwrap();
    assert_eq!(there.remove(&one), Some(3));
    assert_eq!(there, many);
    let path = layout::data_path(&Sha256::of(b"three"));
    store.backend().put_new(&path, b"four".to_vec()).await.unwrap();
    for (wanted, why) in [(two, "it is missing"), (Sha256::of(b"three"), "its 4 bytes have the sha256")] {
        let error = store.get_data(&wanted).await.unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { file, .. } if file.contains(&wanted.to_string())), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}
