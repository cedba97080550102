//! Which container of a pod mounts a claim.

use serde_json::Value;

/// The container, as it stands in the pod's JSON.
pub fn container_that_mounts<'a>(pod: &'a Value, claim: &str) -> Option<&'a Value> {
    let is_it = |volume: &&Value| volume.pointer("/persistentVolumeClaim/claimName").is_some_and(|name| name == claim);
    let volume = items(pod, "/spec/volumes").find(is_it)?;
    items(pod, "/spec/containers")
        .find(|container| items(container, "/volumeMounts").any(|mount| mount["name"] == volume["name"]))
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}
