//! promsafe under the roles it prints itself, on a real API server with RBAC: each run has all it needs, and each rule taken
//! away is missed, in words.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use promsafe::access::{Need, Run, Where, accesses};
use promsafe::cluster::Access;
use promsafe::model::Timeouts;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::commands::{KEPT_ID, copy_kept};
use crate::support::control_plane::{ControlPlane, Start, User, connect};
use crate::support::promsafe::{Ended, Promsafe};

/// Where the accounts of these tests live.
const HOME: &str = "promsafe";
const NAMESPACES: [&str; 2] = ["monitoring", "apps"];
const EVERY_NEED: [Need; 10] = [
    Need::Reading,
    Need::Named,
    Need::Plan,
    Need::Snapshots,
    Need::Copy,
    Need::Fingerprint,
    Need::Login,
    Need::Endpoints,
    Need::Lock,
    Need::SnapshotTest,
];

/// A Prometheus with its pod and a bound claim, as the operator, the StatefulSet controller and the binder leave them.
const OBJECTS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: promsafe}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: monitoring}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: apps}}
---
{apiVersion: v1, kind: Secret, metadata: {name: config, namespace: monitoring}, stringData: {token: xyzzy}}
---
{apiVersion: v1, kind: Secret, metadata: {name: foreign, namespace: default}, stringData: {token: xyzzy}}
---
{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: btrfs.csi.promsafe.test}, spec: {attachRequired: false}}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: {name: roles}
driver: btrfs.csi.promsafe.test
deletionPolicy: Delete
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: roles}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 1Gi}
  csi: {driver: btrfs.csi.promsafe.test, volumeHandle: roles}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: db-0, namespace: monitoring}
spec: {volumeName: roles, storageClassName: '', accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: k8s, namespace: monitoring}
spec: {}
";

/// What stands in for the operator: objects with an owner, which needs its UID.
fn owned(uid: &str) -> String {
    let owner = |version: &str, kind: &str, name: &str| json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true}]);
    let labels = json!({"a": "b"});
    let pod = json!({"containers": [{"name": "prometheus", "image": "x"}],
        "volumes": [{"name": "db", "persistentVolumeClaim": {"claimName": "db-0"}}]});
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "prometheus-k8s", "namespace": "monitoring",
            "ownerReferences": owner("monitoring.coreos.com/v1", "Prometheus", "k8s")},
        "spec": {"serviceName": "x", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod}}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "prometheus-k8s-0", "namespace": "monitoring",
            "ownerReferences": owner("apps/v1", "StatefulSet", "prometheus-k8s")},
        "spec": pod});
    format!("{set}\n---\n{pod}\n")
}

/// A control plane of these tests' own, with that Prometheus.
async fn control_plane() -> &'static ControlPlane {
    static OWN: OnceCell<ControlPlane> = OnceCell::const_new();
    OWN.get_or_init(|| async {
        let control_plane = ControlPlane::start(Start::WithCrds).await;
        control_plane.apply(OBJECTS);
        let bound = r#"{"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}"#;
        let claim = ["--namespace=monitoring", "patch", "persistentvolumeclaim", "db-0", "--subresource=status"];
        control_plane.kubectl(&[&claim[..], &["--type=merge", "--patch", bound]].concat(), "");
        // Admission gives pods the account default, which a controller would make.
        control_plane.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: monitoring}}");
        let uid = ["--namespace=monitoring", "get", "prometheus", "k8s", "--output=jsonpath={.metadata.uid}"];
        control_plane.apply(&owned(&control_plane.kubectl(&uid, "")));
        control_plane
    })
    .await
}

/// What `promsafe rbac` prints for a run with volumes saved like this.
async fn printed(run: Run, namespaces: &[&str], account: &str, volumes: &str) -> Vec<Value> {
    let limited = namespaces.iter().fold(String::new(), |line, namespace| format!("{line} -n {namespace}"));
    let line = format!(
        "rbac {}{limited} --volumes {volumes} --service-account {account} --service-account-namespace {HOME} --output json",
        run.name()
    );
    Promsafe::default().run(&line).await.with(0).json()["items"].as_array().unwrap().clone()
}

/// A service account that holds these roles and nothing else.
struct Holder {
    name: String,
    kubeconfig: PathBuf,
    /// What a rule that was taken away granted: verbs and resources.
    missing: Option<(Vec<String>, Vec<String>)>,
}

impl Holder {
    async fn of(name: String, manifests: Vec<Value>) -> Self {
        let control_plane = control_plane().await;
        control_plane.apply(&json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string());
        let token = control_plane.kubectl(&["--namespace", HOME, "create", "token", &name], "");
        let admin = std::fs::read_to_string(control_plane.kubeconfig(User::Admin)).unwrap();
        let kubeconfig = control_plane.directory().join(format!("{name}.kubeconfig"));
        std::fs::write(&kubeconfig, admin.replace(&User::Admin.token(), token.trim())).unwrap();
        let holder = Self { name, kubeconfig, missing: None };
        holder.wait_for(&manifests).await;
        holder
    }

    /// Waits until the rules have come through: the API server learns of them by watching.
    async fn wait_for(&self, manifests: &[Value]) {
        let cluster = connect(&self.kubeconfig, &Timeouts::default()).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        for role in manifests.iter().filter(|object| object["rules"].is_array()) {
            for rule in role["rules"].as_array().unwrap() {
                let (resource, subresource) = match strings(&rule["resources"])[0].split_once('/') {
                    Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
                    None => (strings(&rule["resources"])[0].clone(), None),
                };
                let access = Access {
                    verb: strings(&rule["verbs"])[0].clone(),
                    group: strings(&rule["apiGroups"])[0].clone(),
                    resource,
                    subresource,
                    namespace: role["metadata"]["namespace"].as_str().map(str::to_owned),
                };
                let name = rule["resourceNames"][0].as_str().unwrap_or_default();
                while !cluster.allowed_on(&access, name).await.unwrap() {
                    assert!(Instant::now() < deadline, "{access} never took effect for {}", self.name);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Those that lack a rule run several at once, so without the run lock; `run_lock` tells what they say without its rules.
    fn promsafe(&self) -> Promsafe {
        let promsafe = Promsafe::default().with_kubeconfig(&self.kubeconfig);
        if self.missing.is_some() { promsafe.without_lock() } else { promsafe.with_lock_in(HOME).waiting_for_lock() }
    }

    /// Asserts that a run says which permission is missing and that it changed nothing.
    #[track_caller]
    fn is_missed_by(&self, ended: &Ended) {
        let (verbs, resources) = self.missing.as_ref().unwrap();
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(4), "without {verbs:?} on {resources:?}: {ended:#?}");
        let any_resource = resources == &["*"];
        let named = verbs.iter().any(|verb| {
            resources.iter().any(|resource| {
                let resource = resource.split('/').next().unwrap();
                let lines = said.lines().filter(|line| any_resource || line.contains(resource));
                let words = [format!("not allowed to {verb} "), format!("no permission to {verb} ")];
                lines.into_iter().any(|line| words.iter().any(|word| line.contains(word)))
            })
        });
        assert!(named, "{verbs:?} on {resources:?} is missing, and not named: {ended:#?}");
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// An account with all that is printed.
async fn whole(run: Run, namespaces: &[&str], volumes: &str) -> Holder {
    let name = format!("whole-{volumes}-{}-{}", run.name(), namespaces.len());
    let manifests = printed(run, namespaces, &name, volumes).await;
    Holder::of(name, manifests).await
}

/// What no run of these tests can miss: the run lock, a Prometheus that demands a login, kinds of cert-manager, which is not
/// here.
const NEVER_MISSED: [&str; 5] = ["leases", "pods", "pods/portforward", "issuers", "clusterissuers"];

/// For each rule of what is printed an account that lacks it, but for those never missed and bindings of namespaces that are
/// not asked for, without which a backup of namespaces goes on.
async fn each_lacking_a_rule(run: Run, namespaces: &[&str]) -> Vec<Holder> {
    let mut holders = Vec::new();
    for (at, role) in printed(run, namespaces, "x", "snapshot").await.iter().enumerate() {
        for (index, rule) in role["rules"].as_array().into_iter().flatten().enumerate() {
            let resources = strings(&rule["resources"]);
            let elsewhere = !namespaces.is_empty() && role["kind"] == "ClusterRole" && run == Run::Backup;
            if NEVER_MISSED.contains(&resources[0].as_str()) || elsewhere && resources[0] == "roles" {
                continue;
            }
            let name = format!("{}-{}-lacks-{at}-{index}", run.name(), namespaces.len());
            let mut manifests = printed(run, namespaces, &name, "snapshot").await;
            manifests[at]["rules"].as_array_mut().unwrap().remove(index);
            let mut holder = Holder::of(name, manifests).await;
            holder.missing = Some((strings(&rule["verbs"]), resources));
            holders.push(holder);
        }
    }
    assert!(holders.len() > 5, "{} rules are too few", holders.len());
    holders
}

fn limited(namespaces: &[&str]) -> String {
    namespaces.iter().fold(String::new(), |line, namespace| format!("{line} -n {namespace}"))
}

/// A backup that cannot get its snapshot ready, as there is no controller: all but that is done and undone.
async fn back_up(holder: &Holder, namespaces: &[&str]) -> Ended {
    let store = tempfile::tempdir().unwrap();
    let promsafe = holder.promsafe().with_directory(store.path());
    let ended = promsafe.run(&format!("backup --snapshot-timeout 1s{}", limited(namespaces))).await;
    assert!(!store.path().join("backups").exists() || ended.code == Some(8), "{ended:#?}");
    ended
}

async fn backups_miss_each_rule(namespaces: &[&str]) {
    let whole = whole(Run::Backup, namespaces, "snapshot").await;
    back_up(&whole, namespaces).await.with(8).says(&["deletion asked for: VolumeSnapshot monitoring/"]);
    let left = control_plane().await.kubectl(&["get", "volumesnapshots", "--all-namespaces", "--output=name"], "");
    assert_eq!(left, "", "its own role does not let it clean up");
    for lacking in each_lacking_a_rule(Run::Backup, namespaces).await.chunks(4) {
        let ended = join_all(lacking.iter().map(|holder| back_up(holder, namespaces))).await;
        lacking.iter().zip(&ended).for_each(|(holder, ended)| holder.is_missed_by(ended));
    }
    let left = control_plane().await.kubectl(&["get", "volumesnapshots", "--all-namespaces", "--output=name"], "");
    assert_eq!(left, "", "a refused backup made snapshots");
}

#[tokio::test]
async fn backup_has_all_it_needs_by_its_roles_and_names_each_rule_it_lacks() {
    // One after the other: a backup of the whole cluster sees the snapshots of the other.
    backups_miss_each_rule(&[]).await;
    backups_miss_each_rule(&["monitoring"]).await;
}

/// Copies are refused in any case here, as no Job reaches a directory of this machine; what else is refused is what counts.
async fn copy(holder: &Holder) -> Ended {
    let store = tempfile::tempdir().unwrap();
    let promsafe = holder.promsafe().with_directory(store.path());
    promsafe.run("backup --volumes copy -n monitoring").await.with(4).says(&["is a directory of this machine"])
}

#[tokio::test]
async fn backup_that_copies_names_each_rule_of_copies_it_lacks_and_the_default_role_has_none_of_them() {
    let namespaces = ["monitoring"];
    let has_all = whole(Run::Backup, &namespaces, "copy").await;
    copy(&has_all).await.never_says(&["no permission"]);
    let has_none = whole(Run::Backup, &namespaces, "snapshot").await;
    copy(&has_none).await.says(&["no permission to create jobs.batch", "no permission to create secrets"]);
    let default = printed(Run::Backup, &namespaces, "x", "snapshot").await;
    let mut lacking = 0;
    for (at, role) in printed(Run::Backup, &namespaces, "x", "copy").await.iter().enumerate() {
        for (index, rule) in role["rules"].as_array().into_iter().flatten().enumerate() {
            if default[at]["rules"].as_array().unwrap().contains(rule) {
                continue;
            }
            let name = format!("copy-lacks-{at}-{index}");
            let mut manifests = printed(Run::Backup, &namespaces, &name, "copy").await;
            manifests[at]["rules"].as_array_mut().unwrap().remove(index);
            let mut holder = Holder::of(name, manifests).await;
            holder.missing = Some((strings(&rule["verbs"]), strings(&rule["resources"])));
            holder.is_missed_by(&copy(&holder).await);
            lacking += 1;
        }
    }
    assert!(lacking >= 4, "{lacking} rules are too few");
}

/// What the kept backup holds nothing of: roles and bindings of a namespace, a webhook. `app` serves the webhook.
const GRANTS: &str = "
{apiVersion: v1, kind: ServiceAccount, metadata: {name: app, namespace: apps}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: app, namespace: apps}
rules: [{apiGroups: [''], resources: [secrets], verbs: ['*']}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: app, namespace: apps}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: app}
subjects: [{kind: ServiceAccount, name: app, namespace: apps}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: app-views, namespace: apps}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: app, namespace: apps}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: roles-app}
rules: [{apiGroups: [''], resources: [nodes], verbs: ['*']}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: roles-app}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: roles-app}
subjects: [{kind: ServiceAccount, name: app, namespace: apps}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: roles-app}
webhooks:
- name: app.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  clientConfig: {service: {namespace: apps, name: app}}
  rules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [nothings]}]
";
/// How many these are.
const GRANTED: u64 = 7;
/// The backend of the webhook, with what the endpoint controller makes of it.
const BACKEND: &str = "
{apiVersion: v1, kind: Service, metadata: {name: app, namespace: apps}, spec: {ports: [{port: 443}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app, namespace: apps, labels: {kubernetes.io/service-name: app}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
";

/// A store with the kept backup, and one with a backup of what is then lost.
async fn stores() -> [tempfile::TempDir; 2] {
    let (control_plane, stores) = (control_plane().await, [(); 2].map(|()| tempfile::tempdir().unwrap()));
    copy_kept(stores[0].path(), KEPT_ID);
    control_plane.apply(&format!("{GRANTS}---{BACKEND}"));
    let admin = Promsafe::default().with_kubeconfig(&control_plane.kubeconfig(User::Admin)).waiting_for_lock();
    admin.with_directory(stores[1].path()).run("backup --volumes none -n apps").await.with(0);
    lose(control_plane);
    stores
}

fn lose(control_plane: &ControlPlane) {
    control_plane.kubectl(&["delete", "--filename=-"], GRANTS);
}

async fn restore(holder: &Holder, store: &tempfile::TempDir, options: &str) -> Ended {
    let promsafe = holder.promsafe().with_directory(store.path());
    promsafe.run(&format!("restore --include-cluster-scoped -o json {options}")).await
}

#[tokio::test]
async fn restore_has_all_it_needs_by_its_roles_and_names_each_rule_it_lacks() {
    let [kept, lost] = stores().await;
    for lacking in each_lacking_a_rule(Run::Restore, &[]).await.chunks(4) {
        let plan = async |holder: &Holder, store| restore(holder, store, "--plan").await;
        let ended = lacking.iter().map(async |holder| [plan(holder, &kept).await, plan(holder, &lost).await]);
        for (holder, [of_kept, of_lost]) in lacking.iter().zip(join_all(ended).await) {
            holder.is_missed_by(if of_kept.code == Some(0) { &of_lost } else { &of_kept });
        }
    }
    let cluster_wide = whole(Run::Restore, &[], "snapshot").await;
    restore(&cluster_wide, &kept, "--plan").await.with(0);
    for (holder, options) in [(cluster_wide, ""), (whole(Run::Restore, &["apps"], "snapshot").await, "-n apps")] {
        let ended = restore(&holder, &lost, options).await.with(0);
        assert_eq!(ended.json()["created"], GRANTED, "{ended:#?}");
        lose(control_plane().await);
    }
}

#[tokio::test]
async fn every_access_of_the_table_is_allowed_by_the_roles_and_no_secret_elsewhere() {
    for run in Run::ALL {
        for namespaces in [&[][..], &NAMESPACES[..]] {
            let holder = whole(run, namespaces, "copy").await;
            let cluster = connect(&holder.kubeconfig, &Timeouts::default()).await;
            let captured: Vec<String> = namespaces.iter().map(|&namespace| namespace.to_owned()).collect();
            let at = Where { captured: &captured, own: Some(HOME) };
            for needed in accesses(run, &EVERY_NEED, at) {
                let name = needed.name.unwrap_or_default();
                let access = Access::from(needed);
                assert!(cluster.allowed_on(&access, name).await.unwrap(), "{} may not {access}", holder.name);
            }
            let secrets = |verb: &str, namespace: &str| Access {
                verb: verb.to_owned(),
                group: String::new(),
                resource: "secrets".to_owned(),
                subresource: None,
                namespace: Some(namespace.to_owned()),
            };
            for verb in ["get", "list", "watch", "create"] {
                let allowed = cluster.allowed(&secrets(verb, "default")).await.unwrap();
                assert!(!allowed || namespaces.is_empty(), "{} may {verb} Secrets of default", holder.name);
            }
        }
    }
}
