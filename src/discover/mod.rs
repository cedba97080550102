//! Finds what belongs to a backup: reads the cluster, decides with `scope` and `generated`, changes nothing.

mod capture;
mod instance;
mod operator;
mod volume;

use std::collections::BTreeSet;

use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt};

use crate::cluster::{CapturedText, Cluster, ClusterError};
use crate::generated;
use crate::model::{
    CapturedManifest, Event, GroupKind, Inventory, ObjectKey, Operator, Reporter, ServedKind, ServedKinds,
};
use crate::scope::{Facts, INSTANCE_KINDS, OPERATOR_GROUP, RULES};
use capture::Collected;

/// Lists in flight at once. The API server's own default limit for one user is above 100, but each list in flight opens a
/// connection: on a small cluster more handshakes cost more than the waiting they save.
const LISTS_IN_FLIGHT: usize = 16;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Namespaces asked for, captured whole; empty means those that run an operator or an instance.
    pub namespaces: Vec<String>,
}

/// Discovery failed.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The API server could not be asked.
    #[error("list {what}")]
    List {
        /// What was listed.
        what: String,
        /// Why it failed.
        #[source]
        source: ClusterError,
    },
    /// An object could not be read.
    #[error("read {object}")]
    Read {
        /// The object.
        object: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A namespace that was asked for does not exist.
    #[error("namespace {namespace} does not exist")]
    NoSuchNamespace {
        /// Its name.
        namespace: String,
    },
}

/// Finds operators, instances, their namespaces and all they need.
///
/// # Errors
/// When a kind cannot be listed: what could not be seen cannot be said to be in the backup.
pub async fn discover(
    cluster: &Cluster,
    scope: &Scope,
    reporter: &dyn Reporter,
) -> Result<(Inventory, ServedKinds), DiscoverError> {
    reporter.event(&Event::Step { doing: "looking for Prometheus, its operator and all they need".to_owned() });
    let served = cluster
        .served_kinds()
        .await
        .map_err(|source| DiscoverError::List { what: "the kinds served".into(), source })?;
    let lister = Lister { cluster, served: &served };
    lister.check_namespaces(scope).await?;

    let (deployments, custom) = tokio::try_join!(
        lister.list_all(&[GroupKind("apps", "Deployment")], scope),
        lister.list_group(OPERATOR_GROUP, scope),
    )?;
    let operators = operator::find(&deployments);
    let (homes, why) = homes(scope, &operators, &custom);
    let everything = lister.list_namespaces(&homes).await?;
    // After what refers to them: an object read later is there if what names it was.
    let elsewhere = lister.list_candidates(scope).await?;

    let failed_groups = served.failed_groups.clone();
    let mut inventory = Inventory { operators, failed_groups, ..Inventory::default() };
    inventory.instances = instance::find(&custom, &everything)?;
    let mut collected = Collected::new(&homes);
    collected.take_namespaces(everything.iter(), why)?;
    collected.take_elsewhere(custom.iter(), "custom resource of the operator")?;
    inventory.volumes = volume::find(&lister, &everything, &inventory.instances).await?;
    collected.take_by_rules(&elsewhere, &inventory.volumes)?;

    inventory.namespaces = homes.into_iter().collect();
    (inventory.objects, inventory.left_out) = collected.finish();
    Ok((inventory, served))
}

/// Namespaces captured whole, and why: those asked for, else those of operators and instances.
fn homes(scope: &Scope, operators: &[Operator], custom: &[Found]) -> (BTreeSet<String>, &'static str) {
    if !scope.namespaces.is_empty() {
        return (scope.namespaces.iter().cloned().collect(), "in a namespace asked for");
    }
    let operators = operators.iter().filter_map(|operator| operator.key.namespace.clone());
    let instances = custom
        .iter()
        .filter(|found| INSTANCE_KINDS.iter().any(|kind| found.key.is(*kind)))
        .filter_map(|found| found.key.namespace.clone());
    (operators.chain(instances).collect(), "in a namespace that runs Prometheus or its operator")
}

/// An object as listed.
pub(crate) struct Found {
    key: ObjectKey,
    text: Box<str>,
}

impl Found {
    fn pick<T: serde::de::DeserializeOwned>(&self) -> Result<T, DiscoverError> {
        serde_json::from_str(&self.text).map_err(|source| DiscoverError::Read { object: self.key.to_string(), source })
    }

    fn why_left_out(&self) -> Result<Option<&'static str>, DiscoverError> {
        Ok(generated::why_left_out(&self.key, &self.pick()?))
    }

    fn captured(&self, reason: &str) -> CapturedManifest {
        CapturedManifest { key: self.key.clone(), reason: reason.to_owned(), json: self.text.clone() }
    }
}

/// Lists kinds in parallel.
pub(crate) struct Lister<'a> {
    cluster: &'a Cluster,
    served: &'a ServedKinds,
}

impl Lister<'_> {
    async fn check_namespaces(&self, scope: &Scope) -> Result<(), DiscoverError> {
        for namespace in &scope.namespaces {
            let key = ObjectKey::cluster_scoped("", "Namespace", "namespaces", namespace);
            let found = self.cluster.get(&key, "v1").await;
            let found = found.map_err(|source| DiscoverError::List { what: key.to_string(), source })?;
            found.ok_or_else(|| DiscoverError::NoSuchNamespace { namespace: namespace.clone() })?;
        }
        Ok(())
    }

    /// All objects of these kinds, in the asked namespaces where they are namespaced.
    async fn list_all(&self, kinds: &[GroupKind], scope: &Scope) -> Result<Vec<Found>, DiscoverError> {
        let served = kinds.iter().filter_map(|kind| self.served.find(*kind));
        self.run(served.flat_map(|kind| places(kind, scope)).collect()).await
    }

    /// All objects that the rules may choose.
    async fn list_candidates(&self, scope: &Scope) -> Result<Vec<Found>, DiscoverError> {
        let unnamed: Vec<GroupKind> = RULES.iter().filter(|rule| rule.named.is_none()).map(|rule| rule.kind).collect();
        let named = RULES.iter().filter_map(|rule| Some((self.served.find(rule.kind)?, rule.named?)));
        let named = try_join_all(named.map(|(kind, is_candidate)| self.get_named(kind, is_candidate)));
        let (mut all, named) = tokio::try_join!(self.list_all(&unnamed, scope), named)?;
        all.extend(named.into_iter().flatten());
        Ok(all)
    }

    /// The cluster-scoped objects of a kind whose names say that they may be in.
    async fn get_named(&self, kind: &ServedKind, is_candidate: fn(&str) -> bool) -> Result<Vec<Found>, DiscoverError> {
        let failed = |source| DiscoverError::List { what: kind.plural.clone(), source };
        let names = self.cluster.list_names(kind).await.map_err(failed)?;
        let gets = names.into_iter().filter(|name| is_candidate(name)).map(async |name| {
            let key = kind.key(None, &name);
            let text = self.cluster.get(&key, &kind.api_version()).await.map_err(failed)?;
            Ok(text.map(|text| Found { key, text }))
        });
        let gets = futures::stream::iter(gets).buffered(LISTS_IN_FLIGHT);
        gets.try_filter_map(async |found| Ok(found)).try_collect().await
    }

    /// All objects of a group.
    async fn list_group(&self, group: &str, scope: &Scope) -> Result<Vec<Found>, DiscoverError> {
        let served = self.served.kinds.iter().filter(|kind| kind.group == group && listable(kind));
        self.run(served.flat_map(|kind| places(kind, scope)).collect()).await
    }

    /// All objects of these namespaces.
    async fn list_namespaces(&self, namespaces: &BTreeSet<String>) -> Result<Vec<Found>, DiscoverError> {
        let whole = Scope { namespaces: namespaces.iter().cloned().collect() };
        if namespaces.is_empty() {
            return Ok(Vec::new());
        }
        let served = self.served.kinds.iter().filter(|kind| kind.namespaced && listable(kind));
        self.run(served.flat_map(|kind| places(kind, &whole)).collect()).await
    }

    async fn run(&self, places: Vec<(&ServedKind, Option<String>)>) -> Result<Vec<Found>, DiscoverError> {
        let lists = places.into_iter().map(async |(kind, namespace)| {
            let listed = self.cluster.list(kind, namespace.as_deref(), None).await;
            match listed {
                Ok(texts) => Ok(texts.into_iter().map(|text| found(kind, text)).collect::<Vec<_>>()),
                Err(source) => {
                    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
                    Err(DiscoverError::List { what: format!("{}{place}", kind.plural), source })
                }
            }
        });
        let mut lists = futures::stream::iter(lists).buffered(LISTS_IN_FLIGHT);
        let mut all = Vec::new();
        while let Some(list) = lists.next().await {
            all.extend(list?);
        }
        Ok(all)
    }
}

/// Whether a kind can be listed and made again: what cannot be created cannot be restored (metrics, reviews).
fn listable(kind: &ServedKind) -> bool {
    kind.can("list") && kind.can("create")
}

fn places<'a>(kind: &'a ServedKind, scope: &Scope) -> Vec<(&'a ServedKind, Option<String>)> {
    if !kind.namespaced || scope.namespaces.is_empty() {
        vec![(kind, None)]
    } else {
        scope.namespaces.iter().map(|namespace| (kind, Some(namespace.clone()))).collect()
    }
}

fn found(kind: &ServedKind, text: CapturedText) -> Found {
    Found { key: kind.key(text.namespace.as_deref(), &text.name), text: text.json }
}
