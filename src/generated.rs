//! Which objects controllers make again, so are never saved, and the exceptions. First matching row decides.
//!
//! Decided by owner and label, never by name alone: `alertmanager-<name>` is the user's, `alertmanager-<name>-generated`
//! is the operator's (prometheus-operator `pkg/alertmanager/operator.go`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::{GroupKind, ObjectKey};
use crate::names::TEMPORARY_LABEL;
use crate::scope::{OPERATOR_GROUP, SNAPSHOT_GROUP};

/// What a row says of the objects it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Saved, whatever later rows say.
    Keep,
    /// Not saved.
    LeaveOut,
}

/// One row of the table.
pub struct Row {
    matches: fn(&ObjectKey, &Marks) -> bool,
    /// What happens to the objects it matches.
    pub verdict: Verdict,
    /// Why; also the name under which left-out objects are counted.
    pub because: &'static str,
}

/// The fields of an object that the table looks at.
#[derive(Debug, Default, Deserialize)]
pub struct Marks {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, rename = "type")]
    secret_type: Option<String>,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owner_references: Vec<Owner>,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Owner {
    api_version: String,
    controller: bool,
}

/// The table. First match decides; no match means saved.
pub const ROWS: &[Row] = &[
    Row {
        matches: |_, marks| marks.metadata.deletion_timestamp.is_some(),
        verdict: Verdict::LeaveOut,
        because: "being deleted when the backup was taken",
    },
    Row {
        matches: |_, marks| marks.metadata.labels.contains_key(TEMPORARY_LABEL),
        verdict: Verdict::LeaveOut,
        because: "made by promsafe for a while",
    },
    Row {
        matches: |key, _| key.is(GroupKind("", "PersistentVolumeClaim")),
        verdict: Verdict::Keep,
        because: "a claim is data, even when a StatefulSet owns it (persistentVolumeClaimRetentionPolicy)",
    },
    Row {
        matches: |key, _| TRANSIENT.iter().any(|kind| key.is(*kind)),
        verdict: Verdict::LeaveOut,
        because: "made and kept by Kubernetes itself",
    },
    Row {
        matches: |key, _| key.group == SNAPSHOT_GROUP && key.namespace.is_some(),
        verdict: Verdict::LeaveOut,
        because: "a snapshot is storage data, not configuration",
    },
    Row {
        matches: |_, marks| marks.metadata.owner_references.iter().any(|owner| owner.controller),
        verdict: Verdict::LeaveOut,
        because: "made by a controller from an object that is saved",
    },
    Row {
        matches: |_, marks| marks.metadata.owner_references.iter().any(Owner::is_the_operators),
        verdict: Verdict::LeaveOut,
        because: "made by the Prometheus Operator",
    },
    Row {
        matches: |key, marks| {
            marks.says_the_operator_made_it() && (has_an_operator_name(key) || is_the_kubelets_service(key, marks))
        },
        verdict: Verdict::LeaveOut,
        because: "made by the Prometheus Operator",
    },
    Row {
        matches: |key, marks| marks.says_the_api_server_made_it(key),
        verdict: Verdict::LeaveOut,
        because: "made by the API server",
    },
    Row {
        matches: |key, _| key.is(GroupKind("", "ConfigMap")) && key.name == "kube-root-ca.crt",
        verdict: Verdict::LeaveOut,
        because: "made in every namespace by Kubernetes",
    },
    Row {
        matches: |key, _| key.is(GroupKind("", "ServiceAccount")) && key.name == "default",
        verdict: Verdict::LeaveOut,
        because: "made in every namespace by Kubernetes",
    },
    Row {
        matches: |_, marks| marks.is_an_automatic_token(),
        verdict: Verdict::LeaveOut,
        because: "token made by Kubernetes for a service account",
    },
    Row {
        matches: |key, marks| key.is(GroupKind("batch", "Job")) && marks.has_finished(),
        verdict: Verdict::LeaveOut,
        because: "a finished Job would run again",
    },
];

/// Kinds that live only as long as what they describe.
const TRANSIENT: &[GroupKind] = &[
    GroupKind("", "Event"),
    GroupKind("events.k8s.io", "Event"),
    GroupKind("", "Endpoints"),
    GroupKind("discovery.k8s.io", "EndpointSlice"),
    GroupKind("coordination.k8s.io", "Lease"),
    GroupKind("coordination.k8s.io", "LeaseCandidate"),
    GroupKind("apps", "ControllerRevision"),
    GroupKind("storage.k8s.io", "CSIStorageCapacity"),
];

/// What the operator names the things it makes (prometheus-operator `pkg/prometheus`, `pkg/alertmanager`, `pkg/thanos`).
const OPERATOR_PREFIXES: &[&str] = &["prometheus-", "prom-agent-", "alertmanager-", "thanos-ruler-"];
const OPERATOR_SUFFIXES: &[&str] = &["-tls-assets", "-web-config", "-generated", "-cluster-tls-config", "-config"];
const OPERATOR_INFIXES: &[&str] = &["-tls-assets-", "-rulefiles-", "-thanos-prometheus-http-client-file"];
const GOVERNING_SERVICES: &[&str] =
    &["prometheus-operated", "prometheus-agent-operated", "alertmanager-operated", "thanos-ruler-operated"];

impl Owner {
    fn is_the_operators(&self) -> bool {
        self.api_version.split('/').next() == Some(OPERATOR_GROUP)
    }
}

impl Marks {
    fn says_the_operator_made_it(&self) -> bool {
        ["managed-by", "app.kubernetes.io/managed-by"].iter().any(|label| self.has_label(label, "prometheus-operator"))
    }

    fn has_label(&self, label: &str, value: &str) -> bool {
        self.metadata.labels.get(label).is_some_and(|found| found == value)
    }

    /// Its own Service (kubernetes `pkg/controlplane/controller/kubernetesservice`), and the roles that it makes in every
    /// cluster (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`).
    fn says_the_api_server_made_it(&self, key: &ObjectKey) -> bool {
        let is_its_service = key.is(GroupKind("", "Service"))
            && key.name == "kubernetes"
            && self.has_label("component", "apiserver")
            && self.has_label("provider", "kubernetes");
        is_its_service || self.has_label("kubernetes.io/bootstrapping", "rbac-defaults")
    }

    /// batch/v1 `JobConditionType`: either one is final.
    fn has_finished(&self) -> bool {
        let is_final = |condition: &&Condition| matches!(condition.r#type.as_str(), "Complete" | "Failed");
        self.status.conditions.iter().filter(is_final).any(|condition| condition.status == "True")
    }

    fn is_an_automatic_token(&self) -> bool {
        self.secret_type.as_deref() == Some("kubernetes.io/service-account-token")
            && self.metadata.annotations.contains_key("kubernetes.io/created-by")
    }
}

/// The Service over all kubelets, which the operator writes anew every few minutes, without an owner (prometheus-operator
/// `pkg/kubelet/controller.go`).
fn is_the_kubelets_service(key: &ObjectKey, marks: &Marks) -> bool {
    key.is(GroupKind("", "Service")) && marks.has_label("k8s-app", "kubelet")
}

fn has_an_operator_name(key: &ObjectKey) -> bool {
    let name = key.name.as_str();
    GOVERNING_SERVICES.contains(&name)
        || OPERATOR_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            && (OPERATOR_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
                || OPERATOR_INFIXES.iter().any(|infix| name.contains(infix)))
}

/// Why an object is left out, or `None` when it is saved.
pub fn why_left_out(key: &ObjectKey, marks: &Marks) -> Option<&'static str> {
    let row = ROWS.iter().find(|row| (row.matches)(key, marks))?;
    (row.verdict == Verdict::LeaveOut).then_some(row.because)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn verdict(kind: &str, name: &str, object: Value) -> Option<&'static str> {
        let key = ObjectKey::namespaced("", kind, "any", "monitoring", name);
        why_left_out(&key, &serde_json::from_value(object).unwrap())
    }

    #[test]
    fn configuration_secret_of_alertmanager_is_the_users() {
        assert_eq!(verdict("Secret", "alertmanager-main", json!({"metadata": {}})), None);
        let labels = json!({"metadata": {"labels": {"managed-by": "prometheus-operator"}}});
        assert!(verdict("Secret", "alertmanager-main-generated", labels).is_some());
    }

    #[test]
    fn name_alone_never_leaves_out() {
        assert_eq!(verdict("Secret", "prometheus-k8s-tls-assets-0", json!({"metadata": {}})), None);
        assert_eq!(verdict("Service", "prometheus-operated", json!({"metadata": {}})), None);
    }

    #[test]
    fn what_server_and_operator_make_without_an_owner_is_known_by_its_labels() {
        let labelled = |labels: Value| json!({"metadata": {"labels": labels}});
        let kubelet = json!({"k8s-app": "kubelet", "app.kubernetes.io/managed-by": "prometheus-operator"});
        assert_eq!(verdict("Service", "any", labelled(kubelet.clone())), Some("made by the Prometheus Operator"));
        assert_eq!(verdict("ConfigMap", "any", labelled(kubelet)), None);
        assert_eq!(verdict("Service", "kubelet", labelled(json!({"k8s-app": "kubelet"}))), None);
        let server = json!({"component": "apiserver", "provider": "kubernetes"});
        assert_eq!(verdict("Service", "kubernetes", labelled(server.clone())), Some("made by the API server"));
        assert_eq!(verdict("Service", "other", labelled(server)), None);
        assert_eq!(verdict("Service", "kubernetes", labelled(json!({}))), None);
        let role = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
        assert_eq!(verdict("Role", "any", labelled(role)), Some("made by the API server"));
    }

    #[test]
    fn what_a_custom_resource_owns_is_left_out() {
        let owner =
            |api, controller| json!({"metadata": {"ownerReferences": [{"apiVersion": api, "controller": controller}]}});
        assert!(verdict("Secret", "any", owner("monitoring.coreos.com/v1", false)).is_some());
        assert!(verdict("Pod", "any", owner("apps/v1", true)).is_some());
        assert_eq!(verdict("Secret", "any", owner("example.com/v1", false)), None);
    }

    #[test]
    fn claim_is_kept_even_when_a_stateful_set_owns_it() {
        let owned = json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "controller": true}]}});
        assert_eq!(verdict("PersistentVolumeClaim", "any", owned), None);
        let dying = json!({"metadata": {"deletionTimestamp": "2026-11-21T09:00:00Z"}});
        assert!(verdict("PersistentVolumeClaim", "any", dying).is_some());
    }
}
