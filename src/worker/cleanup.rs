//! Removes what workers leave: Jobs with their pods and Secrets, claims with their volumes.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::pod::kind;
use crate::cluster::{Cluster, ClusterError, Deletion};
use crate::model::{ObjectKey, ServedKind, Timeouts};
use crate::names::{self, JOB_API};
use crate::words;

/// What was removed, and what could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Deletion was asked for.
    pub deleted: Vec<String>,
    /// Could not be deleted or is not gone, with the reason.
    pub left: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Claim {
    spec: ClaimSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    volume_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Volume {
    spec: VolumeSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    persistent_volume_reclaim_policy: String,
}

/// Lets the volume of a claim go with it, also when its class would retain it; gives the volume, if the claim has one.
/// Where volumes may not be read the class's policy stays.
///
/// # Errors
/// When the volume may be read and not changed.
pub(crate) async fn let_go(cluster: &Cluster, claim: &ObjectKey) -> Result<Option<ObjectKey>, ClusterError> {
    let text = cluster.get(claim, "v1").await.ok().flatten().unwrap_or_default();
    let name = serde_json::from_str::<Claim>(&text).unwrap_or_default().spec.volume_name;
    if name.is_empty() {
        return Ok(None);
    }
    let key = names::volume_key(&name);
    let text = match cluster.get(&key, "v1").await {
        Err(error) if error.is_forbidden() => return Ok(Some(key)),
        other => other?.unwrap_or_default(),
    };
    let read: Volume = serde_json::from_str(&text).unwrap_or_default();
    if read.spec.persistent_volume_reclaim_policy == "Retain" {
        let patch = json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
        cluster.merge_patch(&key, "v1", &patch).await?;
    }
    Ok(Some(key))
}

/// The kinds that are made for a while, pods that use the others first, with their versions.
pub(crate) fn kinds() -> [(ServedKind, &'static str); 3] {
    [
        (kind("batch", "v1", "Job", "jobs"), JOB_API),
        (kind("", "v1", "Secret", "secrets"), "v1"),
        (kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"), "v1"),
    ]
}

/// Removes all Jobs, Secrets and claims with these labels from some namespaces, volumes included, and waits until Jobs and
/// claims are gone. Best effort: what stays is named.
pub(crate) async fn remove_all(cluster: &Cluster, namespaces: &[String], selector: &str, within: Duration) -> Removed {
    let mut removed = Removed::default();
    let mut going = Vec::new();
    for (kind, api_version) in kinds() {
        for namespace in namespaces {
            let listed = match cluster.list(&kind, Some(namespace), Some(selector)).await {
                Ok(listed) => listed,
                Err(cause) => {
                    let cause = words::chain(&cause);
                    removed.left.push(format!("{} labelled {selector} in {namespace}: {cause}", kind.plural));
                    continue;
                }
            };
            let keys = listed.iter().map(|text| (kind.key(Some(namespace), &text.name), api_version));
            going.extend(keys);
        }
    }
    removed.all(cluster, going, within).await;
    removed
}

impl Removed {
    /// Removes these objects, claims with their volumes, and waits until they are gone.
    pub(crate) async fn all(&mut self, cluster: &Cluster, objects: Vec<(ObjectKey, &'static str)>, within: Duration) {
        let mut asked = Vec::new();
        for (key, api_version) in objects {
            match delete(cluster, &key, api_version).await {
                Ok(Deletion::Asked) => {
                    self.deleted.push(key.to_string());
                    asked.push((key, api_version));
                }
                Ok(Deletion::Absent) => {}
                Err(cause) => self.left.push(format!("{key}: {}", words::chain(&cause))),
            }
        }
        // Secrets may not be read again.
        asked.retain(|(key, _)| key.kind != "Secret");
        let begun = Instant::now();
        while let Some((key, api_version)) = asked.last() {
            match cluster.get(key, api_version).await {
                Ok(None) => drop(asked.pop()),
                Ok(Some(_)) | Err(_) if begun.elapsed() >= within => break,
                Ok(Some(_)) | Err(_) => tokio::time::sleep(Timeouts::default().pause(begun.elapsed())).await,
            }
        }
        let late = asked.iter().map(|(key, _)| format!("{key}: not gone after {} s", within.as_secs()));
        self.left.extend(late);
    }
}

/// Deletes an object, a claim with its volume.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn delete(cluster: &Cluster, key: &ObjectKey, api_version: &str) -> Result<Deletion, ClusterError> {
    if key.kind == "PersistentVolumeClaim" {
        let_go(cluster, key).await?;
    }
    cluster.delete(key, api_version).await
}
