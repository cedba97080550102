//! What a cluster is and which kinds it serves.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{GroupKind, ObjectKey};

/// Which cluster something came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// UID of the namespace `kube-system`: the one identity every cluster has.
    pub uid: String,
    /// Version of the API server, such as `v1.36.3`.
    pub version: String,
    /// Address of the API server as promsafe reached it.
    pub server: String,
}

/// A kind the API server serves, in the version it prefers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedKind {
    /// API group, empty for core.
    pub group: String,
    /// Preferred version, such as `v1`.
    pub version: String,
    /// Kind, such as `Secret`.
    pub kind: String,
    /// Plural resource name, such as `secrets`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Verbs the API server answers for it.
    pub verbs: Vec<String>,
}

impl ServedKind {
    /// Whether it is this kind.
    pub fn is(&self, kind: GroupKind) -> bool {
        self.group == kind.0 && self.kind == kind.1
    }

    /// Whether the API server answers this verb.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// `apiVersion` as manifests spell it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The key of one of its objects.
    pub fn key(&self, namespace: Option<&str>, name: &str) -> ObjectKey {
        ObjectKey {
            namespace: namespace.map(str::to_owned),
            ..ObjectKey::cluster_scoped(&self.group, &self.kind, &self.plural, name)
        }
    }
}

/// All kinds a cluster serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServedKinds {
    /// One row per kind, in its preferred version.
    pub kinds: Vec<ServedKind>,
    /// Groups whose discovery failed (a dead APIService): what is in them is unknown, and said to be.
    pub failed_groups: Vec<String>,
    /// Kinds that are served in several versions, by group and plural.
    pub in_several_versions: BTreeSet<(String, String)>,
}

impl ServedKinds {
    /// The row of a kind, if it is served.
    pub fn find(&self, kind: GroupKind) -> Option<&ServedKind> {
        self.kinds.iter().find(|served| served.is(kind))
    }

    /// The row for an object's key, if its kind is served.
    pub fn of(&self, key: &ObjectKey) -> Option<&ServedKind> {
        self.kinds.iter().find(|served| served.group == key.group && served.kind == key.kind)
    }
}
