//! Binds a restored claim that no pod will mount, such as the leftover of a replica that was taken away.
//!
//! A claim of a class that waits for its first consumer gets its volume once `volume.kubernetes.io/selected-node` names a
//! node; the scheduler sets it for pods (kubernetes `pkg/scheduler/framework/plugins/volumebinding`), and without a pod
//! nobody does. The provisioner takes it off again when the node cannot have the volume (external-provisioner
//! `pkg/controller/controller.go`).

use serde::Deserialize;
use serde_json::json;

use crate::cluster::{Cluster, ClusterError};
use crate::model::{GroupKind, ObjectKey, ServedKinds};

/// Names the node a claim's volume is made for (kubernetes `pkg/apis/core`).
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

#[derive(Default, Deserialize)]
#[serde(default)]
struct CsiNode {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    drivers: Vec<Driver>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Driver {
    name: String,
}

/// Has the volume of a claim made, on the first node that runs its driver. Nothing happens where there is none.
///
/// # Errors
/// When the cluster cannot be asked, or the claim may not be changed.
pub(crate) async fn without_a_pod(
    cluster: &Cluster,
    served: &ServedKinds,
    claim: &ObjectKey,
    driver: &str,
) -> Result<(), ClusterError> {
    let Some(kind) = served.find(GroupKind("storage.k8s.io", "CSINode")) else { return Ok(()) };
    let nodes = cluster.list(kind, None, None).await?;
    let runs_it = |json: &str| {
        let node: CsiNode = serde_json::from_str(json).unwrap_or_default();
        node.spec.drivers.iter().any(|one| one.name == driver)
    };
    let Some(node) = nodes.into_iter().find(|node| runs_it(&node.json)) else { return Ok(()) };
    let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node.name}}});
    cluster.merge_patch(claim, "v1", &patch).await.map(drop)
}
