//! References that no fixed path leads to: key selectors at any depth, parameters by the shape of their names, and what
//! is named by not being named.

use serde_json::{Map, Value};

use super::path::{below, item, text};
use super::{CONFIG_MAP, Need, Reference, SECRET};
use crate::model::{GroupKind, ObjectKey};
use crate::scope::{OPERATOR_GROUP, SNAPSHOT_GROUP};

/// Finds references in the objects that it is for.
struct Walk {
    is_for: fn(&ObjectKey) -> bool,
    find: fn(&ObjectKey, &Value) -> Vec<Reference>,
}

const WALKS: &[Walk] = &[
    // A rule names nothing, and its expressions are many.
    Walk {
        is_for: |key| key.group == OPERATOR_GROUP && !super::names_nothing(key),
        find: |key, value| {
            let mut found = Vec::new();
            key_selectors(key, value.get("spec").unwrap_or(&Value::Null), "spec", "spec", &mut found);
            found
        },
    },
    Walk { is_for: |key| key.is(GroupKind(OPERATOR_GROUP, "Alertmanager")), find: configuration_of_an_alertmanager },
    Walk {
        is_for: |key| key.is(GroupKind("storage.k8s.io", "StorageClass")),
        find: |_, value| secrets_of_parameters(value, OLDER),
    },
    Walk {
        is_for: |key| key.is(GroupKind(SNAPSHOT_GROUP, "VolumeSnapshotClass")),
        find: |_, value| secrets_of_parameters(value, &[]),
    },
];

/// What all walks find.
pub(super) fn references(key: &ObjectKey, value: &Value) -> Vec<Reference> {
    WALKS.iter().filter(|walk| (walk.is_for)(key)).flat_map(|walk| (walk.find)(key, value)).collect()
}

/// Maps whose keys the user chooses and whose values are text: `name` and `key` in there select nothing. These are all
/// that the operator's definitions have, and no selector lies below one of them (prometheus-operator
/// `example/prometheus-operator-crd-full`).
const FREE_TEXT: &[&str] = &[
    "annotations",
    "attributes",
    "endpointParams",
    "externalLabels",
    "headers",
    "labels",
    "matchLabels",
    "nodeMeta",
    "nodeSelector",
    "options",
    "requiredMatchers",
    "userAnnotations",
    "volumeAttributes",
];

/// The fields that select a key of a ConfigMap; all others select one of a Secret (prometheus-operator
/// `pkg/apis/monitoring/v1`, types `SecretOrConfigMap` and core/v1 `EnvVarSource`).
const CONFIG_MAP_SELECTORS: &[&str] = &["configMap", "configMapKeyRef"];

/// Goes through a custom resource of the operator. In its definitions an object with a name and a key, and nothing else
/// than perhaps `optional`, is a selector of a key, and nothing else has these fields. `field` is the nearest field
/// above.
fn key_selectors(key: &ObjectKey, value: &Value, path: &str, field: &str, found: &mut Vec<Reference>) {
    match value {
        Value::Object(fields) => match selected(fields) {
            Some((name, data_key)) => {
                let Some(namespace) = key.namespace.clone().filter(|_| !name.is_empty()) else { return };
                found.push(Reference {
                    kind: if CONFIG_MAP_SELECTORS.contains(&field) { CONFIG_MAP } else { SECRET },
                    namespace: Some(namespace),
                    name: name.to_owned(),
                    key: Some(data_key.to_owned()).filter(|data_key| !data_key.is_empty()),
                    field: path.to_owned(),
                    need: if says_optional(fields) { Need::Optional } else { Need::Required },
                });
            }
            None => fields
                .iter()
                .filter(|(name, _)| !FREE_TEXT.contains(&name.as_str()))
                .for_each(|(name, value)| key_selectors(key, value, &below(path, name), name, found)),
        },
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                key_selectors(key, value, &item(path, index), field, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Name and key of a selector.
fn selected(fields: &Map<String, Value>) -> Option<(&str, &str)> {
    let only = fields.keys().all(|name| matches!(name.as_str(), "name" | "key" | "optional"));
    let both = (fields.get("name")?.as_str()?, fields.get("key")?.as_str()?);
    only.then_some(both)
}

fn says_optional(fields: &Map<String, Value>) -> bool {
    fields.get("optional").and_then(Value::as_bool) == Some(true)
}

/// The Secret with an Alertmanager's configuration. The operator starts it with a receiver that does nothing when the
/// Secret is missing, so one that is asked for by name is needed for more than starting. With an
/// `alertmanagerConfiguration` it reads none (prometheus-operator `pkg/alertmanager/operator.go`).
fn configuration_of_an_alertmanager(key: &ObjectKey, value: &Value) -> Vec<Reference> {
    let at = |pointer: &str| value.pointer(pointer).filter(|value| !value.is_null());
    let asked_for = at("/spec/configSecret").and_then(text);
    let elsewhere = at("/spec/alertmanagerConfiguration").is_some();
    let (name, need) = match (asked_for, elsewhere) {
        (Some(name), false) => (name.to_owned(), Need::Required),
        (Some(name), true) => (name.to_owned(), Need::Optional),
        (None, false) => (format!("alertmanager-{}", key.name), Need::Optional),
        (None, true) => return Vec::new(),
    };
    let Some(namespace) = key.namespace.clone() else { return Vec::new() };
    let field = "spec.configSecret".to_owned();
    vec![Reference { kind: SECRET, namespace: Some(namespace), name, key: None, field, need }]
}

/// Prefix of the parameters that the sidecars take for themselves.
const PREFIX: &str = "csi.storage.k8s.io/";

/// Older names that external-provisioner still reads (`pkg/controller/controller.go`); external-snapshotter reads none
/// (`pkg/utils/util.go`).
const OLDER: &[&str] = &[
    "csiProvisionerSecretName",
    "csiControllerPublishSecretName",
    "csiNodeStageSecretName",
    "csiNodePublishSecretName",
];

/// The Secrets that parameters of a class name, in pairs of a name and a namespace. A sidecar refuses half a pair, and
/// reads `$` as the start of a template over claim and volume, which leads to no object by itself (external-provisioner
/// `pkg/controller/controller.go`, external-snapshotter `pkg/utils/util.go`).
fn secrets_of_parameters(class: &Value, older: &[&str]) -> Vec<Reference> {
    let parameters = class.get("parameters").and_then(Value::as_object);
    let names_a_secret = |parameter: &str| {
        parameter.strip_prefix(PREFIX).is_some_and(|rest| rest == "secret-name" || rest.ends_with("-secret-name"))
            || older.contains(&parameter)
    };
    let plain = |value: &Value| text(value).filter(|text| !text.contains('$')).map(str::to_owned);
    let named = |(parameter, value): (&String, &Value)| {
        // `…secret-name` has `…secret-namespace` beside it, and `…SecretName` has `…SecretNamespace`.
        let namespace = parameters?.get(&format!("{parameter}space")).and_then(plain)?;
        Some(Reference {
            kind: SECRET,
            namespace: Some(namespace),
            name: plain(value)?,
            key: None,
            field: below("parameters", parameter),
            need: Need::Required,
        })
    };
    parameters.into_iter().flatten().filter(|(parameter, _)| names_a_secret(parameter)).filter_map(named).collect()
}
