//! Reaches the Prometheus inside a pod through the API server: the one place where two gateways meet.

use std::sync::Arc;

use futures::FutureExt;

use crate::cluster::{Cluster, ClusterError, PodAddress};
use crate::model::Instance;
use crate::prometheus_api::{FetchFailure, PrometheusApi};

/// The HTTP API of one pod of an instance.
pub fn prometheus(cluster: &Cluster, instance: &Instance, pod: &str) -> PrometheusApi {
    let address = Arc::new(PodAddress {
        namespace: instance.key.namespace.clone().unwrap_or_default(),
        pod: pod.to_owned(),
        port: instance.port,
        scheme: instance.scheme.clone(),
    });
    let cluster = cluster.clone();
    let fetch = move |path: String| {
        let (cluster, address) = (cluster.clone(), Arc::clone(&address));
        async move { cluster.pod_get(&address, &path).await.map_err(failure) }.boxed()
    };
    PrometheusApi::new(&instance.route_prefix, Arc::new(fetch))
}

fn failure(error: ClusterError) -> FetchFailure {
    match error {
        ClusterError::PodAnswered { status, body, .. } => FetchFailure { status: Some(status), message: body },
        other => FetchFailure { status: None, message: crate::words::chain(&other) },
    }
}
