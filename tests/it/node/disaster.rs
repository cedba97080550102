//! The promise itself: after the disaster everything comes back, is proven, and nothing else happens.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::cluster::{everything, name_of, objects, storage_snapshots};
use super::program::{Ended, Program};
use super::stack::{CLAIMS, Stack, left_by_restores};
use super::witness::{Witness, history_is_whole, silence_is_active, silence_that_is_on_the_disk};

/// Claims, definitions and everything named by them, with what must not change when nothing is to be done.
type Restored = BTreeMap<String, String>;

#[test]
fn node_disaster_is_undone_and_proven_as_often_as_it_happens() {
    let stack = Stack::healthy();
    let silence = silence_that_is_on_the_disk();
    let definitions = stack.definitions();
    assert_eq!(definitions.len(), 10);
    let before = Witness::once_settled();
    history_is_whole();
    let program = Program::with_s3("disaster");
    let record = program.backup();
    let id = record["id"].as_str().unwrap();
    let handles = handles(&record);

    stack.destroy();
    assert!(handles.is_subset(&storage_snapshots()), "the disaster took the snapshots of the backup with it");
    without_permission_for_cluster_scoped_nothing_is_created(&program, id);
    let planned = plan_changes_nothing(&program, id);
    let restored = program.run(&["restore", id, "--include-cluster-scoped"]).with_code(0);
    what_was_planned_was_done(&planned, &restored);
    let blocks = proof_holds(&restored.result());
    is_as_before(&stack, &before, &definitions, &silence);
    nothing_of_the_restore_is_left(&handles);
    second_run_changes_nothing(&program, id, &planned);

    stack.destroy_monitoring();
    let restored = program.run_for_people(&["restore", "latest"]).with_code(0);
    let proven = format!("\nPROVEN     blocks {blocks}/{blocks}, samples ");
    assert!(restored.stdout.contains(&proven), "{proven:?} is not in: {}", restored.stdout);
    is_as_before(&stack, &before, &definitions, &silence);
    nothing_of_the_restore_is_left(&handles);
}

fn handles(record: &Value) -> BTreeSet<String> {
    let volumes = record["volumes"].as_array().unwrap();
    let claim = |one: &Value| ["namespace", "claim"].map(|field| one["volume"][field].as_str().unwrap().to_owned());
    let claims = CLAIMS.map(|(namespace, claim)| [namespace.to_owned(), claim.to_owned()]);
    assert_eq!(volumes.iter().map(claim).collect::<Vec<_>>(), claims);
    volumes.iter().map(|one| one["snapshot"]["snapshot_handle"].as_str().unwrap().to_owned()).collect()
}

fn without_permission_for_cluster_scoped_nothing_is_created(program: &Program, id: &str) {
    let before = everything();
    let refused = program.run(&["restore", id]).with_code(4).result();
    let refusals = refused["refusals"].as_array().unwrap();
    for (object, fix) in [("ClusterRole prometheus", "--include-cluster-scoped"), ("StorageClass btrfs", "--include")] {
        let named = |refusal: &&Value| refusal["object"] == object && refusal["fix"].as_str().unwrap().contains(fix);
        assert!(refusals.iter().any(|refusal| named(&refusal)), "{object} is not refused: {refusals:?}");
    }
    assert_eq!(everything(), before, "a refused restore changed something");
}

/// The plan's objects, for which `created` is what it plans to create.
struct Planned {
    all: Vec<Value>,
    created: BTreeSet<String>,
}

fn plan_changes_nothing(program: &Program, id: &str) -> Planned {
    let before = everything();
    let plan = program.run(&["restore", id, "--plan", "--include-cluster-scoped"]).with_code(0).result();
    assert_eq!(plan["refusals"].as_array().unwrap().len(), 0);
    assert_eq!(everything(), before, "planning changed something");
    let stages = plan["stages"].as_array().unwrap();
    let steps: Vec<&Value> = stages.iter().flat_map(|stage| stage["steps"].as_array().unwrap()).collect();
    let created = steps.iter().filter(|step| step["decision"] == "create").map(|step| named(&step["object"])).collect();
    Planned { all: steps.iter().map(|step| step["object"].clone()).collect(), created }
}

/// `Kind namespace/name` of a key.
fn named(key: &Value) -> String {
    let (kind, name) = (key["kind"].as_str().unwrap(), key["name"].as_str().unwrap());
    let namespace = key["namespace"].as_str().map_or_else(String::new, |namespace| format!("{namespace}/"));
    without_run(&format!("{kind} {namespace}{name}"))
}

/// Snapshot objects of a restore carry four digits of their run after the backup's id.
fn without_run(object: &str) -> String {
    let Some((head, tail)) = object.split_once("promsafe-restore-") else { return object.to_owned() };
    let words: Vec<&str> = tail.splitn(4, '-').collect();
    format!("{head}promsafe-restore-{}-{}-RUN-{}", words[0], words[1], words[3])
}

fn what_was_planned_was_done(planned: &Planned, restored: &Ended) {
    let created = restored.created();
    let names: BTreeSet<String> = created.iter().map(|object| without_run(object)).collect();
    assert_eq!(names, planned.created, "what was created is not what was planned");
    let result = restored.result();
    assert_eq!(result["created"], created.len(), "{result}");
    assert_eq!(result["snapshot_objects_removed"], 2 * CLAIMS.len(), "{result}");
}

/// Returns how many blocks are proven.
fn proof_holds(result: &Value) -> u64 {
    assert_eq!(result["proven"], true, "{result}");
    let totals = &result["totals"];
    for what in ["blocks", "samples", "probes"] {
        assert!(totals[what]["then"].as_u64().unwrap() > 0, "{totals}");
        assert_eq!(totals[what]["now"], totals[what]["then"], "{totals}");
    }
    let pods = result["proof"]["pods"].as_array().unwrap();
    for name in ["prometheus-k8s-0", "prometheus-k8s-1", "prometheus-secure-0"] {
        let pod = pods.iter().find(|pod| pod["pod"].as_str().unwrap().ends_with(name));
        let gap = pod.unwrap_or_else(|| panic!("{name} is not proven: {result}"))["gap_seconds"].as_f64().unwrap();
        assert!((0.0..60.0).contains(&gap), "the gap of {name} is {gap} s");
    }
    totals["blocks"]["now"].as_u64().unwrap()
}

fn is_as_before(stack: &Stack, before: &Witness, definitions: &[String], silence: &str) {
    history_is_whole();
    before.is_here_again();
    silence_is_active(silence);
    assert_eq!(stack.definitions(), definitions);
    for definition in definitions {
        // Fails when it is not served.
        objects(definition, "");
    }
}

fn nothing_of_the_restore_is_left(handles: &BTreeSet<String>) {
    assert_eq!(left_by_restores(), [""; 0]);
    assert!(handles.is_subset(&storage_snapshots()), "the restore took the snapshots of the backup with it");
}

fn second_run_changes_nothing(program: &Program, id: &str, planned: &Planned) {
    let before = restored_objects(planned);
    let snapshots = storage_snapshots();
    let again = program.restore(id);
    assert_eq!((&again["created"], &again["kept"]), (&0.into(), &Value::Array(vec![])), "{again}");
    assert_eq!(restored_objects(planned), before, "a second restore changed something");
    assert_eq!(storage_snapshots(), snapshots);
}

/// The restored objects as the API server has them, but for their status, which controllers write at any time.
fn restored_objects(planned: &Planned) -> Restored {
    let keys = planned.all.iter().filter(|key| key["group"] != "snapshot.storage.k8s.io" || key["namespace"].is_null());
    let keys: BTreeSet<String> = keys.map(named).filter(|name| !name.contains("promsafe-restore-")).collect();
    let resources: BTreeSet<String> = planned
        .all
        .iter()
        .map(|key| [key["plural"].as_str().unwrap(), key["group"].as_str().unwrap()].join("."))
        .map(|resource| resource.trim_end_matches('.').to_owned())
        .collect();
    let mut found = BTreeMap::new();
    for mut object in objects(&resources.into_iter().collect::<Vec<_>>().join(","), "") {
        let name = name_of(&object);
        if keys.contains(&name) {
            if let Some(fields) = object.as_object_mut().filter(|object| object.contains_key("status")) {
                fields.remove("status");
                fields["metadata"]
                    .as_object_mut()
                    .unwrap()
                    .retain(|field, _| field != "managedFields" && field != "resourceVersion");
            }
            found.insert(name, object.to_string());
        }
    }
    assert_eq!(found.keys().collect::<BTreeSet<_>>(), keys.iter().collect::<BTreeSet<_>>());
    found
}
