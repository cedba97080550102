//! Reads what a target cluster holds of what a backup holds. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;

use crate::cluster::{Cluster, ClusterError};
use crate::model::{BackupRecord, CapturedManifest, GroupKind, ObjectKey, ServedKinds};
use crate::plan::Target;

/// Reads in flight at once.
const READS_IN_FLIGHT: usize = 24;

/// The target could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read {object}")]
pub struct SurveyError {
    /// What was read.
    pub object: String,
    /// Why it could not be.
    #[source]
    pub source: ClusterError,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ApiVersion {
    api_version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Namespace {
    metadata: Metadata,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    deletion_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    status: String,
    message: String,
}

/// Reads the objects of the backup from the target, those in namespaces only of these namespaces (empty means all), and
/// which drivers and which of these storage classes it has.
///
/// # Errors
/// When an object cannot be read: whether it exists would be a guess.
pub async fn survey(
    cluster: &Cluster,
    record: &BackupRecord,
    manifests: &[CapturedManifest],
    namespaces: &[String],
    storage_classes: impl Iterator<Item = &String>,
) -> Result<Target, SurveyError> {
    let asked = |manifest: &&CapturedManifest| {
        let namespace = manifest.key.namespace.as_ref();
        namespaces.is_empty() || namespace.is_none_or(|namespace| namespaces.contains(namespace))
    };
    // Others may not be ours to read, and nothing is done about them.
    let manifests = manifests.iter().filter(asked);
    let (served, existing, drivers, storage_classes) = tokio::try_join!(
        served(cluster),
        existing(cluster, manifests),
        drivers(cluster, record),
        classes(cluster, storage_classes)
    )?;
    let terminating = existing.values().filter_map(terminating).collect();
    Ok(Target { served, existing, drivers, storage_classes, terminating })
}

async fn served(cluster: &Cluster) -> Result<ServedKinds, SurveyError> {
    cluster.served_kinds().await.map_err(|source| SurveyError { object: "the kinds served".to_owned(), source })
}

async fn existing(
    cluster: &Cluster,
    manifests: impl Iterator<Item = &CapturedManifest>,
) -> Result<BTreeMap<ObjectKey, CapturedManifest>, SurveyError> {
    let reads = futures::stream::iter(manifests.map(|manifest| read(cluster, manifest)));
    reads
        .buffer_unordered(READS_IN_FLIGHT)
        .try_filter_map(async |existing| Ok(existing.map(|manifest| (manifest.key.clone(), manifest))))
        .try_collect()
        .await
}

async fn read(cluster: &Cluster, manifest: &CapturedManifest) -> Result<Option<CapturedManifest>, SurveyError> {
    let api_version = manifest.pick::<ApiVersion>().unwrap_or_default().api_version;
    let text = cluster.get(&manifest.key, &api_version).await;
    let text = text.map_err(|source| SurveyError { object: manifest.key.to_string(), source })?;
    Ok(text.map(|json| CapturedManifest { key: manifest.key.clone(), reason: manifest.reason.clone(), json }))
}

/// Name of a namespace that is being deleted, and what its conditions say of it.
fn terminating(manifest: &CapturedManifest) -> Option<(String, String)> {
    if !manifest.key.is(GroupKind("", "Namespace")) {
        return None;
    }
    let namespace: Namespace = manifest.pick().ok()?;
    namespace.metadata.deletion_timestamp.as_ref()?;
    let conditions = namespace.status.conditions.into_iter().filter(|condition| condition.status == "True");
    let told: Vec<String> = conditions.map(|condition| condition.message).collect();
    let told = if told.is_empty() { "its objects are being removed".to_owned() } else { told.join("; ") };
    Some((manifest.key.name.clone(), told))
}

async fn drivers(cluster: &Cluster, record: &BackupRecord) -> Result<Vec<String>, SurveyError> {
    let needed: BTreeSet<&str> = record
        .volumes
        .iter()
        .filter_map(|volume| volume.snapshot.as_ref())
        .map(|snapshot| snapshot.driver.as_str())
        .collect();
    let keys =
        needed.into_iter().map(|name| ObjectKey::cluster_scoped("storage.k8s.io", "CSIDriver", "csidrivers", name));
    there(cluster, keys).await
}

async fn classes(cluster: &Cluster, names: impl Iterator<Item = &String>) -> Result<Vec<String>, SurveyError> {
    let key = |name: &String| ObjectKey::cluster_scoped("storage.k8s.io", "StorageClass", "storageclasses", name);
    there(cluster, names.map(key)).await
}

/// The names of those that exist.
async fn there(cluster: &Cluster, keys: impl Iterator<Item = ObjectKey>) -> Result<Vec<String>, SurveyError> {
    let mut have = Vec::new();
    for key in keys {
        let found = cluster.get(&key, "storage.k8s.io/v1").await;
        if found.map_err(|source| SurveyError { object: key.to_string(), source })?.is_some() {
            have.push(key.name);
        }
    }
    Ok(have)
}
