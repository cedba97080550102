//! What discovery found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CapturedManifest, ObjectKey};

/// What discovery found: every object once, each with the reason why it is in.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Prometheus Operators.
    pub operators: Vec<Operator>,
    /// Prometheus, Alertmanager, ThanosRuler and agents.
    pub instances: Vec<Instance>,
    /// Namespaces captured whole.
    pub namespaces: Vec<String>,
    /// Every object of the backup, in listing order.
    pub objects: Vec<CapturedManifest>,
    /// Claims of the captured namespaces.
    pub volumes: Vec<DataVolume>,
    /// How many objects were left out, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// API groups that could not be asked (a dead APIService).
    pub failed_groups: Vec<String>,
}

/// A running Prometheus Operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Its Deployment.
    pub key: ObjectKey,
    /// Version from its image tag, where it has one.
    pub version: Option<String>,
}

/// What an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceKind {
    /// A Prometheus server.
    Prometheus,
    /// A Prometheus in agent mode: no queries, no blocks.
    PrometheusAgent,
    /// An Alertmanager.
    Alertmanager,
    /// A Thanos Ruler.
    ThanosRuler,
}

/// One custom resource that runs as pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The custom resource.
    pub key: ObjectKey,
    /// What it is.
    pub kind: InstanceKind,
    /// Version it says it runs.
    pub version: Option<String>,
    /// Replicas of each shard.
    pub replicas: u32,
    /// Shards; 1 for what cannot be sharded.
    pub shards: u32,
    /// Its pods.
    pub pods: Vec<String>,
    /// Port its HTTP API listens on inside the pod.
    pub port: u16,
    /// `http` or `https`.
    pub scheme: String,
    /// Path prefix of its HTTP API, `/` when none.
    pub route_prefix: String,
    /// Retention by time as the custom resource says it (`30d`), if it does.
    pub retention: Option<String>,
}

/// A PersistentVolumeClaim and the volume behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataVolume {
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub claim: String,
    /// UID of the claim: tells the very same claim from one of the same name.
    pub uid: String,
    /// The instance whose pods mount it, as `Kind namespace/name`.
    pub used_by: Option<String>,
    /// The pod that mounts it.
    pub pod: Option<String>,
    /// `status.phase` of the claim.
    pub phase: String,
    /// Storage class of the claim.
    pub storage_class: Option<String>,
    /// Size asked for, in bytes.
    pub requested_bytes: u64,
    /// Size it has, in bytes.
    pub capacity_bytes: u64,
    /// CSI driver of its PersistentVolume; `None` when unbound or not CSI.
    pub driver: Option<String>,
    /// The storage's name of the volume.
    pub volume_handle: Option<String>,
}

impl DataVolume {
    /// `namespace/claim`.
    pub fn qualified_name(&self) -> String {
        format!("{}/{}", self.namespace, self.claim)
    }
}
