//! The doctor on a real node: a healthy stack, a storage that fails, and a snapshot test that leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::cluster::{StorageFault, everything, objects, storage_snapshots, until};
use super::program::Program;
use super::stack::Stack;

/// The test's options with an image that has sh, unlike the testbed's of Prometheus.
const TEST: [&str; 4] = ["doctor", "--snapshot-test", "--test-image", "docker.io/library/busybox:1"];

/// All objects and storage snapshots.
type There = (BTreeMap<String, String>, BTreeSet<String>);

fn there() -> There {
    (everything(), storage_snapshots())
}

/// What was made is gone: at once, or as soon as the storage works again.
fn nothing_more_than(before: &There, within: Duration) {
    until("what the doctor made is gone", within, || {
        let now = there();
        let more: Vec<_> = now.0.keys().filter(|name| !before.0.contains_key(*name)).collect();
        let stored: Vec<_> = now.1.difference(&before.1).collect();
        if more.is_empty() && stored.is_empty() { Ok(()) } else { Err(format!("{more:?} {stored:?}")) }
    });
}

/// The one check of a group that came out so.
fn check<'a>(result: &'a Value, group: &str, verdict: &str) -> (&'a str, &'a str) {
    let checks = result["checks"].as_array().unwrap();
    let found: Vec<_> = checks.iter().filter(|one| one["group"] == group && one["result"] == verdict).collect();
    let [found] = found[..] else { panic!("{} checks of {group} are {verdict}: {result}", found.len()) };
    (found["seen"].as_str().unwrap(), found["hint"].as_str().unwrap_or_default())
}

#[test]
fn node_doctor_finds_the_stack_healthy_and_its_snapshot_test_leaves_nothing() {
    let _stack = Stack::healthy();
    let program = Program::with_s3("doctor");
    // Not every instance of the stack has a claim: the backup says so, and is one all the same.
    program.run(&["backup"]).result();
    let before = there();
    let result = program.run(&TEST).with_code(0).result();
    assert_eq!(result["counts"]["failed"], 0, "{result}");
    assert_eq!(result["counts"]["skipped"], 0, "{result}");
    nothing_more_than(&before, Duration::ZERO);
    let seen = |group: &str| {
        let of_it = result["checks"].as_array().unwrap().iter().filter(|check| check["group"] == group);
        of_it.map(|check| check["seen"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
    };
    assert!(seen("prometheus").contains("Prometheus monitoring/prometheus-k8s-1 answers over http: 3.13"), "{result}");
    let guarded = |line: &&str| line.contains("secure/guarded-") && line.contains("answers over https: 3.13");
    assert_eq!(seen("prometheus").lines().filter(guarded).count(), 1, "{result}");
    assert!(seen("claims").contains("Filesystem, ReadWriteOnce, snapshot class btrfs (Delete)"), "{result}");
    assert!(
        seen("retention").contains("Prometheus monitoring/k8s keeps 30d, longer than its backups are old"),
        "{result}"
    );
    assert!(seen("store").contains("1 complete backup"), "{result}");
    for step in
        ["a pod wrote to a new claim of class btrfs after", "snapshot of class btrfs was ready after", "a pod read"]
    {
        assert!(seen("snapshot-test").contains(step), "{step}: {result}");
    }
}

#[test]
fn node_snapshot_test_tells_what_the_driver_says_and_cleans_up() {
    let _stack = Stack::healthy();
    let program = Program::with_s3("doctor-fault");
    let before = there();
    let fault = StorageFault::new("create-snapshot", "error pool is on fire");
    let result = program.run(&[&TEST[..], &["--test-timeout", "12s"]].concat()).with_code(4).result();
    let (seen, _) = check(&result, "snapshot-test", "failed");
    assert!(seen.contains("pool is on fire"), "{seen}");
    drop(fault);
    nothing_more_than(&before, Duration::from_mins(1));

    let result = program.run(&["doctor", "--snapshot-test"]).with_code(4).result();
    let (seen, hint) = check(&result, "snapshot-test", "failed");
    assert!(seen.contains("\"sh\"") && hint.contains("--test-image"), "{seen} {hint}");
    nothing_more_than(&before, Duration::ZERO);
}

#[test]
fn node_snapshot_test_that_is_interrupted_leaves_nothing() {
    let _stack = Stack::healthy();
    let program = Program::with_s3("doctor-term");
    let before = there();
    let _fault = StorageFault::new("create-snapshot", "unready 10m");
    let running = program.start(&TEST);
    until("the snapshot is asked for", Duration::from_mins(1), || {
        let made = objects("volumesnapshots", "promsafe/doctor");
        if made.is_empty() { Err("none yet".to_owned()) } else { Ok(()) }
    });
    running.signal("TERM");
    let result = running.ended().with_code(130).result();
    assert_eq!(result["interrupted"], true);
    nothing_more_than(&before, Duration::ZERO);
}
