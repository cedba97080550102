//! A kind that is served in several versions is read in the one it is stored in: the others lose fields without a word.

use std::time::Duration;

use promsafe::discover::{Scope, discover};
use promsafe::model::{CapturedManifest, Collector, GroupKind, ObjectKey, Silent};
use promsafe::scope::OPERATOR_GROUP;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::control_plane::{ControlPlane, Start};

const CONFIGURATION: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: teams}}
---
apiVersion: monitoring.coreos.com/v1alpha1
kind: AlertmanagerConfig
metadata: {name: team, namespace: teams}
spec: {route: {receiver: team}, receivers: [{name: team}]}
";
const ALERTMANAGER_CONFIG: GroupKind = GroupKind(OPERATOR_GROUP, "AlertmanagerConfig");

/// Keeps the manifests.
#[derive(Default)]
struct Manifests(Vec<CapturedManifest>);

impl Collector for Manifests {
    fn keep(&mut self, manifest: CapturedManifest) {
        self.0.push(manifest);
    }

    fn leave_out(&mut self, _: &ObjectKey, _: &str) {}
}

#[tokio::test]
async fn resource_of_several_versions_is_saved_as_it_is_stored() {
    let control_plane = ControlPlane::start(Start::WithCrds).await;
    control_plane.apply(CONFIGURATION);
    // A newer version without the fields of the older one, which the API server then prefers.
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}});
    let version = json!({"name": "v1beta1", "served": true, "storage": false, "schema": schema});
    let patch = json!([{"op": "add", "path": "/spec/versions/-", "value": version}]).to_string();
    let name = "alertmanagerconfigs.monitoring.coreos.com";
    control_plane.kubectl(&["patch", "customresourcedefinition", name, "--type=json", "--patch", &patch], "");
    let cluster = control_plane.cluster().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while cluster.served_kinds().await.unwrap().find(ALERTMANAGER_CONFIG).unwrap().version != "v1beta1" {
        assert!(Instant::now() < deadline, "the new version is not served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let get = ["get", "--raw", "/apis/monitoring.coreos.com/v1beta1/namespaces/teams/alertmanagerconfigs/team"];
    let newer: Value = serde_json::from_str(&control_plane.kubectl(&get, "")).unwrap();
    assert_eq!(newer["spec"], json!({}), "the newer version tells all: nothing is tested here");

    let mut manifests = Manifests::default();
    discover(&cluster, &Scope::default(), &mut manifests, &Silent).await.unwrap();
    let found = manifests.0.iter().find(|manifest| manifest.key.is(ALERTMANAGER_CONFIG)).unwrap();
    let saved: Value = serde_json::from_str(&found.json).unwrap();
    assert_eq!(saved["apiVersion"], "monitoring.coreos.com/v1alpha1");
    assert_eq!(saved["spec"]["receivers"][0]["name"], "team");
}
