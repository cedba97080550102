//! What holds of any JSON: selectors planted in it are found, and nothing else is.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::tests::{cluster_scoped, namespaced};
use super::*;
use crate::scope::OPERATOR_GROUP;

/// What is planted in a spec.
#[derive(Debug, Clone)]
enum Plant {
    /// A selector: under which field it stands when that decides its kind, in how many lists, what `optional` says.
    Selector { under: Option<&'static str>, lists: usize, name: String, key: String, optional: Option<bool> },
    /// An object that is nearly one.
    Decoy(Value),
}

fn word() -> impl Strategy<Value = String> {
    "[a-z]{1,6}"
}

/// Names of fields: identifiers, and keys of maps that are none. No `configMap`, nor any map of free text.
fn field_name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "f[A-Za-z0-9_-]{0,5}", 1 => "x[a-z]{0,3}[./ ][a-z]{1,3}"]
}

fn plant() -> impl Strategy<Value = Plant> {
    let under = prop::option::of(prop::sample::select(vec!["configMap", "configMapKeyRef", "secret", "secretKeyRef"]));
    let selector = (under, 0..3_usize, word(), word(), any::<Option<bool>>())
        .prop_map(|(under, lists, name, key, optional)| Plant::Selector { under, lists, name, key, optional });
    let decoy = prop_oneof![
        (word(), word(), word()).prop_map(|(name, key, more)| json!({"name": name, "key": key, "more": more})),
        (word(), word()).prop_map(|(name, key)| json!({"name": name, "key": key, "optional": true, "more": null})),
        word().prop_map(|name| json!({"name": name})),
        word().prop_map(|name| json!({"name": name, "optional": true})),
        word().prop_map(|key| json!({"key": key})),
        word().prop_map(|key| json!({"name": "", "key": key})),
        word().prop_map(|key| json!({"name": 1, "key": key})),
        word().prop_map(|name| json!({"name": name, "key": null})),
        (word(), word()).prop_map(|(name, key)| json!({"matchLabels": {"name": name, "key": key}})),
    ];
    prop_oneof![2 => selector, 1 => decoy.prop_map(Plant::Decoy)]
}

/// A spec, and what is planted in it.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(Value),
    Plant(Plant),
    List(Vec<Tree>),
    Fields(Vec<(String, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word().prop_map(Value::from)
    ];
    let leaf = prop_oneof![2 => plant().prop_map(Tree::Plant), 1 => scalar.prop_map(Tree::Leaf)];
    leaf.prop_recursive(5, 48, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::List),
            prop::collection::btree_map(field_name(), inner, 0..5)
                .prop_map(|map| Tree::Fields(map.into_iter().collect())),
        ]
    })
}

/// A field with a selector below it decides the kind, also through lists: nothing but `under` decides it here.
fn grow(tree: &Tree, path: &str, planted: &mut Vec<Reference>) -> Value {
    match tree {
        Tree::Leaf(value) | Tree::Plant(Plant::Decoy(value)) => value.clone(),
        Tree::Plant(Plant::Selector { under, lists, name, key, optional }) => {
            let mut selector = json!({"name": name, "key": key});
            if let Some(optional) = optional {
                selector["optional"] = json!(optional);
            }
            planted.push(Reference {
                kind: if under.is_some_and(|under| under.starts_with("configMap")) { CONFIG_MAP } else { SECRET },
                namespace: Some("monitoring".to_owned()),
                name: name.clone(),
                key: Some(key.clone()),
                field: under.map_or_else(|| path.to_owned(), |under| format!("{path}.{under}")) + &"[0]".repeat(*lists),
                need: if *optional == Some(true) { Need::Optional } else { Need::Required },
            });
            let listed = (0..*lists).fold(selector, |inner, _| json!([inner]));
            if let Some(under) = under { json!({*under: listed}) } else { listed }
        }
        Tree::List(items) => {
            items.iter().enumerate().map(|(index, item)| grow(item, &format!("{path}[{index}]"), planted)).collect()
        }
        Tree::Fields(fields) => {
            let written =
                |name: &str| if name.contains(['.', '/', ' ']) { format!("[{name}]") } else { format!(".{name}") };
            let grown = fields
                .iter()
                .map(|(name, tree)| (name.clone(), grow(tree, &format!("{path}{}", written(name)), planted)));
            Value::Object(grown.collect::<Map<_, _>>())
        }
    }
}

/// The value that a field's path leads to.
fn follow<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let Some((bracketed, rest)) = path.strip_prefix('[').and_then(|path| path.split_once(']')) else {
        let path = path.strip_prefix('.').unwrap_or(path);
        let (name, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        return if name.is_empty() { Some(value) } else { follow(value.get(name)?, rest) };
    };
    match (value, bracketed.parse::<usize>()) {
        (Value::Array(items), Ok(index)) => follow(items.get(index)?, rest),
        _ => follow(value.get(bracketed)?, rest),
    }
}

/// Any JSON, with the names that the rows look for.
fn any_json() -> impl Strategy<Value = Value> {
    let names = "metadata|annotations|spec|template|jobTemplate|containers|volumes|secret|secretName|configMap|\
                 projected|sources|name|key|items|optional|env|envFrom|valueFrom|secretKeyRef|secretRef|imagePullSecrets|\
                 secrets|\
                 storage|volumeClaimTemplate|volumeClaimTemplates|ephemeral|storageClassName|dataSource|kind|apiGroup|\
                 roleRef|webhooks|clientConfig|service|namespace|parameters|configSecret|alertmanagerConfiguration|tls|\
                 cert-manager.io/inject-ca-from|csi.storage.k8s.io/secret-name|\
                 csi.storage.k8s.io/secret-namespace|issuerRef";
    let name = prop::sample::select(names.split('|').collect::<Vec<_>>()).prop_map(str::to_owned);
    let name = prop_oneof![8 => name, 1 => any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z/$]{0,4}".prop_map(Value::from)
    ];
    leaf.prop_recursive(8, 96, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Keys of all kinds in the table, namespaced or not.
fn any_key() -> impl Strategy<Value = ObjectKey> {
    let mut kinds: Vec<_> = ROWS.iter().flat_map(Row::referring_kinds).collect();
    kinds.extend([GroupKind("storage.k8s.io", "StorageClass"), GroupKind(OPERATOR_GROUP, "ServiceMonitor")]);
    (prop::sample::select(kinds), any::<bool>())
        .prop_map(|(kind, inside)| if inside { namespaced(kind.0, kind.1) } else { cluster_scoped(kind.0, kind.1) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_planted_selector_is_found_once_and_no_decoy_is(tree in tree()) {
        let mut planted = Vec::new();
        let value = json!({"spec": {"planted": grow(&tree, "spec.planted", &mut planted)}});
        let mut found = of(&namespaced(OPERATOR_GROUP, "ServiceMonitor"), &value);
        let by_field = |a: &Reference, b: &Reference| a.field.cmp(&b.field);
        planted.sort_by(by_field);
        found.sort_by(by_field);
        prop_assert_eq!(&found, &planted);
        for found in found {
            let selector = follow(&value, &found.field).expect("a path leads somewhere");
            prop_assert_eq!(&selector["name"], &json!(found.name));
            prop_assert_eq!(&selector["key"], &json!(found.key));
        }
    }

    #[test]
    fn any_json_is_read_without_panic_and_names_are_never_empty(key in any_key(), value in any_json()) {
        for found in of(&key, &value) {
            prop_assert!(!found.name.is_empty());
            prop_assert!(found.key.as_deref() != Some(""));
            prop_assert!(found.namespace.as_deref() != Some(""));
        }
        holds_key(&value, "name");
    }
}
