//! Looks at the node from outside, past promsafe: kubectl, the storage's files, and waiting with a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A driver that is not the one of the stack, cannot snapshot, and makes volumes of 3 GiB or a multiple.
pub(super) const OTHER_DRIVER: &str = "other.csi.promsafe.test";

/// A variable that `testbed exec` sets.
pub(super) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: this test needs a testbed; run it by \
             `testbed/testbed exec --name NAME -- <test binary> node_ --test-threads=1`"
        )
    })
}

/// Asks until there is an answer; an `Err` says what is missing still. Panics at the deadline.
pub(super) fn until<T>(what: &str, within: Duration, look: impl FnMut() -> Result<T, String>) -> T {
    wait(within, look).unwrap_or_else(|state| panic!("{what}: not within {} s: {state}", within.as_secs()))
}

/// Asks until there is an answer, or until the deadline: then the last `Err`.
pub(super) fn wait<T>(within: Duration, mut look: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let begun = Instant::now();
    loop {
        match look() {
            Err(_) if begun.elapsed() < within => std::thread::sleep(Duration::from_millis(200)),
            answer => return answer,
        }
    }
}

/// What kubectl prints, or what it says of its failure.
pub(super) fn try_kubectl(arguments: &[&str]) -> Result<String, String> {
    output(Command::new("kubectl").args(arguments), "")
}

/// What kubectl prints.
pub(super) fn kubectl(arguments: &[&str]) -> String {
    try_kubectl(arguments).unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
}

/// What kubectl prints when it is given this on its standard input.
pub(super) fn kubectl_with(arguments: &[&str], input: &str) -> String {
    let printed = output(Command::new("kubectl").args(arguments), input);
    printed.unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
}

/// What a command prints; its stderr when it fails.
pub(super) fn output(command: &mut Command, input: &str) -> Result<String, String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing closes the pipe; what it prints tells the rest.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Objects of these resources (`a,b`) in all namespaces.
pub(super) fn objects(resources: &str, selector: &str) -> Vec<Value> {
    let list = kubectl(&["get", resources, "--all-namespaces", "--selector", selector, "--output", "json"]);
    let mut list: Value = serde_json::from_str(&list).unwrap();
    match list["items"].take() {
        Value::Array(items) => items,
        other => panic!("kubectl get {resources}: items are {other}"),
    }
}

/// `Kind namespace/name`, as promsafe spells it.
pub(super) fn name_of(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
    match object.pointer("/metadata/namespace").and_then(Value::as_str) {
        Some(namespace) => format!("{} {namespace}/{}", text("/kind"), text("/metadata/name")),
        None => format!("{} {}", text("/kind"), text("/metadata/name")),
    }
}

/// All resources that can be listed, but for those whose objects come and go by themselves.
pub(super) fn resources() -> Vec<String> {
    let listed = kubectl(&["api-resources", "--verbs=list", "--output", "name"]);
    let passing = ["events", "events.events.k8s.io", "leases.coordination.k8s.io", "componentstatuses"];
    listed.lines().filter(|name| !passing.contains(name)).map(str::to_owned).collect()
}

/// Every object of the cluster with its UID, but for those that come and go by themselves.
pub(super) fn everything() -> BTreeMap<String, String> {
    let all = objects(&resources().join(","), "");
    all.iter().map(|object| (name_of(object), object["metadata"]["uid"].as_str().unwrap().to_owned())).collect()
}

/// Where the storage keeps the data of a bound claim.
pub(super) fn volume_directory(namespace: &str, claim: &str) -> PathBuf {
    let get = |what: &str, name: &str, path: &str| {
        kubectl(&["--namespace", namespace, "get", what, name, &format!("--output=jsonpath={{{path}}}")])
    };
    let volume = get("persistentvolumeclaim", claim, ".spec.volumeName");
    let driver = get("persistentvolume", &volume, ".spec.csi.driver");
    let handle = get("persistentvolume", &volume, ".spec.csi.volumeHandle");
    let pool = if driver == OTHER_DRIVER { "other/volumes" } else { "volumes" };
    PathBuf::from(variable("TESTBED_POOL")).join(pool).join(handle)
}

/// Storage snapshots on the disk, by handle.
pub(super) fn storage_snapshots() -> BTreeSet<String> {
    let entries = std::fs::read_dir(snapshot_directory("")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Where the storage keeps the data of a snapshot.
pub(super) fn snapshot_directory(handle: &str) -> PathBuf {
    PathBuf::from(variable("TESTBED_POOL")).join("snapshots").join(handle)
}

/// A fault of the storage, until it is dropped.
pub(super) struct StorageFault(PathBuf);

impl StorageFault {
    /// Makes a call of the CSI driver fail like this.
    pub(super) fn new(call: &str, fault: &str) -> Self {
        let file = PathBuf::from(variable("TESTBED_FAULTS")).join(call);
        std::fs::write(&file, fault).unwrap();
        Self(file)
    }

    /// Ends all faults, also those that a killed test left.
    pub(super) fn clear() {
        for entry in std::fs::read_dir(variable("TESTBED_FAULTS")).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

impl Drop for StorageFault {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
