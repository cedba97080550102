//! What is stripped from a Secret that holds the token of a ServiceAccount. Other Secrets stay as they are.

use super::fields::{ANNOTATIONS, LABELS, Object, remove, remove_empty, text_at};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

pub(super) const RULES: &[Rule] = &[Rule {
    kinds: Kinds::Only(&[GroupKind("", "Secret")]),
    what: "of type kubernetes.io/service-account-token: annotation kubernetes.io/service-account.uid, data token, \
           ca.crt and namespace, labels kubernetes.io/legacy-token-last-used and kubernetes.io/legacy-token-invalid-since",
    because: "the token controller issues them for the account as it is now; a token of another uid opens nothing \
              (pkg/controller/serviceaccount/tokens_controller.go)",
    strip: remove_issued_token,
}];

fn remove_issued_token(object: &mut Object) {
    if text_at(object, &["type"]) != Some("kubernetes.io/service-account-token") {
        return;
    }
    remove(object, ANNOTATIONS, &["kubernetes.io/service-account.uid"]);
    remove(object, LABELS, &["kubernetes.io/legacy-token-last-used", "kubernetes.io/legacy-token-invalid-since"]);
    remove(object, &["data"], &["token", "ca.crt", "namespace"]);
    remove_empty(object, &["data"]);
}
