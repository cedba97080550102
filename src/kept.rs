//! Deletes the VolumeSnapshots that a backup kept, data included, once the backup itself is deleted.
//!
//! Facts: external-snapshotter `pkg/common-controller` and `pkg/sidecar-controller`: the sidecar deletes data only of a
//! content with policy Delete whose VolumeSnapshot was deleted; one whose VolumeSnapshot is gone already is deleted itself.

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError};
use crate::model::{Event, Reporter, SnapshotRecord, Timeouts};
use crate::names::{SNAPSHOT_API, content_key, snapshot_key};
use crate::snapshots;
use crate::words;

/// Snapshots deleted at once.
const IN_FLIGHT: usize = 8;

/// A snapshot that was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The `VolumeSnapshot`, and its content.
    pub snapshot: String,
    /// Why it is left.
    pub why: String,
    /// What to type to delete it with its data.
    pub by_hand: String,
}

impl Left {
    /// A snapshot that is left for this reason.
    pub fn new(snapshot: &SnapshotRecord, why: String) -> Self {
        let SnapshotRecord { namespace, name, content, .. } = snapshot;
        Self {
            snapshot: format!("VolumeSnapshot {namespace}/{name} (content {content}, {})", snapshot.snapshot_handle),
            why,
            by_hand: format!(
                "kubectl patch volumesnapshotcontent {content} --type merge -p '{{\"spec\":{{\"deletionPolicy\":\"Delete\"}}}}'; \
                 kubectl -n {namespace} delete volumesnapshot {name} || kubectl delete volumesnapshotcontent {content}"
            ),
        }
    }
}

/// What became of the snapshots.
#[derive(Debug, Default)]
pub struct Removed {
    /// Gone, with their data.
    pub deleted: Vec<String>,
    /// Not deleted, or not seen to be gone.
    pub left: Vec<Left>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Seen {
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    snapshot_handle: Option<String>,
    bound_volume_snapshot_content_name: Option<String>,
}

/// Deletes snapshots, and returns when they are seen to be gone. Best effort: what is left is named.
pub async fn remove(
    cluster: &Cluster,
    snapshots: &[&SnapshotRecord],
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> Removed {
    if !snapshots.is_empty() {
        reporter.event(&Event::Step { doing: format!("deleting {} VolumeSnapshots with their data", snapshots.len()) });
    }
    let removals = snapshots.iter().map(async |snapshot| (*snapshot, remove_one(cluster, snapshot, timeouts).await));
    let mut removals = futures::stream::iter(removals).buffered(IN_FLIGHT);
    let mut removed = Removed::default();
    while let Some((snapshot, done)) = removals.next().await {
        let object = snapshot_key(&snapshot.namespace, &snapshot.name).to_string();
        match done {
            Ok(()) => {
                reporter.event(&Event::Wrote { object: object.clone(), how: "deleted" });
                removed.deleted.push(object);
            }
            Err(why) => removed.left.push(Left::new(snapshot, why)),
        }
    }
    removed
}

async fn remove_one(cluster: &Cluster, record: &SnapshotRecord, timeouts: &Timeouts) -> Result<(), String> {
    let told = |error: ClusterError| words::chain(&error);
    let snapshot_key = snapshot_key(&record.namespace, &record.name);
    let content_key = content_key(&record.content);
    let snapshot = cluster.get(&snapshot_key, SNAPSHOT_API).await.map_err(told)?;
    let content = cluster.get(&content_key, SNAPSHOT_API).await.map_err(told)?;
    if let Some(why) = stranger(record, snapshot.as_deref(), content.as_deref()) {
        return Err(why);
    }
    let (key, json) = match (&snapshot, &content) {
        (Some(json), _) => (&snapshot_key, json),
        (None, Some(json)) => (&content_key, json),
        (None, None) => return Ok(()),
    };
    snapshots::delete_with_data(cluster, key, json).await.map_err(|error| words::chain(&error))?;
    let begun = Instant::now();
    loop {
        let mut there = Vec::new();
        for key in [&snapshot_key, &content_key] {
            if cluster.get(key, SNAPSHOT_API).await.map_err(told)?.is_some() {
                there.push(key.to_string());
            }
        }
        if there.is_empty() {
            return Ok(());
        }
        if begun.elapsed() >= timeouts.snapshot_gone {
            let seconds = begun.elapsed().as_secs();
            return Err(format!(
                "its deletion was asked for, and {} still there after {seconds} s",
                there.join(" and ")
            ));
        }
        tokio::time::sleep(timeouts.pause(begun.elapsed())).await;
    }
}

/// Why objects of these names are not what the backup made.
fn stranger(record: &SnapshotRecord, snapshot: Option<&str>, content: Option<&str>) -> Option<String> {
    let read = |json: Option<&str>| json.map(|json| serde_json::from_str::<Seen>(json).unwrap_or_default().status);
    let bound = read(snapshot).and_then(|status| status.bound_volume_snapshot_content_name);
    let handle = read(content).and_then(|status| status.snapshot_handle);
    match (bound, handle) {
        (Some(bound), _) if bound != record.content => {
            Some(format!("the VolumeSnapshot of this name is bound to {bound}, which the backup did not make"))
        }
        (_, Some(handle)) if handle != record.snapshot_handle => {
            Some(format!("the content of this name holds {handle}, which the backup did not make"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn record() -> SnapshotRecord {
        SnapshotRecord {
            driver: "d".into(),
            snapshot_handle: "handle".into(),
            restore_size_bytes: 1,
            cut_at: "2026-11-21T09:00:00Z".parse().unwrap(),
            source_volume_mode: None,
            class: "c".into(),
            namespace: "monitoring".into(),
            name: "promsafe-a".into(),
            content: "snapcontent-a".into(),
            content_annotations: BTreeMap::new(),
            ready_after_ms: 1,
        }
    }

    #[test]
    fn only_what_the_backup_made_is_deleted() {
        let snapshot = |bound: &str| format!(r#"{{"status":{{"boundVolumeSnapshotContentName":"{bound}"}}}}"#);
        let content = |handle: &str| format!(r#"{{"status":{{"snapshotHandle":"{handle}"}}}}"#);
        let (own, other) = (snapshot("snapcontent-a"), snapshot("snapcontent-b"));
        assert_eq!(stranger(&record(), Some(&own), Some(&content("handle"))), None);
        assert_eq!(stranger(&record(), None, Some(&content("handle"))), None);
        assert_eq!(stranger(&record(), Some(&own), None), None);
        assert!(stranger(&record(), Some(&other), Some(&content("handle"))).is_some_and(|why| why.contains("-b")));
        assert!(stranger(&record(), None, Some(&content("x"))).is_some_and(|why| why.contains("holds x")));
    }

    #[test]
    fn what_is_left_is_named_with_what_to_type() {
        let left = Left::new(&record(), "no cluster".into());
        assert_eq!(left.snapshot, "VolumeSnapshot monitoring/promsafe-a (content snapcontent-a, handle)");
        assert_eq!(
            left.by_hand,
            "kubectl patch volumesnapshotcontent snapcontent-a --type merge -p '{\"spec\":{\"deletionPolicy\":\"Delete\"}}'; \
             kubectl -n monitoring delete volumesnapshot promsafe-a || kubectl delete volumesnapshotcontent snapcontent-a"
        );
    }
}
