//! Where two manifests differ. Knows paths only: a value may be a Secret and is never shown.

use serde_json::Value;

use super::RestorableManifest;

/// How many paths are named at most.
const MOST: usize = 5;

/// Paths of the first fields that differ, such as `spec.ports[0].port` or `data["alertmanager.yaml"]`; at most five,
/// empty exactly when the manifests are equal. A list of another length is named as a whole.
pub fn differing_fields(a: &RestorableManifest, b: &RestorableManifest) -> Vec<String> {
    let mut paths = Vec::new();
    // Both texts were written from trees, so both can be read.
    let read = |manifest: &RestorableManifest| serde_json::from_str(manifest.json()).unwrap_or(Value::Null);
    compare("", &read(a), &read(b), &mut paths);
    paths
}

fn compare(path: &str, a: &Value, b: &Value, paths: &mut Vec<String>) {
    if a == b || paths.len() == MOST {
        return;
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let only_in_b = b.keys().filter(|name| !a.contains_key(*name));
            for name in a.keys().chain(only_in_b) {
                match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => compare(&below(path, name), a, b, paths),
                    _ => push(below(path, name), paths),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), a, b, paths);
            }
        }
        _ => push(path.to_owned(), paths),
    }
}

fn push(path: String, paths: &mut Vec<String>) {
    if paths.len() < MOST {
        paths.push(path);
    }
}

/// The path of a field: names that hold a dot, such as annotations, are quoted.
fn below(path: &str, name: &str) -> String {
    if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && !"-_$".contains(c)) {
        format!("{path}[{name:?}]")
    } else if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ObjectKey;

    fn differ(a: Value, b: Value) -> Vec<String> {
        let made = |json| {
            RestorableManifest::made(ObjectKey::cluster_scoped("", "Secret", "secrets", "x"), "v1".into(), &json)
        };
        differing_fields(&made(a), &made(b))
    }

    #[test]
    fn paths_are_named_and_values_are_not() {
        let a = json!({"data": {"alertmanager.yaml": "c2VjcmV0"}, "spec": {"ports": [{"port": 1}], "x": 1}, "l": [1]});
        let b = json!({"data": {"alertmanager.yaml": "b3RoZXI="}, "spec": {"ports": [{"port": 2}]}, "l": [1, 2], "z": null});
        assert_eq!(differ(a, b), [r#"data["alertmanager.yaml"]"#, "l", "spec.ports[0].port", "spec.x", "z"]);
    }

    #[test]
    fn equal_manifests_differ_nowhere() {
        assert_eq!(differ(json!({"a": [1, {"b": null}]}), json!({"a": [1, {"b": null}]})), [""; 0]);
    }

    #[test]
    fn no_more_than_five_are_named() {
        let a: Value = (0..40).map(|n| (format!("f{n}"), json!(n))).collect();
        assert_eq!(differ(a, json!({})).len(), MOST);
    }
}
