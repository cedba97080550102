//! Whose a claim was that no pod mounts any more: replicas and shards that were taken away leave their claims behind.
//!
//! Found by label, not by name: a StatefulSet puts the labels of its selector on every claim it makes (kubernetes
//! `pkg/controller/statefulset/stateful_set_utils.go`), and the operator's selectors name the custom resource.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{DiscoverError, Found};
use crate::model::{GroupKind, ObjectKey};
use crate::scope::OPERATOR_GROUP;

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatefulSet {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    owner_references: Vec<OwnerReference>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OwnerReference {
    kind: String,
    name: String,
    controller: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<u64>,
    ordinals: Ordinals,
    selector: Selector,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    start: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

/// The labels that claims of a custom resource's StatefulSets carry (prometheus-operator `pkg/prometheus`,
/// `pkg/alertmanager`, `pkg/thanos`).
struct OperatorLabels {
    /// The custom resource.
    kind: &'static str,
    /// The value of `app.kubernetes.io/name`.
    app: &'static str,
    /// The label whose value is the custom resource's name.
    named: &'static str,
}

const OPERATOR_LABELS: &[OperatorLabels] = &[
    OperatorLabels { kind: "Prometheus", app: "prometheus", named: "operator.prometheus.io/name" },
    OperatorLabels { kind: "PrometheusAgent", app: "prometheus-agent", named: "operator.prometheus.io/name" },
    OperatorLabels { kind: "Alertmanager", app: "alertmanager", named: "alertmanager" },
    OperatorLabels { kind: "ThanosRuler", app: "thanos-ruler", named: "thanos-ruler" },
];

/// The StatefulSets of the captured namespaces.
pub(super) struct Owners {
    sets: Vec<Set>,
}

struct Set {
    namespace: Option<String>,
    /// Whom it belongs to, as `Kind namespace/name`.
    belongs_to: String,
    labels: BTreeMap<String, String>,
    /// The first ordinal that is not wanted any more.
    end: u64,
}

impl Owners {
    pub(super) fn among(everything: &[Found]) -> Result<Self, DiscoverError> {
        let mut sets = Vec::new();
        for found in everything.iter().filter(|found| found.key.is(GroupKind("apps", "StatefulSet"))) {
            let set: StatefulSet = found.pick()?;
            let owner = set.metadata.owner_references.into_iter().find(|owner| owner.controller);
            let owner = owner.map(|owner| ObjectKey { kind: owner.kind, name: owner.name, ..found.key.clone() });
            sets.push(Set {
                namespace: found.key.namespace.clone(),
                belongs_to: owner.unwrap_or_else(|| found.key.clone()).to_string(),
                labels: set.spec.selector.match_labels,
                end: set.spec.ordinals.start + set.spec.replicas.unwrap_or(1),
            });
        }
        Ok(Self { sets })
    }

    /// Whose a claim was, if it is a leftover. The claim of a replica that is wanted and only has no pod now is none.
    pub(super) fn leftover_of(&self, claim: &ObjectKey, labels: &BTreeMap<String, String>) -> Option<String> {
        let carries = |wanted: &BTreeMap<String, String>| {
            !wanted.is_empty() && wanted.iter().all(|(label, value)| labels.get(label) == Some(value))
        };
        match self.sets.iter().find(|set| set.namespace == claim.namespace && carries(&set.labels)) {
            Some(set) => (ordinal(&claim.name)? >= set.end).then(|| set.belongs_to.clone()),
            None => of_a_shard_that_is_gone(claim, labels),
        }
    }
}

fn of_a_shard_that_is_gone(claim: &ObjectKey, labels: &BTreeMap<String, String>) -> Option<String> {
    let app = labels.get("app.kubernetes.io/name")?;
    let row = OPERATOR_LABELS.iter().find(|row| row.app == app)?;
    let (kind, name) = (row.kind.to_owned(), labels.get(row.named)?.clone());
    let resource = ObjectKey { group: OPERATOR_GROUP.to_owned(), kind, name, ..claim.clone() };
    Some(resource.to_string())
}

/// The ordinal a claim's name ends with: `<template>-<set>-<ordinal>`.
fn ordinal(claim: &str) -> Option<u64> {
    claim.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(name: &str) -> ObjectKey {
        ObjectKey::namespaced("", "PersistentVolumeClaim", "persistentvolumeclaims", "monitoring", name)
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    }

    fn owners() -> Owners {
        let set = json!({
            "metadata": {"ownerReferences": [{"kind": "Prometheus", "name": "k8s", "controller": true}]},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"prometheus": "k8s", "operator.prometheus.io/shard": "0"}}},
        });
        let key = ObjectKey::namespaced("apps", "StatefulSet", "statefulsets", "monitoring", "prometheus-k8s");
        Owners::among(&[Found { key, text: set.to_string().into() }]).unwrap()
    }

    #[test]
    fn claim_beyond_the_replicas_is_a_leftover_and_one_without_a_pod_is_not() {
        let own = labels(&[("prometheus", "k8s"), ("operator.prometheus.io/shard", "0"), ("more", "x")]);
        assert_eq!(owners().leftover_of(&claim("db-prometheus-k8s-1"), &own), None);
        let leftover = owners().leftover_of(&claim("db-prometheus-k8s-2"), &own);
        assert_eq!(leftover.as_deref(), Some("Prometheus monitoring/k8s"));
    }

    #[test]
    fn claim_of_a_shard_that_is_gone_is_known_by_the_operators_labels() {
        let shard = labels(&[
            ("operator.prometheus.io/name", "k8s"),
            ("operator.prometheus.io/shard", "1"),
            ("app.kubernetes.io/name", "prometheus"),
            ("prometheus", "k8s"),
        ]);
        let leftover = owners().leftover_of(&claim("db-prometheus-k8s-shard-1-0"), &shard);
        assert_eq!(leftover.as_deref(), Some("Prometheus monitoring/k8s"));
    }

    #[test]
    fn claim_without_telling_labels_is_nobodys_leftover() {
        assert_eq!(owners().leftover_of(&claim("db-prometheus-k8s-7"), &labels(&[("app", "x")])), None);
    }
}
