//! What discovery found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ObjectKey;

/// What discovery found, apart from the objects themselves, which a [`super::Collector`] took.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Prometheus Operators.
    pub operators: Vec<Operator>,
    /// Prometheus, Alertmanager, ThanosRuler and agents.
    pub instances: Vec<Instance>,
    /// Namespaces captured whole.
    pub namespaces: Vec<String>,
    /// How many objects are in.
    pub objects: u64,
    /// Of these cluster-scoped.
    pub cluster_scoped_objects: u64,
    /// What objects that are in name, need, and could not be found.
    pub missing_references: Vec<MissingReference>,
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
    /// Which custom resources are its business, by its arguments, in words.
    #[serde(default)]
    pub scope: String,
}

/// A Secret, a ConfigMap or the like that an object needs and that could not be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingReference {
    /// What is missing, as `Kind namespace/name`, with the key when only that is.
    pub object: String,
    /// Who names it, as `Kind namespace/name`.
    pub named_by: String,
    /// The field that names it, such as `spec.endpoints[0].basicAuth.password`.
    pub field: String,
    /// How many other fields name it as well.
    pub named_elsewhere: u64,
    /// Why it could not be found.
    pub why: String,
    /// What to type or do about it.
    pub fix: String,
}

impl MissingReference {
    /// Who needs it, and by which field.
    pub fn needed_by(&self) -> String {
        let more = match self.named_elsewhere {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("{} ({}{more})", self.named_by, self.field)
    }
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

/// Something that runs as pods: a custom resource of the operator, or a workload that runs Prometheus without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The custom resource, or the Deployment, StatefulSet or DaemonSet.
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
    /// Retention by time as the custom resource or the argument says it (`30d`), if it does.
    pub retention: Option<String>,
    /// The operators whose business it is, as `namespace/name`; none for a workload without one.
    #[serde(default)]
    pub operators: Vec<String>,
    /// What its data lies on when that is no claim, such as `emptyDir`: it dies with the pod.
    #[serde(default)]
    pub volatile: Option<String>,
}

/// A PersistentVolumeClaim and the volume behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whose it was before replicas or shards were taken away, as `Kind namespace/name`; no pod mounts it now.
    #[serde(default)]
    pub leftover_of: Option<String>,
}

impl DataVolume {
    /// `namespace/claim`.
    pub fn qualified_name(&self) -> String {
        format!("{}/{}", self.namespace, self.claim)
    }
}
