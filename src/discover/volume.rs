//! Claims of the captured namespaces, the volumes behind them and the pods that mount them.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::leftover::Owners;
use super::lister::LISTS_IN_FLIGHT;
use super::{DiscoverError, Found, Lister};
use crate::model::{DataVolume, GroupKind, Instance, ObjectKey};
use crate::names::TEMPORARY_LABEL;
use crate::quantity;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Claim {
    metadata: Metadata,
    spec: ClaimSpec,
    status: ClaimStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: String,
    labels: BTreeMap<String, String>,
    deletion_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    storage_class_name: Option<String>,
    volume_name: Option<String>,
    resources: Resources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimStatus {
    phase: String,
    capacity: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PersistentVolume {
    spec: VolumeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct VolumeSpec {
    csi: Option<Csi>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Csi {
    driver: String,
    volume_handle: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    volumes: Vec<PodVolume>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodVolume {
    name: String,
    ephemeral: Option<IgnoredAny>,
    persistent_volume_claim: Option<ClaimSource>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSource {
    claim_name: String,
}

/// What the pods of the captured namespaces do with claims.
pub(super) struct Mounts {
    /// `(namespace, claim)` to the first pod that mounts it.
    pods: BTreeMap<(String, String), String>,
    /// Claims made for one pod by an ephemeral volume: `<pod>-<volume>` (kubernetes `pkg/controller/volume/ephemeral`).
    ephemeral: BTreeSet<(String, String)>,
}

impl Mounts {
    pub(super) fn among(everything: &[Found]) -> Result<Self, DiscoverError> {
        let mut mounts = Self { pods: BTreeMap::new(), ephemeral: BTreeSet::new() };
        for found in everything.iter().filter(|found| found.key.is(GroupKind("", "Pod"))) {
            let namespace = found.key.namespace.clone().unwrap_or_default();
            let pod: Pod = found.pick()?;
            for volume in pod.spec.volumes {
                if let Some(source) = volume.persistent_volume_claim {
                    let claim = (namespace.clone(), source.claim_name);
                    mounts.pods.entry(claim).or_insert_with(|| found.key.name.clone());
                }
                if volume.ephemeral.is_some() {
                    mounts.ephemeral.insert((namespace.clone(), format!("{}-{}", found.key.name, volume.name)));
                }
            }
        }
        Ok(mounts)
    }

    /// Whether this is the claim of an ephemeral volume: with the pod it is made again, and one that is there already and
    /// not the pod's own would keep the pod from starting.
    pub(super) fn is_ephemeral(&self, key: &ObjectKey) -> bool {
        key.is(GroupKind("", "PersistentVolumeClaim")) && self.ephemeral.contains(&named(key))
    }

    fn pod(&self, key: &ObjectKey) -> Option<&String> {
        self.pods.get(&named(key))
    }
}

fn named(key: &ObjectKey) -> (String, String) {
    (key.namespace.clone().unwrap_or_default(), key.name.clone())
}

/// Every claim of the captured namespaces that is not being deleted and not made for one pod or one run alone.
pub(super) async fn find(
    lister: &Lister<'_>,
    everything: &[Found],
    mounts: &Mounts,
    instances: &[Instance],
) -> Result<Vec<DataVolume>, DiscoverError> {
    let owners = Owners::among(everything)?;
    let claims = everything
        .iter()
        .filter(|found| found.key.is(GroupKind("", "PersistentVolumeClaim")) && !mounts.is_ephemeral(&found.key));
    let volumes = claims.map(|found| volume(lister, found, mounts, &owners, instances));
    let volumes = futures::stream::iter(volumes).buffered(LISTS_IN_FLIGHT);
    volumes.try_filter_map(async |volume| Ok(volume)).try_collect().await
}

async fn volume(
    lister: &Lister<'_>,
    found: &Found,
    mounts: &Mounts,
    owners: &Owners,
    instances: &[Instance],
) -> Result<Option<DataVolume>, DiscoverError> {
    let claim: Claim = found.pick()?;
    // One that a dead run left is removed, not saved.
    if claim.metadata.deletion_timestamp.is_some() || claim.metadata.labels.contains_key(TEMPORARY_LABEL) {
        return Ok(None);
    }
    let namespace = found.key.namespace.clone().unwrap_or_default();
    let pod = mounts.pod(&found.key).cloned();
    let leftover_of = if pod.is_some() { None } else { owners.leftover_of(&found.key, &claim.metadata.labels) };
    let used_by = pod.as_ref().and_then(|pod| {
        let uses =
            |instance: &&Instance| instance.key.namespace.as_ref() == Some(&namespace) && instance.pods.contains(pod);
        instances.iter().find(uses).map(|instance| instance.key.to_string())
    });
    let csi = match &claim.spec.volume_name {
        Some(name) => csi_of(lister, name).await?,
        None => None,
    };
    let bytes = |amounts: &BTreeMap<String, String>| amounts.get("storage").and_then(|text| quantity::bytes(text));
    Ok(Some(DataVolume {
        namespace,
        claim: found.key.name.clone(),
        uid: claim.metadata.uid,
        used_by,
        pod,
        phase: claim.status.phase,
        storage_class: claim.spec.storage_class_name,
        requested_bytes: bytes(&claim.spec.resources.requests).unwrap_or_default(),
        capacity_bytes: bytes(&claim.status.capacity).unwrap_or_default(),
        driver: csi.as_ref().map(|csi| csi.driver.clone()),
        volume_handle: csi.map(|csi| csi.volume_handle),
        leftover_of,
    }))
}

async fn csi_of(lister: &Lister<'_>, name: &str) -> Result<Option<Csi>, DiscoverError> {
    let key = ObjectKey::cluster_scoped("", "PersistentVolume", "persistentvolumes", name);
    let Some(found) = lister.get(&key, "v1").await? else { return Ok(None) };
    Ok(found.pick::<PersistentVolume>()?.spec.csi)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claim_of_an_ephemeral_volume_is_told_from_one_that_lasts() {
        let pod = json!({"spec": {"volumes": [
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        ]}});
        let key = ObjectKey::namespaced("", "Pod", "pods", "monitoring", "p-0");
        let mounts = Mounts::among(&[Found { key, text: pod.to_string().into() }]).unwrap();
        let claim = |namespace: &str, name: &str| {
            ObjectKey::namespaced("", "PersistentVolumeClaim", "persistentvolumeclaims", namespace, name)
        };
        assert!(mounts.is_ephemeral(&claim("monitoring", "p-0-scratch")));
        assert!(
            !mounts.is_ephemeral(&claim("monitoring", "data")) && !mounts.is_ephemeral(&claim("other", "p-0-scratch"))
        );
        assert_eq!(mounts.pod(&claim("monitoring", "data")).map(String::as_str), Some("p-0"));
    }
}
