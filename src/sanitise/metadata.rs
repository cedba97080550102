//! What is stripped from every kind. Runs last: other rows read managedFields and the last-applied annotation.

use super::fields::{ANNOTATIONS, LABELS, Object, remove, remove_empty};
use super::rule::{Kinds, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        kinds: Kinds::Every,
        what: "metadata: uid, resourceVersion, generation, creationTimestamp, deletionTimestamp, \
               deletionGracePeriodSeconds, selfLink, managedFields, generateName",
        because: "the API server writes them; a create with resourceVersion is refused",
        strip: |object| {
            remove(
                object,
                &["metadata"],
                &[
                    "uid",
                    "resourceVersion",
                    "generation",
                    "creationTimestamp",
                    "deletionTimestamp",
                    "deletionGracePeriodSeconds",
                    "selfLink",
                    "managedFields",
                    "generateName",
                ],
            );
        },
    },
    Rule {
        kinds: Kinds::Every,
        what: "metadata.ownerReferences",
        because: "they name uids of the old cluster: the garbage collector deletes what an absent owner owns",
        strip: |object| remove(object, &["metadata"], &["ownerReferences"]),
    },
    Rule {
        kinds: Kinds::Every,
        what: "metadata.finalizers, with monitoring.coreos.com/status-cleanup",
        because: "who sets a finalizer sets it again; where nobody does, it would block every deletion",
        strip: |object| remove(object, &["metadata"], &["finalizers"]),
    },
    Rule {
        kinds: Kinds::Every,
        what: "annotation kubectl.kubernetes.io/last-applied-configuration",
        because: "a second copy of the object that would undo a later change; too long for six of the operator's CRDs",
        strip: |object| remove(object, ANNOTATIONS, &["kubectl.kubernetes.io/last-applied-configuration"]),
    },
    Rule {
        kinds: Kinds::Every,
        what: "annotation control-plane.alpha.kubernetes.io/leader",
        because: "leader election rewrites it every few seconds",
        strip: |object| remove(object, ANNOTATIONS, &["control-plane.alpha.kubernetes.io/leader"]),
    },
    Rule {
        kinds: Kinds::Every,
        what: "status",
        because: "what a controller saw, not what was asked for; the API server drops it on create",
        strip: |object: &mut Object| remove(object, &[], &["status"]),
    },
    Rule {
        kinds: Kinds::Every,
        what: "annotations and labels when none are left",
        because: "the API server does not keep the empty field",
        strip: |object| {
            remove_empty(object, ANNOTATIONS);
            remove_empty(object, LABELS);
        },
    },
];
