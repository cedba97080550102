//! promsafe as a CronJob of the cluster, by roles that read two namespaces, in a third one that admits nothing but restricted
//! pods: what `promsafe cronjob` prints is applied as it is, the image is the product's own, and kubectl alone tells how
//! each run ended.

use std::time::Duration;

use serde_json::Value;

use super::cluster::{kubectl, kubectl_with, try_kubectl, until, variable};
use super::image::{IMAGE, import};
use super::program::Program;
use super::stack::{CLAIMS, Stack};
use super::witness::REPLICAS;

/// Namespace of the CronJob.
const HOME: &str = "promsafe";
/// Namespaces it may read and backs up.
const CAPTURED: [&str; 2] = ["monitoring", "prometheus-operator"];

/// Takes away what the test put into the cluster, also when it fails.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        for what in [["namespace", HOME], ["clusterrole", "promsafe-backup"], ["clusterrolebinding", "promsafe-backup"]]
        {
            let _ = try_kubectl(&["delete", what[0], what[1], "--ignore-not-found", "--wait=true"]);
        }
    }
}

#[test]
fn node_cronjob_backs_up_as_a_restricted_pod_and_tells_kubectl_how_it_ended() {
    let _stack = Stack::healthy();
    import();
    let program = Program::with_s3("cronjob");
    let _installed = Installed;
    install(&program, None);
    let told = run("good", "Complete");
    assert!(told.starts_with("exit code 0: done\n"), "{told}");
    let id =
        told.split_once("SAVED").and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or_default().to_owned();
    let record = program.run(&["show", &id]).with_code(0).result();
    assert_eq!(record["id"], id.as_str());
    let volumes = record["volumes"].as_array().unwrap();
    let claims = CLAIMS.iter().filter(|(namespace, _)| CAPTURED.contains(namespace));
    assert_eq!(volumes.len(), claims.count(), "{record}");
    assert!(volumes.iter().all(|volume| !volume["snapshot"].is_null()), "{record}");
    assert!(record["fingerprints"].as_array().unwrap().len() >= REPLICAS.len(), "{record}");

    install(&program, Some("s3://no-such-bucket/x"));
    let told = run("bad", "Failed");
    assert!(told.starts_with("exit code 7: "), "{told}");
    assert!(told.contains("no-such-bucket") && told.contains("\nhint: "), "{told}");
    assert!(!told.contains(&variable("AWS_SECRET_ACCESS_KEY")), "the secret key is told: {told}");
}

/// Applies what is printed, perhaps with another store, and makes the Secret it names.
fn install(program: &Program, store: Option<&str>) {
    let endpoint = variable("TESTBED_S3_ENDPOINT");
    let line = ["cronjob", "--schedule", "0 3 * * *", "--image", IMAGE, "--credentials-secret", "s3"];
    let printed = program
        .run_for_people(&[&line[..], &["--s3-endpoint", &endpoint, "-n", CAPTURED[0], "-n", CAPTURED[1]]].concat())
        .with_code(0)
        .stdout;
    let own = printed.split_once("--store=").and_then(|(_, rest)| rest.split_whitespace().next()).unwrap();
    kubectl_with(&["apply", "--filename=-"], &printed.replace(own, store.unwrap_or(own)));
    let keys =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|key| format!("--from-literal={key}={}", variable(key)));
    let secret = ["--namespace", HOME, "create", "secret", "generic", "s3", "--dry-run=client", "--output=json"];
    let secret = kubectl(&[&secret[..], &[keys[0].as_str(), keys[1].as_str()]].concat());
    kubectl_with(&["apply", "--server-side", "--filename=-"], &secret);
}

/// Starts a Job from the CronJob, waits for this condition, and returns the termination message of its pod.
fn run(job: &str, condition: &str) -> String {
    kubectl(&["--namespace", HOME, "create", "job", job, "--from=cronjob/promsafe"]);
    until(&format!("Job {job} is {condition}"), Duration::from_mins(2), || {
        let status = kubectl(&["--namespace", HOME, "get", "job", job, "--output=jsonpath={.status}"]);
        let read: Value = serde_json::from_str(&status).unwrap_or_default();
        let conditions = read["conditions"].as_array().cloned().unwrap_or_default();
        let is = |wanted: &str| conditions.iter().any(|one| one["type"] == wanted && one["status"] == "True");
        assert!(is(condition) || !is("Failed") && !is("Complete"), "Job {job}: {status}\n{}", logs(job));
        if is(condition) { Ok(()) } else { Err(format!("{status}\n{}", pods(job))) }
    });
    let path = "jsonpath={.items[0].status.containerStatuses[0].state.terminated.message}";
    kubectl(&["--namespace", HOME, "get", "pods", "--selector", &format!("job-name={job}"), "--output", path])
}

fn logs(job: &str) -> String {
    try_kubectl(&["--namespace", HOME, "logs", &format!("job/{job}")]).unwrap_or_else(|error| error)
}

fn pods(job: &str) -> String {
    let selector = format!("job-name={job}");
    try_kubectl(&["--namespace", HOME, "describe", "pods", "--selector", &selector]).unwrap_or_else(|error| error)
}
