//! What is stripped from a Service: what the API server allocated, but never what a user asked for.
//!
//! The two are told apart by evidence in the object itself: the last-applied annotation and managedFields. The API
//! server notes the fields of a request in managedFields before its storage allocates addresses and ports
//! (pkg/registry/core/service/storage), so an allocated field is in neither. An object with no evidence at all was
//! written by hand or is sanitised already: what it says is meant.

use serde_json::Value;

use super::fields::{ANNOTATIONS, Object, at, list_at, object_at, remove, text_at};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

const SERVICE: Kinds = Kinds::Only(&[GroupKind("", "Service")]);

pub(super) const RULES: &[Rule] = &[
    Rule {
        kinds: SERVICE,
        what: "spec.clusterIP unless None, spec.clusterIPs",
        because: "addresses of the old cluster's range, perhaps taken; None is what makes a Service headless",
        strip: |object| {
            remove(object, &["spec"], &["clusterIPs"]);
            if text_at(object, &["spec", "clusterIP"]) != Some("None") {
                remove(object, &["spec"], &["clusterIP"]);
            }
        },
    },
    Rule {
        kinds: SERVICE,
        what: "spec.ports[].nodePort, spec.healthCheckNodePort, spec.ipFamilies, spec.ipFamilyPolicy, unless the \
               last-applied annotation or managedFields show that a user set them",
        because: "the API server allocated them: a port may be taken (provided port is already allocated), a family \
                  may be absent; a port that a user chose is what clients know",
        strip: remove_allocated,
    },
];

fn remove_allocated(object: &mut Object) {
    let Some(asked) = Asked::from(object) else { return };
    for field in ["healthCheckNodePort", "ipFamilies", "ipFamilyPolicy"] {
        if !asked.for_field(field) {
            remove(object, &["spec"], &[field]);
        }
    }
    for port in list_at(object, &["spec", "ports"]).into_iter().flatten().filter_map(Value::as_object_mut) {
        if !asked.for_node_port(&PortKey::of(port)) {
            port.remove("nodePort");
        }
    }
}

/// What users asked for.
struct Asked {
    /// The manifest of the last `kubectl apply`.
    last_applied: Option<Object>,
    /// `fieldsV1` of every entry of managedFields.
    field_sets: Vec<Object>,
}

/// What tells ports of a Service apart: the keys of the list in the API's schema.
#[derive(PartialEq)]
struct PortKey {
    port: Option<i64>,
    protocol: String,
}

impl PortKey {
    fn of(port: &Object) -> Self {
        Self {
            port: port.get("port").and_then(Value::as_i64),
            protocol: text_at(port, &["protocol"]).unwrap_or("TCP").to_owned(),
        }
    }
}

impl Asked {
    /// The evidence in an object; `None` when there is none.
    fn from(object: &mut Object) -> Option<Self> {
        let last_applied = object_at(object, ANNOTATIONS)
            .and_then(|annotations| annotations.get("kubectl.kubernetes.io/last-applied-configuration")?.as_str())
            .and_then(|text| serde_json::from_str(text).ok());
        let field_sets: Vec<Object> = list_at(object, &["metadata", "managedFields"])
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.get("fieldsV1")?.as_object().cloned())
            .collect();
        (last_applied.is_some() || !field_sets.is_empty()).then_some(Self { last_applied, field_sets })
    }

    fn for_field(&self, field: &str) -> bool {
        self.last_applied.iter().any(|manifest| at(manifest, &["spec", field]).is_some())
            || self.field_sets.iter().any(|fields| at(fields, &["f:spec", &format!("f:{field}")]).is_some())
    }

    fn for_node_port(&self, key: &PortKey) -> bool {
        let applied =
            |manifest: &Object| {
                let ports = at(manifest, &["spec", "ports"]).and_then(Value::as_array);
                ports.into_iter().flatten().filter_map(Value::as_object).any(|port| {
                    port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0 && PortKey::of(port) == *key
                })
            };
        let managed = |fields: &Object| {
            let ports = at(fields, &["f:spec", "f:ports"]).and_then(Value::as_object);
            ports.into_iter().flatten().any(|(item, set)| {
                let named = item.strip_prefix("k:").and_then(|key| serde_json::from_str::<Object>(key).ok());
                set.get("f:nodePort").is_some() && named.is_some_and(|port| PortKey::of(&port) == *key)
            })
        };
        self.last_applied.iter().any(applied) || self.field_sets.iter().any(managed)
    }
}
