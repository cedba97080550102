//! Claims that pods mount, that nobody mounts any more, and that live no longer than their pod.

use super::Shape;

#[tokio::test]
async fn leftovers_are_told_from_claims_in_use_and_claims_of_one_pod_are_left_out() {
    let shape = Shape::take("claims", "", &[]).await;
    insta::assert_snapshot!("claims", shape.told());
    let told = |claim: &str| {
        let volume = shape.volume(&format!("monitoring/{claim}"));
        assert_eq!(volume.phase, "Bound", "{claim}");
        (volume.used_by.as_deref(), volume.leftover_of.as_deref())
    };
    let (sharded, scaled) = (Some("Prometheus monitoring/sharded"), Some("Prometheus monitoring/scaled"));
    assert_eq!(told("prometheus-sharded-db-prometheus-sharded-0"), (sharded, None));
    assert_eq!(told("prometheus-sharded-db-prometheus-sharded-shard-1-0"), (None, sharded));
    assert_eq!(told("data-prometheus-scaled-0"), (scaled, None));
    assert_eq!(told("data-prometheus-scaled-1"), (None, scaled));
    assert_eq!(told("notes"), (None, None));
    assert_eq!(shape.inventory.volumes.len(), 5);
    let fleeting = "PersistentVolumeClaim monitoring/prometheus-fleeting-0-prometheus-fleeting-db";
    assert_eq!(shape.why_left_out(fleeting), Some("made by Kubernetes for one pod"));
    let volatile = shape.instance("Prometheus monitoring/fleeting").volatile.as_deref();
    assert_eq!(volatile, Some("a generic ephemeral volume"));
}
