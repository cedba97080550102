//! What is stripped from roles.

use super::fields::{Object, remove};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

pub(super) const RULES: &[Rule] = &[Rule {
    kinds: Kinds::Only(&[GroupKind("rbac.authorization.k8s.io", "ClusterRole")]),
    what: "rules, when there is an aggregationRule",
    because: "the aggregation controller gathers them from other roles (pkg/controller/clusterroleaggregation)",
    strip: remove_aggregated_rules,
}];

fn remove_aggregated_rules(object: &mut Object) {
    if object.get("aggregationRule").is_some_and(serde_json::Value::is_object) {
        remove(object, &[], &["rules"]);
    }
}
