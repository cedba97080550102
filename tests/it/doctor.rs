//! What `promsafe doctor` says of clusters and stores that lack something, against a real API server and a real S3 server.

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Duration, Instant};

use crate::support::control_plane::{ControlPlane, Start, User};
use crate::support::promsafe::{Ended, Promsafe};
use crate::support::s3::S3Server;

/// A claim that is bound to a volume of a CSI driver, in a namespace of the test, as a provisioner would leave it.
const CLAIM: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: N-doctor}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: N-doctor}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  csi: {driver: csi.test, volumeHandle: v}
  claimRef: {namespace: N-doctor, name: db}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: db, namespace: N-doctor}
spec: {storageClassName: '', volumeName: N-doctor, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
";

/// The binary with a store and the claim.
struct Case<'a> {
    name: &'static str,
    control_plane: &'a ControlPlane,
    promsafe: Promsafe,
    _store: TempDir,
}

impl<'a> Case<'a> {
    fn on(control_plane: &'a ControlPlane, name: &'static str) -> Self {
        control_plane.apply(&CLAIM.replace("N-", &format!("{name}-")));
        let bound = r#"{"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}"#;
        let namespace = format!("--namespace={name}-doctor");
        let patch = ["patch", "pvc", "db", &namespace, "--subresource=status", "--type=merge", "--patch", bound];
        control_plane.kubectl(&patch, "");
        let store = tempfile::tempdir().unwrap();
        let kubeconfig = control_plane.kubeconfig(User::Admin);
        let promsafe = Promsafe::default().with_directory(store.path()).with_kubeconfig(&kubeconfig);
        Self { name, control_plane, promsafe, _store: store }
    }

    async fn doctor(&self, as_user: User) -> Ended {
        let promsafe = self.promsafe.clone().with_kubeconfig(&self.control_plane.kubeconfig(as_user));
        promsafe.run(&format!("doctor -o json -n {}-doctor", self.name)).await
    }
}

/// `seen` and `hint` of the checks of a group that came out so.
#[track_caller]
fn checks(ended: &Ended, group: &str, verdict: &str) -> String {
    let result = ended.json();
    let all = result["checks"].as_array().unwrap();
    let wanted = all.iter().filter(|check| check["group"] == group && check["result"] == verdict);
    let text = |check: &Value| format!("{} | {}", check["seen"], check["hint"]);
    let found: Vec<_> = wanted.map(text).collect();
    assert!(!found.is_empty(), "no check of {group} is {verdict}: {ended:#?}");
    found.join("\n")
}

#[track_caller]
fn holds(text: &str, words: &[&str]) {
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
    assert!(missing.is_empty(), "{missing:?} is missing in {text}");
}

fn snapshot_class(name: &str) -> String {
    format!(
        "{{apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshotClass, metadata: {{name: {name}}}, \
         driver: csi.test, deletionPolicy: Delete}}"
    )
}

#[tokio::test]
async fn doctor_names_what_snapshots_lack() {
    let control_plane = ControlPlane::start(Start::WithCrds).await;
    let case = Case::on(&control_plane, "lacking");
    let ended = case.doctor(User::Admin).await.with(4);
    holds(
        &checks(&ended, "claims", "failed"),
        &["lacking-doctor/db", "no VolumeSnapshotClass has its driver csi.test"],
    );
    holds(
        &checks(&ended, "snapshots", "warning"),
        &["snapshot-controller", "csi-snapshotter of csi.test", "CSIDriver"],
    );

    control_plane.apply(&snapshot_class("one"));
    let ended = case.doctor(User::Admin).await.with(0);
    holds(&checks(&ended, "claims", "ok"), &["Bound, 1Gi", "ReadWriteOnce", "snapshot class one (Delete)"]);

    control_plane.apply(&snapshot_class("two"));
    let ended = case.doctor(User::Admin).await.with(4);
    holds(&checks(&ended, "claims", "failed"), &["one, two", "is-default-class=true"]);

    control_plane.kubectl(&["delete", "crd", "volumesnapshots.snapshot.storage.k8s.io"], "");
    let deadline = Instant::now() + Duration::from_secs(30);
    let ended = loop {
        let ended = case.doctor(User::Admin).await.with(4);
        if ended.stdout.contains("does not serve VolumeSnapshot ") || Instant::now() > deadline {
            break ended;
        }
    };
    holds(&checks(&ended, "snapshots", "failed"), &["does not serve VolumeSnapshot ", "install the CSI snapshot CRDs"]);
}

#[tokio::test]
async fn doctor_sees_the_machinery_by_its_leases_and_its_pods() {
    let control_plane = ControlPlane::start(Start::WithCrds).await;
    let case = Case::on(&control_plane, "living");
    let now = jiff::Timestamp::now();
    control_plane.apply(&format!(
        "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: snapshot-controller-leader, namespace: default}}\n\
         spec: {{holderIdentity: one, leaseDurationSeconds: 15, renewTime: '{now:.6}'}}\n---\n\
         {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: default, namespace: default}}}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: sidecar, namespace: default}}\n\
         spec: {{automountServiceAccountToken: false, containers: [{{name: c, image: x/csi-snapshotter:v8, args: [--address=/plugins/csi.test/s]}}]}}\n"
    ));
    let ended = case.doctor(User::Admin).await.with(4);
    holds(
        &checks(&ended, "snapshots", "ok"),
        &["snapshot-controller is alive: one renews Lease default/snapshot-controller-leader"],
    );
    holds(
        &checks(&ended, "snapshots", "failed"),
        &["csi-snapshotter of csi.test does not run", "describe pod sidecar"],
    );

    let ready = r#"{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}"#;
    control_plane.kubectl(&["patch", "pod", "sidecar", "--subresource=status", "--type=merge", "--patch", ready], "");
    let ended = case.doctor(User::Admin).await;
    holds(&checks(&ended, "snapshots", "ok"), &["csi-snapshotter of csi.test is alive: Pod default/sidecar is Ready"]);
}

#[tokio::test]
async fn doctor_names_dead_api_services() {
    let control_plane = ControlPlane::start(Start::WithCrds).await;
    let case = Case::on(&control_plane, "dead");
    control_plane.apply(&snapshot_class("one"));
    control_plane.apply(
        "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: v1beta1.metrics.example}\n\
         spec: {group: metrics.example, version: v1beta1, groupPriorityMinimum: 1, versionPriority: 1, \
         service: {name: gone, namespace: default}, insecureSkipTLSVerify: true}\n",
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let ended = case.doctor(User::Admin).await.with(0);
        if ended.stdout.contains("ServiceNotFound") {
            holds(
                &checks(&ended, "cluster", "warning"),
                &[
                    "APIService v1beta1.metrics.example",
                    "no namespace can be deleted",
                    "kubectl delete apiservice v1beta1.metrics.example",
                ],
            );
            return;
        }
        assert!(Instant::now() < deadline, "{ended:#?}");
    }
}

#[tokio::test]
async fn doctor_names_owners_that_would_undo_a_restore() {
    let case = Case::on(ControlPlane::shared().await, "owned");
    case.control_plane.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: owned-doctor, labels: \
         {kustomize.toolkit.fluxcd.io/name: stack, kustomize.toolkit.fluxcd.io/namespace: flux-system}}}\n---\n\
         {apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: owned-doctor, annotations: \
         {argocd.argoproj.io/tracking-id: 'mon:/ConfigMap:owned-doctor/b'}, labels: {app.kubernetes.io/instance: chart}}}\n",
    );
    let ended = case.doctor(User::Admin).await;
    holds(
        &checks(&ended, "gitops", "warning"),
        &[
            "Argo CD Application mon keeps 1 captured object",
            "flux suspend kustomization stack --namespace flux-system",
        ],
    );
    assert!(!ended.stdout.contains("chart"), "{ended:#?}");
}

#[tokio::test]
async fn doctor_names_every_missing_permission() {
    let case = Case::on(ControlPlane::shared().await, "unpermitted");
    let ended = case.doctor(User::Restricted).await.with(4);
    let missing = checks(&ended, "permissions", "failed");
    holds(&missing, &["backup: ", "list deployments.apps", "promsafe rbac backup | kubectl apply -f -"]);
}

#[tokio::test]
async fn doctor_checks_the_store_of_a_cluster_that_is_not_there_and_the_other_way_round() {
    let case = Case::on(ControlPlane::shared().await, "halves");
    case.control_plane.apply(&snapshot_class("one"));
    let text = std::fs::read_to_string(case.control_plane.kubeconfig(User::Admin)).unwrap();
    let stranger = case.control_plane.directory().join("stranger.kubeconfig");
    std::fs::write(&stranger, text.replace(&User::Admin.token(), "nobody-knows-me")).unwrap();
    let ended = case.promsafe.clone().with_kubeconfig(&stranger).run("doctor -o json").await.with(7);
    holds(&checks(&ended, "cluster", "failed"), &["does not accept the credentials", "--kubeconfig"]);
    holds(
        &checks(&ended, "store", "ok"),
        &["a probe was written, read and deleted", "If-None-Match", "no complete backup yet"],
    );

    let server = S3Server::that_refuses_us().await;
    let endpoint = server.options("").s3_endpoint.unwrap();
    let promsafe = Promsafe::default().with_store("s3://bucket/x").with_s3_endpoint(&endpoint);
    let promsafe = promsafe.with_kubeconfig(&case.control_plane.kubeconfig(User::Admin));
    let ended = promsafe.run("doctor -o json -n halves-doctor").await.with(7);
    holds(&checks(&ended, "store", "failed"), &["access key id", "AWS_ variables"]);
    holds(&checks(&ended, "cluster", "ok"), &["cluster uid"]);
    holds(&checks(&ended, "claims", "ok"), &["halves-doctor/db"]);

    let nowhere = Promsafe::default().with_store("/dev/null/backups").with_kubeconfig(&stranger);
    nowhere
        .run("doctor")
        .await
        .with(7)
        .says(&["STORE\n  failed   write: ", "CLAIMS\n  skipped  the cluster cannot be reached"]);
}

#[tokio::test]
async fn doctor_fails_when_the_store_cannot_be_written() {
    let case = Case::on(ControlPlane::shared().await, "unwritable");
    case.control_plane.apply(&snapshot_class("one"));
    let promsafe = case.promsafe.clone().with_store("/dev/null/backups");
    let ended = promsafe.run("doctor -o json -n unwritable-doctor").await.with(4);
    holds(&checks(&ended, "store", "failed"), &["write: ", "/dev/null/backups"]);
}
