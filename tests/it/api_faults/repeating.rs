//! What is there already: restored once, changed, of other namespaces, on its way out.

use super::{LOST, RESTORE, SECRET_BASE64, SECRET_VALUE, Stack, created};
use crate::support::control_plane::ControlPlane;

async fn lost(name: &'static str) -> Stack<'static> {
    let stack = Stack::on(ControlPlane::shared().await, name);
    stack.back_up().await;
    stack.lose();
    stack
}

#[tokio::test]
async fn second_restore_changes_nothing() {
    let stack = lost("second").await;
    created(&stack.promsafe.run(RESTORE).await.with(0), LOST);
    let before = stack.versions();
    assert_eq!(before.lines().count() as u64, LOST, "{before}");
    let ended = stack.promsafe.run(RESTORE).await.with(0);
    created(&ended, 0);
    assert_eq!(ended.json()["unchanged"], super::SAVED, "{ended:#?}");
    assert_eq!(stack.versions(), before);
}

#[tokio::test]
async fn plan_changes_nothing_and_names_every_object() {
    let stack = lost("plan").await;
    let ended = stack.promsafe.run("restore --plan --include-cluster-scoped").await.with(0);
    ended.says(&[
        "CREATE 11   IDENTICAL 12",
        "create Secret plan-monitoring/config",
        "create ClusterRole plan-prometheus",
    ]);
    assert_eq!(stack.versions(), "");
}

#[tokio::test]
async fn differing_objects_are_kept_and_named_without_their_values() {
    let stack = Stack::on(ControlPlane::shared().await, "differs");
    stack.back_up().await;
    stack.control_plane.apply(&stack.named(
        "{apiVersion: v1, kind: Secret, metadata: {name: config, namespace: N-monitoring}, stringData: {token: theirs}}\n\
         ---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: app, namespace: N-apps}, data: {k: w}}\n",
    ));
    let before = stack.versions();
    for command in [RESTORE, "restore", "restore --plan", "restore -o yaml"] {
        let code = if command.contains("--plan") { 0 } else { 3 };
        let ended = stack.promsafe.run(command).await.with(code).says(&["config", "data.token", "data.k"]);
        ended.never_says(&[SECRET_VALUE, SECRET_BASE64, "theirs", "dGhlaXJz"]);
    }
    let ended = stack.promsafe.run("restore").await;
    ended
        .says(&["DIFFERS    Secret differs-monitoring/config in data.token (kept as it is)", "2 differ and were kept"]);
    assert_eq!(stack.versions(), before);
}

#[tokio::test]
async fn namespace_asked_for_is_restored_alone() {
    let stack = lost("alone").await;
    // Nothing cluster-scoped is missing that this namespace needs, so it need not be asked for.
    let ended = stack.promsafe.run("restore latest -n alone-apps -o json").await.with(0);
    created(&ended, 5);
    let there = stack.versions();
    assert!(there.lines().count() == 5 && there.lines().all(|line| line.contains("alone-apps")), "{there}");
    let ended = stack.promsafe.run("restore latest -n elsewhere").await.with(4);
    ended.says(&["Namespace elsewhere", "holds nothing of it", "holds objects of: alone-apps, alone-monitoring"]);
}

#[tokio::test]
async fn missing_cluster_scoped_objects_are_refused_by_name_unless_asked_for() {
    let stack = lost("scoped").await;
    let ended = stack.promsafe.run("restore").await.with(4);
    ended.says(&["ClusterRole scoped-prometheus is missing", "add --include-cluster-scoped", "nothing was changed"]);
    assert_eq!(stack.versions(), "");
}

#[tokio::test]
async fn namespace_being_deleted_is_refused_with_what_blocks_it() {
    let stack = lost("ending").await;
    let control_plane = stack.control_plane;
    control_plane.kubectl(&["delete", "--wait=false", "namespace/ending-apps"], "");
    // What the namespace controller would write.
    let message = "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances";
    let status = serde_json::json!({"status": {"conditions": [
        {"type": "NamespaceFinalizersRemaining", "status": "True", "reason": "SomeFinalizersRemain", "message": message,
         "lastTransitionTime": "2026-11-21T00:00:00Z"},
        {"type": "NamespaceDeletionContentFailure", "status": "False", "reason": "ContentDeleted", "message": "fine",
         "lastTransitionTime": "2026-11-21T00:00:00Z"}]}});
    let patch = format!("--patch={status}");
    control_plane.kubectl(&["patch", "namespace/ending-apps", "--subresource=status", "--type=merge", &patch], "");
    let ended = stack.promsafe.run("restore --include-cluster-scoped").await.with(4);
    ended.says(&["Namespace ending-apps", "is being deleted", message, "wait until it is gone"]).never_says(&["fine"]);
    assert_eq!(stack.versions(), "");
    // The other namespace is not touched by that.
    stack.promsafe.run("restore --include-cluster-scoped -n ending-monitoring").await.with(0);
}
