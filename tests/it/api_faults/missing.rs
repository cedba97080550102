//! What an object needs and what is not there: refused before anything is written, or recorded when that is allowed.

use super::{Stack, list};
use crate::support::control_plane::ControlPlane;

/// A monitor that reads its password from a Secret, and its token from a key that the Secret lacks.
const MONITOR: &str = "
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: needy, namespace: N-apps}
spec:
  selector: {matchLabels: {a: b}}
  endpoints:
  - {port: web, basicAuth: {username: {name: absent, key: user}, password: {name: absent, key: password}}}
  - {port: web, bearerTokenSecret: {name: present, key: token}}
---
apiVersion: v1
kind: Secret
metadata: {name: present, namespace: N-apps}
stringData: {other: xyzzy}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-root-ca.crt, namespace: N-apps}
";

#[tokio::test]
async fn what_is_needed_and_not_there_is_refused_or_recorded() {
    let stack = Stack::on(ControlPlane::shared().await, "missing");
    stack.control_plane.apply(&stack.named(MONITOR));
    let refused = stack.promsafe.run(&stack.backup()).await;
    refused.failed(
        4,
        &[
            "Secret missing-apps/absent",
            "does not exist",
            "ServiceMonitor missing-apps/needy (spec.endpoints[0].basicAuth",
            "Secret missing-apps/present key token",
            "spec.endpoints[1].bearerTokenSecret",
            "--allow-missing",
        ],
    );
    assert_eq!(stack.files(), 0, "a refused backup wrote something");

    let allowed = stack.promsafe.run(&format!("{} --allow-missing", stack.backup())).await.with(3).json();
    assert_eq!(list(&allowed["backup"], "missing_references").len(), 2, "{allowed}");
    let shown = stack.promsafe.run("show latest").await.with(0);
    assert!(
        shown.stdout.contains("2 missing references") && shown.stdout.contains("MISSING    Secret missing-apps/absent")
    );
    assert!(!format!("{shown:?}").contains("xyzzy"), "a Secret's value is told");

    // From here on without any cluster.
    let offline = stack.promsafe.clone().with_kubeconfig("/nonexistent".as_ref());
    let why = offline.run("explain secret/absent -n missing-apps --backup latest").await.with(0).stdout;
    assert!(why.starts_with("OUT        Secret missing-apps/absent: does not exist"), "{why}");
    let why = offline.run("explain servicemonitor/needy --backup latest").await.with(0).stdout;
    assert!(why.starts_with("IN         ServiceMonitor missing-apps/needy: "), "{why}");
    let why = offline.run("explain configmap/kube-root-ca.crt -n missing-apps --backup latest").await.with(0).stdout;
    assert!(why.starts_with("OUT        ConfigMap missing-apps/kube-root-ca.crt: made in every namespace"), "{why}");
    offline.run("explain secret/never-heard-of --backup latest").await.failed(1, &["was not looked at"]);
}
