//! Prometheus run by the operator: its own bundle, kube-prometheus, the chart, and several of them that share a cluster.

use serde_json::Value;

use super::Shape;
use crate::support::testbed::operator_bundle;

#[tokio::test]
async fn bundle_of_the_operator_is_found_in_the_namespace_default() {
    let shape = Shape::take("bundle", &operator_bundle(), &[]).await;
    insta::assert_snapshot!("bundle", shape.told());
    assert_eq!(shape.instance("Prometheus default/prometheus").operators, ["default/prometheus-operator"]);
    assert!(shape.reason("Secret shop/example-login").unwrap().contains("basicAuth"));
    assert!(shape.is_elsewhere("Secret shop/unnamed") && shape.is_elsewhere("ClusterRole shop"));
    assert!(shape.is_elsewhere("VolumeSnapshotClass other"));

    // What the library says is what a user reads.
    let printed = shape.promsafe().run("discover -o json").await.with(0).json();
    let objects = printed["objects"].as_array().unwrap();
    assert_eq!(objects.len(), shape.decisions.kept.len());
    let told: u64 = printed["left_out"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(told, shape.decisions.left_out.len() as u64);
    assert_eq!(printed["instances"][0]["operators"][0], "default/prometheus-operator");
    let explained = shape.promsafe().run("explain servicemonitor/unlabelled").await.with(0).stdout;
    let expected =
        "IN         ServiceMonitor shop/unlabelled: custom resource of the operator that no instance selects";
    assert!(explained.starts_with(expected), "{explained}");
    let explained = shape.promsafe().run("explain statefulset/prometheus-prometheus").await.with(0).stdout;
    let expected = "OUT        StatefulSet default/prometheus-prometheus: made by a controller";
    assert!(explained.starts_with(expected), "{explained}");
    shape.promsafe().run("explain secret/unnamed -n shop").await.failed(1, &["secret shop/unnamed was not looked at"]);
}

#[tokio::test]
async fn kube_prometheus_is_found_with_its_roles_elsewhere_and_its_api() {
    let shape = Shape::take("kube-prometheus", "", &[]).await;
    insta::assert_snapshot!("kube-prometheus", shape.told());
    for namespace in ["default", "kube-system"] {
        assert!(shape.reason(&format!("Role {namespace}/prometheus-k8s")).is_some(), "{namespace}");
        assert!(shape.reason(&format!("RoleBinding {namespace}/prometheus-k8s")).is_some(), "{namespace}");
    }
    assert_eq!(shape.reason("APIService v1beta1.metrics.k8s.io"), Some("served from namespace monitoring"));
    assert_eq!(shape.instance("Prometheus monitoring/k8s").volatile.as_deref(), Some("emptyDir"));
    assert!(shape.reason("Secret monitoring/alertmanager-main").is_some());
    assert!(shape.why_left_out("Secret monitoring/alertmanager-main-generated").is_some());
    // Asked for whole, kube-system still leaves out what the operator and the API server make in it.
    let printed = shape.promsafe().run("discover -n kube-system -o json").await.with(3).json();
    let objects = printed["objects"].as_array().unwrap().iter();
    let objects: Vec<&str> = objects.filter_map(|row| row["object"]["name"].as_str()).collect();
    assert!(objects.contains(&"prometheus-k8s") && !objects.contains(&"kubelet"), "{objects:?}");
    assert!(objects.iter().all(|name| !name.starts_with("system:")), "{objects:?}");
    assert_eq!(printed["left_out"]["made by the Prometheus Operator"], 1);
}

#[tokio::test]
async fn chart_is_found_with_its_release_and_the_secret_that_its_hook_made() {
    let shape = Shape::take("kube-prometheus-stack", "", &[]).await;
    insta::assert_snapshot!("kube-prometheus-stack", shape.told());
    let release = shape.reason("Secret deployments/sh.helm.release.v1.kps.v1");
    assert_eq!(release, Some("Helm keeps release kps in it"));
    assert!(shape.is_elsewhere("Secret deployments/sh.helm.release.v1.shop.v1"));
    assert!(shape.reason("Secret monitoring/kps-kube-prometheus-stack-admission").is_some());
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        assert!(shape.reason(&format!("{kind} kps-kube-prometheus-stack-admission")).is_some(), "{kind}");
    }
    assert!(shape.is_elsewhere("ValidatingWebhookConfiguration shop-admission"));
    assert!(shape.reason("PrometheusRule apps/selected").unwrap().starts_with("selected by Prometheus"));
    assert!(shape.reason("PrometheusRule apps/unselected").unwrap().contains("no instance selects"));
    assert!(shape.reason("ConfigMap apps/shop-dashboard").unwrap().contains("grafana_dashboard=1"));
    assert!(shape.is_elsewhere("ConfigMap apps/shop-settings"));
}

/// The capture ran three real operators: whoever got a StatefulSet is somebody's, whoever got none is nobody's.
#[tokio::test]
async fn each_of_several_operators_has_what_it_really_reconciles() {
    let shape = Shape::take("several-operators", "", &[]).await;
    insta::assert_snapshot!("several-operators", shape.told());
    for instance in &shape.inventory.instances {
        let expected: &[&str] = match instance.key.name.as_str() {
            "of-platform" => &["platform/prometheus-operator"],
            "of-team-a" => &["team-a/prometheus-operator"],
            "of-watcher" => &["team-b/watcher"],
            _ => &[],
        };
        assert_eq!(instance.operators, expected, "{}", instance.key);
        assert_eq!(shape.runs(instance), !expected.is_empty(), "{}", instance.key);
    }
    assert_eq!(shape.inventory.instances.len(), 11);
}
