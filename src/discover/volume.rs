//! Claims of the captured namespaces, the volumes behind them and the pods that mount them.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;

use super::{DiscoverError, Found, LISTS_IN_FLIGHT, Lister};
use crate::model::{DataVolume, GroupKind, Instance, ObjectKey};
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
    persistent_volume_claim: Option<ClaimSource>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSource {
    claim_name: String,
}

/// Every claim of the captured namespaces that is not being deleted.
pub(super) async fn find(
    lister: &Lister<'_>,
    everything: &[Found],
    instances: &[Instance],
) -> Result<Vec<DataVolume>, DiscoverError> {
    let mounts = mounts(everything)?;
    let claims = everything.iter().filter(|found| found.key.is(GroupKind("", "PersistentVolumeClaim")));
    let volumes = futures::stream::iter(claims.map(|found| volume(lister, found, &mounts, instances)));
    volumes.buffered(LISTS_IN_FLIGHT).try_filter_map(async |volume| Ok(volume)).try_collect().await
}

/// `(namespace, claim)` to the first pod that mounts it.
fn mounts(everything: &[Found]) -> Result<BTreeMap<(String, String), String>, DiscoverError> {
    let mut mounts = BTreeMap::new();
    for found in everything.iter().filter(|found| found.key.is(GroupKind("", "Pod"))) {
        let namespace = found.key.namespace.clone().unwrap_or_default();
        let pod: Pod = found.pick()?;
        for source in pod.spec.volumes.into_iter().filter_map(|volume| volume.persistent_volume_claim) {
            mounts.entry((namespace.clone(), source.claim_name)).or_insert_with(|| found.key.name.clone());
        }
    }
    Ok(mounts)
}

async fn volume(
    lister: &Lister<'_>,
    found: &Found,
    mounts: &BTreeMap<(String, String), String>,
    instances: &[Instance],
) -> Result<Option<DataVolume>, DiscoverError> {
    let claim: Claim = found.pick()?;
    if claim.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let namespace = found.key.namespace.clone().unwrap_or_default();
    let pod = mounts.get(&(namespace.clone(), found.key.name.clone())).cloned();
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
    }))
}

async fn csi_of(lister: &Lister<'_>, name: &str) -> Result<Option<Csi>, DiscoverError> {
    let key = ObjectKey::cluster_scoped("", "PersistentVolume", "persistentvolumes", name);
    let text = lister.cluster.get(&key, "v1").await;
    let text = text.map_err(|source| DiscoverError::List { what: key.to_string(), source })?;
    let Some(text) = text else { return Ok(None) };
    let volume: PersistentVolume =
        serde_json::from_str(&text).map_err(|source| DiscoverError::Read { object: key.to_string(), source })?;
    Ok(volume.spec.csi)
}
