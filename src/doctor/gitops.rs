//! Who else writes what a restore writes: objects that Argo CD or Flux keep as their repository has them.
//!
//! Facts: Argo CD `common/common.go` (annotation `argocd.argoproj.io/tracking-id`, value `APP:GROUP/KIND:NAMESPACE/NAME`;
//! labels `argocd.argoproj.io/instance` or, by default, `app.kubernetes.io/instance`, which every Helm chart sets too);
//! Flux `kustomize-controller` and `helm-controller` (labels `kustomize.toolkit.fluxcd.io/name`,
//! `helm.toolkit.fluxcd.io/name`, each with `…/namespace`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Check;
use super::check::Group;
use super::listing::{self, Metadata};
use crate::cluster::Cluster;
use crate::model::{GroupKind, ServedKinds};

/// Who owns an object.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Argo(String),
    Kustomization(String, String),
    HelmRelease(String, String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: Metadata,
}

/// One line an owner.
pub(super) async fn checks(cluster: &Cluster, served: &ServedKinds, marked: &[Metadata]) -> Vec<Check> {
    let kind = GroupKind("argoproj.io", "Application");
    let applications: Vec<Object> = listing::all(cluster, served, kind).await.unwrap_or_default();
    let applications: BTreeSet<String> = applications.into_iter().map(|object| object.metadata.name).collect();
    let mut owned: BTreeMap<Owner, usize> = BTreeMap::new();
    for owner in marked.iter().filter_map(|metadata| owner(metadata, &applications)) {
        *owned.entry(owner).or_default() += 1;
    }
    if owned.is_empty() {
        return vec![Group::Gitops.ok("no captured object is kept by Argo CD or Flux")];
    }
    owned.into_iter().map(|(owner, count)| owner.check(count)).collect()
}

/// Whether an object carries any mark at all that an owner may have put there.
pub(super) fn may_be_owned(metadata: &Metadata) -> bool {
    let by_chart = metadata.labels.get("app.kubernetes.io/instance").cloned();
    owner(metadata, &by_chart.into_iter().collect()).is_some()
}

/// The owner by its own marks; a Helm chart's label counts only where an Application has that name.
fn owner(metadata: &Metadata, applications: &BTreeSet<String>) -> Option<Owner> {
    let label = |name: &str| metadata.labels.get(name).cloned();
    let flux = |by: &str| Some((label(&format!("{by}/namespace")).unwrap_or_default(), label(&format!("{by}/name"))?));
    let tracked = metadata.annotations.get("argocd.argoproj.io/tracking-id");
    let tracked = tracked.and_then(|id| id.split(':').next()).map(str::to_owned);
    let by_chart = || label("app.kubernetes.io/instance").filter(|name| applications.contains(name));
    if let Some(name) = tracked.or_else(|| label("argocd.argoproj.io/instance")) {
        return Some(Owner::Argo(name));
    }
    if let Some((namespace, name)) = flux("kustomize.toolkit.fluxcd.io") {
        return Some(Owner::Kustomization(namespace, name));
    }
    if let Some((namespace, name)) = flux("helm.toolkit.fluxcd.io") {
        return Some(Owner::HelmRelease(namespace, name));
    }
    by_chart().map(Owner::Argo)
}

impl Owner {
    fn check(self, count: usize) -> Check {
        let (who, suspend) = match self {
            Self::Argo(name) => {
                (format!("Argo CD Application {name}"), format!("argocd app set {name} --sync-policy none"))
            }
            Self::Kustomization(namespace, name) => (
                format!("Flux Kustomization {namespace}/{name}"),
                format!("flux suspend kustomization {name} --namespace {namespace}"),
            ),
            Self::HelmRelease(namespace, name) => (
                format!("Flux HelmRelease {namespace}/{name}"),
                format!("flux suspend helmrelease {name} --namespace {namespace}"),
            ),
        };
        let objects = if count == 1 { "1 captured object".to_owned() } else { format!("{count} captured objects") };
        Group::Gitops.warning(
            format!("{who} keeps {objects} as its source has them, and may change what a restore writes"),
            format!("suspend it while you restore: {suspend}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner_of(json: &str) -> Option<Owner> {
        owner(&serde_json::from_str(json).unwrap(), &BTreeSet::from(["monitoring".to_owned()]))
    }

    #[test]
    fn owners_are_known_by_their_marks_and_charts_are_not_taken_for_them() {
        let argo = Some(Owner::Argo("stack".to_owned()));
        let tracked = r#"{"annotations": {"argocd.argoproj.io/tracking-id": "stack:apps/Deployment:a/b"}}"#;
        assert_eq!(owner_of(tracked), argo);
        assert_eq!(owner_of(r#"{"labels": {"argocd.argoproj.io/instance": "stack"}}"#), argo);
        assert_eq!(owner_of(r#"{"labels": {"app.kubernetes.io/instance": "k8s"}}"#), None);
        let by_chart = owner_of(r#"{"labels": {"app.kubernetes.io/instance": "monitoring"}}"#);
        assert_eq!(by_chart, Some(Owner::Argo("monitoring".to_owned())));
        let flux = r#"{"labels": {"helm.toolkit.fluxcd.io/name": "n", "helm.toolkit.fluxcd.io/namespace": "ns"}}"#;
        assert_eq!(owner_of(flux), Some(Owner::HelmRelease("ns".to_owned(), "n".to_owned())));
    }
}
