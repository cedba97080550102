//! The scratch objects of a snapshot test. Pure.
//!
//! The pods fit the Pod Security level `restricted`. They run as nobody, so the volume must become theirs by `fsGroup`.

use serde_json::{Value, json};

use super::TrialRequest;
use crate::model::{DataVolume, ObjectKey};
use crate::names::{SNAPSHOT_API, doctor_labels, snapshot_key};
use crate::scope::SNAPSHOT_GROUP;

/// Size of the scratch claim: the smallest that every storage makes.
const CLAIM_BYTES: u64 = 1 << 30;
/// User and group of the pods.
const NOBODY: u32 = 65534;

/// An object, its API version and its body.
pub(super) type Object = (ObjectKey, &'static str, Value);

/// What the objects are made from.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) driver: String,
    pub(super) storage_class: String,
    pub(super) snapshot_class: String,
    pub(super) image: String,
    pub(super) request: TrialRequest,
}

/// A bound volume of this class, for the choice of a snapshot class.
pub(super) fn volume(namespace: &str, storage_class: &str) -> DataVolume {
    DataVolume {
        namespace: namespace.to_owned(),
        claim: "scratch".to_owned(),
        uid: String::new(),
        used_by: None,
        pod: None,
        phase: "Bound".to_owned(),
        storage_class: Some(storage_class.to_owned()),
        requested_bytes: CLAIM_BYTES,
        capacity_bytes: CLAIM_BYTES,
        driver: None,
        volume_handle: None,
        leftover_of: None,
    }
}

impl Scratch {
    fn name(&self) -> String {
        format!("promsafe-doctor-{}", self.request.run)
    }

    fn pod_key(&self, role: &str) -> ObjectKey {
        let name = format!("{}-{role}", self.name());
        ObjectKey::namespaced("", "Pod", "pods", &self.request.namespace, &name)
    }

    fn claim_key(&self, name: &str) -> ObjectKey {
        let namespace = &self.request.namespace;
        ObjectKey::namespaced("", "PersistentVolumeClaim", "persistentvolumeclaims", namespace, name)
    }

    pub(super) fn writer_key(&self) -> ObjectKey {
        self.pod_key("write")
    }

    pub(super) fn reader_key(&self) -> ObjectKey {
        self.pod_key("read")
    }

    pub(super) fn source_key(&self) -> ObjectKey {
        self.claim_key(&self.name())
    }

    pub(super) fn clone_key(&self) -> ObjectKey {
        self.claim_key(&format!("{}-clone", self.name()))
    }

    pub(super) fn snapshot_key(&self) -> ObjectKey {
        snapshot_key(&self.request.namespace, &self.name())
    }

    pub(super) fn claim(&self) -> Object {
        self.claim_of(self.source_key(), CLAIM_BYTES, &Value::Null)
    }

    /// A claim made of the snapshot; it must not be smaller than what the snapshot says.
    pub(super) fn clone_of(&self, restore_size_bytes: u64) -> Object {
        let source = json!({"apiGroup": SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": self.name()});
        self.claim_of(self.clone_key(), restore_size_bytes.max(CLAIM_BYTES), &source)
    }

    fn claim_of(&self, key: ObjectKey, bytes: u64, source: &Value) -> Object {
        let mut body = json!({
            "apiVersion": "v1",
            "kind": key.kind,
            "metadata": self.metadata(&key),
            "spec": {
                "storageClassName": self.storage_class,
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": bytes.to_string()}},
            },
        });
        if !source.is_null() {
            body["spec"]["dataSource"] = source.clone();
        }
        (key, "v1", body)
    }

    pub(super) fn snapshot(&self) -> Object {
        let key = self.snapshot_key();
        let body = json!({
            "apiVersion": SNAPSHOT_API,
            "kind": key.kind,
            "metadata": self.metadata(&key),
            "spec": {
                "volumeSnapshotClassName": self.snapshot_class,
                "source": {"persistentVolumeClaimName": self.source_key().name},
            },
        });
        (key, SNAPSHOT_API, body)
    }

    /// Writes the token and ends once it is on the disk.
    pub(super) fn writer(&self) -> Object {
        let script = format!("printf %s {} > /scratch/token && sync", self.request.token);
        self.pod(self.writer_key(), &script, &self.source_key())
    }

    /// Says what it reads.
    pub(super) fn reader(&self) -> Object {
        self.pod(self.reader_key(), "cat /scratch/token > /dev/termination-log", &self.clone_key())
    }

    fn pod(&self, key: ObjectKey, script: &str, claim: &ObjectKey) -> Object {
        let body = json!({
            "apiVersion": "v1",
            "kind": key.kind,
            "metadata": self.metadata(&key),
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 1,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": NOBODY, "runAsGroup": NOBODY, "fsGroup": NOBODY,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": "scratch",
                    "image": self.image,
                    "command": ["sh", "-c", script],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                }],
                "volumes": [{"name": "scratch", "persistentVolumeClaim": {"claimName": claim.name}}],
            },
        });
        (key, "v1", body)
    }

    fn metadata(&self, key: &ObjectKey) -> Value {
        json!({"name": key.name, "namespace": key.namespace, "labels": doctor_labels(&self.request.run)})
    }
}
