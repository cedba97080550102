//! Names and labels of the objects promsafe makes in a cluster. Nothing else spells them.

use std::collections::BTreeMap;

use crate::model::{BackupId, ObjectKey, Origin};
use crate::scope::SNAPSHOT_GROUP;

/// Label on the `VolumeSnapshot`s of a backup; the value is the backup's id.
pub const BACKUP_LABEL: &str = "promsafe/backup";
/// Label on the snapshot objects a restore makes for a while; the value is the backup's id.
pub const RESTORE_LABEL: &str = "promsafe/restore";
/// Label on what a snapshot test of the doctor makes for a while; the value names the run.
pub const DOCTOR_LABEL: &str = "promsafe/doctor";

/// Label by which tools tell whose an object is.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Label on what a backup or restore makes for a while and removes again itself: wherever it is found afterwards, it is
/// debris.
pub const TEMPORARY_LABEL: &str = "promsafe/temporary";
/// Annotation on a claim that is filled from a copy; the value is the id of the backup.
pub const RESTORED_FROM_ANNOTATION: &str = "promsafe/restored-from";
/// Annotation on a claim that was filled from a copy, and verified; the value names the tree.
pub const FILLED_ANNOTATION: &str = "promsafe/filled";

/// Version of Jobs.
pub const JOB_API: &str = "batch/v1";

/// Version of the snapshot objects; the only one served since external-snapshotter 8.
pub const SNAPSHOT_API: &str = "snapshot.storage.k8s.io/v1";

/// Name of the Lease, in promsafe's own namespace, that keeps two runs apart.
pub const RUN_LOCK: &str = "promsafe";

/// Version of Leases.
pub const LEASE_API: &str = "coordination.k8s.io/v1";

/// Annotation on the snapshot objects of a backup: URL of the store it is written to.
pub const STORE_ANNOTATION: &str = "promsafe/store";
/// Annotation on the snapshot objects of a backup: identity of that store, which its URL alone does not tell.
pub const STORE_ID_ANNOTATION: &str = "promsafe/store-id";

/// Longest name of an object (RFC 1123 subdomain).
const LONGEST: usize = 253;
/// Longest name of a Job, which is a label of its pods.
const LONGEST_JOB: usize = 63;

/// Key of the run lock.
pub fn run_lock_key(namespace: &str) -> ObjectKey {
    ObjectKey::namespaced("coordination.k8s.io", "Lease", "leases", namespace, RUN_LOCK)
}

/// Key of a `VolumeSnapshot`.
pub fn snapshot_key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced(SNAPSHOT_GROUP, "VolumeSnapshot", "volumesnapshots", namespace, name)
}

/// Key of a `VolumeSnapshotContent`.
pub fn content_key(name: &str) -> ObjectKey {
    ObjectKey::cluster_scoped(SNAPSHOT_GROUP, "VolumeSnapshotContent", "volumesnapshotcontents", name)
}

/// Key of a Job.
pub fn job_key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced("batch", "Job", "jobs", namespace, name)
}

/// Key of a Secret.
pub fn secret_key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced("", "Secret", "secrets", namespace, name)
}

/// Key of a claim.
pub fn claim_key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced("", "PersistentVolumeClaim", "persistentvolumeclaims", namespace, name)
}

/// Key of a volume.
pub fn volume_key(name: &str) -> ObjectKey {
    ObjectKey::cluster_scoped("", "PersistentVolume", "persistentvolumes", name)
}

/// Name of the `VolumeSnapshot` of a claim in a backup.
pub fn snapshot(id: &BackupId, claim: &str) -> String {
    cut(format!("promsafe-{}-{claim}", id.in_object_name()), LONGEST)
}

/// Name of what copies a claim for a backup: a Job, its Secret, and the claim it reads from.
pub fn copying(id: &BackupId, claim: &str) -> String {
    cut(format!("promsafe-{}-{claim}", id.in_object_name()), LONGEST_JOB)
}

/// Name of what fills a claim in a run of a restore: a Job and its Secret.
pub fn filling(id: &BackupId, run: &str, claim: &str) -> String {
    cut(format!("promsafe-fill-{}-{run}-{claim}", id.in_object_name()), LONGEST_JOB)
}

/// What every snapshot object of a restore of this backup begins with; a claim whose data source begins so was
/// restored from it.
pub fn restored_prefix(id: &BackupId) -> String {
    format!("promsafe-restore-{}-", id.in_object_name())
}

/// Name of the `VolumeSnapshot` and, with the namespace in it, the content that a restore makes for a claim. `run`
/// tells this run from earlier ones: a content bound to a snapshot that is gone can never be bound again.
pub fn restored_snapshot(id: &BackupId, run: &str, claim: &str) -> String {
    cut(format!("{}{run}-{claim}", restored_prefix(id)), LONGEST)
}

/// Labels of what a backup makes and keeps.
pub fn kept_labels(id: &BackupId) -> BTreeMap<&'static str, String> {
    BTreeMap::from([(MANAGED_BY, "promsafe".to_owned()), (BACKUP_LABEL, id.to_string())])
}

/// Annotations of what a backup makes: where its record will be.
pub fn origin_annotations(origin: &Origin) -> BTreeMap<&'static str, &str> {
    BTreeMap::from([(STORE_ANNOTATION, origin.url.as_str()), (STORE_ID_ANNOTATION, origin.id.as_str())])
}

/// Labels of what a restore makes for a while.
pub fn restore_labels(id: &BackupId) -> BTreeMap<&'static str, &str> {
    BTreeMap::from([(MANAGED_BY, "promsafe"), (RESTORE_LABEL, id.as_str())])
}

/// Labels of what a backup makes for a while.
pub fn temporary_labels(id: &BackupId) -> BTreeMap<&'static str, String> {
    kept_labels(id).into_iter().chain([(TEMPORARY_LABEL, "true".to_owned())]).collect()
}

/// Labels of the Jobs of a restore.
pub fn filling_labels(id: &BackupId) -> BTreeMap<&'static str, String> {
    let labels = restore_labels(id).into_iter().chain([(TEMPORARY_LABEL, "true")]);
    labels.map(|(name, value)| (name, value.to_owned())).collect()
}

/// Selects what a backup made.
pub fn backup_selector(id: &BackupId) -> String {
    format!("{BACKUP_LABEL}={id}")
}

/// Selects what restores of a backup made.
pub fn restore_selector(id: &BackupId) -> String {
    format!("{RESTORE_LABEL}={id}")
}

/// Labels of what a snapshot test makes for a while.
pub fn doctor_labels(run: &str) -> BTreeMap<&'static str, &str> {
    BTreeMap::from([(MANAGED_BY, "promsafe"), (DOCTOR_LABEL, run)])
}

/// Selects what a snapshot test made.
pub fn doctor_selector(run: &str) -> String {
    format!("{DOCTOR_LABEL}={run}")
}

/// Names that are too long keep their beginning and a checksum of the whole, so that two never meet.
fn cut(name: String, longest: usize) -> String {
    if name.len() <= longest {
        return name;
    }
    let sum =
        name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let head: String = name.chars().take(longest - 17).collect();
    format!("{head}-{sum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let id: BackupId = "20261121T090000Z-7f3c".parse().unwrap();
        let long = "c".repeat(250);
        let (a, b) = (snapshot(&id, &format!("{long}-0")), snapshot(&id, &format!("{long}-1")));
        assert!(a.len() <= LONGEST && b.len() <= LONGEST);
        assert_ne!(a, b);
        assert_eq!(snapshot(&id, "db"), "promsafe-20261121t090000z-7f3c-db");
        let claim = "prometheus-k8s-db-prometheus-k8s";
        let jobs =
            [copying(&id, &format!("{claim}-0")), copying(&id, &format!("{claim}-1")), filling(&id, "12ab", claim)];
        assert!(jobs.iter().all(|job| job.len() <= LONGEST_JOB), "{jobs:?}");
        assert_ne!(jobs[0], jobs[1]);
    }
}
