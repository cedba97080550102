//! A backup that ends before its record is written is none: the ones before and after it are what counts.

use std::time::Duration;

use serde_json::Value;

use super::cluster::{name_of, objects, storage_snapshots, until};
use super::program::{Ended, Program, strings};
use super::stack::{CLAIMS, Stack};
use super::stalling_proxy::StallingProxy;
use super::witness::history_is_whole;

/// Runs a backup until it writes this file, sends it a signal, and waits for its end.
fn interrupted(program: &Program, file: &'static str, signal: &str) -> Ended {
    let proxy = StallingProxy::before_put_of(file);
    // The one before may have been killed with the lock in its hands.
    let backup = program.through(proxy.endpoint.clone()).start(&["backup", "--lock-timeout", "1m"]);
    proxy.wait();
    backup.signal(signal);
    backup.ended()
}

fn listed(program: &Program) -> Value {
    program.run(&["list"]).with_code(0).result()
}

#[test]
fn node_backup_that_is_stopped_deletes_its_snapshots_and_names_them() {
    let _stack = Stack::healthy();
    let program = Program::with_s3("stopped");
    let snapshots = storage_snapshots();
    for signal in ["TERM", "INT"] {
        let error = interrupted(&program, "manifests.tar.gz", signal).with_code(130).error();
        let deleted = strings(&error["snapshots_deleted"]);
        assert_eq!(deleted.len(), CLAIMS.len(), "{signal}: {error}");
        assert!(deleted.iter().all(|object| object.starts_with("VolumeSnapshot ")), "{error}");
        assert!(deleted.iter().all(|object| object.contains("/promsafe-")), "{error}");
        assert_eq!(strings(&error["snapshots_left"]), [""; 0]);
        are_gone(&deleted);
        until("the storage has deleted its snapshots", Duration::from_secs(30), || {
            let now = storage_snapshots();
            if now == snapshots { Ok(()) } else { Err(format!("{now:?}, not {snapshots:?}")) }
        });
    }
    assert_eq!(listed(&program)["backups"], Value::Array(vec![]));
}

fn are_gone(snapshots: &[String]) {
    until("the snapshots are gone", Duration::from_secs(30), || {
        let left: Vec<String> = objects("volumesnapshots", "").iter().map(name_of).collect();
        let left: Vec<_> = left.into_iter().filter(|name| snapshots.contains(name)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

/// The second killed run swept what the first one left, and the third what the second left.
fn swept(housekeeping: &Value) {
    let killed = housekeeping["took_over"].as_str().unwrap_or_default();
    let id = killed.rsplit(' ').next().unwrap().to_lowercase();
    assert!(killed.contains(" backup 20"), "{housekeeping}");
    let swept = strings(&housekeeping["swept"]);
    assert_eq!(swept.len(), CLAIMS.len(), "{housekeeping}");
    let of_it = |(namespace, _): (&str, &str)| format!("VolumeSnapshot {namespace}/promsafe-{id}-");
    let is_of_it = |object: &String| CLAIMS.iter().any(|claim| object.starts_with(&of_it(*claim)));
    assert!(swept.iter().all(is_of_it), "{housekeeping}");
}

/// Whatever is labelled as a snapshot of a backup of this store belongs to one that is sealed.
fn holds_only_what_sealed_backups_need(program: &Program) {
    let sealed = listed(program)["backups"].as_array().unwrap().clone();
    let ids: Vec<&str> = sealed.iter().map(|backup| backup["id"].as_str().unwrap()).collect();
    let url = program.store.trim_end_matches('/');
    let of_this_store = |resource: &str| {
        let all = objects(resource, "promsafe/backup");
        let own = all.into_iter().filter(|one| one["metadata"]["annotations"]["promsafe/store"] == *url);
        own.map(|one| one["metadata"]["labels"]["promsafe/backup"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for resource in ["volumesnapshots", "volumesnapshotcontents"] {
        until(&format!("no {resource} but those of sealed backups"), Duration::from_secs(30), || {
            let there = of_this_store(resource);
            let needed = there.iter().all(|id| ids.contains(&id.as_str())) && there.len() == CLAIMS.len() * ids.len();
            if needed { Ok(()) } else { Err(format!("{there:?}")) }
        });
    }
}

#[test]
fn node_backup_that_is_killed_is_no_backup_and_the_next_one_restores() {
    let stack = Stack::healthy();
    let program = Program::with_s3("killed");
    assert_eq!(interrupted(&program, "manifests.tar.gz", "KILL").code, None);
    let listing = listed(&program);
    assert_eq!((&listing["backups"], &listing["unfinished"]), (&Value::Array(vec![]), &Value::Array(vec![])));

    assert_eq!(interrupted(&program, "backup.json", "KILL").code, None);
    let listing = listed(&program);
    assert_eq!(listing["backups"], Value::Array(vec![]));
    assert_eq!(listing["unfinished"].as_array().unwrap().len(), 1, "{listing}");
    let for_people = program.run_for_people(&["list"]).with_code(0).stdout;
    assert!(for_people.contains("UNFINISHED 1 (left by runs that did not end; not backups)"), "{for_people}");
    program.run(&["restore", "latest"]).with_code(5);

    let last = program.run(&["backup", "--lock-timeout", "1m"]).with_code(0).result();
    swept(&last["housekeeping"]);
    let record = &last["backup"];
    holds_only_what_sealed_backups_need(&program);
    assert_eq!(listed(&program)["backups"].as_array().unwrap().len(), 1);
    stack.destroy_monitoring();
    program.restore(record["id"].as_str().unwrap());
    history_is_whole();
}
