//! The kept backup of format 1, restored by this release: nobody edits it, ever.

use crate::commands::{KEPT, KEPT_ID};
use crate::support::control_plane::{ControlPlane, Start, User};
use crate::support::promsafe::{Ended, Promsafe};

/// A plan without what differs from run to run: eight digits in the names of snapshot objects.
fn without_run(ended: &Ended) -> String {
    let prefix = format!("promsafe-restore-{}-", KEPT_ID.to_lowercase());
    let mut parts = ended.stdout.split(&prefix);
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| format!("{text}{prefix}<run>{}", &part[8..]))
}

#[tokio::test]
async fn backup_of_format_1_is_shown_planned_and_restored() {
    let control_plane = ControlPlane::start(Start::Empty).await;
    // What a cluster has of its own: snapshots and the driver.
    control_plane.load_crds_of("snapshot.storage.k8s.io").await;
    control_plane.apply("{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: btrfs.csi.promsafe.test}}");
    let promsafe = Promsafe::default().with_store(KEPT).with_kubeconfig(&control_plane.kubeconfig(User::Admin));
    insta::assert_snapshot!("shown", promsafe.run("show latest").await.with(0).stdout);

    let plan = promsafe.run("restore --plan --include-cluster-scoped").await.with(0);
    insta::assert_snapshot!("planned", without_run(&plan));

    let refused = promsafe.run("restore -n apps").await.with(4);
    refused.says(&["CustomResourceDefinition prometheusrules.monitoring.coreos.com is missing"]);
    let refused = promsafe.run("restore --plan -n apps").await.with(4);
    insta::assert_snapshot!("refused", refused.stdout);
    let namespaces = control_plane.kubectl(&["get", "namespaces", "--output=name"], "");
    assert!(!namespaces.contains("namespace/apps"), "{namespaces}");

    let restored = promsafe.run("restore -n apps --include-cluster-scoped -o json").await.with(0);
    assert_eq!(restored.json()["created"], 13, "{restored:#?}");
    let there = ["get", "prometheusrules,servicemonitors", "--all-namespaces", "--output=name"];
    let there = control_plane.kubectl(&there, "");
    assert_eq!(there, "prometheusrule.monitoring.coreos.com/app\nservicemonitor.monitoring.coreos.com/foreign\n");
    let again = promsafe.run("restore -n apps -o json").await.with(0);
    assert_eq!((&again.json()["created"], &again.json()["unchanged"]), (&0.into(), &13.into()), "{again:#?}");
}
