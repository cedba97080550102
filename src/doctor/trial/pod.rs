//! Looks at pods: how one ended, why one does not begin, and which image one runs beside a claim.

use serde::Deserialize;

use super::TrialRequest;
use crate::cluster::{Cluster, ClusterError};
use crate::model::{DataVolume, ObjectKey, ServedKind};

/// How far a pod is.
#[derive(Debug)]
pub(super) enum State {
    /// It ended well, with these last words.
    Succeeded(String),
    /// It ended otherwise, and why.
    Failed(String),
    /// Not yet, and why.
    Waiting(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
    status: Status,
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

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    message: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    status: String,
    reason: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    state: ContainerState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Condition>,
    terminated: Option<Terminated>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    exit_code: i32,
    reason: String,
    message: String,
}

/// Looks at a pod.
pub(super) async fn look(cluster: &Cluster, key: &ObjectKey) -> Result<State, ClusterError> {
    let text = cluster.get(key, "v1").await?;
    Ok(state(serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default()))
}

fn state(pod: Pod) -> State {
    let Status { phase, message, conditions, container_statuses } = pod.status;
    let container = container_statuses.into_iter().next().unwrap_or_default().state;
    match (phase.as_str(), container.terminated, container.waiting) {
        ("Succeeded", ended, _) => State::Succeeded(ended.unwrap_or_default().message),
        ("Failed", Some(Terminated { exit_code, reason, message }), _) => {
            State::Failed(format!("{reason}, exit code {exit_code} {message}"))
        }
        ("Failed", None, _) => State::Failed(message),
        (_, _, Some(waiting)) => State::Waiting(format!("{} {}", waiting.reason, waiting.message)),
        (phase, ..) => {
            let reason = conditions.into_iter().find(|condition| condition.status == "False");
            let reason = reason.map(|one| format!("{} {}", one.reason, one.message));
            State::Waiting(
                reason.unwrap_or_else(|| format!("it is {}", if phase.is_empty() { "not seen" } else { phase })),
            )
        }
    }
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

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EventObject {
    #[serde(rename = "type")]
    kind: String,
    reason: String,
    message: String,
    involved_object: Involved,
    last_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Involved {
    kind: String,
    name: String,
}

/// The newest warning event about an object of this run: the words of the scheduler, the kubelet or the driver.
pub(super) async fn last_warning(cluster: &Cluster, request: &TrialRequest) -> Option<String> {
    let kind = ServedKind {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "Event".to_owned(),
        plural: "events".to_owned(),
        namespaced: true,
        verbs: Vec::new(),
    };
    let listed = cluster.list(&kind, Some(&request.namespace), None).await.ok()?;
    let events = listed.iter().filter_map(|text| serde_json::from_str::<EventObject>(&text.json).ok());
    let ours = events.filter(|event| event.kind == "Warning" && event.involved_object.name.contains(&request.run));
    let newest = ours.max_by(|a, b| a.last_timestamp.cmp(&b.last_timestamp))?;
    Some(format!("{} of {}: {}", newest.reason, newest.involved_object.kind, newest.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: &str) -> String {
        format!("{:?}", state(serde_json::from_str(&format!(r#"{{"status": {status}}}"#)).unwrap()))
    }

    #[test]
    fn ends_and_waits_of_pods_are_told_in_their_own_words() {
        let ended = r#"{"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"message": "token"}}}]}"#;
        assert_eq!(said(ended), r#"Succeeded("token")"#);
        let no_sh = r#"{"phase": "Failed", "containerStatuses": [{"state": {"terminated":
            {"exitCode": 128, "reason": "StartError", "message": "no sh"}}}]}"#;
        assert_eq!(said(no_sh), r#"Failed("StartError, exit code 128 no sh")"#);
        let pull = r#"{"phase": "Pending", "containerStatuses": [{"state": {"waiting":
            {"reason": "ImagePullBackOff", "message": "no such image"}}}]}"#;
        assert_eq!(said(pull), r#"Waiting("ImagePullBackOff no such image")"#);
        let unbound = r#"{"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "no node fits"}]}"#;
        assert_eq!(said(unbound), r#"Waiting("Unschedulable no node fits")"#);
    }
}
