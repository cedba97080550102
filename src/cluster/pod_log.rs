//! The last lines that a pod printed.

use super::path::segment;
use super::request::Call;
use super::{Cluster, ClusterError, text};

impl Cluster {
    /// The last lines of the log of a pod with one container; of a pod that has not begun, an error.
    ///
    /// # Errors
    /// Any [`ClusterError`].
    pub async fn pod_log(&self, namespace: &str, pod: &str, lines: u32) -> Result<Box<str>, ClusterError> {
        let uri = format!("/api/v1/namespaces/{}/pods/{}/log?tailLines={lines}", segment(namespace), segment(pod));
        // The API server says in JSON why there is none.
        let call = Call { accept: "*/*", ..Call::get("get", format!("pods/log {namespace}/{pod}"), uri) };
        text(&call, self.send_ok(&call).await?)
    }
}
