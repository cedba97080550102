//! Copies on a node that is set apart for those who tolerate it, as monitoring often has its own; a volume that its
//! Prometheus does not write to; and the way back at a bounded rate.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{kubectl, kubectl_with, objects, try_kubectl, until};
use super::image::{IMAGE, import};
use super::program::Program;
use super::stack::Stack;

const NAMESPACE: &str = "legacy";
const DEPLOYMENTS: [&str; 2] = ["prometheus", "scratch"];
const STACK: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/stack/legacy.yaml"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/stack/scratch.yaml"),
];
/// Label and taint of the node.
const POOL: &str = "promsafe.test/pool";
/// A claim that is mounted beside the place that Prometheus writes to, which is an emptyDir.
const UNWRITTEN: &str = "unwritten";
/// A claim that is mounted beside the one that Prometheus writes to.
const SPARE: &str = "spare";

/// The node set apart, and the pods of the namespace the only ones for it, until this is dropped.
struct SetApart;

impl SetApart {
    fn new() -> Self {
        make_claims();
        let pool = format!("{POOL}=monitoring");
        kubectl(&["label", "nodes", "--all", "--overwrite", &pool]);
        let set_apart = Self;
        let pod = json!({"nodeSelector": {POOL: "monitoring"}, "tolerations": [{"key": POOL, "operator": "Exists"}]});
        for (deployment, claim) in DEPLOYMENTS.into_iter().zip([SPARE, UNWRITTEN]) {
            let mut pod = pod.clone();
            pod["volumes"] = json!([{"name": claim, "persistentVolumeClaim": {"claimName": claim}}]);
            let mount = json!([{"name": claim, "mountPath": "/beside"}]);
            pod["containers"] = json!([{"name": "prometheus", "volumeMounts": mount}]);
            patch(deployment, &pod);
        }
        for deployment in DEPLOYMENTS {
            kubectl(&["-n", NAMESPACE, "rollout", "status", "deployment", deployment, "--timeout=60s"]);
        }
        kubectl(&["taint", "nodes", "--all", "--overwrite", &format!("{pool}:NoSchedule")]);
        set_apart
    }
}

impl Drop for SetApart {
    fn drop(&mut self) {
        kubectl(&["taint", "nodes", "--all", &format!("{POOL}-")]);
        kubectl(&["label", "nodes", "--all", &format!("{POOL}-")]);
        // A test that failed may have no namespace any more: then the next one makes the stack anew.
        let _ = try_kubectl(&["-n", NAMESPACE, "delete", "deployments", DEPLOYMENTS[0], DEPLOYMENTS[1]]);
        let _ = try_kubectl(&["-n", NAMESPACE, "delete", "persistentvolumeclaims", UNWRITTEN, SPARE]);
        let _ = try_kubectl(&["apply", "--server-side", "--force-conflicts", "-f", STACK[0], "-f", STACK[1]]);
    }
}

/// Makes claims like the one of the namespace.
fn make_claims() {
    let mut claims = objects("persistentvolumeclaims", "");
    claims.retain(|claim| claim["metadata"]["namespace"] == NAMESPACE);
    let mut claim = claims.swap_remove(0);
    claim["spec"]["volumeName"].take();
    claim["status"].take();
    for name in [UNWRITTEN, SPARE] {
        claim["metadata"] = json!({"name": name, "namespace": NAMESPACE});
        kubectl_with(&["create", "-f", "-"], &claim.to_string());
    }
}

fn patch(deployment: &str, pod: &Value) {
    let patch = json!({"spec": {"template": {"spec": pod}}}).to_string();
    kubectl(&["-n", NAMESPACE, "patch", "deployment", deployment, "--patch", &patch]);
}

/// The namespace is gone, and its volumes with it.
fn destroy() {
    kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]);
    kubectl(&["-n", NAMESPACE, "delete", "persistentvolumeclaims", "--all", "--wait=false"]);
    kubectl(&["-n", NAMESPACE, "delete", "pods", "--all", "--grace-period=1", "--wait=false"]);
    until("the namespace is gone", Duration::from_mins(1), || {
        match try_kubectl(&["get", "namespace", NAMESPACE, "--output", "jsonpath={.status.conditions}"]) {
            Err(error) if error.contains("not found") => Ok(()),
            Err(state) | Ok(state) => Err(state),
        }
    });
}

#[test]
fn node_copy_runs_where_the_pods_of_its_volume_run_names_what_is_empty_and_comes_back_at_the_rate_allowed() {
    let _stack = Stack::healthy();
    import();
    let _set_apart = SetApart::new();
    let program = Program::with_s3("placed").copying();
    let line = ["backup", "--namespace", NAMESPACE, "--volumes", "copy", "--image", IMAGE];
    let result = program.run(&line).with_code(3).result();
    let problems = result["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{result}");
    let problem = problems[0].to_string();
    assert!(problem.contains("legacy/unwritten") && problem.contains("the copy is empty"), "{problem}");
    let volumes = result["backup"]["volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), 3, "{result}");
    for volume in volumes {
        let placement = &volume["copy"]["placement"];
        assert_eq!(placement["nodeSelector"], json!({POOL: "monitoring"}), "{volume}");
        assert!(placement["tolerations"].to_string().contains(POOL), "{volume}");
    }

    destroy();
    // Thirty seconds, less what the last piece would take, which may be half of it: leave for that is given at the end of the
    // one before.
    let bytes: u64 = volumes.iter().map(|volume| volume["copy"]["bytes"].as_u64().unwrap()).sum();
    let bandwidth = (bytes / 30).to_string();
    let id = result["backup"]["id"].as_str().unwrap();
    let line = ["restore", id, "--namespace", NAMESPACE, "--image", IMAGE, "--bandwidth", &bandwidth];
    let mut restore = program.start(&line);
    restore.until_step("filling ");
    let began = Instant::now();
    restore.until_written("Deployment legacy/prometheus");
    let took = began.elapsed();
    let restored = restore.ended().with_code(0).result();
    assert_eq!((&restored["proven"], restored["filled"].as_array().unwrap().len()), (&json!(true), 3), "{restored}");
    assert!(took > Duration::from_secs(15), "{bytes} bytes in {took:?}");
}
