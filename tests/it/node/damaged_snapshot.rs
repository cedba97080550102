//! What must never be called proven, or done at all: a Prometheus that comes back with less than was saved, and a claim
//! that somebody else made in the meantime.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::cluster::{everything, kubectl, kubectl_with, output, snapshot_directory};
use super::program::Program;
use super::stack::Stack;
use super::witness::history_is_whole;

/// The claim of the first replica of `monitoring/k8s`, and of the second.
const CLAIM: &str = "prometheus-k8s-db-prometheus-k8s-0";
const OTHER_CLAIM: &str = "prometheus-k8s-db-prometheus-k8s-1";

#[test]
fn node_restore_that_lacks_data_is_not_proven_and_foreign_claims_are_not_touched() {
    let stack = Stack::healthy();
    let program = Program::with_s3("damaged");
    let whole = program.backup();
    let damaged = program.backup();
    let lost = lose_a_block(&data_of(&damaged, CLAIM));
    lose_everything(&data_of(&damaged, OTHER_CLAIM));
    let (kept, freed) = (snapshots_of(&whole), snapshots_of(&damaged));
    let (whole, damaged) = (whole["id"].as_str().unwrap(), damaged["id"].as_str().unwrap());

    stack.destroy_monitoring();
    empty_claim_blocks(&program, damaged);
    let restored = program.run(&["restore", damaged, "--proof-timeout", "5s"]).with_code(6).result();
    assert_eq!(restored["proven"], false);
    let pods = restored["proof"]["pods"].as_array().unwrap();
    let proof_of = |name: &str| pods.iter().find(|pod| pod["pod"].as_str().unwrap().ends_with(name)).unwrap();
    let differences = proof_of("prometheus-k8s-0")["differences"].to_string();
    assert!(differences.contains(&format!("block {lost} (")), "the lost block {lost} is not named: {differences}");
    assert_eq!(proof_of("prometheus-k8s-1")["blocks"]["now"], 0, "an empty Prometheus has no blocks: {restored}");
    let problems = restored["proof"]["problems"].to_string();
    assert!(problems.contains(&lost) && problems.contains("prometheus-k8s-1"), "{problems}");

    stack.destroy_monitoring();
    program.restore(whole);
    history_is_whole();

    // The VolumeSnapshots went with their namespace; what they stood for did not.
    assert!(kept.iter().chain(&freed).all(|directory| directory.exists()), "{kept:?} {freed:?}");
    program.run(&["delete", damaged, "--yes", "--force"]).with_code(0);
    let exist = |directories: &[PathBuf]| directories.iter().filter(|directory| directory.exists()).count();
    assert_eq!((exist(&freed), exist(&kept)), (0, kept.len()), "{freed:?} are to go and {kept:?} to stay");
}

/// Where the storage keeps the snapshots of a backup.
fn snapshots_of(record: &Value) -> Vec<PathBuf> {
    let volumes = record["volumes"].as_array().unwrap().iter();
    let handles = volumes.filter_map(|volume| volume["snapshot"]["snapshot_handle"].as_str());
    handles.map(snapshot_directory).collect()
}

/// Velero's trap: the namespace was made again, and an empty claim in it.
fn empty_claim_blocks(program: &Program, id: &str) {
    kubectl(&["create", "namespace", "monitoring"]);
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": CLAIM, "namespace": "monitoring",
            "labels": {"app.kubernetes.io/managed-by": "prometheus-operator"},
        },
        "spec": {
            "storageClassName": "btrfs", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}},
        },
    });
    kubectl_with(&["create", "-f", "-"], &claim.to_string());
    let before = everything();
    let refused = program.run(&["restore", id, "--include-cluster-scoped"]).with_code(4).result();
    let refusals = refused["refusals"].as_array().unwrap();
    let object = format!("PersistentVolumeClaim monitoring/{CLAIM}");
    let refusal = refusals.iter().find(|refusal| refusal["object"] == object);
    let refusal: &Value = refusal.unwrap_or_else(|| panic!("{object} is not refused: {refused}"));
    let (why, fix) = (refusal["why"].as_str().unwrap(), refusal["fix"].as_str().unwrap());
    assert!(why.contains("since 20") && why.contains("prometheus-operator"), "its age and maker are not told: {why}");
    assert!(fix.contains(&format!("delete persistentvolumeclaim {CLAIM}")), "{fix}");
    assert_eq!(everything(), before, "a refused restore changed something");
    kubectl(&["--namespace", "monitoring", "delete", "persistentvolumeclaim", CLAIM]);
}

/// The writable directory in which the storage keeps the data of a claim's snapshot.
fn data_of(record: &Value, claim: &str) -> PathBuf {
    let volumes = record["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["volume"]["claim"] == claim).unwrap();
    let directory = snapshot_directory(volume["snapshot"]["snapshot_handle"].as_str().unwrap());
    output(Command::new("btrfs").args(["property", "set", "-ts"]).arg(&directory).args(["ro", "false"]), "").unwrap();
    directory.join("prometheus-db")
}

/// Removes one block and returns its ULID.
fn lose_a_block(data: &Path) -> String {
    let mut blocks: Vec<_> = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    blocks.retain(|path| path.join("meta.json").exists());
    blocks.sort();
    std::fs::remove_dir_all(&blocks[2]).unwrap();
    blocks[2].file_name().unwrap().to_str().unwrap().to_owned()
}

fn lose_everything(data: &Path) {
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
}
