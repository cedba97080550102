//! `backup.json`: the table of contents of a backup. `docs/format.md` is its twin.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BackupId, ClusterIdentity, DataVolume, Fingerprint, Instance, MissingReference, Operator, SnapshotRecord};

/// The format this program writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// Table of contents of a backup. The last file written: present means complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// Name of the backup.
    pub id: BackupId,
    /// Version of promsafe that wrote it.
    pub tool_version: String,
    /// The cluster it was taken from.
    pub cluster: ClusterIdentity,
    /// When the backup began.
    pub started_at: Timestamp,
    /// When the record was written.
    pub finished_at: Timestamp,
    /// Namespaces asked for by `--namespace`; empty means all.
    pub asked_namespaces: Vec<String>,
    /// Namespaces captured whole.
    pub namespaces: Vec<String>,
    /// Operators found.
    pub operators: Vec<Operator>,
    /// Instances found.
    pub instances: Vec<Instance>,
    /// Objects in the bundle, counted.
    pub objects: u64,
    /// Of these cluster-scoped.
    pub cluster_scoped_objects: u64,
    /// Objects left out, counted by reason.
    pub left_out: BTreeMap<String, u64>,
    /// What objects of the bundle need and what was not there, when the backup was taken with `--allow-missing`.
    #[serde(default)]
    pub missing_references: Vec<MissingReference>,
    /// Volumes and what was saved of each.
    pub volumes: Vec<VolumeRecord>,
    /// What each Prometheus answered.
    pub fingerprints: Vec<Fingerprint>,
    /// Instances whose Prometheus could not be asked, with the reason.
    pub without_fingerprint: BTreeMap<String, String>,
    /// Files of the backup beside this one.
    pub files: Vec<FileRecord>,
}

/// One volume of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// The claim and the volume behind it.
    pub volume: DataVolume,
    /// Its snapshot; `None` when the backup was taken with `--volumes none`.
    pub snapshot: Option<SnapshotRecord>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Name inside the backup's directory.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}
