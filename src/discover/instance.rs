//! What runs as pods: the operator's custom resources and plain Prometheus, each with its pods, found through the owners
//! between.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::workload::{Running, RunningOperator};
use super::{DiscoverError, Found, web_config};
use crate::model::{GroupKind, Instance, InstanceKind, ObjectKey};
use crate::plain::{PlainPrometheus, TsdbVolume};
use crate::scope::OPERATOR_GROUP;

/// Kinds with the port each listens on when its resource does not say (prometheus-operator `pkg/prometheus`,
/// `pkg/alertmanager`, `pkg/thanos`).
const KINDS: &[(GroupKind, InstanceKind, u16)] = &[
    (GroupKind(OPERATOR_GROUP, "Prometheus"), InstanceKind::Prometheus, 9090),
    (GroupKind(OPERATOR_GROUP, "PrometheusAgent"), InstanceKind::PrometheusAgent, 9090),
    (GroupKind(OPERATOR_GROUP, "Alertmanager"), InstanceKind::Alertmanager, 9093),
    (GroupKind(OPERATOR_GROUP, "ThanosRuler"), InstanceKind::ThanosRuler, 10902),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    metadata: Labelled,
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Labelled {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    version: Option<String>,
    replicas: Option<u32>,
    shards: Option<u32>,
    retention: Option<String>,
    route_prefix: Option<String>,
    web: Option<Web>,
    storage: Option<Storage>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Web {
    tls_config: Option<serde_json::Value>,
}

/// `emptyDir` and then `ephemeral` win over the template (prometheus-operator `pkg/prometheus/statefulset.go`).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Storage {
    empty_dir: Option<serde_json::Value>,
    ephemeral: Option<serde_json::Value>,
    volume_claim_template: Option<serde_json::Value>,
}

impl Spec {
    fn volatile(&self) -> Option<String> {
        let ephemeral = |storage: &&Storage| storage.empty_dir.is_none() && storage.ephemeral.is_some();
        let claim = |storage: &&Storage| storage.empty_dir.is_none() && storage.volume_claim_template.is_some();
        match &self.storage {
            Some(storage) if ephemeral(&storage) => Some("a generic ephemeral volume".to_owned()),
            Some(storage) if claim(&storage) => None,
            _ => Some("emptyDir".to_owned()),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owned {
    metadata: Owners,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Owners {
    owner_references: Vec<Owner>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Owner {
    kind: String,
    name: String,
    controller: bool,
}

/// Instances among the operator's custom resources and the plain workloads, each with its pods.
pub(super) fn find(custom: &[Found], running: &Running, everything: &[Found]) -> Result<Vec<Instance>, DiscoverError> {
    let pods = PodsByOwner::among(everything)?;
    let mut instances = Vec::new();
    for found in custom {
        let Some((_, kind, port)) = KINDS.iter().find(|(kind, ..)| found.key.is(*kind)) else { continue };
        let resource: Resource = found.pick()?;
        let spec = resource.spec;
        instances.push(Instance {
            kind: *kind,
            replicas: spec.replicas.unwrap_or(1),
            shards: spec.shards.unwrap_or(1),
            pods: pods.of(&found.key),
            port: *port,
            scheme: if spec.web.as_ref().is_some_and(|web| web.tls_config.is_some()) { "https" } else { "http" }
                .to_owned(),
            volatile: spec.volatile(),
            version: spec.version,
            route_prefix: spec.route_prefix.unwrap_or_else(|| "/".to_owned()),
            retention: spec.retention,
            operators: managers(&running.operators, &found.key, &resource.metadata),
            key: found.key.clone(),
        });
    }
    for (key, plain) in &running.plain {
        let scheme = web_config::scheme(key, plain, everything)?;
        instances.push(Instance { scheme: scheme.to_owned(), ..of_plain(key, plain, pods.of(key)) });
    }
    Ok(instances)
}

fn managers(operators: &[RunningOperator], key: &ObjectKey, metadata: &Labelled) -> Vec<String> {
    let Some((kind, ..)) = KINDS.iter().find(|(kind, ..)| key.is(*kind)) else { return Vec::new() };
    let namespace = key.namespace.as_deref().unwrap_or_default();
    operators
        .iter()
        .filter(|one| one.scope.manages(*kind, namespace, &metadata.labels, &metadata.annotations))
        .map(|one| one.operator.key.qualified_name())
        .collect()
}

fn of_plain(key: &ObjectKey, plain: &PlainPrometheus, pods: Vec<String>) -> Instance {
    let volatile = match &plain.tsdb {
        TsdbVolume::Claim(_) | TsdbVolume::ClaimTemplate(_) => None,
        TsdbVolume::EmptyDir => Some("emptyDir".to_owned()),
        TsdbVolume::HostPath(path) => Some(format!("the node's directory {path}")),
        TsdbVolume::Ephemeral => Some("an ephemeral volume".to_owned()),
        TsdbVolume::Other(kind) => Some(format!("a volume of type {kind}")),
        TsdbVolume::ContainerFilesystem => Some("the container's own file system".to_owned()),
    };
    Instance {
        key: key.clone(),
        kind: if plain.agent { InstanceKind::PrometheusAgent } else { InstanceKind::Prometheus },
        version: plain.version.clone(),
        replicas: plain.replicas,
        shards: 1,
        pods,
        port: plain.port,
        scheme: plain.scheme.to_owned(),
        route_prefix: plain.route_prefix.clone(),
        retention: plain.retention.clone(),
        operators: Vec::new(),
        volatile,
    }
}

/// Namespace, kind and name.
type Named = (Option<String>, String, String);

/// Pods, and who owns them at last.
struct PodsByOwner {
    pods: BTreeMap<Named, Vec<String>>,
}

/// Kinds between a pod and what it runs for.
const OWNED: &[GroupKind] = &[
    GroupKind("", "Pod"),
    GroupKind("apps", "ReplicaSet"),
    GroupKind("apps", "StatefulSet"),
    GroupKind("apps", "DaemonSet"),
];
/// Owners between a pod and what somebody wrote: a ReplicaSet and its Deployment, a StatefulSet and its Prometheus.
const MOST_OWNERS: usize = 4;

impl PodsByOwner {
    fn among(everything: &[Found]) -> Result<Self, DiscoverError> {
        let mut owners: BTreeMap<Named, Named> = BTreeMap::new();
        for found in everything.iter().filter(|found| OWNED.iter().any(|kind| found.key.is(*kind))) {
            let references = found.pick::<Owned>()?.metadata.owner_references;
            if let Some(owner) = references.into_iter().find(|owner| owner.controller) {
                owners.insert(named(&found.key), (found.key.namespace.clone(), owner.kind, owner.name));
            }
        }
        let mut pods: BTreeMap<Named, Vec<String>> = BTreeMap::new();
        for found in everything.iter().filter(|found| found.key.is(GroupKind("", "Pod"))) {
            let mut object = named(&found.key);
            for _ in 0..MOST_OWNERS {
                let Some(owner) = owners.get(&object) else { break };
                pods.entry(owner.clone()).or_default().push(found.key.name.clone());
                object = owner.clone();
            }
        }
        Ok(Self { pods })
    }

    /// Pods that belong to this object, however many owners lie between.
    fn of(&self, key: &ObjectKey) -> Vec<String> {
        self.pods.get(&named(key)).cloned().unwrap_or_default()
    }
}

fn named(key: &ObjectKey) -> Named {
    (key.namespace.clone(), key.kind.clone(), key.name.clone())
}
