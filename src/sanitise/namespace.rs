//! What is stripped from a Namespace.

use super::fields::{LABELS, remove, remove_empty};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

const NAMESPACE: Kinds = Kinds::Only(&[GroupKind("", "Namespace")]);

pub(super) const RULES: &[Rule] = &[
    Rule {
        kinds: NAMESPACE,
        what: "spec.finalizers",
        because: "the API server sets the finalizer kubernetes itself (pkg/registry/core/namespace/strategy.go)",
        strip: |object| {
            remove(object, &["spec"], &["finalizers"]);
            remove_empty(object, &["spec"]);
        },
    },
    Rule {
        kinds: NAMESPACE,
        what: "label kubernetes.io/metadata.name",
        because: "the API server sets it to the name (pkg/registry/core/namespace/strategy.go)",
        strip: |object| remove(object, LABELS, &["kubernetes.io/metadata.name"]),
    },
];
