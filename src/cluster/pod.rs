//! Asking a pod over HTTP by way of the API server, so that no network path to the pod is needed.

use std::fmt;

use http::StatusCode;

use super::Cluster;
use super::error::{ClusterError, Status, excerpt};
use super::path::segment;
use super::request::Call;
use super::retry::Patience;

/// Where in a pod to ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodAddress {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Port inside the pod, of any of its containers.
    pub port: u16,
    /// `http` or `https`.
    pub scheme: String,
}

impl fmt::Display for PodAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.pod, self.port)
    }
}

impl Cluster {
    /// What a pod answers to a GET, through `pods/proxy`. Asks once more only when the API server itself is overloaded
    /// or the connection to it breaks: what the pod says is for the caller to judge.
    ///
    /// # Errors
    /// [`ClusterError::PodAnswered`] for every status but 200, also when the API server says that nobody listens (502,
    /// 503); [`ClusterError::Forbidden`] and [`ClusterError::NotFound`] when the API server says so of the pod.
    pub async fn pod_get(&self, pod: &PodAddress, path_and_query: &str) -> Result<Vec<u8>, ClusterError> {
        let PodAddress { namespace, pod: name, port, scheme } = pod;
        let path = path_and_query.trim_start_matches('/');
        let uri =
            format!("/api/v1/namespaces/{}/pods/{scheme}:{}:{port}/proxy/{path}", segment(namespace), segment(name));
        let call = Call {
            accept: "*/*",
            patience: Patience::Proxy,
            ..Call::get("get", format!("pods/proxy {namespace}/{name}"), uri)
        };
        let answer = self.send(&call).await?;
        match (answer.status, Status::read(&answer.body)) {
            (StatusCode::OK, _) => Ok(answer.body),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, Some(_)) => {
                Err(self.refused(&call, &answer))
            }
            (status, said) => Err(ClusterError::PodAnswered {
                pod: pod.to_string(),
                status: status.as_u16(),
                body: excerpt(said.map_or(answer.body, |said| said.message.into_bytes()).as_slice()),
            }),
        }
    }
}
