//! The reference walk against the operator's own schemas: every place that can select a key of a Secret or ConfigMap is
//! found, in every version of every kind.

use std::collections::BTreeMap;

use promsafe::model::ObjectKey;
use promsafe::references;
use promsafe::scope::OPERATOR_GROUP;
use serde_json::{Map, Value, json};

use crate::support::testbed::operator_definitions;

/// What is planted: the name that the selector has, the kind that it means, and where it stands.
#[derive(Default)]
struct Planted {
    by_name: BTreeMap<String, (&'static str, String)>,
}

impl Planted {
    /// An object of this schema with a selector at every place that has one, and nothing else.
    fn grow(&mut self, schema: &Value, field: &str, path: &str) -> Option<Value> {
        let fields = schema.get("properties").and_then(Value::as_object);
        if let Some(fields) = fields {
            if selects_a_key(fields) {
                let name = format!("planted-{}", self.by_name.len());
                let kind = if matches!(field, "configMap" | "configMapKeyRef") { "ConfigMap" } else { "Secret" };
                self.by_name.insert(name.clone(), (kind, path.to_owned()));
                return Some(json!({"name": name, "key": "k"}));
            }
            let grown = fields
                .iter()
                .filter_map(|(name, schema)| Some((name.clone(), self.grow(schema, name, &format!("{path}.{name}"))?)));
            let grown: Map<_, _> = grown.collect();
            return (!grown.is_empty()).then_some(Value::Object(grown));
        }
        if let Some(items) = schema.get("items") {
            return Some(json!([self.grow(items, field, &format!("{path}[0]"))?]));
        }
        let any = schema.get("additionalProperties").filter(|schema| schema.is_object())?;
        Some(json!({"any": self.grow(any, field, &format!("{path}.any"))?}))
    }
}

/// A name and a key, and nothing else than perhaps `optional`.
fn selects_a_key(fields: &Map<String, Value>) -> bool {
    let is_text = |name: &str| fields.get(name).is_some_and(|schema| schema["type"] == "string");
    is_text("name") && is_text("key") && fields.keys().all(|name| ["name", "key", "optional"].contains(&name.as_str()))
}

#[test]
fn every_selector_of_the_operators_schemas_is_found() {
    let mut places = 0;
    for definition in operator_definitions() {
        let definition: Value = serde_saphyr::from_str(&definition).unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        let key = ObjectKey::namespaced(OPERATOR_GROUP, kind, "any", "monitoring", "x");
        for version in definition["spec"]["versions"].as_array().unwrap() {
            let mut planted = Planted::default();
            let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
            let spec = planted.grow(spec, "spec", "spec").unwrap_or_default();
            let found = references::of(&key, &json!({"spec": spec}));
            let mut found: BTreeMap<String, (&str, String)> = found
                .into_iter()
                .filter(|reference| reference.name.starts_with("planted-"))
                .map(|reference| {
                    assert_eq!(reference.key.as_deref(), Some("k"), "{}", reference.field);
                    (reference.name, (reference.kind.1, reference.field))
                })
                .collect();
            places += planted.by_name.len();
            for (name, expected) in planted.by_name {
                assert_eq!(found.remove(&name).as_ref(), Some(&expected), "{kind} {}", version["name"]);
            }
        }
    }
    assert!(places > 800, "only {places} places: the schemas are not read as they are meant");
}
