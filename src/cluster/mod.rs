//! The gateway to Kubernetes, and the only user of kube. Speaks REST with JSON text: objects never pass through typed
//! structs, which drop the fields they do not know. Knows nothing of Prometheus, backups or order.

mod connect;
mod discovery;
mod error;
mod items;
mod list;
mod listing;
mod login;
mod path;
mod pod;
mod pod_log;
mod portforward;
mod proxy;
mod request;
mod retry;
mod whole;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub use connect::ConnectOptions;
pub use error::ClusterError;
pub use list::CapturedText;
pub use login::Credentials;
pub use pod::PodAddress;
pub use portforward::Tunnel;

use crate::model::{ClusterIdentity, ObjectKey, Timeouts};
use error::{Status, Telling};
use request::{Call, Content};
use retry::Patience;

/// A Kubernetes cluster. Cloning is cheap and shares the connections; any number of requests may be under way.
///
/// Overload (429), server errors (500, 502, 503, 504) and broken connections are asked again, up to six times within
/// `Timeouts::attempts`.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    /// URL of the API server.
    server: Arc<str>,
    timeouts: Arc<Timeouts>,
    /// Whether the API server ever answered: a server that was there may come back, one that never was rarely does.
    reached: Arc<AtomicBool>,
    /// Whether it writes long lists object by object, once that was asked.
    streams_lists: Arc<OnceCell<bool>>,
}

/// What a create did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// The object as the API server stored it.
    Created(Box<str>),
    /// One of this name was there. When an answer was lost and the create asked again, it may be our own.
    AlreadyExists,
}

/// What a delete did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Deletion was asked for; finalizers may hold the object for a while.
    Asked,
    /// There was no such object.
    Absent,
}

/// Something one may or may not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// Verb, such as `list`.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Plural resource name.
    pub resource: String,
    /// Subresource, such as `proxy`.
    pub subresource: Option<String>,
    /// In which namespace; `None` for all of them or cluster-scoped resources.
    pub namespace: Option<String>,
}

/// `list secrets in namespace monitoring`; `create volumesnapshots.snapshot.storage.k8s.io`.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(subresource) = &self.subresource {
            write!(f, "/{subresource}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

#[derive(Deserialize)]
struct Identified {
    metadata: IdentifiedMetadata,
}

#[derive(Deserialize)]
struct IdentifiedMetadata {
    uid: String,
}

#[derive(Deserialize)]
struct Review {
    status: ReviewStatus,
}

#[derive(Deserialize)]
struct ReviewStatus {
    allowed: bool,
}

impl Cluster {
    /// URL of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Which cluster this is.
    ///
    /// # Errors
    /// Any [`ClusterError`]; needs `get` on the namespace `kube-system`.
    pub async fn identity(&self) -> Result<ClusterIdentity, ClusterError> {
        let version = Call::get("get", "the API server's version", "/version");
        let namespace = Call::get("get", "Namespace kube-system", "/api/v1/namespaces/kube-system");
        let (version, namespace) =
            tokio::try_join!(self.send_json::<Version>(&version), self.send_json::<Identified>(&namespace))?;
        Ok(ClusterIdentity {
            uid: namespace.metadata.uid,
            version: version.git_version,
            server: self.server.to_string(),
        })
    }

    /// One object's JSON as served; `None` when there is none, or its kind is not served.
    ///
    /// # Errors
    /// Any [`ClusterError`] but [`ClusterError::NotFound`].
    pub async fn get(&self, key: &ObjectKey, api_version: &str) -> Result<Option<Box<str>>, ClusterError> {
        let call = Call::get("get", key.to_string(), path::object(key, api_version));
        let answer = self.send(&call).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => text(&call, answer.body).map(Some),
            _ => Err(self.refused(&call, &answer)),
        }
    }

    /// Creates an object from its JSON.
    ///
    /// # Errors
    /// Any [`ClusterError`]. That one of this name exists is an answer, not an error.
    pub async fn create(&self, key: &ObjectKey, api_version: &str, json: &str) -> Result<Creation, ClusterError> {
        let call = Call {
            method: Method::POST,
            content: Some(Content { media_type: "application/json", bytes: json.into() }),
            telling: telling(key),
            ..Call::get("create", key.to_string(), path::written(&path::collection_of(key, api_version)))
        };
        let answer = self.send(&call).await?;
        match answer.status {
            status if status.is_success() => text(&call, answer.body).map(Creation::Created),
            StatusCode::CONFLICT if Status::read(&answer.body).is_some_and(|said| said.reason == "AlreadyExists") => {
                Ok(Creation::AlreadyExists)
            }
            _ => Err(self.refused(&call, &answer)),
        }
    }

    /// Changes an object by a JSON merge patch and gives it back as stored. Conflicts with other writers are tried
    /// again, unless the patch itself names the `resourceVersion` it is for.
    ///
    /// # Errors
    /// Any [`ClusterError`]; [`ClusterError::NotFound`] when there is no such object.
    pub async fn merge_patch(
        &self,
        key: &ObjectKey,
        api_version: &str,
        patch: &Value,
    ) -> Result<Box<str>, ClusterError> {
        let for_one_version = patch.pointer("/metadata/resourceVersion").is_some();
        let call = Call {
            method: Method::PATCH,
            content: Some(Content { media_type: "application/merge-patch+json", bytes: patch.to_string().into() }),
            telling: telling(key),
            patience: if for_one_version { Patience::Server } else { Patience::ServerAndConflict },
            ..Call::get("patch", key.to_string(), path::written(&path::object(key, api_version)))
        };
        text(&call, self.send_ok(&call).await?)
    }

    /// Asks for an object's deletion, and in the background of all it owns.
    ///
    /// # Errors
    /// Any [`ClusterError`] but [`ClusterError::NotFound`].
    pub async fn delete(&self, key: &ObjectKey, api_version: &str) -> Result<Deletion, ClusterError> {
        // Jobs would orphan their pods unless told otherwise.
        let uri = format!("{}?propagationPolicy=Background", path::object(key, api_version));
        let call = Call { method: Method::DELETE, ..Call::get("delete", key.to_string(), uri) };
        let answer = self.send(&call).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(Deletion::Absent),
            status if status.is_success() => Ok(Deletion::Asked),
            _ => Err(self.refused(&call, &answer)),
        }
    }

    /// Whether we may do this, by the API server's own judgement.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn allowed(&self, access: &Access) -> Result<bool, ClusterError> {
        self.review(access, None).await
    }

    /// Whether we may do this to the object of this name: roles can name objects.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn allowed_on(&self, access: &Access, name: &str) -> Result<bool, ClusterError> {
        self.review(access, Some(name)).await
    }

    async fn review(&self, access: &Access, name: Option<&str>) -> Result<bool, ClusterError> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": access.verb,
                "group": access.group,
                "resource": access.resource,
                "subresource": access.subresource,
                "namespace": access.namespace,
                "name": name,
            }},
        });
        let call = Call {
            method: Method::POST,
            content: Some(Content { media_type: "application/json", bytes: review.to_string().into() }),
            ..Call::get(
                "create",
                "SelfSubjectAccessReview",
                path::written("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
            )
        };
        Ok(self.send_json::<Review>(&call).await?.status.allowed)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What may be told about a write of this object.
fn telling(key: &ObjectKey) -> Telling {
    if key.kind == "Secret" { Telling::FieldsOnly } else { Telling::All }
}

/// An answer's text, without the newline the API server ends it with.
fn text(call: &Call, body: Vec<u8>) -> Result<Box<str>, ClusterError> {
    let unreadable = |_| ClusterError::ReadAnswer { verb: call.verb, object: call.object.clone(), line: 1, column: 1 };
    let text = String::from_utf8(body).map_err(unreadable)?;
    Ok(text.trim_end().into())
}
