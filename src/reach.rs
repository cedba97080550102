//! Reaches the Prometheus inside a pod through the API server: the one place where two gateways meet. The API server's proxy
//! first, since it needs the least permission; it takes the login off a request, so where Prometheus demands one and its pod
//! names a Secret with it, a tunnel into the pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::cluster::{Cluster, ClusterError, PodAddress, Tunnel};
use crate::model::{Instance, ObjectKey};
use crate::prometheus_api::{FetchFailure, PrometheusApi};

/// Annotation of a pod that names the Secret of its namespace with the login for its Prometheus: keys `username` and
/// `password`, or `token`.
pub const LOGIN_ANNOTATION: &str = "promsafe/auth-secret";

/// The HTTP API of one pod of an instance.
pub fn prometheus(cluster: &Cluster, instance: &Instance, pod: &str) -> PrometheusApi {
    let way = Arc::new(Way {
        cluster: cluster.clone(),
        address: PodAddress {
            namespace: instance.key.namespace.clone().unwrap_or_default(),
            pod: pod.to_owned(),
            port: instance.port,
            scheme: instance.scheme.clone(),
        },
        login: OnceCell::new(),
    });
    let fetch = move |path: String| {
        let way = Arc::clone(&way);
        async move { way.get(&path).await.map_err(failure) }.boxed()
    };
    PrometheusApi::new(&instance.route_prefix, Arc::new(fetch))
}

/// How to get into a pod, as far as it is known already.
struct Way {
    cluster: Cluster,
    address: PodAddress,
    /// Set once Prometheus demanded a login.
    login: OnceCell<Login>,
}

/// A tunnel that says who we are, and where that was read.
struct Login {
    tunnel: Tunnel,
    secret: ObjectKey,
}

impl Way {
    async fn get(&self, path: &str) -> Result<Vec<u8>, ClusterError> {
        let login = match self.login.get() {
            Some(login) => login,
            None => match self.cluster.pod_get(&self.address, path).await {
                Err(ClusterError::PodAnswered { status: 401, .. }) => {
                    self.login.get_or_try_init(|| self.log_in()).await?
                }
                answer => return answer,
            },
        };
        match login.tunnel.get(path).await {
            Err(ClusterError::PodAnswered { pod, status: 401, .. }) => {
                let body = format!("it does not accept the login in {}", login.secret);
                Err(ClusterError::PodAnswered { pod, status: 401, body })
            }
            answer => answer,
        }
    }

    async fn log_in(&self) -> Result<Login, ClusterError> {
        let PodAddress { namespace, pod, .. } = &self.address;
        let key = ObjectKey::namespaced("", "Pod", "pods", namespace, pod);
        let text = self.cluster.get(&key, "v1").await?.unwrap_or_default();
        let annotated: Annotated = serde_json::from_str(&text).unwrap_or_default();
        let Some(secret) = annotated.metadata.annotations.get(LOGIN_ANNOTATION) else {
            return Err(ClusterError::PodAnswered {
                pod: self.address.to_string(),
                status: 401,
                body: format!(
                    "it demands a login; annotate its pods with {LOGIN_ANNOTATION}=NAME, a Secret in {namespace} with the keys \
                     username and password or token (spec.podMetadata.annotations of a Prometheus resource, the pod \
                     template's of any other)"
                ),
            });
        };
        let secret = ObjectKey::namespaced("", "Secret", "secrets", namespace, secret);
        let credentials = self.cluster.credentials(&secret).await?;
        Ok(Login { tunnel: Tunnel::new(self.cluster.clone(), self.address.clone(), credentials), secret })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotated {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

fn failure(error: ClusterError) -> FetchFailure {
    match error {
        ClusterError::PodAnswered { status, body, .. } => FetchFailure { status: Some(status), message: body },
        other => FetchFailure { status: None, message: crate::words::chain(&other) },
    }
}
