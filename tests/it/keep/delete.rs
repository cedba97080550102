//! `promsafe delete` by the binary, where no cluster is needed.

use super::backups::{data, files, id, put_backup, store_in};
use crate::commands::{KEPT_ID, copy_kept};
use crate::support::promsafe::Promsafe;

async fn with_two() -> (tempfile::TempDir, promsafe::store::Store, Promsafe) {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    put_backup(&store, &id(1), &files("first")).await;
    put_backup(&store, &id(2), &files("second")).await;
    let promsafe = Promsafe::default().with_directory(root.path());
    (root, store, promsafe)
}

#[tokio::test]
async fn deleted_backup_is_none_any_more_and_its_pieces_stay() {
    let (_root, store, promsafe) = with_two().await;
    let before = data(&store).await;
    let deleted = promsafe.run(&format!("delete {} --yes", id(1))).await.with(0);
    deleted.says(&["DELETED", id(1).as_str(), "DATA       5 objects", "promsafe prune"]);
    assert_eq!(store.list().await.unwrap().len(), 1);
    assert_eq!(store.backend().list(&format!("backups/{}/", id(1))).await.unwrap(), [""; 0]);
    assert_eq!(data(&store).await, before);
    promsafe.run(&format!("delete {} --yes", id(1))).await.failed(5, &[id(1).as_str()]);
    promsafe.run("verify --all").await.with(0);
}

#[tokio::test]
async fn newest_backup_of_a_source_is_kept_unless_it_is_forced() {
    let (root, store, promsafe) = with_two().await;
    let whole = store.backend().list("").await.unwrap();
    for wanted in ["latest".to_owned(), id(2).to_string(), format!("{} {}", id(1), id(2))] {
        let refused = promsafe.run(&format!("delete {wanted} --yes")).await;
        refused.failed(4, &["REFUSED", id(2).as_str(), "newest complete backup of prom-1:/data", "--force"]);
    }
    assert_eq!(store.backend().list("").await.unwrap(), whole);
    // A backup of a cluster is no newer one of this directory.
    copy_kept(root.path(), KEPT_ID);
    promsafe.run(&format!("delete {} --yes", id(2))).await.failed(4, &["newest complete backup"]);
    promsafe.run(&format!("delete {} {} --yes --force", id(1), id(2))).await.with(0).says(&["DATA       10 objects"]);
    assert_eq!(store.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_is_deleted_without_a_terminal_and_without_yes() {
    let (_root, store, promsafe) = with_two().await;
    promsafe.run(&format!("delete {}", id(1))).await.failed(2, &["--yes"]);
    assert_eq!(store.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn backup_that_cannot_be_read_is_deleted_only_by_force() {
    let (root, store, promsafe) = with_two().await;
    let record = root.path().join("backups").join(id(1).as_str()).join("backup.json");
    std::fs::write(&record, "{").unwrap();
    let delete = format!("delete {} --yes", id(1));
    promsafe.run(&delete).await.failed(4, &["cannot be read", "--force"]);
    let forced = promsafe.run(&format!("{delete} --force")).await.with(3);
    forced.says(&["DELETED", "record could not be read", &format!("promsafe/backup={}", id(1))]);
    assert_eq!(store.list().await.unwrap().len(), 1);
    promsafe.run("prune").await.with(0);
}

#[tokio::test]
async fn snapshots_are_named_as_left_when_no_cluster_can_be_reached() {
    let root = tempfile::tempdir().unwrap();
    copy_kept(root.path(), KEPT_ID);
    let kubeconfig = crate::commands::kubeconfig_to_nowhere(root.path());
    let promsafe = Promsafe::default().with_directory(root.path()).with_kubeconfig(&kubeconfig);
    let left = promsafe.run("delete latest --yes --force").await.with(3);
    left.says(&[
        "DELETED",
        "LEFT       VolumeSnapshot monitoring/promsafe-20261121t100105z-f282",
        "no cluster can be asked",
        "kubectl patch volumesnapshotcontent snapcontent-",
        "\"deletionPolicy\":\"Delete\"",
    ]);
    copy_kept(root.path(), KEPT_ID);
    let kept = promsafe.run("delete latest --yes --force --keep-snapshots").await.with(0);
    kept.says(&["DELETED", "LEFT", "asked to stay"]);
}
