//! What is stripped where the API server calls a webhook, a conversion or an extension API server over TLS.
//!
//! A caBundle stays with the Secret whose certificate it signed: both are in the backup, and as a pair they work.
//! Only where a controller injects the bundle is it left to that controller.

use serde_json::Value;

use super::fields::{ANNOTATIONS, Object, at, list_at, object_at, remove};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

/// Annotations by which a controller is told to write the caBundle: cert-manager `cainjector`, `service-ca` of `OpenShift`.
const INJECTORS: &[&str] = &[
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
    "service.beta.openshift.io/inject-cabundle",
];

pub(super) const RULES: &[Rule] = &[Rule {
    kinds: Kinds::Only(&[
        GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        GroupKind("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"),
        GroupKind("apiregistration.k8s.io", "APIService"),
    ]),
    what: "caBundle, when an annotation tells cert-manager or OpenShift to inject it (else it is kept, as a pair \
               with its Secret)",
    because: "the injector writes the bundle of the certificate it issues here; the old one would be refused",
    strip: remove_injected_bundle,
}];

fn remove_injected_bundle(object: &mut Object) {
    let injected = at(object, ANNOTATIONS)
        .and_then(Value::as_object)
        .is_some_and(|annotations| INJECTORS.iter().any(|name| annotations.contains_key(*name)));
    if !injected {
        return;
    }
    remove(object, &["spec"], &["caBundle"]);
    remove(object, &["spec", "conversion", "webhook", "clientConfig"], &["caBundle"]);
    for webhook in list_at(object, &["webhooks"]).into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(client_config) = object_at(webhook, &["clientConfig"]) {
            client_config.remove("caBundle");
        }
    }
}
