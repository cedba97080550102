//! What can go wrong with the API server, in words that name the object and what was tried. Never quotes the content
//! of a Secret: answers to writes of Secrets are cut down to reason and field paths.

use std::error::Error;
use std::time::Duration;

use serde::Deserialize;

/// A cause of any type.
type Cause = Box<dyn Error + Send + Sync>;

/// Why the cluster could not be asked or did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig, or the service account of a pod, could not be read.
    #[error("cannot read {source_name}")]
    ReadKubeconfig {
        /// The file, or where it was looked for.
        source_name: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The kubeconfig holds credentials or certificates nothing can be done with, or its credential plugin failed.
    #[error("cannot use the credentials for {server}")]
    UseCredentials {
        /// URL of the API server.
        server: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// Nobody answers at the API server's address.
    #[error("cannot reach the API server {server} ({attempts} attempts)")]
    Unreachable {
        /// URL of the API server.
        server: String,
        /// Attempts made.
        attempts: u32,
        /// Why the last one failed.
        #[source]
        cause: Cause,
    },
    /// The API server takes connections and does not answer.
    #[error("no answer from the API server {server} within {} s to {verb} {object}", waited.as_secs())]
    TimedOut {
        /// URL of the API server.
        server: String,
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// All attempts together.
        waited: Duration,
    },
    /// 401: the API server does not know who we are.
    #[error("the API server {server} does not accept the credentials: {message}")]
    Unauthorized {
        /// URL of the API server.
        server: String,
        /// The API server's words.
        message: String,
    },
    /// 403: not allowed, by RBAC or by an admission webhook.
    #[error("not allowed to {verb} {object}: {message}")]
    Forbidden {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// The API server's words.
        message: String,
    },
    /// 403 to a create in a namespace that is being deleted.
    #[error("cannot {verb} {object}: its namespace is being deleted")]
    NamespaceTerminating {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
    },
    /// 404, where an object was needed.
    #[error("cannot {verb} {object}: not found")]
    NotFound {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
    },
    /// 400 or 422: the API server takes no such object.
    #[error("cannot {verb} {object}, it is invalid: {message}")]
    Invalid {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// The API server's words.
        message: String,
    },
    /// 409: somebody else changed the object meanwhile.
    #[error("cannot {verb} {object}, it conflicts: {message}")]
    Conflict {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// The API server's words.
        message: String,
    },
    /// Any other refusal.
    #[error("cannot {verb} {object}: the API server answered {status}: {message}")]
    Answered {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// HTTP status code.
        status: u16,
        /// The API server's words.
        message: String,
    },
    /// Overload or server errors, again and again.
    #[error("gave up to {verb} {object} after {attempts} attempts")]
    TooManyAttempts {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// Attempts made.
        attempts: u32,
        /// The last answer.
        #[source]
        last: Box<ClusterError>,
    },
    /// The API server answered something other than the JSON that was expected. Only the place is told: the text may be
    /// a Secret's.
    #[error("cannot understand the answer to {verb} {object} at line {line}, column {column}")]
    ReadAnswer {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// Line of the answer, from 1.
        line: usize,
        /// Column of the answer, from 1.
        column: usize,
    },
    /// A request could not even be built, since a name holds what no URL may.
    #[error("cannot build the request to {verb} {object}")]
    BuildRequest {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// Why.
        #[source]
        cause: http::Error,
    },
    /// A pod, or the API server on the way to it, answered other than 200.
    #[error("pod {pod} answered {status}: {body}")]
    PodAnswered {
        /// `namespace/name:port`.
        pod: String,
        /// HTTP status code; 502 and 503 are also what the API server says when nobody listens in the pod.
        status: u16,
        /// The first 300 characters of the answer.
        body: String,
    },
    /// The Secret with the login for a server in a pod is of no use.
    #[error("cannot log in with {secret}: {why}")]
    UseLogin {
        /// The Secret.
        secret: String,
        /// Why, without its content.
        why: &'static str,
    },
    /// There is no tunnel into a pod, or it broke.
    #[error("cannot reach pod {pod} by pods/portforward")]
    Forward {
        /// `namespace/name:port`.
        pod: String,
        /// Why.
        #[source]
        cause: Cause,
    },
}

impl ClusterError {
    /// Whether the API server does not answer at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }

    /// Whether we may not do this (403).
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }

    /// Whether the object was not there (404).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// A Kubernetes `Status`, as far as it is told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    kind: String,
    pub(super) message: String,
    pub(super) reason: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Option<Vec<StatusCause>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusCause {
    reason: String,
    field: String,
}

/// Whether the text of an answer may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// It may.
    All,
    /// Reason and field paths only: the request carried a Secret, and the API server quotes what it dislikes.
    FieldsOnly,
}

/// Characters of an answer that are told.
const TOLD_CHARS: usize = 300;

impl Status {
    /// The status in an answer; `None` when it is something else, such as a pod's page.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|status: &Self| status.kind == "Status")
    }

    /// Whether it names this cause.
    pub(super) fn has_cause(&self, reason: &str) -> bool {
        self.causes().any(|cause| cause.reason == reason)
    }

    fn causes(&self) -> impl Iterator<Item = &StatusCause> {
        self.details.iter().flat_map(|details| details.causes.iter().flatten())
    }
}

/// What an answer says, fit to be shown.
pub(super) fn told(body: &[u8], telling: Telling) -> String {
    match (Status::read(body), telling) {
        (Some(status), Telling::All) if !status.message.is_empty() => status.message,
        (Some(status), _) => {
            let fields: Vec<_> = status.causes().map(|cause| format!("{} {}", cause.field, cause.reason)).collect();
            let reason = if status.reason.is_empty() { "no reason given" } else { &status.reason };
            if fields.is_empty() { reason.to_owned() } else { format!("{reason} ({})", fields.join(", ")) }
        }
        (None, Telling::All) => excerpt(body),
        (None, Telling::FieldsOnly) => "no reason given".to_owned(),
    }
}

/// The first characters of a text of any origin, on one line.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(TOLD_CHARS).collect();
    if line.is_empty() { "nothing".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Secret \"x\" is invalid: data[k]: Invalid value: \"hunter2\": nope",
        "reason":"Invalid","details":{"name":"x","causes":[{"reason":"FieldValueInvalid","message":"\"hunter2\": nope","field":"data[k]"}]},"code":422}"#;

    #[test]
    fn content_of_a_secret_is_cut_from_the_message() {
        assert!(told(STATUS.as_bytes(), Telling::All).contains("hunter2"));
        assert_eq!(told(STATUS.as_bytes(), Telling::FieldsOnly), "Invalid (data[k] FieldValueInvalid)");
        assert_eq!(told(b"<html>hunter2</html>", Telling::FieldsOnly), "no reason given");
    }

    #[test]
    fn excerpt_is_one_short_line() {
        assert_eq!(excerpt(b"a\nb\x1b[31m"), "a b [31m");
        assert_eq!(excerpt("ä".repeat(400).as_bytes()).chars().count(), 300);
        assert_eq!(excerpt(b" "), "nothing");
    }
}
