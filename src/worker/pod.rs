//! Looks at pods: how one ended, why one does not begin.

use serde::Deserialize;

use crate::cluster::{Cluster, ClusterError};
use crate::model::{ObjectKey, ServedKind};

/// How far a pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It ended well, with these last words.
    Succeeded(String),
    /// It ended otherwise.
    Failed {
        /// Exit code of its container, if that ended.
        exit_code: Option<i32>,
        /// Why.
        why: String,
    },
    /// It runs.
    Running,
    /// Not yet, and why.
    Waiting {
        /// The kubelet's or the scheduler's word for it, such as `ImagePullBackOff`.
        reason: String,
        /// All that is known.
        why: String,
    },
}

/// A pod with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its name.
    pub(crate) name: String,
    created: String,
    pub(crate) state: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Metadata,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    creation_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    reason: String,
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
pub(crate) async fn look(cluster: &Cluster, key: &ObjectKey) -> Result<State, ClusterError> {
    let text = cluster.get(key, "v1").await?;
    Ok(seen(&text.unwrap_or_default()).state)
}

/// The newest pod with this label.
pub(crate) async fn newest(cluster: &Cluster, namespace: &str, selector: &str) -> Result<Option<Seen>, ClusterError> {
    let listed = cluster.list(&kind("", "v1", "Pod", "pods"), Some(namespace), Some(selector)).await?;
    Ok(listed.iter().map(|text| seen(&text.json)).max_by(|a, b| a.created.cmp(&b.created)))
}

/// A namespaced kind of Kubernetes itself.
pub(crate) fn kind(group: &str, version: &str, kind: &str, plural: &str) -> ServedKind {
    ServedKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespaced: true,
        verbs: Vec::new(),
    }
}

fn seen(json: &str) -> Seen {
    let Pod { metadata, status } = serde_json::from_str(json).unwrap_or_default();
    Seen { name: metadata.name, created: metadata.creation_timestamp.unwrap_or_default(), state: state(status) }
}

fn state(status: Status) -> State {
    let Status { phase, reason, message, conditions, container_statuses } = status;
    let container = container_statuses.into_iter().next().unwrap_or_default().state;
    match (phase.as_str(), container.terminated, container.waiting) {
        ("Succeeded", ended, _) => State::Succeeded(ended.unwrap_or_default().message),
        ("Failed", Some(Terminated { exit_code, reason, message }), _) => {
            State::Failed { exit_code: Some(exit_code), why: format!("{reason}, exit code {exit_code} {message}") }
        }
        ("Failed", None, _) => State::Failed { exit_code: None, why: format!("{reason} {message}").trim().to_owned() },
        (_, _, Some(waiting)) => {
            State::Waiting { why: format!("{} {}", waiting.reason, waiting.message), reason: waiting.reason }
        }
        ("Running", ..) => State::Running,
        (phase, ..) => {
            let unmet = conditions.into_iter().find(|condition| condition.status == "False");
            if let Some(one) = unmet {
                return State::Waiting { why: format!("{} {}", one.reason, one.message), reason: one.reason };
            }
            let phase = if phase.is_empty() { "not seen" } else { phase };
            State::Waiting { reason: String::new(), why: format!("it is {phase}") }
        }
    }
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

/// The newest warning event about an object whose name holds this: the words of the scheduler, the kubelet or the driver.
pub(crate) async fn last_warning(cluster: &Cluster, namespace: &str, name: &str) -> Option<String> {
    let listed = cluster.list(&kind("", "v1", "Event", "events"), Some(namespace), None).await.ok()?;
    let events = listed.iter().filter_map(|text| serde_json::from_str::<EventObject>(&text.json).ok());
    let ours = events.filter(|event| event.kind == "Warning" && event.involved_object.name.contains(name));
    let newest = ours.max_by(|a, b| a.last_timestamp.cmp(&b.last_timestamp))?;
    Some(format!("{} of {}: {}", newest.reason, newest.involved_object.kind, newest.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: &str) -> State {
        seen(&format!(r#"{{"status": {status}}}"#)).state
    }

    #[test]
    fn ends_and_waits_of_pods_are_told_in_their_own_words() {
        let ended = r#"{"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"message": "token"}}}]}"#;
        assert_eq!(said(ended), State::Succeeded("token".to_owned()));
        let no_sh = r#"{"phase": "Failed", "containerStatuses": [{"state": {"terminated":
            {"exitCode": 128, "reason": "StartError", "message": "no sh"}}}]}"#;
        let why = "StartError, exit code 128 no sh".to_owned();
        assert_eq!(said(no_sh), State::Failed { exit_code: Some(128), why });
        let evicted = said(r#"{"phase": "Failed", "reason": "Evicted", "message": "low on memory"}"#);
        assert_eq!(evicted, State::Failed { exit_code: None, why: "Evicted low on memory".to_owned() });
        let waiting = |status| match said(status) {
            State::Waiting { why, .. } => why,
            other => panic!("{other:?}"),
        };
        let pull = r#"{"phase": "Pending", "containerStatuses": [{"state": {"waiting":
            {"reason": "ImagePullBackOff", "message": "no such image"}}}]}"#;
        assert_eq!(waiting(pull), "ImagePullBackOff no such image");
        let unbound = r#"{"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "no node fits"}]}"#;
        assert_eq!(waiting(unbound), "Unschedulable no node fits");
        assert_eq!(said(r#"{"phase": "Running"}"#), State::Running);
    }
}
