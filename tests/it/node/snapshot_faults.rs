//! Snapshots that fail, fail for ever, or cannot be taken at all.

use std::time::Duration;

use serde_json::Value;

use super::cluster::{StorageFault, everything, kubectl, kubectl_with, name_of, objects, storage_snapshots, until};
use super::program::{Program, strings};
use super::stack::{CLAIMS, Stack};

#[test]
fn node_snapshot_that_fails_for_a_while_is_waited_for() {
    let _stack = Stack::healthy();
    let _fault = StorageFault::new("create-snapshot", "error*3 pool is busy");
    let record = Program::with_s3("busy").backup();
    assert_eq!(record["volumes"].as_array().unwrap().len(), CLAIMS.len());
}

#[test]
fn node_snapshot_that_never_comes_ends_the_backup_and_all_of_it_is_deleted() {
    let _stack = Stack::healthy();
    let program = Program::with_s3("full");
    let cases = [("error pool is full", "pool is full"), ("unready*1 10m", "cut, not ready to use yet")];
    for (fault, told) in cases {
        let snapshots = storage_snapshots();
        let fault = StorageFault::new("create-snapshot", fault);
        let error = program.run(&["backup", "--snapshot-timeout", "6s"]).with_code(8).error();
        assert!(error["error"].as_str().unwrap().contains(told), "{error}");
        let deleted = strings(&error["snapshots_deleted"]);
        assert_eq!(deleted.len(), CLAIMS.len(), "{error}");
        for (_, claim) in CLAIMS {
            assert!(deleted.iter().any(|object| object.ends_with(claim)), "{claim} is not named: {error}");
        }
        drop(fault);
        until("what the backup made is gone", Duration::from_secs(30), || {
            let left: Vec<String> = objects("volumesnapshots,volumesnapshotcontents", "").iter().map(name_of).collect();
            let left: Vec<String> = left.into_iter().filter(|name| deleted.contains(name)).collect();
            let stored: Vec<String> = storage_snapshots().difference(&snapshots).cloned().collect();
            if left.is_empty() && stored.is_empty() { Ok(()) } else { Err(format!("{left:?} {stored:?}")) }
        });
        let listing = program.run(&["list"]).with_code(0).result();
        assert_eq!((&listing["backups"], &listing["unfinished"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    }
}

#[test]
fn node_backup_without_a_snapshot_class_is_refused_before_anything_is_made() {
    let _stack = Stack::healthy();
    let class = kubectl(&["get", "volumesnapshotclass", "btrfs", "--output", "json"]);
    kubectl(&["delete", "volumesnapshotclass", "btrfs"]);
    let before = everything();
    let ended = Program::with_s3("classless").run(&["backup"]);
    let after = everything();
    let mut class: Value = serde_json::from_str(&class).unwrap();
    class["metadata"].as_object_mut().unwrap().retain(|field, _| field == "name" || field == "annotations");
    kubectl_with(&["create", "-f", "-"], &class.to_string());

    let error = ended.with_code(4).error();
    let refusals = error["refusals"].as_array().unwrap();
    for (namespace, claim) in CLAIMS {
        let its = |refusal: &&Value| refusal["object"] == format!("PersistentVolumeClaim {namespace}/{claim}");
        let refusal = refusals.iter().find(its).unwrap_or_else(|| panic!("{claim} is not refused: {error}"));
        assert!(refusal["why"].as_str().unwrap().contains("driver btrfs.csi.promsafe.test"), "{refusal}");
        assert!(refusal["fix"].as_str().unwrap().contains("create a VolumeSnapshotClass"), "{refusal}");
    }
    assert_eq!(after, before, "a refused backup made something");
}
