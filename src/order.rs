//! THE restore order: which kinds are written together, what is waited for in between, and why.
//!
//! Knows kinds and barriers by name only. Must not know how a barrier is watched (`apply`), nor what is in an object.
//! `docs/restore-order.md` is printed from here.

use crate::model::{GroupKind, ObjectKey};

/// Objects that are written together, in no order among themselves.
#[derive(Debug)]
pub struct Stage {
    /// What the stage is called in plans and reports.
    pub name: &'static str,
    /// The kinds it takes.
    pub kinds: Kinds,
    /// Held before its first object is written; not at all when the plan has no object for the stage.
    pub before: Barrier,
    /// Held after its last object is written and before the next stage.
    pub barrier: Barrier,
    /// Why the stage stands here.
    pub because: &'static str,
}

/// The kinds of a stage.
#[derive(Debug, Clone, Copy)]
pub enum Kinds {
    /// These.
    Listed(&'static [GroupKind]),
    /// All that no other stage lists.
    Rest,
}

/// What is waited for. A barrier that fails ends the restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// Nothing.
    None,
    /// Every Namespace of the plan has phase Active.
    NamespacesActive,
    /// Every CRD of the plan has the conditions `NamesAccepted` and Established, and discovery names its kind.
    Established,
    /// Every VolumeSnapshot of the plan is bound to the content made for it and readyToUse.
    SnapshotsReady,
    /// Every claim of the plan is Bound, or Pending with a class that binds at `WaitForFirstConsumer`.
    ClaimsUsable,
    /// Every Service named by a webhook configuration or an `APIService` of the plan has a ready endpoint.
    EndpointsReady,
    /// Every instance of the plan has the conditions Reconciled and Available for its generation, its pods are Ready
    /// and their claims Bound.
    InstancesReady,
}

impl Barrier {
    /// What is waited for, in words; `None` for no wait.
    pub fn waits_for(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::NamespacesActive => Some("every Namespace is Active"),
            Self::Established => Some("every CRD is Established and its kind is served"),
            Self::SnapshotsReady => Some("every VolumeSnapshot is bound to its content and readyToUse"),
            Self::ClaimsUsable => Some(
                "every claim is Bound, or Pending with a class that binds at WaitForFirstConsumer; then those that come \
                     back from copies are filled and verified",
            ),
            Self::EndpointsReady => Some("every Service that a webhook or APIService names has a ready endpoint"),
            Self::InstancesReady => {
                Some("every instance is Reconciled and Available, its pods Ready, its claims Bound")
            }
        }
    }
}

const CORE: &str = "";
const ADMISSION: &str = "admissionregistration.k8s.io";
const APPS: &str = "apps";
const BATCH: &str = "batch";
const MONITORING: &str = "monitoring.coreos.com";
const NETWORKING: &str = "networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const SNAPSHOT: &str = "snapshot.storage.k8s.io";
const STORAGE: &str = "storage.k8s.io";

/// The stages, first to last.
pub const STAGES: &[Stage] = &[
    Stage {
        name: "namespaces",
        kinds: Kinds::Listed(&[GroupKind(CORE, "Namespace")]),
        before: Barrier::None,
        barrier: Barrier::NamespacesActive,
        because: "everything namespaced lives in one, and a namespace that is being deleted refuses every create",
    },
    Stage {
        name: "definitions",
        kinds: Kinds::Listed(&[GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")]),
        before: Barrier::None,
        barrier: Barrier::Established,
        because: "custom resources can be written only once their kind is served, seconds after the CRD exists",
    },
    Stage {
        name: "classes",
        kinds: Kinds::Listed(&[
            GroupKind(STORAGE, "StorageClass"),
            GroupKind(STORAGE, "VolumeAttributesClass"),
            GroupKind(STORAGE, "CSIDriver"),
            GroupKind(SNAPSHOT, "VolumeSnapshotClass"),
            GroupKind("scheduling.k8s.io", "PriorityClass"),
            GroupKind("node.k8s.io", "RuntimeClass"),
            GroupKind(NETWORKING, "IngressClass"),
        ]),
        before: Barrier::None,
        barrier: Barrier::None,
        because: "claims, pods and Ingresses name them; a pod that names an absent PriorityClass is refused",
    },
    Stage {
        name: "identities",
        kinds: Kinds::Listed(&[
            GroupKind(CORE, "ServiceAccount"),
            GroupKind(RBAC, "Role"),
            GroupKind(RBAC, "ClusterRole"),
        ]),
        before: Barrier::None,
        barrier: Barrier::None,
        because: "bindings name roles, pods name accounts, and a token Secret without its account is deleted",
    },
    Stage {
        name: "bindings",
        kinds: Kinds::Listed(&[GroupKind(RBAC, "RoleBinding"), GroupKind(RBAC, "ClusterRoleBinding")]),
        before: Barrier::None,
        barrier: Barrier::None,
        because: "the API server checks a binding against the permissions of the role it names, so the role comes first",
    },
    Stage {
        name: "configuration",
        kinds: Kinds::Listed(&[
            GroupKind(CORE, "Secret"),
            GroupKind(CORE, "ConfigMap"),
            GroupKind(CORE, "Service"),
            GroupKind(CORE, "Endpoints"),
            GroupKind("discovery.k8s.io", "EndpointSlice"),
            GroupKind(CORE, "ResourceQuota"),
            GroupKind(CORE, "LimitRange"),
            GroupKind(CORE, "PodTemplate"),
            GroupKind(NETWORKING, "NetworkPolicy"),
            GroupKind(NETWORKING, "Ingress"),
            GroupKind("policy", "PodDisruptionBudget"),
            GroupKind("autoscaling", "HorizontalPodAutoscaler"),
        ]),
        before: Barrier::None,
        barrier: Barrier::None,
        because: "pods mount it at their start, and what limits a namespace must hold before something runs in it",
    },
    Stage {
        name: "snapshot contents",
        kinds: Kinds::Listed(&[GroupKind(SNAPSHOT, "VolumeSnapshotContent")]),
        before: Barrier::None,
        barrier: Barrier::None,
        because: "a content carries the storage's handle, and the snapshot that binds it looks for it by name",
    },
    Stage {
        name: "snapshots",
        kinds: Kinds::Listed(&[GroupKind(SNAPSHOT, "VolumeSnapshot")]),
        before: Barrier::None,
        barrier: Barrier::SnapshotsReady,
        because: "a claim can be filled only from a snapshot that is bound and ready",
    },
    Stage {
        name: "claims",
        kinds: Kinds::Listed(&[GroupKind(CORE, "PersistentVolumeClaim")]),
        before: Barrier::None,
        barrier: Barrier::ClaimsUsable,
        because: "a StatefulSet that finds no claim makes an empty one at once, Prometheus starts on it, and nothing \
                  merges the history later",
    },
    Stage {
        name: "monitoring",
        kinds: Kinds::Listed(&[
            GroupKind(MONITORING, "ServiceMonitor"),
            GroupKind(MONITORING, "PodMonitor"),
            GroupKind(MONITORING, "Probe"),
            GroupKind(MONITORING, "ScrapeConfig"),
            GroupKind(MONITORING, "PrometheusRule"),
            GroupKind(MONITORING, "AlertmanagerConfig"),
        ]),
        before: Barrier::None,
        barrier: Barrier::None,
        because: "the first configuration that the operator writes is then the whole one: no alert resolves by a gap",
    },
    Stage {
        name: "rest",
        kinds: Kinds::Rest,
        before: Barrier::None,
        barrier: Barrier::None,
        because: "custom resources of others and all that nothing waits for, there before the pods that may read it",
    },
    Stage {
        name: "workloads",
        kinds: Kinds::Listed(&[
            GroupKind(APPS, "Deployment"),
            GroupKind(APPS, "StatefulSet"),
            GroupKind(APPS, "DaemonSet"),
            GroupKind(APPS, "ReplicaSet"),
            GroupKind(CORE, "ReplicationController"),
            GroupKind(CORE, "Pod"),
            GroupKind(BATCH, "CronJob"),
            GroupKind(BATCH, "Job"),
        ]),
        before: Barrier::None,
        barrier: Barrier::None,
        because: "all that their pods need exists; the operator and the backends of webhooks are among them",
    },
    Stage {
        name: "instances",
        kinds: Kinds::Listed(&[
            GroupKind(MONITORING, "Prometheus"),
            GroupKind(MONITORING, "PrometheusAgent"),
            GroupKind(MONITORING, "Alertmanager"),
            GroupKind(MONITORING, "ThanosRuler"),
        ]),
        before: Barrier::None,
        barrier: Barrier::InstancesReady,
        because: "the operator turns them into StatefulSets at once, which then find their claims and configuration",
    },
    Stage {
        name: "webhooks",
        kinds: Kinds::Listed(&[
            GroupKind(ADMISSION, "ValidatingWebhookConfiguration"),
            GroupKind(ADMISSION, "MutatingWebhookConfiguration"),
            GroupKind(ADMISSION, "ValidatingAdmissionPolicy"),
            GroupKind(ADMISSION, "ValidatingAdmissionPolicyBinding"),
            GroupKind(ADMISSION, "MutatingAdmissionPolicy"),
            GroupKind(ADMISSION, "MutatingAdmissionPolicyBinding"),
            GroupKind("apiregistration.k8s.io", "APIService"),
        ]),
        before: Barrier::EndpointsReady,
        barrier: Barrier::None,
        because: "a webhook without a backend refuses what it guards, an APIService without one blocks the deletion of \
                  every namespace: last, and once their backends answer",
    },
];

/// The stage of what no stage lists. There is one: without it this does not compile.
const REST: usize = {
    let mut stage = 0;
    while !matches!(STAGES[stage].kinds, Kinds::Rest) {
        stage += 1;
    }
    stage
};

/// In which stage an object is written: an index of [`STAGES`].
pub fn stage_of(key: &ObjectKey) -> usize {
    let lists = |stage: &Stage| match stage.kinds {
        Kinds::Listed(kinds) => kinds.iter().any(|kind| key.is(*kind)),
        Kinds::Rest => false,
    };
    STAGES.iter().position(lists).unwrap_or(REST)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::{references, sanitise, scope};

    fn stage(group: &str, kind: &str) -> &'static str {
        STAGES[stage_of(&ObjectKey::cluster_scoped(group, kind, "any", "x"))].name
    }

    #[test]
    fn every_kind_is_in_one_stage() {
        let mut seen = BTreeSet::new();
        for stage in STAGES {
            if let Kinds::Listed(kinds) = stage.kinds {
                for kind in kinds {
                    assert!(seen.insert(kind), "{kind} is listed twice");
                    assert_eq!(self::stage(kind.0, kind.1), stage.name);
                }
            }
        }
        let rests = STAGES.iter().filter(|stage| matches!(stage.kinds, Kinds::Rest)).count();
        assert_eq!(rests, 1, "stages that take the rest");
    }

    #[test]
    fn names_of_stages_are_unique() {
        assert_eq!(STAGES.iter().map(|stage| stage.name).collect::<BTreeSet<_>>().len(), STAGES.len());
    }

    #[test]
    fn kinds_of_others_are_the_rest() {
        assert_eq!(stage("cert-manager.io", "Certificate"), "rest");
        assert_eq!(stage("serving.knative.dev", "Service"), "rest");
        assert_eq!(stage("", "Service"), "configuration");
    }

    /// Each pair is a restore that fails, or loses data, the other way round.
    #[test]
    fn what_is_needed_comes_first() {
        let at = |(group, kind): (&str, &str)| stage_of(&ObjectKey::cluster_scoped(group, kind, "any", "x"));
        let monitoring = "monitoring.coreos.com";
        for (first, then) in [
            (("", "Namespace"), ("", "ServiceAccount")),
            (("apiextensions.k8s.io", "CustomResourceDefinition"), (SNAPSHOT, "VolumeSnapshotClass")),
            (("", "ServiceAccount"), ("", "Secret")),
            ((RBAC, "ClusterRole"), (RBAC, "ClusterRoleBinding")),
            (("", "Secret"), (APPS, "Deployment")),
            ((SNAPSHOT, "VolumeSnapshotContent"), (SNAPSHOT, "VolumeSnapshot")),
            ((SNAPSHOT, "VolumeSnapshot"), ("", "PersistentVolumeClaim")),
            (("", "PersistentVolumeClaim"), (APPS, "StatefulSet")),
            (("", "PersistentVolumeClaim"), (monitoring, "Prometheus")),
            ((monitoring, "PrometheusRule"), (monitoring, "Prometheus")),
            ((APPS, "Deployment"), (monitoring, "Prometheus")),
            ((monitoring, "PrometheusRule"), (ADMISSION, "ValidatingWebhookConfiguration")),
            ((APPS, "Deployment"), ("apiregistration.k8s.io", "APIService")),
        ] {
            assert!(at(first) < at(then), "{first:?} before {then:?}");
        }
    }

    /// Every kind that some table names, and so every kind that a backup holds for a reason of its own.
    fn kinds_in_scope() -> Vec<(String, String)> {
        let rules = scope::RULES.iter().map(|rule| rule.kind);
        let listed = STAGES.iter().flat_map(|stage| match stage.kinds {
            Kinds::Listed(kinds) => kinds,
            Kinds::Rest => &[],
        });
        let referring = references::ROWS.iter().flat_map(references::Row::referring_kinds);
        let named = rules.chain(listed.copied()).chain(referring);
        let named = named.chain(scope::INSTANCE_KINDS.iter().chain(scope::WEBHOOK_KINDS).copied());
        named.map(|kind| (kind.0.to_owned(), kind.1.to_owned())).collect()
    }

    /// Kinds in scope, and what is nearly one of them: the same kind of another group, another kind of the same group, and
    /// what nobody ever heard of.
    fn any_kind() -> impl Strategy<Value = (String, String)> {
        let known = || prop::sample::select(kinds_in_scope());
        let group = || "([a-z]{1,6}\\.){1,3}[a-z]{2,4}";
        let kind = || "[A-Z][A-Za-z]{0,12}";
        prop_oneof![
            4 => known(),
            2 => (known(), group()).prop_map(|((_, kind), group)| (group, kind)),
            2 => (known(), kind()).prop_map(|((group, _), kind)| (group, kind)),
            1 => known().prop_map(|(group, kind)| (group, kind.to_lowercase())),
            2 => (group(), kind()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Whatever it is called and wherever it lives: one stage takes it, and it is the one that lists its kind or, when
        /// none does, the one for the rest.
        #[test]
        fn every_object_has_exactly_one_stage(
            (group, kind) in any_kind(), plural in "[a-z]{1,8}", namespace in prop::option::of("[a-z]{1,8}"), name in "[a-z]{1,8}",
        ) {
            let object = ObjectKey { namespace, ..ObjectKey::cluster_scoped(&group, &kind, &plural, &name) };
            let lists = |stage: &Stage| match stage.kinds {
                Kinds::Listed(kinds) => kinds.iter().filter(|listed| listed.0 == group && listed.1 == kind).count(),
                Kinds::Rest => 0,
            };
            let listed: usize = STAGES.iter().map(lists).sum();
            let takes = |stage: &Stage| lists(stage) == 1 || listed == 0 && matches!(stage.kinds, Kinds::Rest);
            let taking: Vec<usize> = (0..STAGES.len()).filter(|index| takes(&STAGES[*index])).collect();
            prop_assert_eq!(taking, vec![stage_of(&object)]);
        }
    }

    /// What the rest is written after and before is right for nobody in particular: a kind that is looked for by name has
    /// a stage that somebody chose.
    #[test]
    fn no_kind_that_is_looked_for_is_left_to_the_rest() {
        let looked_for = scope::RULES.iter().map(|rule| rule.kind);
        for kind in looked_for.chain(scope::INSTANCE_KINDS.iter().chain(scope::WEBHOOK_KINDS).copied()) {
            assert_ne!(stage(kind.0, kind.1), "rest", "{kind}");
        }
    }

    fn names(kinds: &[GroupKind]) -> String {
        kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ")
    }

    /// Text in a cell of a Markdown table.
    fn cell(text: &str) -> String {
        text.replace('|', "\\|").replace('<', "\\<")
    }

    fn rendered() -> String {
        let mut page = String::from(
            "# Restore order, and what is stripped\n\n\
             Printed from `src/order.rs` and `src/sanitise/` by a test; `UPDATE_DOCS=1 cargo test docs_` writes it anew.\n\n\
             ## Restore order\n\n\
             Objects of one stage are written together. A barrier that fails ends the restore; running it again goes on \
             from there.\n\n\
             | # | stage | kinds | because |\n|---|---|---|---|\n",
        );
        for (index, stage) in STAGES.iter().enumerate() {
            let wait = |page: &mut String, barrier: Barrier| {
                if let Some(what) = barrier.waits_for() {
                    writeln!(page, "| | *wait* | | until {} |", cell(what)).unwrap();
                }
            };
            let kinds = match stage.kinds {
                Kinds::Listed(kinds) => names(kinds),
                Kinds::Rest => "every other kind".to_owned(),
            };
            wait(&mut page, stage.before);
            writeln!(page, "| {} | {} | {kinds} | {} |", index + 1, stage.name, cell(stage.because)).unwrap();
            wait(&mut page, stage.barrier);
        }
        page.push_str(
            "\n## What is stripped\n\n\
             From every manifest before it is created again, and from the live object it is compared with: equal texts \
             mean that there is nothing to do. Rows are applied from top to bottom.\n\n\
             | kinds | what | because |\n|---|---|---|\n",
        );
        for rule in sanitise::rules() {
            let kinds = match rule.kinds {
                sanitise::Kinds::Every => "every kind".to_owned(),
                sanitise::Kinds::Only(kinds) => names(kinds),
            };
            writeln!(page, "| {kinds} | {} | {} |", cell(rule.what), cell(rule.because)).unwrap();
        }
        page
    }

    #[test]
    fn docs_restore_order_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/restore-order.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, rendered()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == rendered(),
            "docs/restore-order.md is not what the tables say; run: UPDATE_DOCS=1 cargo test docs_"
        );
    }
}
