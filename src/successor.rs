//! Finds the pod that runs now what another pod ran when the backup was taken: pods of a StatefulSet come back under their
//! names, those of a Deployment do not.

use serde::Deserialize;

use crate::barrier::{BarrierError, Look, Watch};
use crate::cluster::ClusterError;
use crate::model::{BackupRecord, Fingerprint, GroupKind, Instance, ServedKind};

/// Workloads whose pods get new names.
const RENAMING: &[GroupKind] = &[GroupKind("apps", "Deployment"), GroupKind("apps", "DaemonSet")];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    deletion_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    volumes: Vec<Volume>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    persistent_volume_claim: Option<Claim>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Claim {
    claim_name: String,
}

impl Pod {
    fn mounts(&self, claim: &str) -> bool {
        let mut claims = self.spec.volumes.iter().filter_map(|volume| volume.persistent_volume_claim.as_ref());
        self.metadata.deletion_timestamp.is_none() && claims.any(|source| source.claim_name == claim)
    }
}

/// The instance a fingerprint was taken of.
pub(crate) fn instance_of<'a>(record: &'a BackupRecord, then: &Fingerprint) -> Option<&'a Instance> {
    let in_namespace = |instance: &&Instance| instance.key.namespace.as_deref() == Some(&then.namespace);
    record.instances.iter().filter(in_namespace).find(|instance| instance.pods.contains(&then.pod))
}

/// Name of the pod that mounts the claim now, waited for; the old name where names come back.
///
/// # Errors
/// When there is no such pod within `timeouts.instance_ready`, or the cluster cannot be asked.
pub(crate) async fn pod(
    watch: &Watch<'_>,
    instance: &Instance,
    then: &Fingerprint,
    claim: &str,
) -> Result<String, BarrierError> {
    if !RENAMING.iter().any(|kind| instance.key.is(*kind)) {
        return Ok(then.pod.clone());
    }
    let object = format!("a pod of {}", instance.key);
    let pods = ServedKind {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        plural: "pods".to_owned(),
        namespaced: true,
        verbs: Vec::new(),
    };
    watch
        .until(&object, watch.timeouts.instance_ready, async || {
            let listed = watch.cluster.list(&pods, Some(&then.namespace), None).await?;
            let found = listed
                .into_iter()
                .find(|listed| serde_json::from_str::<Pod>(&listed.json).is_ok_and(|pod| pod.mounts(claim)));
            let not = || Look::Not(format!("no pod mounts claim {claim} yet"));
            Ok::<_, ClusterError>(found.map_or_else(not, |pod| Look::Done(pod.name)))
        })
        .await
}
