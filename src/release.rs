//! Removes the snapshot objects a restore made for a while, once the claims are bound. The storage snapshot stays.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::Value;

use crate::barrier::{BarrierError, Look, Watch};
use crate::cluster::{Cluster, ClusterError};
use crate::model::{Event, GroupKind, ObjectKey, ServedKind, ServedKinds};
use crate::names;
use crate::plan::RestorePlan;
use crate::scope::SNAPSHOT_GROUP;
use crate::snapshots;

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
    mounted: &BTreeSet<(String, String)>,
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
        let will_be_mounted = mounted.contains(&(namespace.clone(), claim.clone()));
        if let Some(source) = source_while_unbound(watch, namespace, claim, will_be_mounted).await? {
            needed.insert(source);
            released.waiting_claims.push(format!("{namespace}/{claim}"));
        }
    }
    let free = made.iter().filter(|object| !needed.contains(&object.snapshot));
    let (contents, bound): (Vec<_>, Vec<_>) = free.partition(|object| object.key.is_cluster_scoped());
    for batch in [bound, contents] {
        let deleted = join_all(batch.iter().map(|object| snapshots::delete(watch.cluster, &object.key))).await;
        for (object, result) in batch.iter().zip(deleted) {
            match result {
                Ok(()) => {
                    released.removed += 1;
                    watch.reporter.event(&Event::Wrote { object: object.key.to_string(), how: "deleted" });
                }
                Err(cause) => released.left.push(format!("{}: {cause}", object.key)),
            }
        }
        for object in &batch {
            gone(watch, &object.key).await?;
        }
    }
    Ok(released)
}

/// A snapshot object made by a restore, with the name of the `VolumeSnapshot` it is or belongs to.
struct Made {
    key: ObjectKey,
    snapshot: String,
}

async fn made_by_restores(
    cluster: &Cluster,
    served: &ServedKinds,
    plan: &RestorePlan,
) -> Result<Vec<Made>, ClusterError> {
    let selector = names::restore_selector(&plan.backup);
    let kind = |name: &'static str| served.find(GroupKind(SNAPSHOT_GROUP, name)).cloned();
    let (Some(snapshots), Some(contents)) = (kind("VolumeSnapshot"), kind("VolumeSnapshotContent")) else {
        return Ok(Vec::new());
    };
    let mut made = Vec::new();
    for namespace in &plan.namespaces {
        made.extend(
            listed(cluster, &snapshots, Some(namespace), &selector, "/metadata/name")
                .await?
                .into_iter()
                .map(Made::from),
        );
    }
    let all = listed(cluster, &contents, None, &selector, "/spec/volumeSnapshotRef/name").await?;
    // A restore of other namespaces of the same backup may be under way: only contents of ours.
    made.extend(all.into_iter().filter(|content| content.namespace_is_one_of(&plan.namespaces)).map(Made::from));
    Ok(made)
}

struct Listed {
    made: Made,
    namespace: String,
}

impl Listed {
    fn namespace_is_one_of(&self, namespaces: &[String]) -> bool {
        namespaces.contains(&self.namespace)
    }
}

impl From<Listed> for Made {
    fn from(listed: Listed) -> Self {
        listed.made
    }
}

async fn listed(
    cluster: &Cluster,
    kind: &ServedKind,
    namespace: Option<&str>,
    selector: &str,
    snapshot_name: &str,
) -> Result<Vec<Listed>, ClusterError> {
    let texts = cluster.list(kind, namespace, Some(selector)).await?;
    Ok(texts
        .into_iter()
        .map(|text| {
            let value: Value = serde_json::from_str(&text.json).unwrap_or_default();
            let at = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            Listed {
                made: Made { key: kind.key(namespace, &text.name), snapshot: at(snapshot_name) },
                namespace: namespace.map_or_else(|| at("/spec/volumeSnapshotRef/namespace"), str::to_owned),
            }
        })
        .collect())
}

/// Name of the snapshot a claim still needs: `None` once it is bound. A claim that a pod will mount is waited for.
async fn source_while_unbound(
    watch: &Watch<'_>,
    namespace: &str,
    claim: &str,
    will_be_mounted: bool,
) -> Result<Option<String>, BarrierError> {
    let key = ObjectKey::namespaced("", "PersistentVolumeClaim", "persistentvolumeclaims", namespace, claim);
    watch
        .until(&key.to_string(), watch.timeouts.instance_ready, async || {
            let Some(text) = watch.cluster.get(&key, "v1").await? else { return Ok(Look::Done(None)) };
            let claim: Value = serde_json::from_str(&text).unwrap_or_default();
            let at = |pointer: &str| claim.pointer(pointer).and_then(Value::as_str);
            Ok(match at("/status/phase") {
                Some("Bound") => Look::Done(None),
                _ if !will_be_mounted => Look::Done(at("/spec/dataSource/name").map(str::to_owned)),
                phase => Look::Not(format!("phase {}", phase.unwrap_or("unknown"))),
            })
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
