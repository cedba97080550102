//! What is stripped from a Pod that nothing controls.

use serde_json::Value;

use super::fields::{ANNOTATIONS, LABELS, Object, list_at, remove, remove_empty};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

const POD: Kinds = Kinds::Only(&[GroupKind("", "Pod")]);

/// Prefix of the volume that the ServiceAccount admission plugin adds (plugin/pkg/admission/serviceaccount).
const TOKEN_VOLUME: &str = "kube-api-access-";

pub(super) const RULES: &[Rule] = &[
    Rule {
        kinds: POD,
        what: "spec.nodeName",
        because: "the scheduler wrote it; the node may be gone",
        strip: |object| remove(object, &["spec"], &["nodeName"]),
    },
    Rule {
        kinds: POD,
        what: "spec.priority, spec.preemptionPolicy",
        because: "admission computes them from the PriorityClass and refuses others \
                  (plugin/pkg/admission/priority)",
        strip: |object| remove(object, &["spec"], &["priority", "preemptionPolicy"]),
    },
    Rule {
        kinds: POD,
        what: "volume kube-api-access-<5 characters> and its mounts",
        because: "admission adds it under a new name (plugin/pkg/admission/serviceaccount)",
        strip: remove_token_volume,
    },
    Rule {
        kinds: POD,
        what: "annotation kubernetes.io/limit-ranger, labels topology.kubernetes.io/zone and region",
        because: "admission notes the defaults it filled in and the place of the node \
                  (plugin/pkg/admission/limitranger, podtopologylabels)",
        strip: |object| {
            remove(object, ANNOTATIONS, &["kubernetes.io/limit-ranger"]);
            remove(object, LABELS, &["topology.kubernetes.io/zone", "topology.kubernetes.io/region"]);
        },
    },
    Rule {
        kinds: POD,
        what: "spec.ephemeralContainers",
        because: "left by kubectl debug; a create with them is refused (pkg/apis/core/validation)",
        strip: |object| remove(object, &["spec"], &["ephemeralContainers"]),
    },
];

fn remove_token_volume(object: &mut Object) {
    remove_named(object, &["spec", "volumes"]);
    for containers in ["containers", "initContainers"] {
        let containers = list_at(object, &["spec", containers]).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            remove_named(container, &["volumeMounts"]);
        }
    }
}

fn remove_named(object: &mut Object, path: &[&str]) {
    if let Some(items) = list_at(object, path) {
        items.retain(|item| {
            !item.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with(TOKEN_VOLUME))
        });
    }
    remove_empty(object, path);
}
