//! What ends only by promsafe's own deadlines: runs that wait share one wait.

use std::time::Duration;

use http::Method;

use super::{LOST, RESTORE, Stack, created, list};
use crate::support::control_plane::ControlPlane;
use crate::support::fault_proxy::{Fault, FaultProxy, When};

#[tokio::test]
async fn endless_server_errors_end_bounded_and_named() {
    let control_plane = ControlPlane::shared().await;
    let stack = Stack::on(control_plane, "endless");
    stack.back_up().await;
    stack.lose();
    let (reading, writing) = (FaultProxy::start(control_plane).await, FaultProxy::start(control_plane).await);
    reading.spoil(Method::GET, "/secrets", When::Always, Fault::Status(500));
    let hits = writing.spoil(Method::POST, "/namespaces/endless-apps/configmaps", When::Always, Fault::Status(500));

    let (backing_up, backup) = (stack.through(&reading), stack.backup());
    let restoring = stack.through(&writing);
    let (backup, restore) = tokio::join!(backing_up.run(&backup), restoring.run(RESTORE));

    let backup = backup.failed(7, &["secrets in namespace endless-", "after 6 attempts", "injected fault"]);
    assert!(backup.took < Duration::from_secs(25), "{backup:#?}");
    let restore = restore.with(3).says(&["ConfigMap endless-apps/app", "after 6 attempts"]);
    assert!(restore.took < Duration::from_secs(25), "{restore:#?}");
    created(&restore, LOST - 1);
    assert_eq!((list(&restore.json(), "problems").len(), hits.spoilt()), (1, 6));
    created(&stack.promsafe.run(RESTORE).await.with(0), 1);
}

#[tokio::test]
async fn stalled_api_server_ends_by_our_deadline() {
    let control_plane = ControlPlane::shared().await;
    let stack = Stack::on(control_plane, "stalled");
    stack.back_up().await;
    let before = stack.versions();
    let from_the_start = FaultProxy::start(control_plane).await;
    from_the_start.spoil(None, "", When::Always, Fault::Stall);
    let later = FaultProxy::start(control_plane).await;
    later.spoil(Method::GET, "/namespaces/stalled-monitoring/services", When::Always, Fault::Stall);

    let (never, late, backup) = (stack.through(&from_the_start), stack.through(&later), stack.backup());
    let (discover, backup, restore) = tokio::join!(never.run("discover"), late.run(&backup), late.run(RESTORE));

    discover.failed(7, &["no answer from the API server http://127.0.0.1:", "within 30 s"]);
    for (ended, object) in [(backup, "list services"), (restore, "get Service stalled-monitoring/web")] {
        let ended = ended.failed(7, &["no answer from the API server http://127.0.0.1:", object]);
        assert!(ended.took < Duration::from_mins(1), "{ended:#?}");
    }
    assert_eq!(stack.versions(), before);
}
