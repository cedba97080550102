//! Which custom resources an instance of the operator selects, and how label selectors select.
//!
//! Pure: it is given labels, it never asks a cluster. What an operator can read at all is `operator_scope`'s business.

mod selector;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

pub use self::selector::LabelSelector;
pub use self::text::SelectorParseError;
use crate::model::{GroupKind, ObjectKey};
use crate::scope::OPERATOR_GROUP;

const PROMETHEUS: GroupKind = GroupKind(OPERATOR_GROUP, "Prometheus");
const PROMETHEUS_AGENT: GroupKind = GroupKind(OPERATOR_GROUP, "PrometheusAgent");
const ALERTMANAGER: GroupKind = GroupKind(OPERATOR_GROUP, "Alertmanager");
const THANOS_RULER: GroupKind = GroupKind(OPERATOR_GROUP, "ThanosRuler");

/// One row: fields of `spec` by which instances select objects of a kind.
struct Row {
    instances: &'static [GroupKind],
    kind: GroupKind,
    objects: &'static str,
    namespaces: &'static str,
}

/// All selector fields of all instances (prometheus-operator `pkg/apis/monitoring/v1/{prometheus,alertmanager,thanos}_types.go`).
const ROWS: &[Row] = &[
    Row {
        instances: &[PROMETHEUS, PROMETHEUS_AGENT],
        kind: GroupKind(OPERATOR_GROUP, "ServiceMonitor"),
        objects: "serviceMonitorSelector",
        namespaces: "serviceMonitorNamespaceSelector",
    },
    Row {
        instances: &[PROMETHEUS, PROMETHEUS_AGENT],
        kind: GroupKind(OPERATOR_GROUP, "PodMonitor"),
        objects: "podMonitorSelector",
        namespaces: "podMonitorNamespaceSelector",
    },
    Row {
        instances: &[PROMETHEUS, PROMETHEUS_AGENT],
        kind: GroupKind(OPERATOR_GROUP, "Probe"),
        objects: "probeSelector",
        namespaces: "probeNamespaceSelector",
    },
    Row {
        instances: &[PROMETHEUS, PROMETHEUS_AGENT],
        kind: GroupKind(OPERATOR_GROUP, "ScrapeConfig"),
        objects: "scrapeConfigSelector",
        namespaces: "scrapeConfigNamespaceSelector",
    },
    Row {
        instances: &[PROMETHEUS, THANOS_RULER],
        kind: GroupKind(OPERATOR_GROUP, "PrometheusRule"),
        objects: "ruleSelector",
        namespaces: "ruleNamespaceSelector",
    },
    Row {
        instances: &[ALERTMANAGER],
        kind: GroupKind(OPERATOR_GROUP, "AlertmanagerConfig"),
        objects: "alertmanagerConfigSelector",
        namespaces: "alertmanagerConfigNamespaceSelector",
    },
];

/// What one instance selects of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selects {
    /// The kind of what is selected.
    pub kind: GroupKind,
    /// By labels of the objects; `None` selects none.
    pub objects: Option<LabelSelector>,
    /// By labels of their namespaces; `None` is the instance's own namespace.
    pub namespaces: Option<LabelSelector>,
    /// Field of `spec` that selects the objects, such as `serviceMonitorSelector`.
    pub field: &'static str,
}

impl Selects {
    /// Whether an object is selected by an instance in `own_namespace` (prometheus-operator `pkg/operator/operator.go`,
    /// `SelectNamespacesFromCache`): without an object selector none is; without a namespace selector only those of the
    /// own namespace; `{}` is all.
    pub fn matches(
        &self,
        own_namespace: &str,
        namespace: &str,
        namespace_labels: &BTreeMap<String, String>,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        let in_namespace = match &self.namespaces {
            Some(selector) => selector.matches(namespace_labels),
            None => namespace == own_namespace,
        };
        in_namespace && self.objects.as_ref().is_some_and(|selector| selector.matches(labels))
    }
}

/// What an instance selects, one entry for each kind it could select; nothing for what is no instance.
pub fn selects(key: &ObjectKey, value: &Value) -> Vec<Selects> {
    let rows = ROWS.iter().filter(|row| row.instances.iter().any(|kind| key.is(*kind)));
    rows.map(|row| Selects {
        kind: row.kind,
        objects: selector(value, row.objects),
        namespaces: selector(value, row.namespaces),
        field: row.objects,
    })
    .collect()
}

/// A selector of `spec`; one that cannot be read selects nothing, also of namespaces.
fn selector(value: &Value, field: &str) -> Option<LabelSelector> {
    let written = value.get("spec")?.get(field).filter(|written| !written.is_null())?;
    Some(LabelSelector::deserialize(written).unwrap_or_else(|_| LabelSelector::nothing()))
}
