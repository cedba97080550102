//! A richer set of kinds: captured, lost, restored, and found equal by the next run.

use super::{RESTORE, created, list};
use crate::support::control_plane::{ControlPlane, Start, User};
use crate::support::promsafe::Promsafe;

/// One document a kind or a spelling of it; what controllers would write is applied by the test.
const OBJECTS: &str = include_str!("round_trip.yaml");

/// How many documents there are.
fn documents() -> u64 {
    OBJECTS.split("\n---\n").filter(|document| document.contains("kind:")).count() as u64
}

#[tokio::test]
async fn every_kind_comes_back_equal_to_what_was_captured() {
    let control_plane = ControlPlane::start(Start::WithCrds).await;
    control_plane.kubectl(&["create", "namespace", "rich"], "");
    control_plane.apply(OBJECTS);
    // The aggregation controller fills it, the Service controller gives its address.
    let rules = r#"--patch={"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}"#;
    control_plane.kubectl(&["patch", "clusterrole/rich-aggregated", "--type=merge", rules], "");
    let address = r#"--patch={"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}"#;
    let service = ["patch", "service/balanced", "--namespace=rich", "--subresource=status", "--type=merge", address];
    control_plane.kubectl(&service, "");

    let store = tempfile::tempdir().unwrap();
    let promsafe = Promsafe::default().with_directory(store.path());
    let promsafe = promsafe.with_kubeconfig(&control_plane.kubeconfig(User::Admin));
    let backup = promsafe.run("backup --volumes none -n rich -o json").await.with(0).json();
    // With the Namespace and the operator's ten definitions.
    assert_eq!(backup["backup"]["objects"], documents() + 1 + 10, "left out: {}", backup["backup"]["left_out"]);
    created(&promsafe.run(RESTORE).await.with(0), 0);

    control_plane.kubectl(&["delete", "--filename=-"], OBJECTS);
    let restored = promsafe.run(RESTORE).await.with(0);
    created(&restored, documents());
    let again = promsafe.run(RESTORE).await.with(0).json();
    assert_eq!((list(&again, "kept").len(), &again["created"]), (0, &0.into()), "{again:#}");
    assert_eq!(again["unchanged"], documents() + 1 + 10);
    assert_eq!(list(&again, "problems").len() + list(&again, "impossible").len(), 0);

    // And a backup of the restored objects is as good.
    let second = promsafe.run("backup --volumes none -n rich -o json").await.with(0).json();
    assert_eq!(second["backup"]["objects"], backup["backup"]["objects"]);
    created(&promsafe.run(RESTORE).await.with(0), 0);
}
