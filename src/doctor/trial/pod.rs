//! Which image a pod runs beside a claim.

use serde::Deserialize;

use crate::cluster::Cluster;
use crate::model::{DataVolume, ObjectKey};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    containers: Vec<Container>,
    volumes: Vec<Volume>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    image: String,
    volume_mounts: Vec<Mount>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mount {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    persistent_volume_claim: Option<ClaimSource>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSource {
    claim_name: String,
}

/// The image of a container that mounts one of these claims: it is on a node already where such volumes are.
pub(super) async fn image_beside_a_claim(cluster: &Cluster, volumes: &[DataVolume]) -> Option<String> {
    for volume in volumes {
        let Some(name) = &volume.pod else { continue };
        let key = ObjectKey::namespaced("", "Pod", "pods", &volume.namespace, name);
        let text = cluster.get(&key, "v1").await.ok().flatten().unwrap_or_default();
        let Spec { containers, volumes } = serde_json::from_str::<Pod>(&text).unwrap_or_default().spec;
        let is_it =
            |one: &Volume| one.persistent_volume_claim.as_ref().is_some_and(|one| one.claim_name == volume.claim);
        let Some(mounted) = volumes.into_iter().find(is_it) else { continue };
        let beside = |container: &Container| container.volume_mounts.iter().any(|mount| mount.name == mounted.name);
        if let Some(container) = containers.into_iter().find(beside) {
            return Some(container.image);
        }
    }
    None
}
