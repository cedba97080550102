//! What is stripped from the Prometheus Operator's custom resources, beyond their finalizer (`metadata.rs`).

use super::fields::{ANNOTATIONS, remove};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

pub(super) const RULES: &[Rule] = &[Rule {
    kinds: Kinds::Only(&[GroupKind("monitoring.coreos.com", "PrometheusRule")]),
    what: "annotation prometheus-operator-validated",
    because: "the operator's mutating webhook adds it where the webhook runs (prometheus-operator pkg/admission)",
    strip: |object| remove(object, ANNOTATIONS, &["prometheus-operator-validated"]),
}];
