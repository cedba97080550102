//! Which objects an object needs: the Secrets, ConfigMaps, accounts, claims, classes and Services that it names.
//!
//! Pure: it reads one manifest and asks nobody whether what is named exists. `rows` is the table of fields that name
//! something, `walks` finds what no fixed path leads to.

mod path;
#[cfg(test)]
mod properties;
mod row;
mod rows;
#[cfg(test)]
mod tests;
mod walks;

use std::fmt;

use serde_json::Value;

use crate::model::{GroupKind, ObjectKey};
use crate::scope::OPERATOR_GROUP;
pub use row::Row;
pub use rows::ROWS;

const SECRET: GroupKind = GroupKind("", "Secret");
const CONFIG_MAP: GroupKind = GroupKind("", "ConfigMap");

/// Whether its absence breaks what refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// What refers to it does not start, is refused or does nothing.
    Required,
    /// What refers to it does without.
    Optional,
}

/// One object that another object names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Kind of the object named.
    pub kind: GroupKind,
    /// Namespace of the object named, `None` for a cluster-scoped one.
    pub namespace: Option<String>,
    /// Name of the object named; never empty.
    pub name: String,
    /// The key of a Secret's or ConfigMap's data that must be there.
    pub key: Option<String>,
    /// The field that holds the name, such as `spec.imagePullSecrets[0].name`; for a selector of a key the selector,
    /// such as `spec.endpoints[0].basicAuth.password`; for the key of a volume's item that key's field. Keys of maps
    /// that are no identifiers stand in brackets: `metadata.annotations[cert-manager.io/inject-ca-from]`.
    pub field: String,
    /// Whether its absence breaks what refers to it.
    pub need: Need,
}

/// `Secret monitoring/alertmanager-main key alertmanager.yaml`; `StorageClass fast`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind.1)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, " key {key}"))
    }
}

/// What every cluster has without anybody saving it: to name it is to need nothing.
const GIVEN: &[(GroupKind, &str)] = &[
    // Made in every namespace (Kubernetes `pkg/controller/serviceaccount`).
    (GroupKind("", "ServiceAccount"), "default"),
    // Made in every namespace (Kubernetes `pkg/controller/certificates/rootcacertpublisher`).
    (CONFIG_MAP, "kube-root-ca.crt"),
    // Made by the API server (Kubernetes `pkg/registry/scheduling/rest`).
    (GroupKind("scheduling.k8s.io", "PriorityClass"), "system-cluster-critical"),
    (GroupKind("scheduling.k8s.io", "PriorityClass"), "system-node-critical"),
];

/// Whether objects of this kind name no other: of a hundred thousand of them none need be parsed for it.
pub fn names_nothing(key: &ObjectKey) -> bool {
    key.is(GroupKind(OPERATOR_GROUP, "PrometheusRule"))
}

/// Every object this one names, at each field that names it. What every cluster has by itself is left out.
pub fn of(key: &ObjectKey, value: &Value) -> Vec<Reference> {
    let mut references: Vec<_> = ROWS.iter().flat_map(|row| row.references(key, value)).collect();
    references.extend(walks::references(key, value));
    references.retain(|found| !GIVEN.contains(&(found.kind, found.name.as_str())));
    references
}

/// Whether a Secret or ConfigMap holds this key.
pub fn holds_key(value: &Value, data_key: &str) -> bool {
    let mut maps = ["data", "binaryData", "stringData"].iter().filter_map(|field| value.get(field)?.as_object());
    maps.any(|map| map.contains_key(data_key))
}
