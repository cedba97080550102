//! Configuration that looks generated and is the user's: the Secret `prometheus-<name>` of a Prometheus in unmanaged mode.
//!
//! A Prometheus without any monitor selector gets an empty Secret from the operator once, which the user fills and the
//! operator never writes again (prometheus-operator `pkg/prometheus/server/operator.go`), unless the operator was told
//! otherwise by `--disable-unmanaged-prometheus-configuration`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::workload::RunningOperator;
use super::{DiscoverError, Found};
use crate::model::{GroupKind, ObjectKey};
use crate::scope::OPERATOR_GROUP;

/// With all of these absent a Prometheus is unmanaged. Null is absent, `{}` is not.
const SELECTORS: &[&str] = &["serviceMonitorSelector", "podMonitorSelector", "probeSelector", "scrapeConfigSelector"];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    spec: BTreeMap<String, Value>,
}

/// The Secrets, each with the reason why it is in.
#[derive(Debug, Default)]
pub(super) struct Unmanaged {
    secrets: BTreeMap<(Option<String>, String), String>,
}

impl Unmanaged {
    pub(super) fn among(instances: &[Found], operators: &[RunningOperator]) -> Result<Self, DiscoverError> {
        let mut unmanaged = Self::default();
        if !operators.is_empty() && operators.iter().all(|one| one.scope.unmanaged_configuration_disabled()) {
            return Ok(unmanaged);
        }
        for found in instances.iter().filter(|found| found.key.is(GroupKind(OPERATOR_GROUP, "Prometheus"))) {
            let spec = found.pick::<Resource>()?.spec;
            if SELECTORS.iter().all(|selector| spec.get(*selector).is_none_or(Value::is_null)) {
                let secret = (found.key.namespace.clone(), format!("prometheus-{}", found.key.name));
                let reason = format!("configuration of {}, which the operator does not write", found.key);
                unmanaged.secrets.insert(secret, reason);
            }
        }
        Ok(unmanaged)
    }

    /// Why this object is in although the operator owns it.
    pub(super) fn reason(&self, key: &ObjectKey) -> Option<&str> {
        if !key.is(GroupKind("", "Secret")) {
            return None;
        }
        self.secrets.get(&(key.namespace.clone(), key.name.clone())).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Operator;
    use crate::operator_scope::OperatorScope;

    fn secrets_of(spec: &Value, arguments: &[&str]) -> Option<String> {
        let key = ObjectKey::namespaced(OPERATOR_GROUP, "Prometheus", "prometheuses", "monitoring", "k8s");
        let prometheus = Found { key, text: json!({"spec": spec}).to_string().into() };
        let key = ObjectKey::namespaced("apps", "Deployment", "deployments", "operators", "prometheus-operator");
        let operator = Operator { key, version: None, scope: String::new() };
        let scope = OperatorScope::from_args(arguments.iter().copied());
        let unmanaged = Unmanaged::among(&[prometheus], &[RunningOperator { operator, scope }]).unwrap();
        let secret = ObjectKey::namespaced("", "Secret", "secrets", "monitoring", "prometheus-k8s");
        unmanaged.reason(&secret).map(str::to_owned)
    }

    #[test]
    fn without_any_monitor_selector_the_configuration_is_the_users() {
        assert!(secrets_of(&json!({}), &[]).unwrap().contains("Prometheus monitoring/k8s"));
        assert!(secrets_of(&json!({"ruleSelector": {}, "probeSelector": null}), &[]).is_some());
    }

    #[test]
    fn an_empty_selector_or_the_operators_flag_makes_it_the_operators() {
        assert_eq!(secrets_of(&json!({"scrapeConfigSelector": {}}), &[]), None);
        assert_eq!(secrets_of(&json!({}), &["--disable-unmanaged-prometheus-configuration"]), None);
    }
}
