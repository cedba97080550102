//! What holds of every plan, whatever the backup holds, the target has and the request asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use promsafe::model::{BackupRecord, CapturedManifest, ObjectKey, ServedKind, ServedKinds};
use promsafe::order::{STAGES, stage_of};
use promsafe::plan::{ClusterScoped, Decision, RestorePlan, RestoreRequest, Target, plan};
use promsafe::{bundle, layout};
use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::commands::{KEPT, KEPT_ID};

/// Texts longer than this (definitions) would only take time.
const LONGEST: usize = 100_000;

/// The kept backup: its record and the shorter of its objects.
static BACKUP: LazyLock<(BackupRecord, Vec<CapturedManifest>)> = LazyLock::new(|| {
    let file = |name: &str| std::fs::read(Path::new(KEPT).join("backups").join(KEPT_ID).join(name)).unwrap();
    let envelope: serde_json::Value = serde_json::from_slice(&file(layout::RECORD)).unwrap();
    let manifests = bundle::unpack(&file(layout::BUNDLE)).unwrap();
    let short = manifests.into_iter().filter(|manifest| manifest.json.len() < LONGEST);
    (serde_json::from_value(envelope["record"].clone()).unwrap(), short.collect())
});

fn some_objects() -> impl Strategy<Value = Vec<CapturedManifest>> {
    let all = BACKUP.1.clone();
    subsequence(all.clone(), 0..=all.len())
}

fn served(keys: &[ObjectKey]) -> ServedKinds {
    let kinds = keys.iter().map(|key| ServedKind {
        group: key.group.clone(),
        version: "v1".to_owned(),
        kind: key.kind.clone(),
        plural: key.plural.clone(),
        namespaced: !key.is_cluster_scoped(),
        verbs: Vec::new(),
    });
    ServedKinds { kinds: kinds.collect(), ..ServedKinds::default() }
}

fn target() -> impl Strategy<Value = Target> {
    let all: Vec<ObjectKey> = BACKUP.1.iter().map(|manifest| manifest.key.clone()).collect();
    let drivers = proptest::option::of(Just("btrfs.csi.promsafe.test".to_owned()));
    let kinds = subsequence(all.clone(), 0..=all.len());
    (some_objects(), any::<bool>(), kinds, drivers).prop_map(|(existing, differ, kinds, driver)| {
        let changed =
            |json: &str| json.replacen("\"metadata\":{", r#""metadata":{"labels":{"changed":"yes"},"#, 1).into();
        let existing = existing.into_iter().map(|manifest| {
            let json = if differ { changed(&manifest.json) } else { manifest.json.clone() };
            (manifest.key.clone(), CapturedManifest { json, ..manifest })
        });
        Target {
            storage_classes: Vec::new(),
            served: served(&kinds),
            existing: existing.collect(),
            drivers: driver.into_iter().collect(),
            terminating: BTreeMap::new(),
        }
    })
}

fn request() -> impl Strategy<Value = RestoreRequest> {
    let namespaces = vec!["apps".to_owned(), "monitoring".to_owned(), "prometheus-operator".to_owned()];
    (any::<bool>(), subsequence(namespaces, 0..=3)).prop_map(|(include, namespaces)| RestoreRequest {
        from: promsafe::plan::VolumeSource::Auto,
        storage_classes: BTreeMap::new(),
        cluster_scoped: if include { ClusterScoped::Include } else { ClusterScoped::Leave },
        namespaces,
        run: "0000".to_owned(),
    })
}

fn keys(plan: &RestorePlan) -> Vec<&ObjectKey> {
    plan.steps().map(|step| step.manifest.key()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cluster_scoped_objects_are_created_only_when_asked_for(
        objects in some_objects(), target in target(), request in request(),
    ) {
        let plan = plan(&BACKUP.0, &objects, &target, &request).unwrap();
        let made = plan.creates().filter(|key| key.is_cluster_scoped());
        // Namespaces come with what is in them, and a content of its own binds each snapshot for a while.
        let unasked: Vec<_> =
            made.filter(|key| key.kind != "Namespace" && !plan.transient.contains(key)).map(ToString::to_string).collect();
        if request.cluster_scoped == ClusterScoped::Leave {
            prop_assert!(unasked.is_empty(), "{unasked:?}");
        }
    }

    #[test]
    fn every_step_is_in_one_stage_and_the_stages_are_in_order(
        objects in some_objects(), target in target(), request in request(),
    ) {
        let plan = plan(&BACKUP.0, &objects, &target, &request).unwrap();
        let names: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        let positions: Vec<_> =
            plan.stages.iter().map(|stage| names.iter().position(|name| *name == stage.stage.name).unwrap()).collect();
        prop_assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
        for (position, stage) in positions.iter().zip(&plan.stages) {
            prop_assert!(!stage.steps.is_empty());
            prop_assert!(stage.steps.iter().all(|step| stage_of(step.manifest.key()) == *position));
        }
        let keys = keys(&plan);
        prop_assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "an object is there twice");
    }

    #[test]
    fn what_exists_is_never_created_and_namespaces_not_asked_for_are_not_touched(
        objects in some_objects(), target in target(), request in request(),
    ) {
        let plan = plan(&BACKUP.0, &objects, &target, &request).unwrap();
        prop_assert!(plan.creates().all(|key| !target.existing.contains_key(key)));
        let asked = |namespace: &String| request.namespaces.is_empty() || request.namespaces.contains(namespace);
        prop_assert!(keys(&plan).iter().all(|key| key.namespace.as_ref().is_none_or(asked)));
    }

    #[test]
    fn every_namespaced_object_asked_for_is_a_step_or_a_refusal(
        objects in some_objects(), target in target(), request in request(),
    ) {
        let plan = plan(&BACKUP.0, &objects, &target, &request).unwrap();
        let asked = |namespace: &String| request.namespaces.is_empty() || request.namespaces.contains(namespace);
        let told: BTreeSet<_> = plan.refusals.iter().map(|refusal| refusal.object.clone()).collect();
        let steps: BTreeSet<_> = keys(&plan).into_iter().collect();
        for key in objects.iter().map(|object| &object.key).filter(|key| key.namespace.as_ref().is_some_and(asked)) {
            prop_assert!(steps.contains(key) || told.contains(&key.to_string()), "{key} is lost");
        }
    }

    #[test]
    fn restored_target_needs_nothing_more(objects in some_objects(), request in request()) {
        let existing = objects.iter().map(|manifest| (manifest.key.clone(), manifest.clone())).collect();
        let target = Target { existing, ..Target::default() };
        let plan = plan(&BACKUP.0, &objects, &target, &request).unwrap();
        prop_assert!(plan.steps().all(|step| step.decision == Decision::Unchanged));
    }
}
