//! What is stripped from a `CustomResourceDefinition`. Its conversion stays: without it the API server would serve objects
//! of one version as another. For an injected caBundle see `webhook.rs`.

use serde_json::Value;

use super::fields::{at, remove};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

pub(super) const RULES: &[Rule] = &[Rule {
    kinds: Kinds::Only(&[GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")]),
    what: "spec.preserveUnknownFields when false",
    because: "the default, and no longer served (apiextensions-apiserver pkg/apis/apiextensions/v1/types.go)",
    strip: |object| {
        if at(object, &["spec", "preserveUnknownFields"]) == Some(&Value::Bool(false)) {
            remove(object, &["spec"], &["preserveUnknownFields"]);
        }
    },
}];
