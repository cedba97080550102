//! Volumes copied to the store and back by Jobs, with the product's own image, as accounts that may do no more than `promsafe
//! rbac --volumes copy` grants.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::{kubectl, name_of, objects, storage_snapshots, until};
use super::image::{IMAGE, import};
use super::program::{Ended, Program, strings};
use super::stack::{CLAIMS, LEFTOVER, Stack, left_by_restores};
use super::witness::{Witness, history_is_whole};

/// Options of a backup that copies.
const COPY: [&str; 5] = ["backup", "--volumes", "copy", "--image", IMAGE];
/// What is made for a while.
const TEMPORARY: &str = "volumesnapshots,persistentvolumeclaims,jobs,secrets,pods";

fn backup(program: &Program) -> Value {
    program.run(&COPY).with_code(0).result()["backup"].take()
}

/// Volumes by claim, each with a copy and without a snapshot.
fn copies(record: &Value) -> Vec<(String, Value)> {
    let volumes = record["volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), CLAIMS.len(), "{record}");
    let copy = |one: &Value| {
        assert!(one["snapshot"].is_null() && one["copy"]["tree"].is_string(), "{one}");
        (one["volume"]["claim"].as_str().unwrap().to_owned(), one["copy"].clone())
    };
    volumes.iter().map(copy).collect()
}

fn sum(record: &Value, field: &str) -> u64 {
    copies(record).iter().map(|(_, copy)| copy[field].as_u64().unwrap()).sum()
}

/// Volumes there are beside those of the stack.
fn volumes() -> BTreeSet<String> {
    objects("persistentvolumes", "").iter().map(name_of).collect()
}

/// Nothing that copies are made with is there.
fn nothing_is_left(snapshots: &BTreeSet<String>, volumes_before: &BTreeSet<String>) {
    until("nothing is left of the copies", Duration::from_mins(1), || {
        let left: Vec<String> = objects(TEMPORARY, "promsafe/temporary").iter().map(name_of).collect();
        let contents = objects("volumesnapshotcontents", "promsafe/temporary");
        let (now, there) = (storage_snapshots(), volumes());
        let more: Vec<_> = now.difference(snapshots).chain(there.difference(volumes_before)).collect();
        let clean = left.is_empty() && contents.is_empty() && more.is_empty();
        if clean { Ok(()) } else { Err(format!("{left:?} {} contents, {more:?}", contents.len())) }
    });
}

/// A level of admission on the namespaces of all volumes, until it is dropped.
struct Restricted;

impl Restricted {
    fn new() -> Self {
        Self::label("pod-security.kubernetes.io/enforce=restricted");
        Self
    }

    fn label(label: &str) {
        let namespaces: BTreeSet<&str> = CLAIMS.iter().map(|(namespace, _)| *namespace).collect();
        for namespace in &namespaces {
            kubectl(&["label", "--overwrite", "namespace", namespace, label]);
        }
    }
}

impl Drop for Restricted {
    fn drop(&mut self) {
        Self::label("pod-security.kubernetes.io/enforce-");
    }
}

#[test]
fn node_copy_brings_back_all_history_without_any_snapshot_and_sends_only_what_is_new() {
    let stack = Stack::healthy();
    import();
    let before = Witness::once_settled();
    history_is_whole();
    let (snapshots, volumes) = (storage_snapshots(), volumes());
    let program = Program::with_s3("copy").copying();
    let record = backup(&program);
    let id = record["id"].as_str().unwrap();
    // Volumes with the same blocks send them once.
    let (sent, all) = (sum(&record, "sent_bytes"), sum(&record, "bytes"));
    assert!(sent > 0 && sent < all, "{sent} of {all}");
    assert!(copies(&record).iter().all(|(_, copy)| copy["run_as_user"] == 1000), "{record}");
    nothing_is_left(&snapshots, &volumes);

    let again = {
        let _restricted = Restricted::new();
        backup(&program)
    };
    // Leftover and dashboards do not change: nothing of them is sent again. The others have a new head.
    for (claim, copy) in copies(&again) {
        let (bytes, sent) = (copy["bytes"].as_u64().unwrap(), copy["sent_bytes"].as_u64().unwrap());
        let unchanged = claim == LEFTOVER || claim == "dashboards";
        assert!(if unchanged { sent == 0 } else { sent <= bytes / 2 }, "{claim}: {sent} of {bytes}");
    }
    nothing_is_left(&snapshots, &volumes);

    stack.destroy();
    let line = ["restore", id, "--include-cluster-scoped", "--image", IMAGE];
    let plan = program.run(&[&line[..], &["--plan"]].concat()).with_code(0).result();
    assert_eq!(plan["fills"].as_array().unwrap().len(), CLAIMS.len(), "{plan}");
    let restored = program.run(&line).with_code(0).result();
    assert_eq!(restored["proven"], true, "{restored}");
    assert_eq!(restored["filled"].as_array().unwrap().len(), CLAIMS.len(), "{restored}");
    history_is_whole();
    before.is_here_again();
    assert_eq!(left_by_restores(), [""; 0]);
    nothing_is_left(&snapshots, &self::volumes());

    let again = program.run(&line).with_code(0).result();
    assert_eq!((&again["created"], again["filled"].as_array().unwrap().len()), (&0.into(), 0), "{again}");
    stack.destroy_monitoring();
    killed_restore_goes_on(&program, id);
    history_is_whole();
}

/// A restore that is killed while it fills claims is finished by the next one.
fn killed_restore_goes_on(program: &Program, id: &str) {
    let line = ["restore", id, "--image", IMAGE, "--no-lock"];
    let mut restore = program.start(&line);
    restore.until_step("filling ");
    until("a Job is there", Duration::from_secs(30), || {
        if objects("jobs", "promsafe/restore").is_empty() { Err("none".to_owned()) } else { Ok(()) }
    });
    restore.signal("KILL");
    assert_eq!(restore.ended().code, None);
    let restored = program.run(&line).with_code(0).result();
    assert_eq!(restored["proven"], true, "{restored}");
    assert!(objects(TEMPORARY, "promsafe/temporary").is_empty());
}

/// A backup so slow that it is under way for long.
fn slow(program: &Program) -> super::program::Running {
    let mut slow = program.start(&[&COPY[..], &["--bandwidth", "64KiB", "--lock-timeout", "1m"]].concat());
    slow.until_step("copying ");
    until("a Job's pod runs", Duration::from_mins(1), || {
        let running =
            objects("pods", "promsafe/temporary").iter().filter(|pod| pod["status"]["phase"] == "Running").count();
        if running > 0 { Ok(()) } else { Err("none runs".to_owned()) }
    });
    slow
}

#[test]
fn node_copy_that_cannot_start_or_is_stopped_leaves_nothing_and_what_a_killed_one_leaves_is_swept() {
    let _stack = Stack::healthy();
    import();
    let (snapshots, volumes) = (storage_snapshots(), volumes());
    let program = Program::with_s3("copy-faults").copying();

    let began = Instant::now();
    let error = program
        .run(&["backup", "--volumes", "copy", "--image", "docker.io/library/no-such-image:1"])
        .with_code(8)
        .error();
    assert!(began.elapsed() < Duration::from_mins(3), "it took {:?}", began.elapsed());
    let said = error["error"].as_str().unwrap();
    assert!(said.contains("no-such-image") && said.contains("ImagePull"), "{error}");
    let deleted = strings(&error["snapshots_deleted"]);
    assert!(deleted.iter().any(|object| object.starts_with("Job ")), "{error}");
    nothing_is_left(&snapshots, &volumes);

    let stopped = slow(&program);
    stopped.signal("TERM");
    let error = stopped.ended().with_code(130).error();
    assert_eq!(strings(&error["snapshots_left"]), [""; 0], "{error}");
    nothing_is_left(&snapshots, &volumes);

    let killed = slow(&program);
    killed.signal("KILL");
    assert_eq!(killed.ended().code, None);
    let next: Ended = program.run(&[&COPY[..], &["--lock-timeout", "1m"]].concat());
    let result = next.with_code(0).result();
    let swept = strings(&result["housekeeping"]["swept"]);
    for kind in ["Job ", "Secret ", "PersistentVolumeClaim ", "VolumeSnapshot "] {
        assert!(swept.iter().any(|object| object.starts_with(kind)), "no {kind}in {swept:?}");
    }
    copies(&result["backup"]);
    nothing_is_left(&snapshots, &volumes);
}
