//! Faults while a backup reads.

use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use super::{SAVED, Stack};
use crate::support::control_plane::{ControlPlane, Start};
use crate::support::fault_proxy::{Fault, FaultProxy, When};

#[tokio::test]
async fn passing_faults_are_outlasted_by_a_backup() {
    let control_plane = ControlPlane::shared().await;
    let stack = Stack::on(control_plane, "reading");
    let proxy = FaultProxy::start(control_plane).await;
    let faults = [Fault::StatusRetryAfter(429, 1), Fault::Status(500), Fault::Status(503), Fault::Close];
    for fault in faults {
        let hits = proxy.spoil(Method::GET, "", When::Every(7), fault);
        let ended = stack.through(&proxy).run(&stack.backup()).await.with(0);
        assert_eq!(ended.json()["backup"]["objects"], SAVED, "{fault:?}");
        assert!(hits.spoilt() > 5, "{fault:?}: {hits:?}");
        proxy.heal();
    }
}

#[tokio::test]
async fn list_that_breaks_off_is_read_again() {
    let control_plane = ControlPlane::shared().await;
    let stack = Stack::on(control_plane, "cut");
    let proxy = FaultProxy::start(control_plane).await;
    let hits = [
        proxy.spoil(Method::GET, "/customresourcedefinitions?", When::First(2), Fault::CutAnswer),
        proxy.spoil(Method::GET, "/namespaces/cut-monitoring/secrets?", When::First(3), Fault::CutAnswer),
    ];
    let ended = stack.through(&proxy).run(&stack.backup()).await.with(0);
    assert_eq!(ended.json()["backup"]["objects"], SAVED);
    assert_eq!(hits.map(|hits| hits.spoilt()), [2, 3]);
}

#[tokio::test]
async fn dead_api_service_is_code_3_and_names_its_group() {
    let control_plane = ControlPlane::start(Start::WithCrds).await;
    let stack = Stack::on(&control_plane, "dead");
    control_plane.apply(
        "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: v1beta1.metrics.k8s.io}\n\
         spec:\n  group: metrics.k8s.io\n  version: v1beta1\n  groupPriorityMinimum: 100\n  versionPriority: 100\n  \
         insecureSkipTLSVerify: true\n  service: {name: absent, namespace: kube-system}\n",
    );
    let cluster = control_plane.cluster().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while cluster.served_kinds().await.unwrap().failed_groups.is_empty() {
        assert!(Instant::now() < deadline, "the API server never noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ended = stack.promsafe.run(&stack.backup()).await.with(3).says(&["metrics.k8s.io", "kubectl get apiservice"]);
    assert_eq!(ended.json()["backup"]["objects"], SAVED);
    stack.promsafe.run("discover").await.with(3).says(&["NOT SEEN", "metrics.k8s.io"]);
    // The restore needs nothing of that group.
    stack.lose();
    stack.promsafe.run(super::RESTORE).await.with(0);
}

#[tokio::test]
async fn namespace_that_does_not_exist_is_code_4() {
    let stack = Stack::on(ControlPlane::shared().await, "absent");
    let ended = stack.promsafe.run("backup --volumes none -n absent-monitoring -n absent-ops").await;
    ended.failed(4, &["namespace absent-ops does not exist"]);
    assert_eq!(stack.files(), 0);
}
