//! Wires claims to their snapshots: a fresh content by handle, a snapshot bound to it, a claim of the exact name.
//!
//! Facts: external-snapshotter `pkg/common-controller` (a content bound to a snapshot that is gone can never be bound
//! again, hence fresh names in every run), external-provisioner `pkg/controller/controller.go` (size and driver checks).

use serde::Deserialize;
use serde_json::{Value, json};

use super::choose::{Chosen, Source};
use super::{Decision, RestoreRequest, Step, Target};
use crate::model::{BackupRecord, CapturedManifest, DataVolume, GroupKind, ObjectKey, Refusal, SnapshotRecord};
use crate::names::{self, FILLED_ANNOTATION, RESTORED_FROM_ANNOTATION, SNAPSHOT_API, content_key, snapshot_key};
use crate::quantity;
use crate::sanitise::{RestorableManifest, SanitiseError};
use crate::scope::SNAPSHOT_GROUP;

/// Steps and refusals for the claims that come back from snapshots.
#[derive(Default)]
pub(super) struct FromSnapshots {
    pub(super) steps: Vec<Step>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) claims: Vec<(String, String)>,
    pub(super) transient: Vec<ObjectKey>,
}

pub(super) fn plan(
    record: &BackupRecord,
    chosen: &Chosen<'_>,
    target: &Target,
    request: &RestoreRequest,
) -> Result<FromSnapshots, SanitiseError> {
    let mut all = FromSnapshots::default();
    for (manifest, volume, source) in &chosen.claims {
        let (Some(snapshot), Source::Snapshot) = (&volume.snapshot, source) else { continue };
        all.claims.push((volume.volume.namespace.clone(), volume.volume.claim.clone()));
        if let Some(existing) = target.existing.get(&manifest.key) {
            match why_blocked(record, existing, &volume.volume).or_else(|| half_filled(existing)) {
                Some(refusal) => all.refusals.push(refusal),
                None => all.steps.push(Step {
                    manifest: RestorableManifest::from_captured(manifest)?,
                    decision: Decision::Unchanged,
                }),
            }
            continue;
        }
        let class_stays =
            chosen.will_have(GroupKind(SNAPSHOT_GROUP, "VolumeSnapshotClass"), &snapshot.class, target, request);
        let name = names::restored_snapshot(&record.id, &request.run, &volume.volume.claim);
        let objects = [
            content(record, snapshot, &name, class_stays),
            bound_snapshot(record, snapshot, &name),
            claim(manifest, &volume.volume, snapshot, &name)?,
        ];
        all.transient.extend(objects[..2].iter().map(|object| object.key().clone()));
        all.steps.extend(objects.map(|manifest| Step { manifest, decision: Decision::Create }));
    }
    Ok(all)
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Claim {
    metadata: Metadata,
    spec: ClaimSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: String,
    annotations: std::collections::BTreeMap<String, String>,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    data_source: Option<DataSource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DataSource {
    name: String,
}

impl Claim {
    /// The backup from whose copy it was begun to be filled, when that never came to its end.
    pub(super) fn unfilled_from(&self) -> Option<&str> {
        let annotations = &self.metadata.annotations;
        let filled = annotations.contains_key(FILLED_ANNOTATION);
        annotations.get(RESTORED_FROM_ANNOTATION).map(String::as_str).filter(|_| !filled)
    }
}

/// What there is to know of an existing claim.
pub(super) fn claim_of(existing: &CapturedManifest) -> Claim {
    existing.pick().unwrap_or_default()
}

/// Why an existing claim blocks the restore; `None` when it is the one that was saved, or came from this backup.
pub(super) fn why_blocked(record: &BackupRecord, existing: &CapturedManifest, volume: &DataVolume) -> Option<Refusal> {
    let claim = claim_of(existing);
    let key = &existing.key;
    if claim.metadata.deletion_timestamp.is_some() {
        return Some(Refusal {
            object: key.to_string(),
            why: "is being deleted".to_owned(),
            fix: "wait until it is gone, then run the same command again".to_owned(),
        });
    }
    let restored = claim.spec.data_source.is_some_and(|s| s.name.starts_with(&names::restored_prefix(&record.id)));
    let filled = claim.metadata.annotations.get(RESTORED_FROM_ANNOTATION).is_some_and(|id| id == record.id.as_str());
    if restored || filled || claim.metadata.uid == volume.uid {
        return None;
    }
    let since = claim.metadata.creation_timestamp.map_or_else(String::new, |at| format!(" since {at}"));
    let maker = claim.metadata.labels.get("app.kubernetes.io/managed-by");
    let maker = maker.map_or_else(String::new, |by| format!(", for pods managed by {by}"));
    let namespace = key.namespace.as_deref().unwrap_or_default();
    Some(Refusal {
        object: key.to_string(),
        why: format!("exists{since}{maker}, and is not the claim that was saved: restoring would lose what is in it"),
        fix: format!(
            "if its data may go: delete the custom resource or scale its pods away, then \
             kubectl --namespace {namespace} delete persistentvolumeclaim {}, and run the same command again",
            key.name
        ),
    })
}

/// Why a claim that is filled from a copy cannot come back from a snapshot.
fn half_filled(existing: &CapturedManifest) -> Option<Refusal> {
    let id = claim_of(existing).unfilled_from()?.to_owned();
    Some(Refusal {
        object: existing.key.to_string(),
        why: format!("is half filled from the copy in backup {id}, by a restore that did not end"),
        fix: "--from copy goes on with it".to_owned(),
    })
}

/// Whether an object that is there is the claim this run made: it names the same data source, whose name no other run has,
/// or the same backup that it is to be filled from. Sanitised text cannot tell, since both are stripped from it.
pub fn is_this_claim(wanted: &RestorableManifest, there: &str) -> bool {
    let source = |json: &str| {
        let claim = serde_json::from_str::<Claim>(json).ok()?;
        let copy = claim.metadata.annotations.get(RESTORED_FROM_ANNOTATION).cloned();
        claim.spec.data_source.map(|source| source.name).or(copy)
    };
    let wanted = source(wanted.json());
    wanted.is_some() && wanted == source(there)
}

fn content_name(snapshot: &SnapshotRecord, name: &str) -> String {
    format!("{name}-{}", snapshot.namespace).chars().take(253).collect()
}

fn content(record: &BackupRecord, snapshot: &SnapshotRecord, name: &str, class_stays: bool) -> RestorableManifest {
    let key = content_key(&content_name(snapshot, name));
    let mut spec = json!({
        "deletionPolicy": "Retain",
        "driver": snapshot.driver,
        "source": {"snapshotHandle": snapshot.snapshot_handle},
        "volumeSnapshotRef": {
            "apiVersion": SNAPSHOT_API, "kind": "VolumeSnapshot", "name": name, "namespace": snapshot.namespace,
        },
    });
    if let Some(mode) = &snapshot.source_volume_mode {
        spec["sourceVolumeMode"] = json!(mode);
    }
    // A class that does not exist breaks the status check of the controller; without one it needs none.
    if class_stays {
        spec["volumeSnapshotClassName"] = json!(snapshot.class);
    }
    let json = json!({
        "apiVersion": SNAPSHOT_API,
        "kind": key.kind,
        "metadata": {
            "name": key.name,
            "labels": names::restore_labels(&record.id),
            "annotations": snapshot.content_annotations,
        },
        "spec": spec,
    });
    RestorableManifest::made(key, SNAPSHOT_API.to_owned(), &json)
}

fn bound_snapshot(record: &BackupRecord, snapshot: &SnapshotRecord, name: &str) -> RestorableManifest {
    let key = snapshot_key(&snapshot.namespace, name);
    let json = json!({
        "apiVersion": SNAPSHOT_API,
        "kind": key.kind,
        "metadata": {"name": name, "namespace": snapshot.namespace, "labels": names::restore_labels(&record.id)},
        "spec": {"source": {"volumeSnapshotContentName": content_name(snapshot, name)}},
    });
    RestorableManifest::made(key, SNAPSHOT_API.to_owned(), &json)
}

/// The saved claim, filled from the snapshot and large enough for it.
fn claim(
    manifest: &CapturedManifest,
    volume: &DataVolume,
    snapshot: &SnapshotRecord,
    name: &str,
) -> Result<RestorableManifest, SanitiseError> {
    let mut json = grown(manifest, volume, snapshot.restore_size_bytes)?;
    json["spec"]["dataSource"] = json!({"apiGroup": SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": name});
    let api_version = json["apiVersion"].as_str().unwrap_or("v1").to_owned();
    Ok(RestorableManifest::made(manifest.key.clone(), api_version, &json))
}

/// The saved claim, large enough for what it held and for so much.
pub(super) fn grown(manifest: &CapturedManifest, volume: &DataVolume, bytes: u64) -> Result<Value, SanitiseError> {
    let saved = RestorableManifest::from_captured(manifest)?;
    let mut json: Value = serde_json::from_str(saved.json()).unwrap_or_default();
    let size = volume.requested_bytes.max(volume.capacity_bytes).max(bytes);
    let requested = json.pointer("/spec/resources/requests/storage").and_then(Value::as_str).and_then(quantity::bytes);
    if requested != Some(size) {
        json["spec"]["resources"]["requests"]["storage"] = json!(size.to_string());
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_of_this_run_is_told_from_any_other() {
        let key = ObjectKey::namespaced("", "PersistentVolumeClaim", "persistentvolumeclaims", "monitoring", "db-0");
        let from = |name: &str| json!({"spec": {"dataSource": {"kind": "VolumeSnapshot", "name": name}}});
        let wanted = RestorableManifest::made(key.clone(), "v1".to_owned(), &from("ours"));
        assert!(is_this_claim(&wanted, &from("ours").to_string()));
        assert!(!is_this_claim(&wanted, &from("theirs").to_string()));
        assert!(!is_this_claim(&wanted, r#"{"spec":{}}"#));
        let empty = RestorableManifest::made(key, "v1".to_owned(), &json!({"spec": {}}));
        assert!(!is_this_claim(&empty, r#"{"spec":{}}"#));
    }
}
