//! The manifests of what copies a volume for a while: a claim made of a snapshot, a Job beside it, a Secret with what the
//! Job needs of the store. Pods fit the strictest Pod Security level. Pure: nothing is created here.

mod identity;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use identity::Identity;

use crate::model::{DataVolume, ObjectKey};
use crate::names::{self, JOB_API};
use crate::scope::SNAPSHOT_GROUP;

/// Where a worker finds its volume.
pub const VOLUME_PATH: &str = "/volume";
/// Where a worker finds what the Secret holds.
pub const STORE_PATH: &str = "/etc/promsafe";
/// Key of the Secret with the credentials of the store, as an AWS credentials file.
pub const CREDENTIALS_KEY: &str = "credentials";
/// Key of the Secret with the authorities to trust for the store.
pub const AUTHORITIES_KEY: &str = "ca.crt";

/// Where the kubelet looks for a container's last words.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Failures of a worker that another attempt would meet again: wrong usage, a missing backup, damage, refusals.
const FINAL_EXIT_CODES: [u8; 4] = [2, 4, 5, 6];
/// How often a pod is tried again that failed otherwise: a node that went away, a store that was down for a while.
const MORE_ATTEMPTS: u32 = 2;
/// A Job whose driver was killed goes after this time, and with it its Secret.
const FORGOTTEN_AFTER_SECONDS: u32 = 3600;

/// Annotations of pods that run to an end: meshes add no container that never ends, and autoscalers leave the node alone.
pub const UNDISTURBED: [(&str, &str); 4] = [
    ("sidecar.istio.io/inject", "false"),
    ("linkerd.io/inject", "disabled"),
    ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
    ("karpenter.sh/do-not-disrupt", "true"),
];

/// What a worker does to its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Reads it into the store.
    Save,
    /// Writes it from the store.
    Fill,
}

impl Task {
    /// The word of the worker's command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Fill => "fill",
        }
    }
}

/// A worker's Job.
#[derive(Debug, Clone)]
pub struct Work {
    /// What it does.
    pub task: Task,
    /// Name of the Job and of its Secret.
    pub name: String,
    /// Their namespace, that of the claim.
    pub namespace: String,
    /// Their labels.
    pub labels: BTreeMap<&'static str, String>,
    /// Their annotations.
    pub annotations: BTreeMap<&'static str, String>,
    /// The claim whose volume is read or filled.
    pub claim: String,
    /// The volume as messages name it, `namespace/claim`.
    pub volume: String,
    /// As whom.
    pub identity: Identity,
    /// The worker's options, after its command.
    pub options: Vec<String>,
}

impl Work {
    /// Key of the Job.
    pub fn job_key(&self) -> ObjectKey {
        names::job_key(&self.namespace, &self.name)
    }

    /// Key of the Secret.
    pub fn secret_key(&self) -> ObjectKey {
        names::secret_key(&self.namespace, &self.name)
    }

    fn metadata(&self) -> Value {
        json!({
            "name": self.name,
            "namespace": self.namespace,
            "labels": self.labels,
            "annotations": self.annotations,
        })
    }

    /// The Job.
    pub fn job(&self, image: &str, deadline_seconds: u64) -> Value {
        json!({
            "apiVersion": JOB_API,
            "kind": "Job",
            "metadata": self.metadata(),
            "spec": {
                "backoffLimit": MORE_ATTEMPTS,
                "activeDeadlineSeconds": deadline_seconds,
                "ttlSecondsAfterFinished": FORGOTTEN_AFTER_SECONDS,
                "podFailurePolicy": {"rules": [
                    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": FINAL_EXIT_CODES}},
                    // A drained node, an eviction, a preemption: no attempt is spent, the next pod goes on.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]},
                "template": {
                    "metadata": {"labels": self.labels, "annotations": BTreeMap::from(UNDISTURBED)},
                    "spec": self.pod(image),
                },
            },
        })
    }

    fn pod(&self, image: &str) -> Value {
        let mut arguments = vec!["volume".to_owned(), self.task.name().to_owned(), format!("--root={VOLUME_PATH}")];
        arguments.extend(self.options.iter().cloned());
        let fills = self.task == Task::Fill;
        let container = json!({
            "name": "promsafe",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "args": arguments,
            "env": [{"name": "PROMSAFE_TERMINATION_LOG", "value": TERMINATION_LOG}],
            "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
            },
            "terminationMessagePath": TERMINATION_LOG,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                {"name": "volume", "mountPath": VOLUME_PATH, "readOnly": !fills},
                {"name": "store", "mountPath": STORE_PATH, "readOnly": true},
            ],
        });
        let mut pod = json!({
            "restartPolicy": "Never",
            // It asks no API server.
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 5,
            "securityContext": self.identity.security_context(self.task),
            "containers": [container],
            "volumes": [
                {"name": "volume", "persistentVolumeClaim": {"claimName": self.claim}},
                {"name": "store", "secret": {"secretName": self.name}},
            ],
        });
        self.identity.place(&mut pod);
        pod
    }

    /// The Secret with what the Job needs of the store.
    pub fn secret(&self, files: &BTreeMap<&'static str, String>) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": self.metadata(),
            "type": "Opaque",
            "stringData": files,
        })
    }
}

/// A patch of the Secret: with the Job as its owner it goes with the Job.
pub fn owned_by(job: &ObjectKey, uid: &str) -> Value {
    let owner = json!({"apiVersion": JOB_API, "kind": job.kind, "name": job.name, "uid": uid});
    json!({"metadata": {"ownerReferences": [owner]}})
}

/// A patch of the Secret that puts new files into it.
pub fn refreshed(files: &BTreeMap<&'static str, String>) -> Value {
    json!({"stringData": files})
}

/// A claim of the volume's class that is filled from a snapshot of it.
pub fn temporary_claim(
    volume: &DataVolume,
    snapshot: &str,
    restore_size_bytes: u64,
    key: &ObjectKey,
    labels: &BTreeMap<&'static str, String>,
    annotations: &BTreeMap<&'static str, String>,
) -> Value {
    let size = volume.requested_bytes.max(volume.capacity_bytes).max(restore_size_bytes);
    let mut spec: Map<String, Value> = Map::new();
    spec.insert("accessModes".to_owned(), json!(["ReadWriteOnce"]));
    spec.insert(
        "dataSource".to_owned(),
        json!({"apiGroup": SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": snapshot}),
    );
    spec.insert("resources".to_owned(), json!({"requests": {"storage": size.to_string()}}));
    if let Some(class) = &volume.storage_class {
        spec.insert("storageClassName".to_owned(), json!(class));
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": labels, "annotations": annotations},
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(task: Task) -> Work {
        Work {
            task,
            name: "promsafe-x".to_owned(),
            namespace: "monitoring".to_owned(),
            labels: BTreeMap::from([("promsafe/backup", "x".to_owned())]),
            annotations: BTreeMap::new(),
            claim: "db-0".to_owned(),
            volume: "monitoring/db-0".to_owned(),
            identity: Identity { run_as_user: Some(1000), fs_group: Some(2000), ..Identity::default() },
            options: vec!["--store=s3://bucket/x".to_owned()],
        }
    }

    /// Pod Security Standards, level restricted (kubernetes `pod-security-admission/policy`).
    #[test]
    fn pod_fits_the_level_restricted_and_holds_no_secret() {
        for task in [Task::Save, Task::Fill] {
            let job = work(task).job("promsafe:1", 60);
            let pod = &job["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_ne!(pod["securityContext"]["runAsUser"], 0);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
            assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(container["env"].as_array().unwrap().len(), 1);
            assert_eq!(container["volumeMounts"][0]["readOnly"], task == Task::Save);
            assert_eq!(container["args"][1], task.name());
            assert!(container["resources"]["limits"].get("cpu").is_none());
        }
    }

    #[test]
    fn claim_is_large_enough_for_the_snapshot_and_of_the_same_class() {
        let volume = DataVolume {
            namespace: "monitoring".into(),
            claim: "db-0".into(),
            uid: "u".into(),
            used_by: None,
            pod: None,
            phase: "Bound".into(),
            storage_class: Some("fast".into()),
            requested_bytes: 10,
            capacity_bytes: 20,
            driver: None,
            volume_handle: None,
            leftover_of: None,
        };
        let key = names::claim_key("monitoring", "promsafe-x");
        let claim = |restore| temporary_claim(&volume, "snap", restore, &key, &BTreeMap::new(), &BTreeMap::new());
        assert_eq!(claim(30)["spec"]["resources"]["requests"]["storage"], "30");
        assert_eq!(claim(5)["spec"]["resources"]["requests"]["storage"], "20");
        assert_eq!(claim(5)["spec"]["storageClassName"], "fast");
        assert_eq!(claim(5)["spec"]["dataSource"]["name"], "snap");
    }
}
