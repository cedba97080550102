//! Prometheus without any operator, and configuration that the operator leaves to its user.

use super::Shape;

#[tokio::test]
async fn prometheus_without_an_operator_is_found_beside_every_family_of_sidecars() {
    let shape = Shape::take("plain", "", &[]).await;
    insta::assert_snapshot!("plain", shape.told());
    assert_eq!(shape.inventory.namespaces, ["chart", "nodes", "rules", "set"]);
    assert_eq!(shape.volume("chart/prometheus-server").used_by.as_deref(), Some("Deployment chart/prometheus-server"));
    assert_eq!(shape.volume("set/storage-volume-prometheus-0").used_by.as_deref(), Some("StatefulSet set/prometheus"));
    let set = shape.instance("StatefulSet set/prometheus");
    assert_eq!((set.port, set.route_prefix.as_str()), (9099, "/metrics"));
    let edge = shape.instance("DaemonSet nodes/edge");
    assert_eq!(edge.volatile.as_deref(), Some("the node's directory /var/lib/metrics"));
    assert_eq!(shape.instance("Deployment rules/prometheus").volatile.as_deref(), Some("emptyDir"));
    for object in ["ConfigMap apps/shop-rules", "Secret apps/secret-rules"] {
        assert!(shape.reason(object).unwrap().contains("prometheus_rules=1"), "{object}");
    }
    assert!(shape.is_elsewhere("ConfigMap apps/other-rules") && shape.is_elsewhere("Deployment apps/blackbox"));
}

#[tokio::test]
async fn configuration_that_the_operator_leaves_to_its_user_is_in() {
    let shape = Shape::take("unmanaged", "", &["Secret monitoring/prometheus-by-hand"]).await;
    insta::assert_snapshot!("unmanaged", shape.told());
    let reason = shape.reason("Secret monitoring/prometheus-by-hand").unwrap();
    assert!(reason.contains("Prometheus monitoring/by-hand"), "{reason}");
    assert_eq!(
        shape.why_left_out("Secret monitoring/prometheus-managed"),
        Some("made by a controller from an object that is saved")
    );
}
