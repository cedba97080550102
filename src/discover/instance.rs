//! Reads the custom resources that run as pods, and finds their pods through the StatefulSets between.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{DiscoverError, Found};
use crate::model::{GroupKind, Instance, InstanceKind, ObjectKey};
use crate::scope::OPERATOR_GROUP;

/// Kinds with the port each listens on when its resource does not say (prometheus-operator `pkg/prometheus`,
/// `pkg/alertmanager`, `pkg/thanos`).
const KINDS: &[(&str, InstanceKind, u16)] = &[
    ("Prometheus", InstanceKind::Prometheus, 9090),
    ("PrometheusAgent", InstanceKind::PrometheusAgent, 9090),
    ("Alertmanager", InstanceKind::Alertmanager, 9093),
    ("ThanosRuler", InstanceKind::ThanosRuler, 10902),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    spec: Spec,
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
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Web {
    tls_config: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Owned {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    owner_references: Vec<Owner>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Owner {
    kind: String,
    name: String,
    controller: bool,
}

impl Owned {
    fn controller(self, kinds: &[&str]) -> Option<String> {
        self.metadata
            .owner_references
            .into_iter()
            .find(|owner| owner.controller && kinds.contains(&owner.kind.as_str()))
            .map(|owner| owner.name)
    }
}

/// Instances among the operator's custom resources, each with its pods.
pub(super) fn find(custom: &[Found], everything: &[Found]) -> Result<Vec<Instance>, DiscoverError> {
    let pods = pods_by_instance(everything)?;
    let mut instances = Vec::new();
    for found in custom {
        let Some((_, kind, port)) = KINDS.iter().find(|(name, ..)| found.key.is(GroupKind(OPERATOR_GROUP, name)))
        else {
            continue;
        };
        let spec = found.pick::<Resource>()?.spec;
        instances.push(Instance {
            kind: *kind,
            version: spec.version,
            replicas: spec.replicas.unwrap_or(1),
            shards: spec.shards.unwrap_or(1),
            pods: pods.get(&owner_of(&found.key)).cloned().unwrap_or_default(),
            port: *port,
            scheme: if spec.web.is_some_and(|web| web.tls_config.is_some()) { "https" } else { "http" }.to_owned(),
            route_prefix: spec.route_prefix.unwrap_or_else(|| "/".to_owned()),
            retention: spec.retention,
            key: found.key.clone(),
        });
    }
    Ok(instances)
}

/// Namespace, kind and name of a custom resource.
type OwnerOfPods = (Option<String>, String, String);

fn owner_of(key: &ObjectKey) -> OwnerOfPods {
    (key.namespace.clone(), key.kind.clone(), key.name.clone())
}

fn pods_by_instance(everything: &[Found]) -> Result<BTreeMap<OwnerOfPods, Vec<String>>, DiscoverError> {
    let mut sets: BTreeMap<(Option<String>, String), OwnerOfPods> = BTreeMap::new();
    for found in everything.iter().filter(|found| found.key.is(GroupKind("apps", "StatefulSet"))) {
        let owned: Owned = found.pick()?;
        for owner in owned.metadata.owner_references {
            let instance = (found.key.namespace.clone(), owner.kind, owner.name);
            sets.insert((found.key.namespace.clone(), found.key.name.clone()), instance);
        }
    }
    let mut pods: BTreeMap<OwnerOfPods, Vec<String>> = BTreeMap::new();
    for found in everything.iter().filter(|found| found.key.is(GroupKind("", "Pod"))) {
        let Some(set) = found.pick::<Owned>()?.controller(&["StatefulSet"]) else { continue };
        if let Some(instance) = sets.get(&(found.key.namespace.clone(), set)) {
            pods.entry(instance.clone()).or_default().push(found.key.name.clone());
        }
    }
    Ok(pods)
}
