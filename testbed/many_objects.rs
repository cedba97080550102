//! Fills a cluster for the bench: as many PrometheusRules and ServiceMonitors, half and half, over as many namespaces as the
//! arguments say, each of the size such objects have in practice. What is there already is left.
//!
//!   many_objects OBJECTS NAMESPACES

#![expect(clippy::unwrap_used, reason = "a tool of the bench: any failure ends it, with its cause")]

use futures::StreamExt;
use promsafe::cluster::{Cluster, ConnectOptions};
use promsafe::model::{ObjectKey, Timeouts};
use serde_json::{Value, json};

const GROUP: &str = "monitoring.coreos.com";
/// Creates in flight at once.
const IN_FLIGHT: usize = 32;

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let [objects, namespaces] = numbers[..] else { panic!("usage: many_objects OBJECTS NAMESPACES") };
    let cluster = Cluster::connect(&ConnectOptions::default(), &Timeouts::default()).await.unwrap();
    let spaces = (0..namespaces).map(|number| {
        let name = format!("team-{number}");
        let key = ObjectKey::cluster_scoped("", "Namespace", "namespaces", &name);
        (key, "v1".to_owned(), json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
    });
    create(&cluster, spaces.collect()).await;
    let resources = (0..objects).map(|number| resource(number, &format!("team-{}", number % namespaces)));
    create(&cluster, resources.collect()).await;
}

async fn create(cluster: &Cluster, objects: Vec<(ObjectKey, String, Value)>) {
    let creates = objects.into_iter().map(async |(key, api_version, value)| {
        cluster.create(&key, &api_version, &value.to_string()).await.unwrap();
    });
    futures::stream::iter(creates).buffer_unordered(IN_FLIGHT).collect::<()>().await;
}

fn resource(number: usize, namespace: &str) -> (ObjectKey, String, Value) {
    let name = format!("app-{number}");
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop", "team": namespace});
    let (kind, plural, spec) = if number.is_multiple_of(2) {
        ("PrometheusRule", "prometheusrules", rules(&name))
    } else {
        ("ServiceMonitor", "servicemonitors", monitor(&name))
    };
    let api_version = format!("{GROUP}/v1");
    let value = json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec});
    (ObjectKey::namespaced(GROUP, kind, plural, namespace, &name), api_version, value)
}

fn rules(name: &str) -> Value {
    let alert = |title: &str, quantile: &str| {
        json!({"alert": title, "for": "10m", "labels": {"severity": "warning", "service": name},
            "expr": format!("histogram_quantile({quantile}, sum by (le) (rate(http_request_duration_seconds_bucket{{app=\"{name}\"}}[5m]))) > 1"),
            "annotations": {"summary": format!("{name} answers slowly"), "description": "Look at the dashboard of the service first."}})
    };
    json!({"groups": [{"name": format!("{name}.rules"), "rules": [alert("Slow", "0.9"), alert("VerySlow", "0.99")]}]})
}

fn monitor(name: &str) -> Value {
    json!({"selector": {"matchLabels": {"app.kubernetes.io/name": name}},
        "endpoints": [{"port": "metrics", "interval": "30s", "scheme": "http", "path": "/metrics",
            "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
            "metricRelabelings": [{"sourceLabels": ["__name__"], "regex": "go_gc_.*", "action": "drop"}]}]})
}
