//! Chooses which objects of the backup a request means, and what in the target keeps them from coming back.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{ClusterScoped, RestoreRequest, Target, VolumeSource};
use crate::model::{BackupRecord, CapturedManifest, GroupKind, ObjectKey, Refusal, VolumeRecord};
use crate::scope::{Facts, RULES, SNAPSHOT_GROUP};

const CONTENT: GroupKind = GroupKind(SNAPSHOT_GROUP, "VolumeSnapshotContent");

/// What a request means.
pub(super) struct Chosen<'a> {
    /// Objects restored as they were saved.
    pub(super) objects: Vec<&'a CapturedManifest>,
    /// Claims that come back with their data, with the record of the volume and where the data comes from.
    pub(super) claims: Vec<(&'a CapturedManifest, &'a VolumeRecord, Source)>,
    /// Claims whose data is not there in the way that was asked for.
    unsaved: Vec<(&'a VolumeRecord, &'static str)>,
    /// Namespaces of the chosen objects.
    pub(super) namespaces: Vec<String>,
    /// Namespaces the backup holds objects of, asked for or not.
    held: BTreeSet<&'a str>,
    /// `(group, kind)` that chosen definitions define.
    defined: BTreeSet<(String, String)>,
}

/// Where the data of a claim comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Its snapshot.
    Snapshot,
    /// Its copy in the store.
    Copy,
}

/// Where the data of a volume comes from; `None` when none was saved.
///
/// # Errors
/// What to ask for instead, when it is not there in the way that was asked for.
fn source(volume: &VolumeRecord, target: &Target, request: &RestoreRequest) -> Result<Option<Source>, &'static str> {
    let usable = |driver: &String| target.drivers.contains(driver) && target.served.find(CONTENT).is_some();
    let snapshot = volume.snapshot.as_ref().map(|snapshot| &snapshot.driver);
    match (request.from, snapshot, &volume.copy) {
        (_, None, None) => Ok(None),
        (VolumeSource::Snapshot, Some(_), _) | (VolumeSource::Auto, Some(_), None) => Ok(Some(Source::Snapshot)),
        (VolumeSource::Copy, _, Some(_)) | (VolumeSource::Auto, None, Some(_)) => Ok(Some(Source::Copy)),
        (VolumeSource::Auto, Some(driver), Some(_)) => {
            Ok(Some(if usable(driver) { Source::Snapshot } else { Source::Copy }))
        }
        (VolumeSource::Snapshot, None, Some(_)) => Err("copy"),
        (VolumeSource::Copy, Some(_), None) => Err("snapshot"),
    }
}

impl Chosen<'_> {
    /// Whether the backup holds the definition of this object's kind. Where the definition is missing and may not be
    /// restored, that alone is the reason to refuse.
    pub(super) fn defines(&self, key: &ObjectKey) -> bool {
        self.defined.contains(&(key.group.clone(), key.kind.clone()))
    }

    /// Whether a cluster-scoped object will be there: it exists, or this request restores it.
    pub(super) fn will_have(&self, kind: GroupKind, name: &str, target: &Target, request: &RestoreRequest) -> bool {
        let is_it = |key: &ObjectKey| key.is(kind) && key.name == name && key.is_cluster_scoped();
        target.existing.keys().any(is_it)
            || request.cluster_scoped == ClusterScoped::Include
                && self.objects.iter().any(|manifest| is_it(&manifest.key))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Definition {
    spec: DefinitionSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DefinitionSpec {
    group: String,
    names: DefinitionNames,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DefinitionNames {
    kind: String,
}

pub(super) fn choose<'a>(
    record: &'a BackupRecord,
    manifests: &'a [CapturedManifest],
    target: &Target,
    request: &RestoreRequest,
) -> Chosen<'a> {
    let asked = |namespace: &String| request.namespaces.is_empty() || request.namespaces.contains(namespace);
    let (namespaced, cluster_scoped): (Vec<_>, Vec<_>) =
        manifests.iter().partition(|manifest| !manifest.key.is_cluster_scoped());
    let held = namespaced.iter().filter_map(|manifest| manifest.key.namespace.as_deref()).collect();
    let namespaced: Vec<&CapturedManifest> =
        namespaced.into_iter().filter(|manifest| manifest.key.namespace.as_ref().is_some_and(asked)).collect();
    let mut objects = if request.namespaces.is_empty() {
        cluster_scoped
    } else {
        needed_by(record, &namespaced, &cluster_scoped, request)
    };
    let defined = objects.iter().filter_map(|manifest| defined_kind(manifest)).collect();

    let volumes: BTreeMap<(&str, &str), &VolumeRecord> = record
        .volumes
        .iter()
        .map(|volume| ((volume.volume.namespace.as_str(), volume.volume.claim.as_str()), volume))
        .collect();
    let (mut claims, mut unsaved) = (Vec::new(), Vec::new());
    let mut touched = BTreeSet::new();
    for manifest in namespaced {
        let namespace = manifest.key.namespace.as_deref().unwrap_or_default();
        touched.insert(namespace.to_owned());
        let is_claim = manifest.key.is(GroupKind("", "PersistentVolumeClaim"));
        let volume = volumes.get(&(namespace, manifest.key.name.as_str())).filter(|_| is_claim);
        match volume.map(|volume| (*volume, source(volume, target, request))) {
            Some((volume, Ok(Some(source)))) => claims.push((manifest, volume, source)),
            Some((volume, Err(instead))) => unsaved.push((volume, instead)),
            Some((_, Ok(None))) | None => objects.push(manifest),
        }
    }
    Chosen { objects, claims, unsaved, namespaces: touched.into_iter().collect(), held, defined }
}

/// The cluster-scoped objects that these namespaced ones need, by the rules that chose them for the backup.
fn needed_by<'a>(
    record: &BackupRecord,
    namespaced: &[&CapturedManifest],
    cluster_scoped: &[&'a CapturedManifest],
    request: &RestoreRequest,
) -> Vec<&'a CapturedManifest> {
    let mut facts = Facts::of_namespaces(&request.namespaces);
    for manifest in namespaced {
        facts.learn(&manifest.key, &manifest.value().unwrap_or_default());
    }
    let volumes = record.volumes.iter().filter(|volume| request.namespaces.contains(&volume.volume.namespace));
    volumes.filter_map(|volume| volume.volume.driver.as_deref()).for_each(|driver| facts.learn_driver(driver));
    let mut needed = Vec::new();
    for rule in RULES {
        for manifest in cluster_scoped.iter().filter(|manifest| manifest.key.is(rule.kind)) {
            let value: Value = manifest.value().unwrap_or_default();
            if (rule.select)(&facts, &value).is_some() {
                facts.learn(&manifest.key, &value);
                needed.push(*manifest);
            }
        }
    }
    needed
}

fn defined_kind(manifest: &CapturedManifest) -> Option<(String, String)> {
    let is_definition = manifest.key.is(GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"));
    let spec = manifest.pick::<Definition>().ok().filter(|_| is_definition)?.spec;
    Some((spec.group, spec.names.kind))
}

/// What in the target keeps the chosen objects from coming back, apart from the objects themselves.
pub(super) fn refusals(
    record: &BackupRecord,
    target: &Target,
    request: &RestoreRequest,
    chosen: &Chosen<'_>,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let held = chosen.held.iter().copied().collect::<Vec<_>>().join(", ");
    for namespace in request.namespaces.iter().filter(|namespace| !chosen.namespaces.contains(namespace)) {
        refusals.push(Refusal {
            object: format!("Namespace {namespace}"),
            why: format!("backup {} holds nothing of it", record.id),
            fix: format!("name one of those it holds objects of: {held}"),
        });
    }
    for (namespace, why) in target.terminating.iter().filter(|(name, _)| chosen.namespaces.contains(name)) {
        refusals.push(Refusal {
            object: format!("Namespace {namespace}"),
            why: format!("is being deleted: {why}"),
            fix: format!("wait until it is gone (kubectl get namespace {namespace}), then run the same command again"),
        });
    }
    refusals.extend(chosen.unsaved.iter().map(|(volume, instead)| Refusal {
        object: format!("PersistentVolumeClaim {}", volume.volume.qualified_name()),
        why: format!("backup {} holds only a {instead} of it", record.id),
        fix: format!("--from {instead}, or leave --from away"),
    }));
    if chosen.claims.iter().any(|(.., source)| *source == Source::Snapshot) {
        refusals.extend(storage(target, chosen));
    }
    refusals
}

/// Refuses when the target cannot turn snapshots into volumes.
fn storage(target: &Target, chosen: &Chosen<'_>) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if target.served.find(CONTENT).is_none() {
        refusals.push(Refusal {
            object: "CustomResourceDefinition of VolumeSnapshotContent".to_owned(),
            why: format!("the cluster does not serve it ({SNAPSHOT_GROUP}/v1), so no snapshot can become a volume"),
            fix: "install the CSI snapshot CRDs, snapshot-controller and the driver first".to_owned(),
        });
    }
    let needed: BTreeSet<&str> = chosen
        .claims
        .iter()
        .filter(|(.., source)| *source == Source::Snapshot)
        .filter_map(|(_, volume, _)| volume.snapshot.as_ref())
        .map(|snapshot| snapshot.driver.as_str())
        .collect();
    for driver in needed.into_iter().filter(|driver| !target.drivers.iter().any(|have| have == driver)) {
        refusals.push(Refusal {
            object: format!("CSIDriver {driver}"),
            why: "is not in this cluster: the snapshots live in its storage".to_owned(),
            fix: "install the driver and connect it to the same storage, then run the same command again".to_owned(),
        });
    }
    refusals
}
