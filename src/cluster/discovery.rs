//! Which kinds the API server serves: aggregated discovery, or group by group where the server is too old for it. An
//! `APIService` without a living server behind it costs its own group, never the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;

use super::Cluster;
use super::error::ClusterError;
use super::request::Call;
use super::retry::Patience;
use crate::model::{ServedKind, ServedKinds};

/// Aggregated discovery in both its versions, else plain (Kubernetes 1.30, 1.27, older).
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
                      application/json";
/// How long one group may take where they are asked one by one.
const ONE_GROUP: Duration = Duration::from_secs(5);
/// Groups asked at once.
const GROUPS_AT_ONCE: usize = 16;

/// A version of a group with what it serves; `None` when it could not be asked.
struct GroupVersion {
    group: String,
    kinds: Option<Vec<ServedKind>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    kind: String,
    #[serde(default)]
    items: Vec<GroupDiscovery>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    groups: Vec<PlainGroup>,
}

#[derive(Deserialize)]
struct GroupDiscovery {
    #[serde(default)]
    metadata: GroupMetadata,
    #[serde(default)]
    versions: Vec<VersionDiscovery>,
}

#[derive(Default, Deserialize)]
struct GroupMetadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct VersionDiscovery {
    version: String,
    #[serde(default)]
    resources: Vec<ResourceDiscovery>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceDiscovery {
    resource: String,
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainGroup {
    name: String,
    versions: Vec<PlainVersion>,
    preferred_version: Option<PlainVersion>,
}

#[derive(Deserialize, PartialEq, Eq)]
struct PlainVersion {
    version: String,
}

#[derive(Deserialize)]
struct PlainResources {
    resources: Vec<PlainResource>,
}

#[derive(Deserialize)]
struct PlainResource {
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

impl Cluster {
    /// Every kind the API server serves, in the version it prefers, without subresources. Groups whose server does not
    /// answer are named, not waited for.
    ///
    /// # Errors
    /// When discovery as a whole cannot be read.
    pub async fn served_kinds(&self) -> Result<ServedKinds, ClusterError> {
        let (mut versions, groups) = tokio::try_join!(self.discover("/api"), self.discover("/apis"))?;
        versions.extend(groups);
        Ok(preferred(versions))
    }

    async fn discover(&self, root: &'static str) -> Result<Vec<GroupVersion>, ClusterError> {
        let call = Call { accept: ACCEPT, ..Call::get("get", format!("the API groups under {root}"), root) };
        let answer: Root = self.send_json(&call).await?;
        if answer.kind == "APIGroupDiscoveryList" {
            return Ok(answer.items.into_iter().flat_map(aggregated).collect());
        }
        let mut wanted: Vec<_> = answer.versions.into_iter().map(|version| (String::new(), version)).collect();
        for group in answer.groups {
            let PlainGroup { name, versions, preferred_version } = group;
            let (first, others): (Vec<_>, Vec<_>) =
                versions.into_iter().partition(|version| Some(version) == preferred_version.as_ref());
            wanted.extend(first.into_iter().chain(others).map(|version| (name.clone(), version.version)));
        }
        let asked = wanted.into_iter().map(|(group, version)| self.plain(group, version));
        Ok(futures::stream::iter(asked).buffered(GROUPS_AT_ONCE).collect().await)
    }

    async fn plain(&self, group: String, version: String) -> GroupVersion {
        let (uri, object) = if group.is_empty() {
            (format!("/api/{version}"), format!("the kinds of {version}"))
        } else {
            (format!("/apis/{group}/{version}"), format!("the kinds of {group}/{version}"))
        };
        let call = Call { patience: Patience::None, ..Call::get("get", object, uri) };
        let kinds = match tokio::time::timeout(ONE_GROUP, self.send_json::<PlainResources>(&call)).await {
            Ok(Ok(answer)) => Some(answer.resources),
            Ok(Err(_)) | Err(_) => None,
        };
        let kinds = kinds.map(|resources| {
            let whole = resources.into_iter().filter(|resource| !resource.name.contains('/'));
            whole.map(|resource| plain_kind(&group, &version, resource)).collect()
        });
        GroupVersion { group, kinds }
    }
}

fn plain_kind(group: &str, version: &str, resource: PlainResource) -> ServedKind {
    ServedKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: resource.kind,
        plural: resource.name,
        namespaced: resource.namespaced,
        verbs: resource.verbs,
    }
}

fn aggregated(group: GroupDiscovery) -> impl Iterator<Item = GroupVersion> {
    let GroupDiscovery { metadata: GroupMetadata { name: group }, versions } = group;
    versions.into_iter().map(move |discovered| {
        let VersionDiscovery { version, resources, freshness } = discovered;
        let kinds = resources.into_iter().filter_map(|resource| aggregated_kind(&group, &version, resource)).collect();
        // Stale: the APIService's server did not answer the aggregator; what it said last may no longer be so.
        let kinds = if freshness == "Stale" { None } else { Some(kinds) };
        GroupVersion { group: group.clone(), kinds }
    })
}

fn aggregated_kind(group: &str, version: &str, resource: ResourceDiscovery) -> Option<ServedKind> {
    Some(ServedKind {
        group: group.to_owned(),
        version: version.to_owned(),
        // Without a kind there are only subresources.
        kind: resource.response_kind.map(|response| response.kind).filter(|kind| !kind.is_empty())?,
        plural: resource.resource,
        namespaced: resource.scope == "Namespaced",
        verbs: resource.verbs,
    })
}

/// The first version of each kind: groups list theirs in order of preference.
fn preferred(versions: Vec<GroupVersion>) -> ServedKinds {
    let mut served = ServedKinds::default();
    let mut seen = BTreeSet::new();
    for GroupVersion { group, kinds } in versions {
        let Some(kinds) = kinds else {
            if !served.failed_groups.contains(&group) {
                served.failed_groups.push(group);
            }
            continue;
        };
        for kind in kinds {
            let name = (kind.group.clone(), kind.plural.clone());
            if seen.insert(name.clone()) {
                served.kinds.push(kind);
            } else {
                served.in_several_versions.insert(name);
            }
        }
    }
    served
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISCOVERY: &str = r#"{"kind":"APIGroupDiscoveryList","items":[
      {"metadata":{"name":"autoscaling"},"versions":[
        {"version":"v2","freshness":"Current","resources":[
          {"resource":"horizontalpodautoscalers","responseKind":{"group":"","version":"","kind":"HorizontalPodAutoscaler"},"scope":"Namespaced","verbs":["list"],
           "subresources":[{"subresource":"status"}]}]},
        {"version":"v1","freshness":"Current","resources":[
          {"resource":"horizontalpodautoscalers","responseKind":{"kind":"HorizontalPodAutoscaler"},"scope":"Namespaced","verbs":["list"]},
          {"resource":"onlysub","scope":"Cluster","verbs":[]},
          {"resource":"olds","responseKind":{"kind":"Old"},"scope":"Cluster","verbs":["get"]}]}]},
      {"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Stale"}]}]}"#;

    #[test]
    fn each_kind_comes_once_in_its_preferred_version_and_stale_groups_are_named() {
        let root: Root = serde_json::from_str(DISCOVERY).unwrap();
        let served = preferred(root.items.into_iter().flat_map(aggregated).collect());
        let rows: Vec<_> =
            served.kinds.iter().map(|kind| (kind.api_version(), kind.kind.as_str(), kind.namespaced)).collect();
        assert_eq!(
            rows,
            [
                ("autoscaling/v2".to_owned(), "HorizontalPodAutoscaler", true),
                ("autoscaling/v1".to_owned(), "Old", false)
            ]
        );
        assert_eq!(served.failed_groups, ["metrics.k8s.io"]);
        let several = ("autoscaling".to_owned(), "horizontalpodautoscalers".to_owned());
        assert_eq!(served.in_several_versions, [several].into());
    }
}
