//! Pods of a copy that are evicted, as when nodes are drained one after the other: the copy goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::cluster::{kubectl_with, objects, until};
use super::image::{IMAGE, import};
use super::program::Program;
use super::stack::Stack;

/// More than the attempts that a Job has which fails by itself.
const EVICTIONS: usize = 4;

/// Evicts the pod that runs, which is none of these.
fn evict_another(evicted: &BTreeSet<String>) -> String {
    let name = until("another pod runs", Duration::from_secs(90), || {
        let pods = objects("pods", "promsafe/temporary");
        let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running");
        let mut names = running.filter_map(|pod| pod["metadata"]["name"].as_str());
        let other = names.find(|name| !evicted.contains(*name));
        other.map(str::to_owned).ok_or_else(|| format!("{} pods, none of them new", pods.len()))
    });
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "legacy"}});
    let path = format!("/api/v1/namespaces/legacy/pods/{name}/eviction");
    kubectl_with(&["create", "--raw", &path, "-f", "-"], &eviction.to_string());
    name
}

#[test]
fn node_copy_whose_pods_are_evicted_again_and_again_goes_on() {
    let _stack = Stack::healthy();
    import();
    let program = Program::with_s3("evicted").copying();
    let line = ["backup", "--namespace", "legacy", "--volumes", "copy", "--image", IMAGE];
    // A pod that is not evicted takes longer than the test.
    let mut backup = program.start(&[&line[..], &["--bandwidth", "1KiB"]].concat());
    backup.until_step("copying ");
    let mut evicted = BTreeSet::new();
    for _ in 0..EVICTIONS {
        evicted.insert(evict_another(&evicted));
    }
    backup.signal("TERM");
    backup.ended().with_code(130);
    let record = program.run(&line).with_code(0).result()["backup"].take();
    assert!(record["volumes"][0]["copy"]["tree"].is_string(), "{record}");
}
