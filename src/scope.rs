//! THE table of what belongs to a backup besides the namespaces captured whole: which kind, how selected, why.
//!
//! Pure: it decides over manifests, it never asks a cluster. The same rules choose at restore time which cluster-scoped
//! objects a part of a backup needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::{GroupKind, ObjectKey};
use crate::selection::LabelSelector;

/// API group of the Prometheus Operator's custom resources.
pub const OPERATOR_GROUP: &str = "monitoring.coreos.com";
/// API group of the CSI snapshot objects.
pub const SNAPSHOT_GROUP: &str = "snapshot.storage.k8s.io";

/// The custom resources that run as pods (prometheus-operator `pkg/apis/monitoring/v1`).
pub const INSTANCE_KINDS: &[GroupKind] = &[
    GroupKind(OPERATOR_GROUP, "Prometheus"),
    GroupKind(OPERATOR_GROUP, "PrometheusAgent"),
    GroupKind(OPERATOR_GROUP, "Alertmanager"),
    GroupKind(OPERATOR_GROUP, "ThanosRuler"),
];

/// The kinds that say which webhooks are asked before an object is stored.
pub const WEBHOOK_KINDS: &[GroupKind] = &[
    GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    GroupKind("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
];

/// Fields that name a class, wherever they stand.
const CLASS_FIELDS: &[&str] =
    &["storageClassName", "volumeAttributesClassName", "priorityClassName", "runtimeClassName", "ingressClassName"];

/// What is known so far about the objects that are in.
#[derive(Debug, Default)]
pub struct Facts {
    /// Namespaces captured whole.
    pub namespaces: BTreeSet<String>,
    /// Namespaces of any object that is in.
    pub namespaces_of_objects: BTreeSet<String>,
    /// `(namespace, role)` of Roles that bindings name.
    roles: BTreeSet<(String, String)>,
    cluster_roles: BTreeSet<String>,
    /// Selectors of the roles that captured roles are made of.
    aggregated: Vec<LabelSelector>,
    drivers: BTreeSet<String>,
    /// Names of classes by the field that names them.
    classes: BTreeSet<(&'static str, String)>,
}

impl Facts {
    /// Facts about namespaces captured whole.
    pub fn of_namespaces<'a>(namespaces: impl IntoIterator<Item = &'a String>) -> Self {
        let namespaces: BTreeSet<String> = namespaces.into_iter().cloned().collect();
        Self { namespaces_of_objects: namespaces.clone(), namespaces, ..Self::default() }
    }

    /// Takes in what an object that is in says about others.
    pub fn learn(&mut self, key: &ObjectKey, value: &Value) {
        if let Some(namespace) = &key.namespace {
            self.namespaces_of_objects.insert(namespace.clone());
        }
        if let Some(role) = text(value, "/roleRef/name") {
            match (text(value, "/roleRef/kind"), &key.namespace) {
                (Some("Role"), Some(namespace)) => self.roles.insert((namespace.clone(), role.to_owned())),
                _ => self.cluster_roles.insert(role.to_owned()),
            };
        }
        for selector in items(value, "/aggregationRule/clusterRoleSelectors") {
            self.aggregated.extend(serde_json::from_value(selector.clone()));
        }
        if let Some(driver) = text(value, "/provisioner") {
            self.drivers.insert(driver.to_owned());
        }
        self.walk(value);
    }

    /// Takes in the CSI driver of a volume that is in.
    pub fn learn_driver(&mut self, driver: &str) {
        self.drivers.insert(driver.to_owned());
    }

    /// Claim templates and pod templates lie at different depths in every kind: the field names are unique enough.
    fn walk(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let known = CLASS_FIELDS.iter().find(|known| *known == name);
                    match (known, field) {
                        (Some(known), Value::String(class)) => {
                            self.classes.insert((known, class.clone()));
                        }
                        _ => self.walk(field),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            _ => {}
        }
    }
}

/// One row: a kind looked for outside the namespaces captured whole.
pub struct Rule {
    /// The kind.
    pub kind: GroupKind,
    /// Which names can be in at all, where names tell: the others are not even read. A cluster may hold a thousand
    /// definitions of many hundred kilobytes.
    pub named: Option<fn(&str) -> bool>,
    /// Whether an object of the kind is in, and why, in words.
    pub select: fn(&Facts, &Value) -> Option<String>,
    /// Why the kind is looked at.
    pub because: &'static str,
}

/// Rows in an order in which each learns from those above: bindings before the roles they name.
pub const RULES: &[Rule] = &[
    Rule {
        kind: GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"),
        named: Some(is_a_definition_of_the_operator),
        select: definition_of_the_operator,
        because: "the whole group, used or not: the operator does not start without all of its kinds",
    },
    Rule {
        kind: GroupKind("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        named: None,
        select: binds_a_captured_account,
        because: "a service account without its bindings may do nothing",
    },
    Rule {
        kind: GroupKind("rbac.authorization.k8s.io", "RoleBinding"),
        named: None,
        select: binds_a_captured_account,
        because: "kube-prometheus binds Prometheus in every namespace it watches",
    },
    Rule {
        kind: GroupKind("rbac.authorization.k8s.io", "ClusterRole"),
        named: None,
        select: role_of_a_binding,
        because: "named by a binding that is in",
    },
    Rule {
        kind: GroupKind("rbac.authorization.k8s.io", "ClusterRole"),
        named: None,
        select: part_of_an_aggregated_role,
        because: "an aggregated role has no rules of its own: the controller fills it from these",
    },
    Rule {
        kind: GroupKind("rbac.authorization.k8s.io", "Role"),
        named: None,
        select: role_of_a_binding,
        because: "named by a binding that is in",
    },
    Rule {
        kind: GroupKind("storage.k8s.io", "StorageClass"),
        named: None,
        select: class_of_a_claim,
        because: "the operator refuses to reconcile a resource whose class is missing",
    },
    Rule {
        kind: GroupKind(SNAPSHOT_GROUP, "VolumeSnapshotClass"),
        named: None,
        select: snapshot_class_of_a_driver,
        because: "the next backup needs it",
    },
    Rule {
        kind: GroupKind("scheduling.k8s.io", "PriorityClass"),
        named: None,
        select: priority_class_of_a_pod,
        because: "pods that name a missing class are refused",
    },
    Rule {
        kind: GroupKind("storage.k8s.io", "VolumeAttributesClass"),
        named: None,
        select: attributes_class_of_a_claim,
        because: "a claim that names a missing one stays as it is, and a new one pending",
    },
    Rule {
        kind: GroupKind("node.k8s.io", "RuntimeClass"),
        named: None,
        select: runtime_class_of_a_pod,
        because: "pods that name a missing class are refused",
    },
    Rule {
        kind: GroupKind("networking.k8s.io", "IngressClass"),
        named: None,
        select: class_of_an_ingress,
        because: "an Ingress whose class is missing is served by nobody",
    },
    Rule {
        kind: GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        named: None,
        select: webhook_of_the_operator,
        because: "checks the operator's resources, or is served from a captured namespace",
    },
    Rule {
        kind: GroupKind("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        named: None,
        select: webhook_of_the_operator,
        because: "changes the operator's resources, or is served from a captured namespace",
    },
    Rule {
        kind: GroupKind("apiregistration.k8s.io", "APIService"),
        named: None,
        select: served_from_a_captured_namespace,
        because: "an API whose server is in",
    },
    Rule {
        kind: GroupKind("", "Namespace"),
        named: None,
        select: namespace_of_an_object,
        because: "selectors of monitors and rules depend on its labels",
    },
];

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn name(value: &Value) -> &str {
    text(value, "/metadata/name").unwrap_or_default()
}

/// The API server holds every definition to the name `plural.group`.
fn is_a_definition_of_the_operator(name: &str) -> bool {
    name.split_once('.').is_some_and(|(_, group)| group == OPERATOR_GROUP)
}

fn definition_of_the_operator(_: &Facts, value: &Value) -> Option<String> {
    (text(value, "/spec/group") == Some(OPERATOR_GROUP)).then(|| format!("definition of the group {OPERATOR_GROUP}"))
}

fn binds_a_captured_account(facts: &Facts, value: &Value) -> Option<String> {
    let account = items(value, "/subjects").find_map(|subject| {
        let name = text(subject, "/name")?;
        match text(subject, "/kind")? {
            "ServiceAccount" => {
                let namespace = text(subject, "/namespace").or_else(|| text(value, "/metadata/namespace"))?;
                facts.namespaces.contains(namespace).then(|| format!("ServiceAccount {namespace}/{name}"))
            }
            "Group" => {
                let namespace = name.strip_prefix("system:serviceaccounts:")?;
                facts.namespaces.contains(namespace).then(|| format!("group {name}"))
            }
            _ => None,
        }
    })?;
    Some(format!("binds {account}"))
}

fn role_of_a_binding(facts: &Facts, value: &Value) -> Option<String> {
    let named = match text(value, "/metadata/namespace") {
        Some(namespace) => facts.roles.contains(&(namespace.to_owned(), name(value).to_owned())),
        None => facts.cluster_roles.contains(name(value)),
    };
    (named && !is_made_by_the_server(value)).then(|| "named by a binding of a captured service account".to_owned())
}

/// The API server makes its own default roles in every cluster (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`).
fn is_made_by_the_server(value: &Value) -> bool {
    text(value, "/metadata/labels/kubernetes.io~1bootstrapping").is_some_and(|label| label == "rbac-defaults")
}

fn part_of_an_aggregated_role(facts: &Facts, value: &Value) -> Option<String> {
    let labels = value.pointer("/metadata/labels").cloned().unwrap_or_default();
    let labels: BTreeMap<String, String> = serde_json::from_value(labels).unwrap_or_default();
    let is_part = facts.aggregated.iter().any(|selector| selector.matches(&labels));
    (is_part && !is_made_by_the_server(value)).then(|| "a captured aggregated role is made of it".to_owned())
}

fn is_named_by(facts: &Facts, field: &'static str, value: &Value) -> bool {
    facts.classes.contains(&(field, name(value).to_owned()))
}

fn class_of_a_claim(facts: &Facts, value: &Value) -> Option<String> {
    is_named_by(facts, "storageClassName", value).then(|| "class of a captured claim or claim template".to_owned())
}

fn attributes_class_of_a_claim(facts: &Facts, value: &Value) -> Option<String> {
    is_named_by(facts, "volumeAttributesClassName", value).then(|| "named by a captured claim".to_owned())
}

fn runtime_class_of_a_pod(facts: &Facts, value: &Value) -> Option<String> {
    is_named_by(facts, "runtimeClassName", value).then(|| "named by a captured pod template".to_owned())
}

fn class_of_an_ingress(facts: &Facts, value: &Value) -> Option<String> {
    is_named_by(facts, "ingressClassName", value).then(|| "class of a captured Ingress".to_owned())
}

fn snapshot_class_of_a_driver(facts: &Facts, value: &Value) -> Option<String> {
    let driver = text(value, "/driver")?;
    facts.drivers.contains(driver).then(|| format!("snapshots volumes of driver {driver}"))
}

fn priority_class_of_a_pod(facts: &Facts, value: &Value) -> Option<String> {
    // The API server makes these two itself.
    let system = name(value).starts_with("system-");
    (!system && is_named_by(facts, "priorityClassName", value)).then(|| "named by a captured pod template".to_owned())
}

/// Whether a webhook is asked about the operator's resources by their group's name; `*` is somebody else's business.
fn admits_the_group(webhook: &Value) -> bool {
    items(webhook, "/rules")
        .flat_map(|rule| items(rule, "/apiGroups"))
        .any(|group| group.as_str() == Some(OPERATOR_GROUP))
}

/// The namespaces that serve those webhooks of a configuration that are asked about the operator's resources.
pub fn admits_objects_of_the_operator(configuration: &Value) -> Vec<String> {
    let webhooks = items(configuration, "/webhooks").filter(|webhook| admits_the_group(webhook));
    webhooks.filter_map(|webhook| text(webhook, "/clientConfig/service/namespace").map(str::to_owned)).collect()
}

/// A webhook whose server is not in would refuse everything it is asked about after a restore.
fn webhook_of_the_operator(facts: &Facts, value: &Value) -> Option<String> {
    items(value, "/webhooks").find_map(|webhook| match text(webhook, "/clientConfig/service/namespace") {
        Some(namespace) if !facts.namespaces.contains(namespace) => None,
        _ if admits_the_group(webhook) => Some(format!("admits objects of {OPERATOR_GROUP}")),
        served_from => served_from.map(|namespace| format!("served from namespace {namespace}")),
    })
}

fn served_from_a_captured_namespace(facts: &Facts, value: &Value) -> Option<String> {
    let namespace = text(value, "/spec/service/namespace")?;
    facts.namespaces.contains(namespace).then(|| format!("served from namespace {namespace}"))
}

fn namespace_of_an_object(facts: &Facts, value: &Value) -> Option<String> {
    let namespace = name(value);
    if facts.namespaces.contains(namespace) {
        Some("is captured whole".to_owned())
    } else {
        facts.namespaces_of_objects.contains(namespace).then(|| "holds a captured object".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts() -> Facts {
        Facts::of_namespaces(&["monitoring".to_owned()])
    }

    #[test]
    fn binding_of_a_foreign_account_is_left_alone() {
        let binding = |namespace: &str| {
            json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
                   "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": "p"}]})
        };
        assert_eq!(binds_a_captured_account(&facts(), &binding("elsewhere")), None);
        assert_eq!(
            binds_a_captured_account(&facts(), &binding("monitoring")).as_deref(),
            Some("binds ServiceAccount monitoring/p")
        );
    }

    #[test]
    fn role_is_in_once_its_binding_is_and_never_when_the_server_makes_it() {
        let mut facts = facts();
        let role = json!({"metadata": {"name": "r"}});
        let default_role =
            json!({"metadata": {"name": "r", "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}});
        assert_eq!(role_of_a_binding(&facts, &role), None);
        let key =
            ObjectKey::cluster_scoped("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings", "b");
        facts.learn(&key, &json!({"roleRef": {"kind": "ClusterRole", "name": "r"}}));
        assert!(role_of_a_binding(&facts, &role).is_some());
        assert_eq!(role_of_a_binding(&facts, &default_role), None);
    }

    #[test]
    fn classes_are_found_at_any_depth() {
        let mut facts = facts();
        let key = ObjectKey::namespaced(OPERATOR_GROUP, "Prometheus", "prometheuses", "monitoring", "k8s");
        facts.learn(
            &key,
            &json!({"spec": {"storage": {"volumeClaimTemplate": {"spec": {"storageClassName": "fast"}}},
                                       "priorityClassName": "high"}}),
        );
        assert!(class_of_a_claim(&facts, &json!({"metadata": {"name": "fast"}})).is_some());
        assert!(priority_class_of_a_pod(&facts, &json!({"metadata": {"name": "high"}})).is_some());
        assert_eq!(class_of_a_claim(&facts, &json!({"metadata": {"name": "slow"}})), None);
    }

    #[test]
    fn webhook_is_in_by_its_rules_or_by_where_it_is_served() {
        let by_rules = json!({"webhooks": [{"rules": [{"apiGroups": [OPERATOR_GROUP]}]}]});
        let served_elsewhere = json!({"webhooks": [{"rules": [{"apiGroups": [OPERATOR_GROUP]}],
                                                    "clientConfig": {"service": {"namespace": "other"}}}]});
        let by_place = json!({"webhooks": [{"clientConfig": {"service": {"namespace": "monitoring"}}}]});
        let foreign = json!({"webhooks": [{"clientConfig": {"service": {"namespace": "other"}}}]});
        assert!(webhook_of_the_operator(&facts(), &by_rules).is_some());
        assert!(webhook_of_the_operator(&facts(), &by_place).is_some());
        assert_eq!(webhook_of_the_operator(&facts(), &foreign), None);
        assert_eq!(webhook_of_the_operator(&facts(), &served_elsewhere), None);
    }
}
