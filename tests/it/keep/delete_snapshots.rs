//! `promsafe delete` of backups that keep VolumeSnapshots, against a real API server. The part of the snapshot controller
//! is played by the test, at its slowest: it has not seen yet that a content is to go with its VolumeSnapshot.

use std::collections::BTreeMap;
use std::time::Duration;

use promsafe::model::{BackupId, BackupRecord, ClusterIdentity, DataVolume, SnapshotRecord, VolumeRecord};
use promsafe::store::Store;
use serde_json::{Value, json};

use super::backups::{id, record, store_in};
use crate::support::control_plane::{ControlPlane, User};
use crate::support::promsafe::Promsafe;

/// What the controller holds contents with until their data is deleted.
const FINALIZER: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";

/// A claim's snapshot as a backup left it: bound, and kept.
fn make_snapshot(control_plane: &ControlPlane, namespace: &str, name: &str) -> SnapshotRecord {
    let content = format!("snapcontent-{name}");
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent", "metadata": {"name": content, "finalizers": [FINALIZER]},
         "spec": {"deletionPolicy": "Retain", "driver": "csi.test", "source": {"volumeHandle": "v"},
                  "volumeSnapshotRef": {"namespace": namespace, "name": name}}},
        {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
         "metadata": {"name": name, "namespace": namespace},
         "spec": {"source": {"persistentVolumeClaimName": "db"}}}]});
    control_plane.apply(&objects.to_string());
    let status = |kind: &str, name: &str, status: Value| {
        let patch = json!({"status": status}).to_string();
        let patch =
            ["patch", kind, name, "--namespace", namespace, "--subresource=status", "--type=merge", "-p", &patch];
        control_plane.kubectl(&patch, "");
    };
    status("volumesnapshotcontent", &content, json!({"snapshotHandle": format!("handle-{name}"), "readyToUse": true}));
    status("volumesnapshot", name, json!({"boundVolumeSnapshotContentName": content, "readyToUse": true}));
    SnapshotRecord {
        driver: "csi.test".into(),
        snapshot_handle: format!("handle-{name}"),
        restore_size_bytes: 1,
        cut_at: "2026-11-21T09:00:00Z".parse().unwrap(),
        source_volume_mode: None,
        class: "c".into(),
        namespace: namespace.into(),
        name: name.into(),
        content,
        content_annotations: BTreeMap::new(),
        ready_after_ms: 1,
    }
}

async fn put_backup(store: &Store, id: &BackupId, uid: &str, snapshots: Vec<SnapshotRecord>) {
    let volume = |snapshot: SnapshotRecord| VolumeRecord {
        volume: DataVolume {
            namespace: snapshot.namespace.clone(),
            claim: "db".into(),
            uid: "c".into(),
            used_by: None,
            pod: None,
            phase: "Bound".into(),
            storage_class: None,
            requested_bytes: 1,
            capacity_bytes: 1,
            driver: Some("csi.test".into()),
            volume_handle: None,
            leftover_of: None,
        },
        snapshot: Some(snapshot),
        copy: None,
    };
    let cluster = ClusterIdentity { uid: uid.into(), version: "v1".into(), server: "https://a".into() };
    let volumes = snapshots.into_iter().map(volume).collect();
    let record = BackupRecord { directory: None, cluster, volumes, ..record(id) };
    store.begin(id).await.unwrap().seal(&record).await.unwrap();
}

fn names(control_plane: &ControlPlane, namespace: &str) -> String {
    let snapshots = control_plane.kubectl(&["get", "volumesnapshots", "--namespace", namespace, "--output=name"], "");
    let contents = control_plane.kubectl(&["get", "volumesnapshotcontents", "--output=name"], "");
    snapshots + &contents
}

/// Lets contents go as the sidecar of the controller does, until it is dropped: those whose deletion was asked for, whose
/// policy is Delete, and whose `VolumeSnapshot` is gone. The controller itself asks for none of them.
async fn controller(control_plane: &ControlPlane, prefix: &str) {
    loop {
        let contents = control_plane.kubectl(&["get", "volumesnapshotcontents", "--output=json"], "");
        let contents: Value = serde_json::from_str(&contents).unwrap();
        for content in contents["items"].as_array().unwrap() {
            let name = content["metadata"]["name"].as_str().unwrap();
            let of = &content["spec"]["volumeSnapshotRef"];
            let (namespace, snapshot) = (of["namespace"].as_str().unwrap(), of["name"].as_str().unwrap());
            let asked = !content["metadata"]["deletionTimestamp"].is_null();
            if !name.starts_with(prefix) || !asked || content["spec"]["deletionPolicy"] != "Delete" {
                continue;
            }
            let get =
                ["get", "volumesnapshot", snapshot, "--namespace", namespace, "--ignore-not-found", "--output=name"];
            if control_plane.kubectl(&get, "").is_empty() {
                let patch =
                    ["patch", "volumesnapshotcontent", name, "--type=merge", "-p", r#"{"metadata":{"finalizers":[]}}"#];
                control_plane.kubectl(&patch, "");
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_snapshots_go_with_their_backup_and_those_of_other_clusters_are_named() {
    let control_plane = ControlPlane::shared().await;
    let namespace = "delete-kept";
    control_plane.kubectl(&["create", "namespace", namespace], "");
    let uid = control_plane.cluster().await.identity().await.unwrap().uid;
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    let snapshot = |name: &str| make_snapshot(control_plane, namespace, &format!("delete-kept-{name}"));
    let orphan = snapshot("orphan");
    control_plane.kubectl(&["delete", "volumesnapshot", &orphan.name, "--namespace", namespace], "");
    let foreign = SnapshotRecord { snapshot_handle: "another".into(), ..snapshot("foreign") };
    put_backup(&store, &id(1), &uid, vec![snapshot("one"), orphan, foreign]).await;
    put_backup(&store, &id(2), "another cluster", vec![snapshot("elsewhere")]).await;
    put_backup(&store, &id(3), &uid, vec![snapshot("kept")]).await;
    put_backup(&store, &id(4), &uid, vec![]).await;
    let promsafe = Promsafe::default().with_directory(root.path()).without_lock();
    let promsafe = promsafe.with_kubeconfig(&control_plane.kubeconfig(User::Admin));

    promsafe.run(&format!("delete {} --yes --keep-snapshots", id(3))).await.with(0);
    let delete = format!("delete {} {} --yes --force", id(1), id(2));
    let deleted = tokio::select! {
        deleted = promsafe.run(&delete) => deleted.with(3),
        () = controller(control_plane, "snapcontent-delete-kept-") => unreachable!(),
    };
    let deleted = deleted.says(&[
        "DELETED    VolumeSnapshot delete-kept/delete-kept-one, with its data",
        "DELETED    VolumeSnapshot delete-kept/delete-kept-orphan, with its data",
        "LEFT       VolumeSnapshot delete-kept/delete-kept-foreign",
        "holds handle-delete-kept-foreign, which the backup did not make",
        "LEFT       VolumeSnapshot delete-kept/delete-kept-elsewhere",
        "it is in cluster another cluster",
    ]);
    assert!(!deleted.stdout.contains("kept-kept"), "{deleted:#?}");
    let left = names(control_plane, namespace);
    let is_there = |name: &str| {
        (
            left.contains(&format!("volumesnapshot.snapshot.storage.k8s.io/delete-kept-{name}\n")),
            left.contains(&format!("/snapcontent-delete-kept-{name}\n")),
        )
    };
    for name in ["one", "orphan"] {
        assert_eq!(is_there(name), (false, false), "{name}: {left}");
    }
    for name in ["foreign", "elsewhere", "kept"] {
        assert_eq!(is_there(name), (true, true), "{name}: {left}");
    }
    assert_eq!(store.list().await.unwrap().len(), 1);
}
