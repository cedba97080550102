//! Faults while a restore reads and writes.

use http::Method;

use super::{LOST, RESTORE, SECRET_BASE64, SECRET_VALUE, Stack, created, list};
use crate::support::control_plane::ControlPlane;
use crate::support::fault_proxy::{Fault, FaultProxy, When};

/// Objects lost after a backup, and a proxy before their API server.
async fn lost(name: &'static str) -> (Stack<'static>, FaultProxy) {
    let control_plane = ControlPlane::shared().await;
    let stack = Stack::on(control_plane, name);
    stack.back_up().await;
    stack.lose();
    (stack, FaultProxy::start(control_plane).await)
}

#[tokio::test]
async fn passing_faults_are_outlasted_by_a_restore() {
    let (stack, proxy) = lost("writing").await;
    for fault in [Fault::StatusRetryAfter(429, 1), Fault::Status(500), Fault::Status(503), Fault::Close] {
        let hits = [Method::GET, Method::POST].map(|method| proxy.spoil(method, "", When::Every(5), fault));
        let ended = stack.through(&proxy).run(RESTORE).await.with(0);
        created(&ended, LOST);
        assert!(hits.iter().all(|hits| hits.spoilt() > 3), "{fault:?}: {hits:?}");
        proxy.heal();
        stack.lose();
    }
}

#[tokio::test]
async fn create_whose_answer_is_lost_is_counted_as_created() {
    let (stack, proxy) = lost("answers").await;
    let paths = ["/configmaps", "/secrets", "/services", "/prometheusrules", "/clusterroles", "/rolebindings"];
    let hits = paths.map(|path| proxy.spoil(Method::POST, path, When::Only(1), Fault::LoseAnswer));
    let ended = stack.through(&proxy).run(RESTORE).await.with(0);
    created(&ended, LOST);
    assert!(hits.iter().all(|hits| hits.spoilt() == 1), "{hits:?}");
    assert_eq!(list(&ended.json(), "problems").len(), 0);
    created(&stack.promsafe.run(RESTORE).await.with(0), 0);
}

#[tokio::test]
async fn object_of_another_that_comes_meanwhile_is_kept_and_told() {
    let (stack, proxy) = lost("meanwhile").await;
    // Theirs: hidden from the first look, found by the write.
    let theirs =
        "{apiVersion: v1, kind: Secret, metadata: {name: config, namespace: N-monitoring}, data: {token: AAAA}}";
    stack.control_plane.apply(&stack.named(theirs));
    proxy.spoil(Method::GET, "/secrets/config", When::First(1), Fault::Status(404));
    let ended = stack.through(&proxy).run(RESTORE).await.with(3);
    let ended = ended.says(&["Secret meanwhile-monitoring/config", "theirs differs in data.token"]);
    created(&ended, LOST - 1);
    ended.never_says(&["AAAA", SECRET_VALUE, SECRET_BASE64]);
    let ended = stack.promsafe.run(RESTORE).await.with(3);
    assert_eq!(list(&ended.json(), "kept").len(), 1);
    let secret =
        stack.control_plane.kubectl(&["get", "--namespace=meanwhile-monitoring", "secret/config", "-oyaml"], "");
    assert!(secret.contains("token: AAAA"), "{secret}");
}

#[tokio::test]
async fn refused_object_is_named_and_the_rest_goes_on() {
    let (stack, proxy) = lost("refused").await;
    let hits = proxy.spoil(Method::POST, "/namespaces/refused-apps/configmaps", When::Always, Fault::Status(422));
    let ended = stack.through(&proxy).run(RESTORE).await.with(3);
    created(&ended, LOST - 1);
    let problems = ended.json()["problems"].clone();
    assert_eq!(problems[0]["object"], "ConfigMap refused-apps/app", "{problems}");
    assert_eq!((hits.spoilt(), problems.as_array().unwrap().len()), (1, 1));
    proxy.heal();
    created(&stack.through(&proxy).run(RESTORE).await.with(0), 1);
}
