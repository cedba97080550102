//! Removes the snapshot objects a restore made for a while, once the claims are bound. The storage snapshot stays.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde::Deserialize;
use serde_json::Value;

use crate::barrier::{BarrierError, Look, Watch};
use crate::bind;
use crate::cluster::{Cluster, ClusterError};
use crate::model::{Event, GroupKind, ObjectKey, ServedKinds, VolumeRecord};
use crate::names;
use crate::plan::RestorePlan;
use crate::scope::SNAPSHOT_GROUP;
use crate::snapshots;
use crate::words;

/// What was removed and what had to stay.
#[derive(Debug, Default)]
pub struct Released {
    /// Snapshot objects removed.
    pub removed: u64,
    /// Claims that still wait for their first pod: their snapshot objects stay until then.
    pub waiting_claims: Vec<String>,
    /// Objects that could not be removed, with the reason.
    pub left: Vec<String>,
}

/// Removes what this restore and earlier ones of the same backup made, as far as no claim needs it any more.
///
/// # Errors
/// When the cluster cannot be asked.
pub(crate) async fn release(
    watch: &Watch<'_>,
    plan: &RestorePlan,
    volumes: &[VolumeRecord],
) -> Result<Released, BarrierError> {
    let mut released = Released::default();
    if plan.restored_claims.is_empty() {
        return Ok(released);
    }
    let ask = |source: ClusterError| BarrierError::Ask { object: "VolumeSnapshots of the restore".to_owned(), source };
    let served = watch.cluster.served_kinds().await.map_err(ask)?;
    let made = made_by_restores(watch.cluster, &served, plan).await.map_err(ask)?;
    if made.is_empty() {
        return Ok(released);
    }
    let mut needed = BTreeSet::new();
    for (namespace, claim) in &plan.restored_claims {
        let key = ObjectKey::namespaced("", "PersistentVolumeClaim", "persistentvolumeclaims", namespace, claim);
        let is_its = |volume: &&VolumeRecord| &volume.volume.namespace == namespace && &volume.volume.claim == claim;
        let volume = volumes.iter().find(is_its);
        let source = match volume.filter(|volume| volume.volume.pod.is_none()).and_then(|v| v.volume.driver.as_ref()) {
            Some(driver) => unmounted(watch, &served, &key, driver).await?,
            None => source_while_unbound(watch, &key, watch.timeouts.instance_ready).await?,
        };
        if let Some(source) = source {
            needed.insert((namespace.clone(), source));
            released.waiting_claims.push(format!("{namespace}/{claim}"));
        }
    }
    let free = made.into_iter().filter(|made| !needed.contains(&(made.namespace.clone(), made.snapshot.clone())));
    let (contents, bound): (Vec<Made>, Vec<Made>) = free.partition(|made| made.key.is_cluster_scoped());
    // A content refuses to go while its snapshot is there.
    for batch in [bound, contents] {
        remove(watch, &batch, &mut released).await?;
    }
    Ok(released)
}

async fn remove(watch: &Watch<'_>, batch: &[Made], released: &mut Released) -> Result<(), BarrierError> {
    let deleted = join_all(batch.iter().map(|made| snapshots::delete(watch.cluster, &made.key))).await;
    for (made, result) in batch.iter().zip(deleted) {
        match result {
            Ok(()) => {
                gone(watch, &made.key).await?;
                released.removed += 1;
                watch.reporter.event(&Event::Wrote { object: made.key.to_string(), how: "deleted" });
            }
            Err(cause) => released.left.push(format!("{}: {}", made.key, words::chain(&cause))),
        }
    }
    Ok(())
}

/// A snapshot object made by a restore.
struct Made {
    key: ObjectKey,
    /// Namespace of the `VolumeSnapshot` it is or belongs to.
    namespace: String,
    /// Name of that `VolumeSnapshot`.
    snapshot: String,
}

/// Snapshot objects of restores of this backup, in the namespaces of the plan: a restore of others may be under way.
async fn made_by_restores(
    cluster: &Cluster,
    served: &ServedKinds,
    plan: &RestorePlan,
) -> Result<Vec<Made>, ClusterError> {
    let selector = names::restore_selector(&plan.backup);
    let mut made = Vec::new();
    if let Some(kind) = served.find(GroupKind(SNAPSHOT_GROUP, "VolumeSnapshot")) {
        for namespace in &plan.namespaces {
            for text in cluster.list(kind, Some(namespace), Some(&selector)).await? {
                let key = kind.key(Some(namespace), &text.name);
                made.push(Made { key, namespace: namespace.clone(), snapshot: text.name });
            }
        }
    }
    if let Some(kind) = served.find(GroupKind(SNAPSHOT_GROUP, "VolumeSnapshotContent")) {
        for text in cluster.list(kind, None, Some(&selector)).await? {
            let content: Content = serde_json::from_str(&text.json).unwrap_or_default();
            let Reference { namespace, name } = content.spec.volume_snapshot_ref;
            made.push(Made { key: kind.key(None, &text.name), namespace, snapshot: name });
        }
    }
    made.retain(|object| plan.namespaces.contains(&object.namespace));
    Ok(made)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    spec: ContentSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContentSpec {
    volume_snapshot_ref: Reference,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    namespace: String,
    name: String,
}

/// The snapshot that a claim without a pod still needs, after all was done to have its volume made.
async fn unmounted(
    watch: &Watch<'_>,
    served: &ServedKinds,
    key: &ObjectKey,
    driver: &str,
) -> Result<Option<String>, BarrierError> {
    if source_now(watch, key).await?.is_none() {
        return Ok(None);
    }
    let ask = |source| BarrierError::Ask { object: key.to_string(), source };
    bind::without_a_pod(watch.cluster, served, key, driver).await.map_err(ask)?;
    match source_while_unbound(watch, key, watch.timeouts.established).await {
        // It waits for its first pod, as it would have without us.
        Err(BarrierError::TimedOut { .. }) => source_now(watch, key).await,
        other => other,
    }
}

/// Name of the snapshot a claim needs as long as it is not bound.
async fn source_now(watch: &Watch<'_>, key: &ObjectKey) -> Result<Option<String>, BarrierError> {
    let ask = |source| BarrierError::Ask { object: key.to_string(), source };
    let claim = watch.cluster.get(key, "v1").await.map_err(ask)?;
    let claim: Value = claim.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let at = |pointer: &str| claim.pointer(pointer).and_then(Value::as_str);
    Ok(if at("/status/phase") == Some("Bound") { None } else { at("/spec/dataSource/name").map(str::to_owned) })
}

/// Waits until a claim is bound, and then it needs no snapshot.
async fn source_while_unbound(
    watch: &Watch<'_>,
    key: &ObjectKey,
    deadline: Duration,
) -> Result<Option<String>, BarrierError> {
    watch
        .until(&key.to_string(), deadline, async || {
            let Some(text) = watch.cluster.get(key, "v1").await? else { return Ok(Look::Done(None)) };
            let claim: Value = serde_json::from_str(&text).unwrap_or_default();
            let phase = claim.pointer("/status/phase").and_then(Value::as_str).unwrap_or("unknown");
            Ok(if phase == "Bound" { Look::Done(None) } else { Look::Not(format!("phase {phase}")) })
        })
        .await
}

async fn gone(watch: &Watch<'_>, key: &ObjectKey) -> Result<(), BarrierError> {
    watch
        .until(&key.to_string(), watch.timeouts.established, async || {
            let there = watch.cluster.get(key, names::SNAPSHOT_API).await?.is_some();
            Ok(if there { Look::Not("being deleted".to_owned()) } else { Look::Done(()) })
        })
        .await
}
