//! What is stripped from a ServiceAccount.

use serde_json::Value;

use super::fields::{Object, list_at, remove_empty, text_at};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

pub(super) const RULES: &[Rule] = &[Rule {
    kinds: Kinds::Only(&[GroupKind("", "ServiceAccount")]),
    what: "entries <name>-token-<5 characters> and <name>-dockercfg-<5 characters> of secrets and imagePullSecrets",
    because: "clusters before 1.24 and OpenShift made these Secrets for the account, and make them again",
    strip: remove_generated_secrets,
}];

fn remove_generated_secrets(object: &mut Object) {
    let Some(account) = text_at(object, &["metadata", "name"]).map(str::to_owned) else { return };
    for field in ["secrets", "imagePullSecrets"] {
        if let Some(references) = list_at(object, &[field]) {
            references.retain(|reference| {
                !reference.get("name").and_then(Value::as_str).is_some_and(|name| is_generated(&account, name))
            });
        }
        remove_empty(object, &[field]);
    }
}

/// Whether the name ends in five characters of the alphabet of generated names (apimachinery `util/rand`).
fn is_generated(account: &str, name: &str) -> bool {
    let suffix = name.strip_prefix(account).and_then(|rest| {
        let rest = rest.strip_prefix('-')?;
        rest.strip_prefix("token-").or_else(|| rest.strip_prefix("dockercfg-"))
    });
    suffix.is_some_and(|suffix| suffix.len() == 5 && suffix.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::is_generated;

    #[test]
    fn only_generated_names_are_recognised() {
        assert!(is_generated("prometheus-k8s", "prometheus-k8s-token-x7k2p"));
        assert!(is_generated("builder", "builder-dockercfg-9dl6w"));
        for name in
            ["prometheus-k8s-token", "prometheus-k8s-token-mine", "prometheus-k8s-token-aeiou", "other-token-x7k2p"]
        {
            assert!(!is_generated("prometheus-k8s", name), "{name}");
        }
    }
}
