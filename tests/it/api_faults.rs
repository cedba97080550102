//! Backup and restore by the binary against a real API server that refuses, fails, forgets and stalls.

mod metrics;
mod missing;
mod permissions;
mod reading;
mod repeating;
mod round_trip;
mod run_lock;
mod slow;
mod writing;

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::control_plane::{ControlPlane, User};
use crate::support::fault_proxy::FaultProxy;
use crate::support::promsafe::{Ended, Promsafe};

/// What the Secret of the fixture holds.
const SECRET_VALUE: &str = "xyzzy-is-never-told";
/// The same as the API server spells it.
const SECRET_BASE64: &str = "eHl6enktaXMtbmV2ZXItdG9sZA==";

/// Namespaces of the fixture; `N` is the name of the test.
const NAMESPACES: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: N-monitoring, labels: {team: a}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: N-apps}}
";

/// Objects of the fixture in these namespaces.
const NAMESPACED: &str = "
{apiVersion: v1, kind: Secret, metadata: {name: config, namespace: N-monitoring}, stringData: {token: xyzzy-is-never-told}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: N-monitoring}, data: {k: v}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: N-monitoring}, spec: {ports: [{port: 80}], selector: {a: b}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: prometheus, namespace: N-monitoring}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: app, namespace: N-apps}, data: {k: v}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: scraped, namespace: N-apps}
rules: [{apiGroups: [''], resources: [pods], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: scraped, namespace: N-apps}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: scraped}
subjects: [{kind: ServiceAccount, name: prometheus, namespace: N-monitoring}]
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: app, namespace: N-apps}
spec: {groups: [{name: g, rules: [{record: a:b, expr: up}]}]}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: app, namespace: N-apps}
spec: {selector: {matchLabels: {a: b}}, endpoints: [{port: web}]}
---
";

/// Its objects outside of namespaces.
const CLUSTER_SCOPED: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: N-prometheus}
rules: [{apiGroups: [''], resources: [nodes], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: N-prometheus}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: N-prometheus}
subjects: [{kind: ServiceAccount, name: prometheus, namespace: N-monitoring}]
";

/// What a restore creates after [`Stack::lose`].
const LOST: u64 = 11;
/// What a backup holds: these, two Namespaces, ten CRDs.
const SAVED: u64 = LOST + 2 + 10;

/// Objects of one test on a control plane, in namespaces of the test's own, and a store for their backup.
struct Stack<'a> {
    name: &'static str,
    control_plane: &'a ControlPlane,
    store: TempDir,
    promsafe: Promsafe,
}

impl<'a> Stack<'a> {
    /// Makes the objects.
    fn on(control_plane: &'a ControlPlane, name: &'static str) -> Self {
        let store = tempfile::tempdir().unwrap();
        let kubeconfig = control_plane.kubeconfig(User::Admin);
        let promsafe = Promsafe::default().with_directory(store.path()).with_kubeconfig(&kubeconfig).without_lock();
        let stack = Self { name, control_plane, store, promsafe };
        control_plane.apply(&stack.named(NAMESPACES));
        control_plane.apply(&stack.objects());
        stack
    }

    /// A text of the fixture with the names of this test.
    fn named(&self, text: &str) -> String {
        text.replace("N-", &format!("{}-", self.name))
    }

    /// All objects but the namespaces.
    fn objects(&self) -> String {
        self.named(NAMESPACED) + &self.named(CLUSTER_SCOPED)
    }

    /// The binary, with its requests led through a proxy.
    fn through(&self, proxy: &FaultProxy) -> Promsafe {
        self.promsafe.clone().with_kubeconfig(&proxy.kubeconfig(User::Admin))
    }

    /// The command line of a backup of this test's namespaces.
    fn backup(&self) -> String {
        self.named("backup --volumes none -o json -n N-monitoring -n N-apps")
    }

    /// Makes a backup that must be whole.
    async fn back_up(&self) {
        let ended = self.promsafe.run(&self.backup()).await.with(0);
        assert_eq!(ended.json()["backup"]["objects"], SAVED, "{ended:#?}");
    }

    /// Deletes all but the namespaces: without a controller these would never go.
    fn lose(&self) {
        self.control_plane.kubectl(&["delete", "--filename=-"], &self.objects());
    }

    /// Which objects there are, with their versions.
    fn versions(&self) -> String {
        let columns = "custom-columns=K:.kind,NS:.metadata.namespace,N:.metadata.name,V:.metadata.resourceVersion";
        let arguments = ["get", "--filename=-", "--ignore-not-found", "--no-headers", "--output", columns];
        self.control_plane.kubectl(&arguments, &self.objects())
    }

    /// How many backups the store holds, and what else.
    fn files(&self) -> usize {
        fn count(directory: &Path) -> usize {
            let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
            entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(self.store.path())
    }
}

const RESTORE: &str = "restore latest --include-cluster-scoped -o json";

/// Asserts that a restore created so many objects.
#[track_caller]
fn created(ended: &Ended, count: u64) {
    assert_eq!(ended.json()["created"], count, "{ended:#?}");
}

/// A field of a result as a list.
#[track_caller]
fn list<'a>(result: &'a Value, field: &str) -> &'a Vec<Value> {
    result[field].as_array().unwrap_or_else(|| panic!("{field} is no list in {result}"))
}
