//! Copies that come back where the storage is another, with another driver and volumes of another size, beside snapshots that
//! are kept; and a copied block, and a head, that Prometheus would not start on.

use std::fs;

use serde_json::{Value, json};

use super::cluster::{OTHER_DRIVER, kubectl, kubectl_with, objects, volume_directory};
use super::image::{IMAGE, import};
use super::program::Program;
use super::stack::{CLAIMS, LEFTOVER, Stack};
use super::witness::history_is_whole;

/// A class of another driver than the one the volumes come from, which keeps them when their claims go.
const CLASS: &str = "elsewhere";

/// The class, and what it keeps, gone when this is dropped.
struct Elsewhere;

impl Elsewhere {
    fn new() -> Self {
        let classes = objects("storageclasses", "");
        let mut class = classes.into_iter().find(|class| class["metadata"]["name"] == "btrfs").unwrap();
        class["metadata"] = json!({"name": CLASS});
        class["provisioner"] = json!(OTHER_DRIVER);
        class["reclaimPolicy"] = json!("Retain");
        kubectl_with(&["create", "-f", "-"], &class.to_string());
        Self
    }

    fn volumes() -> Vec<Value> {
        let mut volumes = objects("persistentvolumes", "");
        volumes.retain(|volume| volume["spec"]["storageClassName"] == CLASS);
        volumes
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        for volume in Self::volumes() {
            let (name, patch) = (&volume["metadata"]["name"], r#"{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}"#);
            kubectl(&["patch", "persistentvolume", name.as_str().unwrap(), "--patch", patch]);
        }
        kubectl(&["delete", "storageclass", CLASS]);
    }
}

/// Leaves a block of the volume that nobody mounts without an index, and its log without a segment in the middle, as a file
/// system does that lost power.
fn spoil_a_block_and_the_head() -> String {
    let home = volume_directory("monitoring", LEFTOVER).join("prometheus-db");
    fs::create_dir_all(home.join("wal")).unwrap();
    for segment in ["wal/00000100", "wal/00000102"] {
        fs::write(home.join(segment), b"").unwrap();
    }
    let mut blocks: Vec<_> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
    blocks.retain(|path| path.join("meta.json").exists());
    blocks.sort();
    fs::write(blocks[0].join("index"), b"").unwrap();
    blocks[0].file_name().unwrap().to_str().unwrap().to_owned()
}

fn backup(program: &Program, volumes: &str) -> Value {
    program.run(&["backup", "--volumes", volumes, "--image", IMAGE]).with_code(0).result()["backup"].take()
}

#[test]
fn node_copy_goes_into_another_class_and_what_prometheus_would_not_start_on_is_left_out() {
    let stack = Stack::healthy();
    import();
    history_is_whole();
    let program = Program::with_s3("elsewhere").copying();
    let both = backup(&program, "both");
    for volume in both["volumes"].as_array().unwrap() {
        assert!(volume["snapshot"].is_object() && volume["copy"]["tree"].is_string(), "{volume}");
    }
    let spoiled = spoil_a_block_and_the_head();
    let copied = backup(&program, "copy");
    let id = copied["id"].as_str().unwrap();

    stack.destroy_monitoring();
    let line = ["restore", id, "--from", "copy", "--image", IMAGE, "--storage-class"];
    let nowhere = program.run(&[&line[..], &["btrfs=nowhere"]].concat()).with_code(4).result();
    assert!(nowhere["refusals"].to_string().contains("nowhere"), "{nowhere}");
    let elsewhere = Elsewhere::new();
    let line = [&line[..], &["btrfs=elsewhere"]].concat();
    let error = program.run(&line).with_code(6).error();
    let said = error["error"].as_str().unwrap();
    for words in [LEFTOVER, &spoiled, "wal", "would not start", "--skip-damaged"] {
        assert!(said.contains(words), "no {words} in {error}");
    }
    assert!(objects("prometheuses,statefulsets", "").iter().all(|one| one["metadata"]["namespace"] != "monitoring"));

    let restored = program.run(&[&line[..], &["--skip-damaged"]].concat()).with_code(3).result();
    assert_eq!(restored["proven"], true, "{restored}");
    let problems = restored["fill_problems"].to_string();
    assert!(problems.contains(&format!("{spoiled}: ")) && problems.contains("wal: "), "{restored}");
    let home = volume_directory("monitoring", LEFTOVER).join("prometheus-db");
    assert!(home.exists() && !home.join(&spoiled).exists() && !home.join("wal").exists());
    history_is_whole();
    let of_monitoring = CLAIMS.iter().filter(|(namespace, _)| *namespace == "monitoring").count();
    let volumes = Elsewhere::volumes();
    assert_eq!(volumes.len(), of_monitoring, "{volumes:?}");
    for volume in &volumes {
        let spec = &volume["spec"];
        assert_eq!((&spec["csi"]["driver"], &spec["capacity"]["storage"]), (&OTHER_DRIVER.into(), &"3Gi".into()));
        assert_eq!(spec["persistentVolumeReclaimPolicy"], "Retain", "{volume}");
    }

    drop(elsewhere);
    stack.destroy_monitoring();
    let line = ["restore", both["id"].as_str().unwrap(), "--image", IMAGE];
    let by_snapshot = program.run(&line).with_code(0).result();
    assert_eq!((&by_snapshot["proven"], by_snapshot["filled"].as_array().unwrap().len()), (&true.into(), 0));
    history_is_whole();
}
