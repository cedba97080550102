//! Takes `VolumeSnapshot`s, keeps them, gives them up again, and releases those a restore made.
//!
//! Facts: external-snapshotter `pkg/common-controller` and `pkg/sidecar-controller`. `status.error` is never final: the
//! controller goes on trying, so only our own deadline ends the wait.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError, Creation};
use crate::model::{BackupId, DataVolume, Event, ObjectKey, Origin, Reporter, ServedKinds, SnapshotRecord, Timeouts};
use crate::names::{self, SNAPSHOT_API, content_key, snapshot_key};
use crate::quantity;
use crate::scope::SNAPSHOT_GROUP;

/// A volume and the class to snapshot it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The volume.
    pub volume: DataVolume,
    /// Name of the `VolumeSnapshotClass`.
    pub class: String,
}

/// The backup a snapshot is taken for; written on it, so that what a killed run leaves is known for what it is.
#[derive(Debug, Clone, Copy)]
pub struct MadeFor<'a> {
    /// The backup.
    pub id: &'a BackupId,
    /// Where its record will be.
    pub origin: &'a Origin,
    /// What becomes of its snapshots.
    pub snapshots: Snapshots,
}

/// What becomes of the snapshots of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshots {
    /// They are kept: they are what is saved.
    Keep,
    /// They are deleted, data included, once the volumes are copied from them.
    Delete,
}

impl MadeFor<'_> {
    fn labels(&self) -> BTreeMap<&'static str, String> {
        match self.snapshots {
            Snapshots::Keep => names::kept_labels(self.id),
            Snapshots::Delete => names::temporary_labels(self.id),
        }
    }
}

/// Snapshots could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A snapshot object could not be written or read.
    #[error("{tried} {object}")]
    Talk {
        /// `create`, `read`, `keep` or `delete`.
        tried: &'static str,
        /// The object.
        object: String,
        /// Why.
        #[source]
        source: ClusterError,
    },
    /// What the API server gave is no snapshot object.
    #[error("read {object}")]
    Understand {
        /// The object.
        object: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A snapshot was not ready when our deadline came.
    #[error("{object} was not ready after {after_seconds} s: {state}")]
    NotReady {
        /// The `VolumeSnapshot`.
        object: String,
        /// Our deadline in seconds.
        after_seconds: u64,
        /// What its status said last.
        state: String,
    },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Snapshot {
    status: Option<SnapshotStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SnapshotStatus {
    bound_volume_snapshot_content_name: Option<String>,
    ready_to_use: bool,
    creation_time: Option<Timestamp>,
    pub(crate) restore_size: Option<String>,
    error: Option<StatusError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusError {
    message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    metadata: ContentMetadata,
    spec: ContentSpec,
    status: ContentStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContentMetadata {
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContentSpec {
    driver: String,
    source_volume_mode: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContentStatus {
    snapshot_handle: Option<String>,
    restore_size: Option<u64>,
}

/// Takes a snapshot of every volume, all at once, so that replicas are cut close together.
///
/// # Errors
/// The first that failed, after all have ended. What was created stays until [`give_up`].
pub async fn take(
    cluster: &Cluster,
    made_for: &MadeFor<'_>,
    wanted: &[Wanted],
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> Result<Vec<SnapshotRecord>, SnapshotError> {
    if !wanted.is_empty() {
        reporter.event(&Event::Step { doing: format!("taking {} VolumeSnapshots", wanted.len()) });
    }
    let taken = join_all(wanted.iter().map(|wanted| take_one(cluster, made_for, wanted, timeouts, reporter))).await;
    taken.into_iter().collect()
}

async fn take_one(
    cluster: &Cluster,
    made_for: &MadeFor<'_>,
    wanted: &Wanted,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> Result<SnapshotRecord, SnapshotError> {
    let key = snapshot_key(&wanted.volume.namespace, &names::snapshot(made_for.id, &wanted.volume.claim));
    let body = json!({
        "apiVersion": SNAPSHOT_API,
        "kind": key.kind,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": made_for.labels(),
            "annotations": names::origin_annotations(made_for.origin),
        },
        "spec": {
            "volumeSnapshotClassName": wanted.class,
            "source": {"persistentVolumeClaimName": wanted.volume.claim},
        },
    });
    let begun = Instant::now();
    match cluster.create(&key, SNAPSHOT_API, &body.to_string()).await {
        Ok(Creation::Created(_) | Creation::AlreadyExists) => {}
        Err(source) => return Err(SnapshotError::Talk { tried: "create", object: key.to_string(), source }),
    }
    reporter.event(&Event::Wrote { object: key.to_string(), how: "created" });
    let status = ready(cluster, &key, timeouts, reporter).await?;
    let ready_after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    record(cluster, &key, wanted, status, ready_after_ms).await
}

/// Waits until a snapshot is ready to use and bound.
pub(crate) async fn ready(
    cluster: &Cluster,
    key: &ObjectKey,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> Result<SnapshotStatus, SnapshotError> {
    let begun = Instant::now();
    let mut told = Duration::ZERO;
    loop {
        let snapshot: Snapshot = read(cluster, key).await?.unwrap_or_default();
        let state = state(&snapshot, begun.elapsed());
        if let Some(status) = snapshot.status.filter(|status| {
            status.ready_to_use && status.bound_volume_snapshot_content_name.is_some() && status.creation_time.is_some()
        }) {
            return Ok(status);
        }
        if begun.elapsed() >= timeouts.snapshot_ready {
            let after_seconds = timeouts.snapshot_ready.as_secs();
            return Err(SnapshotError::NotReady { object: key.to_string(), after_seconds, state });
        }
        if begun.elapsed() >= told + Duration::from_secs(5) {
            told = begun.elapsed();
            reporter.event(&Event::Waiting { on: key.to_string(), state, for_seconds: told.as_secs() });
        }
        tokio::time::sleep(timeouts.pause(begun.elapsed())).await;
    }
}

fn state(snapshot: &Snapshot, waited: Duration) -> String {
    match &snapshot.status {
        None if waited > Duration::from_secs(3) => {
            "no status at all: neither snapshot-controller nor the driver's csi-snapshotter has touched it".to_owned()
        }
        None => "no status yet".to_owned(),
        Some(SnapshotStatus { error: Some(StatusError { message: Some(message) }), .. }) => {
            format!("status.error: {message}")
        }
        Some(status) if status.bound_volume_snapshot_content_name.is_none() => "not bound to a content yet".to_owned(),
        Some(_) => "cut, not ready to use yet".to_owned(),
    }
}

async fn record(
    cluster: &Cluster,
    key: &ObjectKey,
    wanted: &Wanted,
    status: SnapshotStatus,
    ready_after_ms: u64,
) -> Result<SnapshotRecord, SnapshotError> {
    let name = status.bound_volume_snapshot_content_name.unwrap_or_default();
    let content: Content = read(cluster, &content_key(&name)).await?.unwrap_or_default();
    let missing = |what: &str| SnapshotError::NotReady {
        object: key.to_string(),
        after_seconds: ready_after_ms / 1000,
        state: format!("VolumeSnapshotContent {name} has no {what}"),
    };
    let restore_size = status.restore_size.as_deref().and_then(quantity::bytes).or(content.status.restore_size);
    Ok(SnapshotRecord {
        driver: content.spec.driver,
        snapshot_handle: content.status.snapshot_handle.ok_or_else(|| missing("snapshotHandle"))?,
        restore_size_bytes: restore_size.unwrap_or(wanted.volume.capacity_bytes),
        cut_at: status.creation_time.ok_or_else(|| missing("creationTime"))?,
        source_volume_mode: content.spec.source_volume_mode,
        class: wanted.class.clone(),
        namespace: wanted.volume.namespace.clone(),
        name: key.name.clone(),
        content: name,
        content_annotations: content.metadata.annotations.into_iter().filter(|(k, _)| is_kept(k)).collect(),
        ready_after_ms,
    })
}

/// The annotations with which the sidecar finds the Secret it needs to delete the snapshot.
fn is_kept(annotation: &str) -> bool {
    annotation.starts_with("snapshot.storage.kubernetes.io/deletion-secret-")
}

async fn read<T: serde::de::DeserializeOwned>(cluster: &Cluster, key: &ObjectKey) -> Result<Option<T>, SnapshotError> {
    let text = cluster.get(key, SNAPSHOT_API).await;
    let text = text.map_err(|source| SnapshotError::Talk { tried: "read", object: key.to_string(), source })?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|source| SnapshotError::Understand { object: key.to_string(), source })
}

/// Sets the contents to Retain: from now on deleting the namespace no longer destroys the snapshots. They are marked as
/// the snapshots are, which may be gone with their namespace.
///
/// # Errors
/// When one cannot be set; the backup must not be sealed then.
pub async fn keep(
    cluster: &Cluster,
    made_for: &MadeFor<'_>,
    snapshots: &[SnapshotRecord],
) -> Result<(), SnapshotError> {
    let patch = json!({
        "metadata": {
            "labels": made_for.labels(),
            "annotations": names::origin_annotations(made_for.origin),
        },
        "spec": {"deletionPolicy": "Retain"},
    });
    let kept = join_all(snapshots.iter().map(|snapshot| change_content(cluster, &snapshot.content, &patch))).await;
    kept.into_iter().collect()
}

async fn change_content(cluster: &Cluster, content: &str, patch: &Value) -> Result<(), SnapshotError> {
    let key = content_key(content);
    let patched = cluster.merge_patch(&key, SNAPSHOT_API, patch).await;
    patched.map_err(|source| SnapshotError::Talk { tried: "keep", object: key.to_string(), source }).map(drop)
}

/// What became of what a backup made that failed before it was sealed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Deletion was asked for.
    pub deleted: Vec<String>,
    /// Could not be deleted, with the reason.
    pub left: Vec<String>,
}

impl GivenUp {
    /// Adds what became of other things that the backup made.
    pub fn add(&mut self, other: Self) {
        self.deleted.extend(other.deleted);
        self.left.extend(other.left);
    }
}

/// Deletes the snapshots a failed backup made, data included. Best effort: what stays is named.
pub async fn give_up(cluster: &Cluster, id: &BackupId, served: &ServedKinds, namespaces: &[String]) -> GivenUp {
    let mut given_up = GivenUp::default();
    let Some(kind) = served.kinds.iter().find(|kind| kind.group == SNAPSHOT_GROUP && kind.kind == "VolumeSnapshot")
    else {
        return given_up;
    };
    for namespace in namespaces {
        let selector = names::backup_selector(id);
        let listed = match cluster.list(kind, Some(namespace), Some(&selector)).await {
            Ok(listed) => listed,
            Err(cause) => {
                given_up.left.push(format!("VolumeSnapshots labelled {selector} in {namespace}: {cause}"));
                continue;
            }
        };
        for text in listed {
            let key = kind.key(Some(namespace), &text.name);
            match delete_with_data(cluster, &key, &text.json).await {
                Ok(()) => given_up.deleted.push(key.to_string()),
                Err(cause) => given_up.left.push(format!("{key}: {cause}")),
            }
        }
    }
    given_up
}

/// Deletes a snapshot with its data and names its content, empty when it had none yet; `None` when there is no such snapshot.
pub(crate) async fn delete_by_key(cluster: &Cluster, key: &ObjectKey) -> Result<Option<String>, SnapshotError> {
    let text = cluster.get(key, SNAPSHOT_API).await;
    let text = text.map_err(|source| SnapshotError::Talk { tried: "read", object: key.to_string(), source })?;
    let Some(json) = text else { return Ok(None) };
    delete_with_data(cluster, key, &json).await?;
    let snapshot: Snapshot = serde_json::from_str(&json).unwrap_or_default();
    Ok(Some(snapshot.status.and_then(|status| status.bound_volume_snapshot_content_name).unwrap_or_default()))
}

/// Deletes a `VolumeSnapshot` or a content whose snapshot is gone, and its data with it.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn delete_with_data(cluster: &Cluster, key: &ObjectKey, json: &str) -> Result<(), SnapshotError> {
    let snapshot: Snapshot = serde_json::from_str(json).unwrap_or_default();
    let bound = snapshot.status.and_then(|status| status.bound_volume_snapshot_content_name);
    let content = if key.is_cluster_scoped() { Some(key.name.clone()) } else { bound };
    let Some(content) = content else { return delete(cluster, key).await };
    change_content(cluster, &content, &json!({"spec": {"deletionPolicy": "Delete"}})).await?;
    delete(cluster, key).await?;
    // The snapshot-controller goes by the content in its cache, which may still say Retain: then it lets the snapshot go and
    // leaves content and data for ever (external-snapshotter `processSnapshotWithDeletionTimestamp`).
    delete(cluster, &content_key(&content)).await
}

/// Deletes a snapshot object. A content with policy Retain leaves the storage snapshot where it is.
///
/// # Errors
/// When the API server refuses.
pub async fn delete(cluster: &Cluster, key: &ObjectKey) -> Result<(), SnapshotError> {
    let deleted = cluster.delete(key, SNAPSHOT_API).await;
    deleted.map_err(|source| SnapshotError::Talk { tried: "delete", object: key.to_string(), source }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_says_what_is_known() {
        let with = |status: serde_json::Value| serde_json::from_value(json!({"status": status})).unwrap();
        let failing: Snapshot = with(json!({"error": {"message": "pool is full"}}));
        assert_eq!(state(&failing, Duration::ZERO), "status.error: pool is full");
        assert!(state(&Snapshot::default(), Duration::from_secs(9)).contains("snapshot-controller"));
        let cut: Snapshot = with(json!({"boundVolumeSnapshotContentName": "c", "readyToUse": false}));
        assert_eq!(state(&cut, Duration::ZERO), "cut, not ready to use yet");
    }
}
