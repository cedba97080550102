//! What must hold before anything is written. Returns refusals in words; changes nothing.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;

use crate::cluster::{Access, Cluster, ClusterError};
use crate::model::{DataVolume, GroupKind, Inventory, ObjectKey, Refusal, ServedKinds};
use crate::plan::RestorePlan;
use crate::scope::SNAPSHOT_GROUP;
use crate::snapshots::Wanted;

/// Access reviews in flight at once.
const REVIEWS_IN_FLIGHT: usize = 16;

/// What is saved of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeMode {
    /// A CSI `VolumeSnapshot`.
    Snapshot,
    /// Nothing: objects only.
    None,
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
    inventory: &Inventory,
    served: &ServedKinds,
    mode: VolumeMode,
) -> Result<Result<Vec<Wanted>, Vec<Refusal>>, PreflightError> {
    if inventory.objects == inventory.cluster_scoped_objects {
        return Ok(Err(vec![nothing_found()]));
    }
    if mode == VolumeMode::None || inventory.volumes.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let mut refusals = snapshot_api(served);
    if !refusals.is_empty() {
        return Ok(Err(refusals));
    }
    let namespaces: BTreeSet<&str> = inventory.volumes.iter().map(|volume| volume.namespace.as_str()).collect();
    let (classes, forbidden) =
        tokio::try_join!(snapshot_classes(cluster, served), forbidden(cluster, backup_accesses(&namespaces)))?;
    let mut wanted = Vec::new();
    for volume in &inventory.volumes {
        match class_for(volume, &classes) {
            Ok(class) => wanted.push(Wanted { volume: volume.clone(), class }),
            Err(refusal) => refusals.push(refusal),
        }
    }
    refusals.extend(forbidden);
    Ok(if refusals.is_empty() { Ok(wanted) } else { Err(refusals) })
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
fn snapshot_api(served: &ServedKinds) -> Vec<Refusal> {
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
#[serde(default)]
pub(crate) struct SnapshotClass {
    metadata: ClassMetadata,
    driver: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ClassMetadata {
    name: String,
    annotations: std::collections::BTreeMap<String, String>,
}

impl SnapshotClass {
    fn is_default(&self) -> bool {
        self.metadata.annotations.get("snapshot.storage.kubernetes.io/is-default-class").is_some_and(|v| v == "true")
    }
}

async fn snapshot_classes(cluster: &Cluster, served: &ServedKinds) -> Result<Vec<SnapshotClass>, PreflightError> {
    let Some(kind) = served.find(GroupKind(SNAPSHOT_GROUP, "VolumeSnapshotClass")) else { return Ok(Vec::new()) };
    let failed = |source| PreflightError { what: "volumesnapshotclasses".to_owned(), source };
    let texts = cluster.list(kind, None, None).await.map_err(failed)?;
    Ok(texts.iter().filter_map(|text| serde_json::from_str(&text.json).ok()).collect())
}

/// The class that snapshots a volume, chosen by its driver; of several the default one.
fn class_for(volume: &DataVolume, classes: &[SnapshotClass]) -> Result<String, Refusal> {
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

/// What taking snapshots needs, beyond the reading that discovery has done already.
fn backup_accesses(namespaces: &BTreeSet<&str>) -> Vec<Access> {
    let access = |verb: &str, resource: &str, namespace: Option<&str>| Access {
        verb: verb.to_owned(),
        group: SNAPSHOT_GROUP.to_owned(),
        resource: resource.to_owned(),
        subresource: None,
        namespace: namespace.map(str::to_owned),
    };
    let mut accesses =
        vec![access("get", "volumesnapshotcontents", None), access("patch", "volumesnapshotcontents", None)];
    for namespace in namespaces {
        for verb in ["create", "get", "list", "delete"] {
            accesses.push(access(verb, "volumesnapshots", Some(namespace)));
        }
    }
    accesses
}

/// Whether a restore may write what its plan holds.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn restore(cluster: &Cluster, plan: &RestorePlan) -> Result<Vec<Refusal>, PreflightError> {
    let creates: BTreeSet<(String, String, Option<String>)> =
        plan.creates().map(|key: &ObjectKey| (key.group.clone(), key.plural.clone(), key.namespace.clone())).collect();
    let accesses = creates.into_iter().map(|(group, resource, namespace)| Access {
        verb: "create".to_owned(),
        group,
        resource,
        subresource: None,
        namespace,
    });
    forbidden(cluster, accesses.collect()).await
}

async fn forbidden(cluster: &Cluster, accesses: Vec<Access>) -> Result<Vec<Refusal>, PreflightError> {
    let reviews = futures::stream::iter(accesses.into_iter().map(async |access| {
        let failed =
            |source| PreflightError { what: format!("permission to {} {}", access.verb, access.resource), source };
        let allowed = cluster.allowed(&access).await.map_err(failed)?;
        Ok::<_, PreflightError>((!allowed).then(|| not_allowed(&access)))
    }));
    reviews.buffered(REVIEWS_IN_FLIGHT).try_filter_map(async |refusal| Ok(refusal)).try_collect().await
}

fn not_allowed(access: &Access) -> Refusal {
    let group = if access.group.is_empty() { String::new() } else { format!(".{}", access.group) };
    let place =
        access.namespace.as_ref().map_or_else(|| "at cluster scope".to_owned(), |ns| format!("in namespace {ns}"));
    Refusal {
        object: format!("{}{group}", access.resource),
        why: format!("no permission to {} {}{group} {place}", access.verb, access.resource),
        fix: format!(
            "grant the verb {} on {}{group} {place} to the account promsafe runs as",
            access.verb, access.resource
        ),
    }
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
