//! What must hold before anything is written. Returns refusals in words; changes nothing.

mod permissions;

use serde::Deserialize;

use crate::access::{self, Need, Run, Where};
use crate::cluster::{Cluster, ClusterError};
use crate::model::{DataVolume, GroupKind, InstanceKind, Inventory, Refusal, ServedKinds};
use crate::plan::RestorePlan;
use crate::scope::SNAPSHOT_GROUP;
use crate::snapshots::Wanted;
use crate::store::Store;

/// What is saved of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeMode {
    /// A CSI `VolumeSnapshot`.
    Snapshot,
    /// A copy of its files in the store; the snapshot it is made from goes again.
    Copy,
    /// Both.
    Both,
    /// Nothing: objects only.
    None,
}

impl VolumeMode {
    /// Whether snapshots are taken, if only for a while.
    pub fn snapshots(self) -> bool {
        self != Self::None
    }

    /// Whether files are copied to the store.
    pub fn copies(self) -> bool {
        matches!(self, Self::Copy | Self::Both)
    }
}

/// The cluster could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("check {what}")]
pub struct PreflightError {
    /// What was checked.
    pub what: String,
    /// Why it could not be.
    #[source]
    pub source: ClusterError,
}

/// Whether a backup can be taken: which class snapshots which volume, or why not.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn backup(
    cluster: &Cluster,
    store: &Store,
    inventory: &Inventory,
    served: &ServedKinds,
    mode: VolumeMode,
) -> Result<Result<Vec<Wanted>, Vec<Refusal>>, PreflightError> {
    if inventory.objects == inventory.cluster_scoped_objects {
        return Ok(Err(vec![nothing_found()]));
    }
    let snapshots = mode.snapshots() && !inventory.volumes.is_empty();
    let copies = mode.copies() && snapshots;
    let mut refusals = if snapshots { snapshot_api(served) } else { Vec::new() };
    if !refusals.is_empty() {
        return Ok(Err(refusals));
    }
    let mut needs = vec![Need::Named];
    needs.extend(snapshots.then_some(Need::Snapshots));
    needs.extend(copies.then_some(Need::Copy));
    needs.extend(asks_prometheus(inventory).then_some(Need::Fingerprint));
    let at = Where { captured: &inventory.namespaces, own: None };
    let is_served = |needed: &access::Needed| {
        served.kinds.iter().any(|kind| kind.group == needed.group && kind.plural == needed.resource)
    };
    let accesses = access::accesses(Run::Backup, &needs, at).filter(is_served).collect();
    let classes = async { if snapshots { snapshot_classes(cluster, served).await } else { Ok(Vec::new()) } };
    let (classes, forbidden) = tokio::try_join!(classes, permissions::forbidden(cluster, accesses))?;
    let mut wanted = Vec::new();
    for volume in inventory.volumes.iter().filter(|_| snapshots) {
        match class_for(volume, &classes) {
            Ok(class) => wanted.push(Wanted { volume: volume.clone(), class }),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if copies {
        refusals.extend(out_of_reach(store));
        refusals.extend(block_volumes(cluster, &inventory.volumes).await?);
    }
    refusals.extend(forbidden);
    Ok(if refusals.is_empty() { Ok(wanted) } else { Err(refusals) })
}

fn asks_prometheus(inventory: &Inventory) -> bool {
    inventory.instances.iter().any(|instance| instance.kind == InstanceKind::Prometheus && !instance.pods.is_empty())
}

/// Whether a restore may write what its plan holds, wait for it and prove it.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn restore(cluster: &Cluster, store: &Store, plan: &RestorePlan) -> Result<Vec<Refusal>, PreflightError> {
    let mut refusals = permissions::forbidden(cluster, permissions::of_plan(plan)).await?;
    if plan.fills.iter().any(|fill| !fill.done) {
        refusals.extend(out_of_reach(store));
    }
    Ok(refusals)
}

/// Why no Job can use the store, if so: it runs on some node, and not on this machine.
fn out_of_reach(store: &Store) -> Option<Refusal> {
    let refused = |why: &str| Refusal {
        object: format!("store {}", store.url()),
        why: why.to_owned(),
        fix: "name a store that pods of the cluster reach: --store s3://BUCKET/PREFIX with --s3-endpoint".to_owned(),
    };
    let Some(remote) = store.remote() else {
        return Some(refused(
            "is a directory of this machine, and the Jobs that copy volumes run on the nodes of the cluster",
        ));
    };
    let host = remote.endpoint.split("://").nth(1).unwrap_or_default();
    let local = ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local));
    local.then(|| {
        refused("is at an address of this machine alone, where the Jobs that copy volumes would find themselves")
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Claim {
    spec: ClaimSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    volume_mode: Option<String>,
}

/// Refuses volumes without a file system: there are no files to copy.
async fn block_volumes(cluster: &Cluster, volumes: &[DataVolume]) -> Result<Vec<Refusal>, PreflightError> {
    let mut refusals = Vec::new();
    for volume in volumes {
        let key = crate::names::claim_key(&volume.namespace, &volume.claim);
        let text = cluster.get(&key, "v1").await;
        let text = text.map_err(|source| PreflightError { what: key.to_string(), source })?.unwrap_or_default();
        let mode = serde_json::from_str::<Claim>(&text).unwrap_or_default().spec.volume_mode;
        if mode.as_deref() == Some("Block") {
            refusals.push(Refusal {
                object: key.to_string(),
                why: "is a block volume: it has no files that could be copied".to_owned(),
                fix: "promsafe backup --volumes snapshot saves it as a snapshot".to_owned(),
            });
        }
    }
    Ok(refusals)
}

fn nothing_found() -> Refusal {
    Refusal {
        object: "cluster".to_owned(),
        why: "no Prometheus Operator and no Prometheus, Alertmanager, ThanosRuler or agent resource was found"
            .to_owned(),
        fix: "promsafe discover shows what was looked at; check --kubeconfig, --context and --namespace".to_owned(),
    }
}

/// Refuses when the cluster serves no snapshot objects.
pub(crate) fn snapshot_api(served: &ServedKinds) -> Vec<Refusal> {
    ["VolumeSnapshot", "VolumeSnapshotContent", "VolumeSnapshotClass"]
        .into_iter()
        .filter(|kind| served.find(GroupKind(SNAPSHOT_GROUP, kind)).is_none())
        .map(|kind| Refusal {
            object: format!("CustomResourceDefinition of {kind}"),
            why: format!("the cluster does not serve {kind} ({SNAPSHOT_GROUP}/v1), so no volume can be snapshotted"),
            fix: "install the CSI snapshot CRDs and snapshot-controller, or type: promsafe backup --volumes none"
                .to_owned(),
        })
        .collect()
}

/// A `VolumeSnapshotClass` as far as the choice needs it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SnapshotClass {
    pub(crate) metadata: ClassMetadata,
    driver: String,
    pub(crate) deletion_policy: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClassMetadata {
    pub(crate) name: String,
    annotations: std::collections::BTreeMap<String, String>,
}

impl SnapshotClass {
    fn is_default(&self) -> bool {
        self.metadata.annotations.get("snapshot.storage.kubernetes.io/is-default-class").is_some_and(|v| v == "true")
    }
}

pub(crate) async fn snapshot_classes(
    cluster: &Cluster,
    served: &ServedKinds,
) -> Result<Vec<SnapshotClass>, PreflightError> {
    let Some(kind) = served.find(GroupKind(SNAPSHOT_GROUP, "VolumeSnapshotClass")) else { return Ok(Vec::new()) };
    let failed = |source| PreflightError { what: "volumesnapshotclasses".to_owned(), source };
    let texts = cluster.list(kind, None, None).await.map_err(failed)?;
    Ok(texts.iter().filter_map(|text| serde_json::from_str(&text.json).ok()).collect())
}

/// The class that snapshots a volume, chosen by its driver; of several the default one.
pub(crate) fn class_for(volume: &DataVolume, classes: &[SnapshotClass]) -> Result<String, Refusal> {
    let refusal = |why: String, fix: &str| Refusal {
        object: format!("PersistentVolumeClaim {}", volume.qualified_name()),
        why,
        fix: fix.to_owned(),
    };
    if volume.phase != "Bound" {
        return Err(refusal(
            format!("is {}, not Bound: there is no volume to snapshot", volume.phase),
            "delete the claim if nothing needs it, or find out why with: kubectl describe pvc; \
             promsafe backup --volumes none saves the objects alone",
        ));
    }
    let Some(driver) = &volume.driver else {
        return Err(refusal(
            "its volume is not served by a CSI driver, so it cannot be snapshotted".to_owned(),
            "move it to a StorageClass of a CSI driver; promsafe backup --volumes none saves the objects alone",
        ));
    };
    let fitting: Vec<&SnapshotClass> = classes.iter().filter(|class| &class.driver == driver).collect();
    let defaults: Vec<&SnapshotClass> = fitting.iter().copied().filter(|class| class.is_default()).collect();
    match (fitting.as_slice(), defaults.as_slice()) {
        ([only], _) | (_, [only]) => Ok(only.metadata.name.clone()),
        ([], _) => Err(refusal(
            format!("no VolumeSnapshotClass has its driver {driver}{}", others(classes)),
            "create a VolumeSnapshotClass with that driver; promsafe backup --volumes none saves the objects alone",
        )),
        (several, _) => Err(refusal(
            format!(
                "{} VolumeSnapshotClasses have its driver {driver} and not exactly one is the default: {}",
                several.len(),
                names(several)
            ),
            "annotate one with snapshot.storage.kubernetes.io/is-default-class=true",
        )),
    }
}

fn names(classes: &[&SnapshotClass]) -> String {
    classes.iter().map(|class| class.metadata.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn others(classes: &[SnapshotClass]) -> String {
    if classes.is_empty() {
        return "; there is no VolumeSnapshotClass at all".to_owned();
    }
    let list: Vec<String> = classes.iter().map(|class| format!("{} ({})", class.metadata.name, class.driver)).collect();
    format!("; there are: {}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, driver: &str, default: bool) -> SnapshotClass {
        let mut class = SnapshotClass { driver: driver.to_owned(), ..SnapshotClass::default() };
        class.metadata.name = name.to_owned();
        if default {
            let annotation = "snapshot.storage.kubernetes.io/is-default-class".to_owned();
            class.metadata.annotations.insert(annotation, "true".to_owned());
        }
        class
    }

    fn volume(phase: &str, driver: Option<&str>) -> DataVolume {
        DataVolume {
            namespace: "monitoring".into(),
            claim: "db-0".into(),
            uid: "u".into(),
            used_by: None,
            pod: None,
            phase: phase.into(),
            storage_class: None,
            requested_bytes: 1,
            capacity_bytes: 1,
            driver: driver.map(str::to_owned),
            volume_handle: None,
            leftover_of: None,
        }
    }

    #[test]
    fn class_is_chosen_by_driver_and_of_several_the_default() {
        let classes = [class("a", "d", false), class("b", "d", true), class("c", "e", false)];
        assert_eq!(class_for(&volume("Bound", Some("d")), &classes).unwrap(), "b");
        assert_eq!(class_for(&volume("Bound", Some("e")), &classes).unwrap(), "c");
    }

    #[test]
    fn what_cannot_be_snapshotted_is_refused_with_its_reason() {
        let classes = [class("a", "d", false), class("b", "d", false)];
        let why = |phase, driver| class_for(&volume(phase, driver), &classes).unwrap_err().why;
        assert!(why("Bound", Some("d")).contains("a, b"));
        assert!(why("Bound", Some("x")).contains("a (d), b (d)"));
        assert!(why("Bound", None).contains("not served by a CSI driver"));
        assert!(why("Pending", Some("d")).contains("Pending"));
    }
}
