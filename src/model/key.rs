//! The identity of a Kubernetes object. The served version is not part of it: the same object is served in several.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind as the tables name it: API group (empty for core) and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind(pub &'static str, pub &'static str);

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str(self.1) } else { write!(f, "{}.{}", self.1, self.0) }
    }
}

/// Identity of any Kubernetes object. `Ord` is the order of listings: cluster-scoped first, then by namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Namespace, `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    /// API group, empty for the core group.
    pub group: String,
    /// Kind, such as `Secret`.
    pub kind: String,
    /// The resource's plural name as the API server serves it, such as `secrets`.
    pub plural: String,
    /// Name of the object.
    pub name: String,
}

impl ObjectKey {
    /// A namespaced object's key.
    pub fn namespaced(group: &str, kind: &str, plural: &str, namespace: &str, name: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::cluster_scoped(group, kind, plural, name) }
    }

    /// A cluster-scoped object's key.
    pub fn cluster_scoped(group: &str, kind: &str, plural: &str, name: &str) -> Self {
        Self {
            namespace: None,
            group: group.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Whether the object is of this kind.
    pub fn is(&self, kind: GroupKind) -> bool {
        self.group == kind.0 && self.kind == kind.1
    }

    /// Whether the object lives outside any namespace.
    pub fn is_cluster_scoped(&self) -> bool {
        self.namespace.is_none()
    }

    /// `namespace/name`, or the name alone for a cluster-scoped object.
    pub fn qualified_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// `Secret monitoring/alertmanager-main`; `ClusterRole prometheus-operator`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.qualified_name())
    }
}
