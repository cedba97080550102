//! Which image a pod runs beside a claim.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::model::{DataVolume, ObjectKey};
use crate::mounting::container_that_mounts;

/// The image of a container that mounts one of these claims: it is on a node already where such volumes are.
pub(super) async fn image_beside_a_claim(cluster: &Cluster, volumes: &[DataVolume]) -> Option<String> {
    for volume in volumes {
        let Some(name) = &volume.pod else { continue };
        let key = ObjectKey::namespaced("", "Pod", "pods", &volume.namespace, name);
        let text = cluster.get(&key, "v1").await.ok().flatten().unwrap_or_default();
        let pod: Value = serde_json::from_str(&text).unwrap_or_default();
        let image = container_that_mounts(&pod, &volume.claim).and_then(|container| container["image"].as_str());
        if let Some(image) = image {
            return Some(image.to_owned());
        }
    }
    None
}
