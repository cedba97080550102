//! What takes snapshots: the three CRDs, snapshot-controller, each driver's csi-snapshotter, and its CSIDriver object. Whether
//! the two programs live is told by what they leave: a Lease that is renewed, else pods that are Ready. Where they run outside
//! the cluster's sight neither is there, and that is said.
//!
//! Facts: external-snapshotter `cmd/snapshot-controller/main.go` and `cmd/csi-snapshotter/main.go` (names of the Leases),
//! csi-lib-utils `leaderelection/leader_election.go` (how a name becomes one of a Lease; 15 s between renewals at most).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Check;
use super::check::Group;
use super::listing::{self, Condition, Metadata};
use crate::cluster::Cluster;
use crate::model::{GroupKind, Inventory, ObjectKey, ServedKinds};
use crate::preflight::snapshot_api;
use crate::words;

/// A Lease not renewed for so long has no holder: eight times what a holder may take, for clocks that differ.
const STALE_AFTER_SECONDS: i64 = 120;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Lease {
    metadata: Metadata,
    spec: LeaseSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaseSpec {
    renew_time: Option<Timestamp>,
    holder_identity: Option<String>,
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default)]
    metadata: Metadata,
    spec: Box<RawValue>,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    image: String,
}

impl Pod {
    fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True")
    }

    fn runs(&self, program: &str) -> bool {
        let spec: PodSpec = serde_json::from_str(self.spec.get()).unwrap_or_default();
        spec.containers.iter().any(|container| program_of(&container.image) == program)
    }
}

/// The last part of an image's path: `registry.k8s.io/sig-storage/csi-snapshotter:v8.6.0` gives `csi-snapshotter`.
fn program_of(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split(['@', ':']).next().unwrap_or_default()
}

/// One program that has to live.
struct Program<'a> {
    /// As its image is called.
    name: &'a str,
    /// Its Lease when several replicas of it elect a leader.
    lease: String,
    /// What its pod's specification holds, if that tells it from others of its kind: a driver's name.
    of: Option<&'a str>,
}

/// One line for the CRDs and each program and driver.
pub(super) async fn checks(cluster: &Cluster, served: &ServedKinds, inventory: &Inventory) -> Vec<Check> {
    let missing = snapshot_api(served);
    if !missing.is_empty() {
        let failed =
            missing.into_iter().map(|one| Group::Snapshots.failed(format!("{}: {}", one.object, one.why), one.fix));
        return failed.collect();
    }
    let mut checks =
        vec![Group::Snapshots.ok("VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass are served")];
    let drivers: BTreeSet<&str> = inventory.volumes.iter().filter_map(|volume| volume.driver.as_deref()).collect();
    let mut programs =
        vec![Program { name: "snapshot-controller", lease: "snapshot-controller-leader".to_owned(), of: None }];
    programs.extend(drivers.iter().map(|driver| Program {
        name: "csi-snapshotter",
        lease: lease_name(&format!("external-snapshotter-leader-{driver}")),
        of: Some(driver),
    }));
    checks.extend(living(cluster, served, &programs).await);
    for driver in drivers {
        checks.push(driver_object(cluster, driver).await);
    }
    checks
}

/// As `sanitizeName` of csi-lib-utils makes it.
fn lease_name(name: &str) -> String {
    let mut name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    if name.ends_with('-') {
        name.push('X');
    }
    name
}

async fn living(cluster: &Cluster, served: &ServedKinds, programs: &[Program<'_>]) -> Vec<Check> {
    let leases = listing::all::<Lease>(cluster, served, GroupKind("coordination.k8s.io", "Lease")).await;
    let leases = leases.unwrap_or_default();
    let now = Timestamp::now();
    let by_lease: Vec<_> = programs.iter().map(|program| renewed(program, &leases, now)).collect();
    if by_lease.iter().all(Option::is_some) {
        return by_lease.into_iter().flatten().collect();
    }
    // A list of all pods is long: only where no Lease tells.
    let pods = listing::all::<Pod>(cluster, served, GroupKind("", "Pod")).await;
    let tell = |(program, by_lease): (&Program<'_>, Option<Check>)| match (by_lease, &pods) {
        (Some(check), _) => check,
        (None, Ok(pods)) => by_pods(program, pods),
        (None, Err(error)) => unknown(program, &words::chain(error)),
    };
    programs.iter().zip(by_lease).map(tell).collect()
}

fn renewed(program: &Program<'_>, leases: &[Lease], now: Timestamp) -> Option<Check> {
    let lease = leases.iter().find(|lease| {
        let age = lease.spec.renew_time.map(|at| now.duration_since(at).as_secs());
        lease.metadata.name == program.lease && age.is_some_and(|age| age < STALE_AFTER_SECONDS)
    })?;
    let holder = lease.spec.holder_identity.as_deref().unwrap_or("nobody");
    let place = format!("{}/{}", lease.metadata.namespace, lease.metadata.name);
    Some(Group::Snapshots.ok(format!("{program} is alive: {holder} renews Lease {place}")))
}

fn by_pods(program: &Program<'_>, pods: &[Pod]) -> Check {
    let of = |pod: &&Pod| program.of.is_none_or(|driver| pod.spec.get().contains(driver));
    let running: Vec<&Pod> = pods.iter().filter(|pod| pod.runs(program.name)).filter(of).collect();
    let name = |pod: &Pod| format!("{}/{}", pod.metadata.namespace, pod.metadata.name);
    match (running.iter().find(|pod| pod.is_ready()), running.first()) {
        (Some(pod), _) => Group::Snapshots.ok(format!("{program} is alive: Pod {} is Ready", name(pod))),
        (None, Some(pod)) => Group::Snapshots.failed(
            format!("{program} does not run: none of its {} pods is Ready, such as {}", running.len(), name(pod)),
            format!("kubectl -n {} describe pod {}", pod.metadata.namespace, pod.metadata.name),
        ),
        (None, None) => unknown(program, "no Lease of it is renewed and no pod runs an image of that name"),
    }
}

/// What a snapshot test with this driver has shown to live is no longer unknown.
pub(super) fn proven(checks: &mut [Check], driver: &str) {
    let lease = String::new;
    let programs = [
        Program { name: "snapshot-controller", lease: lease(), of: None },
        Program { name: "csi-snapshotter", lease: lease(), of: Some(driver) },
    ];
    for program in programs {
        let unknown = could_not_tell(&program);
        for check in checks.iter_mut().filter(|check| check.seen.starts_with(&unknown)) {
            *check = Group::Snapshots.ok(format!("{program} is alive: it served the snapshot test"));
        }
    }
}

fn could_not_tell(program: &Program<'_>) -> String {
    format!("could not tell whether {program} is alive: ")
}

fn unknown(program: &Program<'_>, why: &str) -> Check {
    Group::Snapshots.warning(
        format!("{}{why}", could_not_tell(program)),
        "promsafe doctor --snapshot-test finds out by taking a snapshot; it may run outside of the cluster",
    )
}

impl std::fmt::Display for Program<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.of {
            Some(driver) => write!(f, "{} of {driver}", self.name),
            None => f.write_str(self.name),
        }
    }
}

async fn driver_object(cluster: &Cluster, driver: &str) -> Check {
    let key = ObjectKey::cluster_scoped("storage.k8s.io", "CSIDriver", "csidrivers", driver);
    match cluster.get(&key, "storage.k8s.io/v1").await {
        Ok(Some(_)) => Group::Snapshots.ok(format!("{key} is there")),
        Ok(None) => Group::Snapshots.warning(
            format!("{key} is not there, though claims are served by it"),
            "install the driver again; its volumes cannot be mounted on a node that lost it",
        ),
        Err(error) => Group::Snapshots.skipped(words::chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn programs_are_known_by_the_end_of_their_image() {
        assert_eq!(program_of("registry:5000/a/csi-snapshotter:v8.6.0"), "csi-snapshotter");
        assert_eq!(program_of("mirror/snapshot-controller@sha256:00"), "snapshot-controller");
        assert_eq!(program_of("busybox"), "busybox");
    }

    #[test]
    fn leases_are_named_as_csi_lib_utils_names_them() {
        assert_eq!(
            lease_name("external-snapshotter-leader-ebs.csi.aws.com"),
            "external-snapshotter-leader-ebs-csi-aws-com"
        );
        assert_eq!(lease_name("a."), "a-X");
    }

    fn pod(name: &str, image: &str, socket: &str, ready: &str) -> Pod {
        let pod = json!({
            "metadata": {"namespace": "csi", "name": name},
            "spec": {"containers": [{"image": image}], "volumes": [{"hostPath": {"path": socket}}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        });
        serde_json::from_str(&pod.to_string()).unwrap()
    }

    #[test]
    fn sidecar_counts_only_for_its_own_driver_and_only_when_ready() {
        let program = Program { name: "csi-snapshotter", lease: String::new(), of: Some("a.csi") };
        let image = "x/csi-snapshotter:v8";
        let verdict = |pods: &[Pod]| by_pods(&program, pods).verdict;
        assert_eq!(verdict(&[pod("p", image, "/plugins/b.csi", "True")]), Verdict::Warning);
        assert_eq!(verdict(&[pod("p", image, "/plugins/a.csi", "False")]), Verdict::Failed);
        let both = [pod("p", image, "/plugins/a.csi", "False"), pod("q", image, "/plugins/a.csi", "True")];
        assert_eq!(verdict(&both), Verdict::Ok);
    }

    #[test]
    fn snapshot_test_proves_the_controller_and_its_own_driver_alone() {
        let of = |driver| Program { name: "csi-snapshotter", lease: String::new(), of: Some(driver) };
        let controller = Program { name: "snapshot-controller", lease: String::new(), of: None };
        let mut checks = [unknown(&controller, "x"), unknown(&of("a.csi"), "x"), unknown(&of("a.csi.b"), "x")];
        proven(&mut checks, "a.csi");
        assert_eq!(checks.map(|check| check.verdict), [Verdict::Ok, Verdict::Ok, Verdict::Warning]);
    }

    #[test]
    fn lease_tells_only_while_it_is_renewed() {
        let program = Program { name: "snapshot-controller", lease: "snapshot-controller-leader".into(), of: None };
        let lease = |renewed: &str| {
            let lease = json!({"metadata": {"name": program.lease}, "spec": {"renewTime": renewed}});
            [serde_json::from_value::<Lease>(lease).unwrap()]
        };
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert!(renewed(&program, &lease("2026-11-21T11:59:50.000000Z"), now).is_some());
        assert!(renewed(&program, &lease("2026-11-21T11:50:00.000000Z"), now).is_none());
    }
}
