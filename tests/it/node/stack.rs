//! The default stack of the testbed: brought to health before a test, and destroyed by it.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cluster::{StorageFault, kubectl, name_of, objects, output, try_kubectl, until, variable, wait};
use super::witness::{REPLICAS, Seed, Witness};

/// The namespaces of the stack.
pub(super) const NAMESPACES: [&str; 6] = ["prometheus-operator", "monitoring", "apps", "teams", "legacy", "secure"];
/// The claims of the stack with their namespaces, in the order of a backup's record.
pub(super) const CLAIMS: [(&str, &str); 8] = [
    ("legacy", "prometheus-data"),
    ("monitoring", "alertmanager-main-db-alertmanager-main-0"),
    ("monitoring", "dashboards"),
    ("monitoring", "prometheus-k8s-db-prometheus-k8s-0"),
    ("monitoring", "prometheus-k8s-db-prometheus-k8s-1"),
    ("monitoring", "prometheus-k8s-db-prometheus-k8s-2"),
    ("secure", "guarded-data"),
    ("secure", "prometheus-secure-db-prometheus-secure-0"),
];
/// The claim in `monitoring` that no pod mounts: a replica left it that is no more.
pub(super) const LEFTOVER: &str = "prometheus-k8s-db-prometheus-k8s-2";

/// The stack, healthy, and nobody else's until this is dropped.
pub(super) struct Stack(#[expect(dead_code, reason = "held, never read")] MutexGuard<'static, ()>);

impl Stack {
    /// Waits for other tests and brings the stack to health: at once when it is healthy, else by making it anew.
    pub(super) fn healthy() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let stack = Self(ALONE.lock().unwrap_or_else(PoisonError::into_inner));
        variable("TESTBED_DIR");
        StorageFault::clear();
        // A backup holds the classes that its claims use and the Secrets that something names; the stack has more.
        for not_captured in [
            concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/stack/classes.yaml"),
            concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/stack/unreferenced.yaml"),
        ] {
            let _ = try_kubectl(&["create", "-f", not_captured]);
        }
        // What a test has just restored may need some seconds until it scrapes.
        if let Err(why) = wait(Duration::from_secs(20), look) {
            tell(&format!("the stack is made anew: {why}"));
            stack.destroy();
            stack_command("apply");
            until("the stack is healthy", Duration::from_mins(1), look);
        }
        stack
    }

    /// The disaster: namespaces, definitions, roles, bindings and classes of the stack are gone, and with them its volumes.
    pub(super) fn destroy(&self) {
        stack_command("delete");
        self.is_gone();
    }

    fn is_gone(&self) {
        for namespace in NAMESPACES {
            assert!(try_kubectl(&["get", "namespace", namespace]).is_err(), "namespace {namespace} is still there");
        }
        assert_eq!(self.definitions(), [""; 0]);
        let of_the_stack = [
            ("clusterrole", "prometheus-operator"),
            ("clusterrole", "prometheus"),
            ("clusterrolebinding", "prometheus-operator"),
            ("clusterrolebinding", "prometheus"),
            ("clusterrole", "prometheus-extended"),
            ("clusterrole", "prometheus-extended-namespaces"),
            ("clusterrole", "prometheus-extended-slis"),
            ("clusterrolebinding", "prometheus-extended"),
            ("clusterrole", "legacy-prometheus"),
            ("clusterrolebinding", "legacy-prometheus"),
            ("priorityclass", "dashboards"),
            ("validatingwebhookconfiguration", "prometheus-operator-admission"),
            ("mutatingwebhookconfiguration", "prometheus-operator-admission"),
            ("storageclass", "btrfs"),
            ("storageclass", "plain"),
            ("volumesnapshotclass", "btrfs"),
        ];
        for (kind, name) in of_the_stack {
            assert!(try_kubectl(&["get", kind, name]).is_err(), "{kind} {name} is still there");
        }
        assert!(objects("persistentvolumes", "").is_empty(), "a volume is still there");
    }

    /// Names of the operator's definitions.
    #[expect(clippy::unused_self, reason = "only who has the stack to himself may look")]
    pub(super) fn definitions(&self) -> Vec<String> {
        let names = kubectl(&["get", "crd", "--output", "name"]);
        let names = names.lines().filter_map(|name| name.split_once('/')).map(|(_, name)| name);
        names.filter(|name| name.ends_with(".monitoring.coreos.com")).map(str::to_owned).collect()
    }

    /// A smaller disaster: the namespace of Prometheus, Alertmanager and their volumes is gone.
    #[expect(clippy::unused_self, reason = "only who has the stack to himself may destroy")]
    pub(super) fn destroy_monitoring(&self) {
        let monitoring = ["--namespace", "monitoring", "delete", "--wait=false", "--all"];
        let delete = |what: &[&str]| kubectl(&[&monitoring, what].concat());
        // The custom resources first, or the operator makes again what is deleted; pods with little grace, as Prometheus
        // allows itself ten minutes.
        delete(&["prometheuses,alertmanagers"]);
        kubectl(&["delete", "namespace", "monitoring", "--wait=false"]);
        delete(&["statefulsets,volumesnapshots,persistentvolumeclaims"]);
        delete(&["pods", "--grace-period=1"]);
        until("namespace monitoring is gone", Duration::from_mins(1), || {
            match try_kubectl(&["get", "namespace", "monitoring", "--output", "jsonpath={.status.conditions}"]) {
                Err(error) if error.contains("not found") => Ok(()),
                Err(state) | Ok(state) => Err(state),
            }
        });
    }
}

/// Snapshot objects that restores have left.
pub(super) fn left_by_restores() -> Vec<String> {
    let left = objects("volumesnapshots,volumesnapshotcontents", "promsafe/restore");
    left.iter().map(name_of).collect()
}

/// Everything is ready, all of the history is in both replicas, and every target is scraped.
fn look() -> Result<(), String> {
    try_stack_command("present").map_err(|error| format!("it is not ready: {error}"))?;
    let claims = try_kubectl(&["get", "persistentvolumeclaims", "--all-namespaces", "--no-headers"])?;
    if let Some(claim) = claims.lines().find(|claim| !claim.contains(" Bound ")) {
        return Err(format!("a claim is not bound: {claim}"));
    }
    for replica in REPLICAS {
        let (samples, wanted) = (Seed::samples_in(replica)?, Seed::read().samples_of_a_series());
        if samples != wanted {
            return Err(format!("{replica} has {samples} samples of a series, not {wanted}"));
        }
    }
    Witness::settled().map(drop)
}

#[expect(clippy::print_stderr, reason = "the test runner shows it when the test fails, or with --nocapture")]
fn tell(text: &str) {
    eprintln!("{text}");
}

fn stack_command(command: &str) {
    try_stack_command(command).unwrap_or_else(|error| panic!("stack.sh {command}: {error}"));
}

fn try_stack_command(command: &str) -> Result<String, String> {
    variable("TESTBED_DIR");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/lib/stack.sh");
    output(Command::new(script).arg(command).env("SEED", Seed::directory()), "")
}
