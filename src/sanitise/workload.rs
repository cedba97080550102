//! What is stripped from objects that make pods. `kubectl.kubernetes.io/restartedAt` stays: a user asked for it.

use serde_json::Value;

use super::fields::{ANNOTATIONS, LABELS, Object, at, list_at, remove, remove_empty};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;

pub(super) const RULES: &[Rule] = &[
    Rule {
        kinds: Kinds::Only(&[GroupKind("apps", "Deployment"), GroupKind("apps", "ReplicaSet")]),
        what: "annotations deployment.kubernetes.io/revision, revision-history, desired-replicas, max-replicas",
        because: "the deployment controller counts anew (pkg/controller/deployment/util)",
        strip: |object| {
            remove(
                object,
                ANNOTATIONS,
                &[
                    "deployment.kubernetes.io/revision",
                    "deployment.kubernetes.io/revision-history",
                    "deployment.kubernetes.io/desired-replicas",
                    "deployment.kubernetes.io/max-replicas",
                ],
            );
        },
    },
    Rule {
        kinds: Kinds::Only(&[GroupKind("apps", "DaemonSet")]),
        what: "annotation deprecated.daemonset.template.generation",
        because: "the API server counts anew (pkg/registry/apps/daemonset/strategy.go)",
        strip: |object| remove(object, ANNOTATIONS, &["deprecated.daemonset.template.generation"]),
    },
    Rule {
        kinds: Kinds::Only(&[GroupKind("batch", "Job")]),
        what: "unless spec.manualSelector: labels controller-uid, job-name and the same with batch.kubernetes.io/, in \
               metadata, spec.template and spec.selector",
        because: "the API server makes them from the new uid and refuses others (pkg/registry/batch/job/strategy.go)",
        strip: remove_generated_selector,
    },
    Rule {
        kinds: Kinds::Only(&[
            GroupKind("apps", "Deployment"),
            GroupKind("apps", "ReplicaSet"),
            GroupKind("apps", "StatefulSet"),
            GroupKind("apps", "DaemonSet"),
            GroupKind("batch", "Job"),
            GroupKind("batch", "CronJob"),
            GroupKind("", "ReplicationController"),
            GroupKind("", "PodTemplate"),
        ]),
        what: "creationTimestamp of pod, job and claim templates, status of claim templates",
        because: "API servers write an empty one there, or none, depending on their version",
        strip: remove_template_noise,
    },
];

const JOB_LABELS: &[&str] =
    &["controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name"];

fn remove_generated_selector(object: &mut Object) {
    if at(object, &["spec", "manualSelector"]) == Some(&Value::Bool(true)) {
        return;
    }
    remove(object, LABELS, JOB_LABELS);
    remove(object, &["spec", "template", "metadata", "labels"], JOB_LABELS);
    remove_empty(object, &["spec", "template", "metadata", "labels"]);
    remove(object, &["spec", "selector", "matchLabels"], JOB_LABELS);
    remove_empty(object, &["spec", "selector", "matchLabels"]);
    remove_empty(object, &["spec", "selector"]);
}

/// Where templates carry metadata of their own.
const TEMPLATES: &[&[&str]] = &[
    &["template", "metadata"],
    &["spec", "template", "metadata"],
    &["spec", "jobTemplate", "metadata"],
    &["spec", "jobTemplate", "spec", "template", "metadata"],
];

fn remove_template_noise(object: &mut Object) {
    for metadata in TEMPLATES {
        remove(object, metadata, &["creationTimestamp"]);
    }
    let claims = list_at(object, &["spec", "volumeClaimTemplates"]).into_iter().flatten();
    for claim in claims.filter_map(Value::as_object_mut) {
        remove(claim, &[], &["status"]);
        remove(claim, &["metadata"], &["creationTimestamp"]);
    }
}
