//! What is needed and named by label alone: ConfigMaps and Secrets that a k8s-sidecar reads through the API from any
//! namespace, and the Secrets in which Helm keeps a release that was installed from another namespace.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{DiscoverError, Found, Lister};
use crate::model::GroupKind;
use crate::plain::{LabelledObjects, WORKLOADS, WatchedNamespaces, sidecar_watches};

const CONFIG_MAP: GroupKind = GroupKind("", "ConfigMap");
const SECRET: GroupKind = GroupKind("", "Secret");

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotated {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

/// Objects outside the namespaces captured whole that are read by label, each with the reason. With namespaces asked for
/// nothing outside of them is looked at.
pub(super) async fn find(
    lister: &Lister<'_>,
    everything: &[Found],
    homes: &BTreeSet<String>,
) -> Result<Vec<(Found, String)>, DiscoverError> {
    if !lister.scope.namespaces.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for workload in everything.iter().filter(|found| WORKLOADS.iter().any(|kind| found.key.is(*kind))) {
        for watched in sidecar_watches(&workload.key, &workload.pick::<Value>()?) {
            let reason = format!("read by label {} by a sidecar of {}", watched.selector(), workload.key);
            let objects = watched_objects(lister, &watched).await?;
            found.extend(objects.into_iter().map(|object| (object, reason.clone())));
        }
    }
    for (namespace, release) in releases(everything, homes)? {
        let selector = format!("owner=helm,name={release}");
        let objects = lister.list_labelled(SECRET, Some(&namespace), &selector).await?;
        found.extend(objects.into_iter().map(|object| (object, format!("Helm keeps release {release} in it"))));
    }
    found.retain(|(object, _)| object.key.namespace.as_ref().is_some_and(|namespace| !homes.contains(namespace)));
    Ok(found)
}

async fn watched_objects(lister: &Lister<'_>, watched: &LabelledObjects) -> Result<Vec<Found>, DiscoverError> {
    let kinds = [(watched.config_maps, CONFIG_MAP), (watched.secrets, SECRET)];
    let places: Vec<Option<&str>> = match &watched.namespaces {
        WatchedNamespaces::All => vec![None],
        // Of the namespace of the workload all is in already.
        WatchedNamespaces::Own => Vec::new(),
        WatchedNamespaces::Named(names) => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let mut objects = Vec::new();
    for (_, kind) in kinds.into_iter().filter(|(reads, _)| *reads) {
        for place in &places {
            objects.extend(lister.list_labelled(kind, *place, &watched.selector()).await?);
        }
    }
    Ok(objects)
}

/// `(namespace, release)` of Helm releases that objects here belong to and that live elsewhere (helm
/// `pkg/action/validate.go`).
fn releases(everything: &[Found], homes: &BTreeSet<String>) -> Result<BTreeSet<(String, String)>, DiscoverError> {
    let mut releases = BTreeSet::new();
    for found in everything.iter().filter(|found| found.text.contains("meta.helm.sh/release-namespace")) {
        let mut annotations = found.pick::<Annotated>()?.metadata.annotations;
        let namespace = annotations.remove("meta.helm.sh/release-namespace");
        let release = annotations.remove("meta.helm.sh/release-name");
        if let (Some(namespace), Some(release)) = (namespace, release)
            && !homes.contains(&namespace)
        {
            releases.insert((namespace, release));
        }
    }
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ObjectKey;

    #[test]
    fn releases_that_helm_keeps_in_another_namespace_are_found() {
        let of = |namespace: &str| {
            let annotations =
                json!({"meta.helm.sh/release-namespace": namespace, "meta.helm.sh/release-name": "stack"});
            let key = ObjectKey::namespaced("", "Service", "services", "monitoring", namespace);
            Found { key, text: json!({"metadata": {"annotations": annotations}}).to_string().into() }
        };
        let homes = BTreeSet::from(["monitoring".to_owned()]);
        let found = releases(&[of("monitoring"), of("deployments")], &homes).unwrap();
        assert_eq!(found, BTreeSet::from([("deployments".to_owned(), "stack".to_owned())]));
    }
}
