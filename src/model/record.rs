//! `backup.json`: the table of contents of a backup. `docs/format.md` is its twin.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    BackupId, ClusterIdentity, DataVolume, Fingerprint, Instance, MissingReference, Operator, Sha256, SnapshotRecord,
};

/// The newest format this program reads. It writes the oldest that holds what a backup has.
pub const FORMAT: u32 = FORMAT_WITH_COPIES;

/// The format of a backup that holds data: a reader of format 1 would bring its volumes back empty.
pub const FORMAT_WITH_COPIES: u32 = 2;

/// Table of contents of a backup. The last file written: present means complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// Name of the backup.
    pub id: BackupId,
    /// Version of promsafe that wrote it.
    pub tool_version: String,
    /// The cluster it was taken from.
    pub cluster: ClusterIdentity,
    /// The directory it is a copy of, when it was taken without a cluster; then there are no objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectorySource>,
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

impl BackupRecord {
    /// A backup by this version of promsafe that holds nothing yet.
    pub fn empty(id: BackupId, cluster: ClusterIdentity, started_at: Timestamp) -> Self {
        Self {
            id,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster,
            directory: None,
            started_at,
            finished_at: started_at,
            asked_namespaces: Vec::new(),
            namespaces: Vec::new(),
            operators: Vec::new(),
            instances: Vec::new(),
            objects: 0,
            cluster_scoped_objects: 0,
            left_out: BTreeMap::new(),
            missing_references: Vec::new(),
            volumes: Vec::new(),
            fingerprints: Vec::new(),
            without_fingerprint: BTreeMap::new(),
            files: Vec::new(),
        }
    }
}

/// One volume of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// The claim and the volume behind it.
    pub volume: DataVolume,
    /// Its snapshot, which is kept; `None` when the backup was taken with `--volumes none` or `copy`.
    pub snapshot: Option<SnapshotRecord>,
    /// The copy of its data in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyRecord>,
}

impl VolumeRecord {
    /// A directory without a cluster: there is no claim, only what was copied.
    pub fn of_directory(copy: CopyRecord) -> Self {
        let volume = DataVolume { requested_bytes: copy.bytes, capacity_bytes: copy.bytes, ..DataVolume::default() };
        Self { volume, snapshot: None, copy: Some(copy) }
    }
}

/// Problems of a copy that stand in its record in words: there may be as many as there are files.
const PROBLEMS_TOLD: usize = 20;

/// The copy of a volume's files in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRecord {
    /// The tree object: which files there are, and of which pieces.
    pub tree: Sha256,
    /// Size of the tree object in bytes.
    pub tree_bytes: u64,
    /// Files in it.
    pub files: u64,
    /// Size of all its files together, in bytes.
    pub bytes: u64,
    /// Of these sent to the store by this backup, in bytes; the rest was there already.
    pub sent_bytes: u64,
    /// When what it holds was cut: the snapshot's time, or the beginning of the copy of a directory.
    pub cut_at: Timestamp,
    /// `Filesystem`, the only mode that is copied.
    pub volume_mode: String,
    /// User id that runs the pods of the volume, if it is known.
    pub run_as_user: Option<i64>,
    /// Group id of these pods, if it is known.
    pub run_as_group: Option<i64>,
    /// Group id that owns the volume (`fsGroup`), if it is known.
    pub fs_group: Option<i64>,
    /// Where the pods of the volume run.
    #[serde(default, skip_serializing_if = "Placement::is_anywhere")]
    pub placement: Placement,
    /// What went wrong while it was made, such as files that could not be read, in words; the last may count more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl CopyRecord {
    /// As many problems as a record holds; the rest is counted.
    pub fn told(mut problems: Vec<String>) -> Vec<String> {
        let more = problems.len().saturating_sub(PROBLEMS_TOLD);
        if more > 0 {
            problems.truncate(PROBLEMS_TOLD);
            problems.push(format!("and {more} more"));
        }
        problems
    }
}

/// What a pod says about where it runs and how its image is pulled, in the words of its spec (Kubernetes API, core/v1
/// `PodSpec`): a volume that is filled on another node, in another zone, may be out of its reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// Labels of the nodes it may run on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Its affinity to nodes.
    #[serde(skip_serializing_if = "Affinity::is_none")]
    pub affinity: Affinity,
    /// Taints of nodes that it bears.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Value>,
    /// Secrets to pull its image with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<Value>,
}

/// Of a pod's affinity what binds it to nodes; what it says of other pods is meant for its own kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// `nodeAffinity` as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_affinity: Option<Value>,
}

impl Affinity {
    fn is_none(&self) -> bool {
        self.node_affinity.is_none()
    }
}

impl Placement {
    fn is_anywhere(&self) -> bool {
        *self == Self::default()
    }
}

/// A directory of a machine that was copied without a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectorySource {
    /// Name of the machine.
    pub host: String,
    /// Absolute path of the directory.
    pub path: String,
}

impl VolumeRecord {
    /// When what was saved of it was cut.
    pub fn cut_at(&self) -> Option<Timestamp> {
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.cut_at);
        snapshot.or_else(|| self.copy.as_ref().map(|copy| copy.cut_at))
    }
}

impl BackupRecord {
    /// The oldest format that holds this backup.
    pub fn format(&self) -> u32 {
        let copies = self.volumes.iter().any(|volume| volume.copy.is_some());
        if copies || self.directory.is_some() { FORMAT_WITH_COPIES } else { 1 }
    }
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
