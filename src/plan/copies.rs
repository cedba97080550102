//! Claims that come back from copies: the saved claim, empty, with a mark that says what it is to be filled with; and
//! storage classes under other names, since a copy fits into any.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::choose::{Chosen, Source};
use super::volumes::{claim_of, grown, why_blocked};
use super::{Decision, RestoreRequest, Step, Target};
use crate::model::{BackupRecord, CapturedManifest, CopyRecord, GroupKind, Refusal};
use crate::names::RESTORED_FROM_ANNOTATION;
use crate::sanitise::{RestorableManifest, SanitiseError};

const STORAGE_CLASS: GroupKind = GroupKind("storage.k8s.io", "StorageClass");
/// The field that names a class in claims, templates of claims and custom resources.
const CLASS_FIELD: &str = "storageClassName";

/// A claim and the copy it is filled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub claim: String,
    /// What it is filled from.
    pub copy: CopyRecord,
    /// Whether that was done, by an earlier run, or because it is the claim that was saved.
    pub done: bool,
}

impl Fill {
    /// `namespace/claim`.
    pub fn volume(&self) -> String {
        format!("{}/{}", self.namespace, self.claim)
    }
}

/// Steps and refusals for the claims that come back from copies.
#[derive(Default)]
pub(super) struct FromCopies {
    pub(super) steps: Vec<Step>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) fills: Vec<Fill>,
}

pub(super) fn plan(
    record: &BackupRecord,
    chosen: &Chosen<'_>,
    target: &Target,
    request: &RestoreRequest,
) -> Result<FromCopies, SanitiseError> {
    let mut all = FromCopies::default();
    for (manifest, volume, source) in &chosen.claims {
        let (Some(copy), Source::Copy) = (&volume.copy, source) else { continue };
        let (namespace, claim) = (volume.volume.namespace.clone(), volume.volume.claim.clone());
        let mut fill = Fill { namespace, claim, copy: copy.clone(), done: false };
        let decision = match target.existing.get(&manifest.key) {
            Some(existing) => {
                // Only what this backup began is gone on with: pods may use any other.
                fill.done = claim_of(existing).unfilled_from() != Some(record.id.as_str());
                all.refusals.extend(why_blocked(record, existing, &volume.volume));
                Decision::Unchanged
            }
            None => Decision::Create,
        };
        let manifest = marked(record, manifest, grown(manifest, &volume.volume, 0)?);
        all.refusals.extend(without_class(&manifest, chosen, target, request));
        all.steps.push(Step { manifest, decision });
        all.fills.push(fill);
    }
    Ok(all)
}

/// With the mark by which a later run knows it.
fn marked(record: &BackupRecord, saved: &CapturedManifest, mut json: Value) -> RestorableManifest {
    if !json["metadata"]["annotations"].is_object() {
        json["metadata"]["annotations"] = json!({});
    }
    json["metadata"]["annotations"][RESTORED_FROM_ANNOTATION] = json!(record.id);
    let api_version = json["apiVersion"].as_str().unwrap_or("v1").to_owned();
    RestorableManifest::made(saved.key.clone(), api_version, &json)
}

/// Refuses a claim of a class that will not be there: its volume would never be made.
fn without_class(
    manifest: &RestorableManifest,
    chosen: &Chosen<'_>,
    target: &Target,
    request: &RestoreRequest,
) -> Option<Refusal> {
    let claim: Value = serde_json::from_str(manifest.json()).unwrap_or_default();
    let class = claim.pointer("/spec/storageClassName").and_then(Value::as_str).filter(|class| !class.is_empty())?;
    let there = target.storage_classes.iter().any(|have| have == class)
        || chosen.will_have(STORAGE_CLASS, class, target, request);
    (!there).then(|| Refusal {
        object: format!("StorageClass {class}"),
        why: format!("is not in this cluster, and {} needs it", manifest.key()),
        fix: format!("name one that is there: --storage-class {class}=OTHER (kubectl get storageclass)"),
    })
}

/// The manifests with other names of storage classes; the classes of the old names are left out.
///
/// # Errors
/// When a manifest is no JSON.
pub fn rename_classes(
    manifests: Vec<CapturedManifest>,
    new_by_old: &BTreeMap<String, String>,
) -> Result<Vec<CapturedManifest>, serde_json::Error> {
    if new_by_old.is_empty() {
        return Ok(manifests);
    }
    let is_old =
        |manifest: &CapturedManifest| manifest.key.is(STORAGE_CLASS) && new_by_old.contains_key(&manifest.key.name);
    let rename = |manifest: CapturedManifest| {
        if !manifest.json.contains(CLASS_FIELD) {
            return Ok(manifest);
        }
        let mut value: Value = serde_json::from_str(&manifest.json)?;
        rename_in(&mut value, new_by_old);
        Ok(CapturedManifest { json: value.to_string().into(), ..manifest })
    };
    manifests.into_iter().filter(|manifest| !is_old(manifest)).map(rename).collect()
}

fn rename_in(value: &mut Value, new_by_old: &BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let new = value.as_str().filter(|_| name == CLASS_FIELD).and_then(|old| new_by_old.get(old));
                match new {
                    Some(new) => *value = json!(new),
                    None => rename_in(value, new_by_old),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename_in(item, new_by_old)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectKey;
    use crate::plan::VolumeSource::{self, Auto, Copy, Snapshot};
    use crate::plan::{ClusterScoped, RestorePlan};

    fn manifest(key: ObjectKey, json: &Value) -> CapturedManifest {
        CapturedManifest { key, reason: String::new(), json: json.to_string().into() }
    }

    #[test]
    fn classes_are_renamed_in_claims_templates_and_custom_resources_and_the_old_ones_left_out() {
        let template = json!({"spec": {"storage": {"volumeClaimTemplate": {"spec": {"storageClassName": "old"}}},
            "volumeClaimTemplates": [{"spec": {"storageClassName": "old"}}, {"spec": {"storageClassName": "other"}}]}});
        let resource =
            ObjectKey::namespaced("monitoring.coreos.com", "Prometheus", "prometheuses", "monitoring", "k8s");
        let class = |name: &str| ObjectKey::cluster_scoped("storage.k8s.io", "StorageClass", "storageclasses", name);
        let all = vec![
            manifest(resource, &template),
            manifest(class("old"), &json!({})),
            manifest(class("other"), &json!({})),
        ];
        let mapping = BTreeMap::from([("old".to_owned(), "new".to_owned())]);
        let renamed = rename_classes(all.clone(), &mapping).unwrap();
        assert_eq!(renamed.len(), 2);
        let value: Value = renamed[0].value().unwrap();
        assert_eq!(value["spec"]["storage"]["volumeClaimTemplate"]["spec"]["storageClassName"], "new");
        assert_eq!(value["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"], "new");
        assert_eq!(value["spec"]["volumeClaimTemplates"][1]["spec"]["storageClassName"], "other");
        assert_eq!(renamed[1].key.name, "other");
        assert_eq!(rename_classes(all.clone(), &BTreeMap::new()).unwrap().len(), all.len());
    }

    const CLAIM: &str = "PersistentVolumeClaim";

    fn claim_key() -> ObjectKey {
        ObjectKey::namespaced("", CLAIM, "persistentvolumeclaims", "monitoring", "db-0")
    }

    fn claim(uid: &str, annotations: &Value) -> CapturedManifest {
        let json = json!({"apiVersion": "v1", "kind": CLAIM,
            "metadata": {"name": "db-0", "namespace": "monitoring", "uid": uid, "annotations": annotations},
            "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1"}}}});
        manifest(claim_key(), &json)
    }

    /// A backup of one claim with a copy, and perhaps a snapshot.
    fn record(snapshot: &Value) -> BackupRecord {
        let record = json!({
            "id": "20261121T090000Z-7f3c", "tool_version": "0.2.0",
            "cluster": {"uid": "u", "version": "v1", "server": "https://a"},
            "started_at": "2026-11-21T09:00:00Z", "finished_at": "2026-11-21T09:00:00Z",
            "asked_namespaces": [], "namespaces": ["monitoring"], "operators": [], "instances": [],
            "objects": 1, "cluster_scoped_objects": 0, "left_out": {}, "fingerprints": [], "without_fingerprint": {}, "files": [],
            "volumes": [{
                "volume": {"namespace": "monitoring", "claim": "db-0", "uid": "saved", "phase": "Bound",
                    "requested_bytes": 1, "capacity_bytes": 1024},
                "snapshot": snapshot,
                "copy": {"tree": "ab".repeat(32), "tree_bytes": 1, "files": 1, "bytes": 1, "sent_bytes": 1,
                    "cut_at": "2026-11-21T09:00:00Z", "volume_mode": "Filesystem", "run_as_user": 1000},
            }],
        });
        serde_json::from_value(record).unwrap()
    }

    fn planned(record: &BackupRecord, existing: Option<CapturedManifest>, from: VolumeSource) -> RestorePlan {
        let target = Target {
            existing: existing.into_iter().map(|there| (claim_key(), there)).collect(),
            storage_classes: vec!["fast".to_owned()],
            ..Target::default()
        };
        let request = RestoreRequest {
            cluster_scoped: ClusterScoped::Leave,
            namespaces: Vec::new(),
            run: "12ab".to_owned(),
            from,
            storage_classes: BTreeMap::new(),
        };
        crate::plan::plan(record, &[claim("saved", &json!({}))], &target, &request).unwrap()
    }

    #[test]
    fn copies_of_a_plan_are_filled_only_into_claims_it_made() {
        let record = record(&json!(null));
        let tree = record.volumes[0].copy.as_ref().unwrap().tree.to_string();
        let new = planned(&record, None, Auto);
        assert_eq!((new.refusals.len(), new.fills[0].done, new.count(|one| *one == Decision::Create)), (0, false, 1));
        let made: Value = serde_json::from_str(new.steps().next().unwrap().manifest.json()).unwrap();
        assert_eq!(made["metadata"]["annotations"][RESTORED_FROM_ANNOTATION], record.id.as_str());
        assert_eq!(made["spec"]["resources"]["requests"]["storage"], "1024");

        let begun = json!({RESTORED_FROM_ANNOTATION: record.id});
        let ended = json!({RESTORED_FROM_ANNOTATION: record.id, crate::names::FILLED_ANNOTATION: tree});
        for (there, done) in
            [(claim("new", &begun), false), (claim("new", &ended), true), (claim("saved", &json!({})), true)]
        {
            let plan = planned(&record, Some(there), Auto);
            assert_eq!((plan.refusals.len(), plan.fills[0].done, plan.creates().count()), (0, done, 0));
        }
        let foreign = planned(&record, Some(claim("new", &json!({}))), Auto);
        assert!(foreign.refusals[0].why.contains("is not the claim that was saved"), "{:?}", foreign.refusals);
    }

    #[test]
    fn copy_serves_where_the_driver_of_the_snapshot_is_not_and_half_filled_claims_take_no_snapshot() {
        let snapshot = json!({"driver": "d", "snapshot_handle": "h", "restore_size_bytes": 1,
            "cut_at": "2026-11-21T09:00:00Z", "source_volume_mode": null, "class": "c", "namespace": "monitoring",
            "name": "n", "content": "c", "content_annotations": {}, "ready_after_ms": 1});
        let both = record(&snapshot);
        assert_eq!(planned(&both, None, Auto).fills.len(), 1, "the target has no driver d");
        assert_eq!(planned(&both, None, Copy).fills.len(), 1);
        assert_eq!(
            (planned(&both, None, Snapshot).fills.len(), planned(&both, None, Snapshot).restored_claims.len()),
            (0, 1)
        );
        let begun = claim("new", &json!({RESTORED_FROM_ANNOTATION: both.id}));
        let refusals = planned(&both, Some(begun), Snapshot).refusals;
        assert!(refusals.iter().any(|refusal| refusal.fix.contains("--from copy")), "{refusals:?}");
        let only_copy = planned(&record(&json!(null)), None, Snapshot).refusals;
        assert!(only_copy[0].why.contains("only a copy"), "{only_copy:?}");
    }

    #[test]
    fn class_that_will_not_be_there_is_refused_with_the_option_that_renames_it() {
        let record = record(&json!(null));
        let request = RestoreRequest {
            cluster_scoped: ClusterScoped::Leave,
            namespaces: Vec::new(),
            run: "12ab".to_owned(),
            from: Auto,
            storage_classes: BTreeMap::new(),
        };
        let plan = crate::plan::plan(&record, &[claim("saved", &json!({}))], &Target::default(), &request).unwrap();
        let refusal = plan.refusals.iter().find(|refusal| refusal.object == "StorageClass fast").unwrap();
        assert!(refusal.fix.contains("--storage-class fast=OTHER"), "{refusal:?}");
    }
}
