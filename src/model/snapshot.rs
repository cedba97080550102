//! A CSI snapshot, described well enough to be bound again in any cluster that reaches its storage.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Enough to bind the snapshot again, also in another cluster (external-snapshotter `client/apis/volumesnapshot/v1`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// CSI driver that made it.
    pub driver: String,
    /// The storage's own name of it: `status.snapshotHandle` of the content.
    pub snapshot_handle: String,
    /// Smallest volume it fits into, in bytes.
    pub restore_size_bytes: u64,
    /// When the storage cut it, by the storage's clock.
    pub cut_at: Timestamp,
    /// `Filesystem` or `Block`.
    pub source_volume_mode: Option<String>,
    /// Class it was taken with.
    pub class: String,
    /// Namespace of the `VolumeSnapshot`.
    pub namespace: String,
    /// Name of the `VolumeSnapshot`.
    pub name: String,
    /// Name of the `VolumeSnapshotContent`.
    pub content: String,
    /// Annotations of the content that its driver needs again (secrets for deletion).
    pub content_annotations: BTreeMap<String, String>,
    /// From request until ready, in milliseconds.
    pub ready_after_ms: u64,
}
