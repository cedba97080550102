//! Finds what belongs to a backup: reads the cluster, decides with `scope`, `generated`, `selection` and `references`, changes
//! nothing.

mod capture;
mod demands;
mod instance;
mod labelled;
mod leftover;
mod lister;
mod selected;
mod stored;
mod unmanaged;
mod volume;
mod web_config;
mod workload;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::{Cluster, ClusterError};
use crate::model::{Collector, Event, GroupKind, Inventory, Reporter, ServedKinds};
use crate::scope::{Facts, INSTANCE_KINDS, RULES, WEBHOOK_KINDS, admits_objects_of_the_operator};
use capture::Collected;
use demands::Here;
use lister::{Found, Lister};
use selected::Selection;
use unmanaged::Unmanaged;
use volume::Mounts;
use workload::Running;

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

/// Finds operators, instances, their namespaces and all they need. Every object that is in goes to the collector.
///
/// # Errors
/// When a kind cannot be listed: what could not be seen cannot be said to be in the backup.
pub async fn discover(
    cluster: &Cluster,
    scope: &Scope,
    collector: &mut dyn Collector,
    reporter: &dyn Reporter,
) -> Result<(Inventory, ServedKinds), DiscoverError> {
    reporter.event(&Event::Step { doing: "looking for Prometheus, its operator and all they need".to_owned() });
    let mut served = cluster
        .served_kinds()
        .await
        .map_err(|source| DiscoverError::List { what: "the kinds served".into(), source })?;
    stored::prefer(cluster, &mut served).await?;
    let lister = Lister { cluster, served: &served, scope };
    lister.check_namespaces().await?;
    let first = FirstLook::take(&lister).await?;
    let (homes, why) = first.homes(scope);
    let everything = lister.list_namespaces(&homes).await?;
    let mounts = Mounts::among(&everything)?;
    let unmanaged = Unmanaged::among(&first.instances, &first.running.operators)?;
    let mut inventory = Inventory { failed_groups: served.failed_groups.clone(), ..Inventory::default() };
    inventory.instances = instance::find(&first.instances, &first.running, &everything)?;
    inventory.volumes = volume::find(&lister, &everything, &mounts, &inventory.instances).await?;

    let mut collected = Collected::new(&homes, &mounts, &unmanaged, collector);
    collected.take_all(&everything, why)?;
    collected.take_all(&first.instances, why)?;
    let selection = Selection::new(&first.instances, &first.namespaces)?;
    selected::take(&lister, &selection, &mut collected).await?;
    for (found, reason) in labelled::find(&lister, &everything, &homes).await? {
        collected.take_elsewhere(&found, &reason)?;
    }
    // After what refers to them: an object read later is there if what names it was.
    let candidates = lister.list_candidates().await?;
    let here = Here::new(everything.iter().chain(&first.instances), &homes);
    collected.take_closure(&lister, &here, &candidates, &inventory.volumes).await?;

    inventory.operators = first.running.operators.into_iter().map(|one| one.operator).collect();
    collected.finish(&mut inventory);
    inventory.namespaces = homes.into_iter().collect();
    Ok((inventory, served))
}

/// What tells which namespaces are captured whole.
struct FirstLook {
    running: Running,
    /// Prometheus, Alertmanager, ThanosRuler and agent resources.
    instances: Vec<Found>,
    namespaces: Vec<Found>,
    /// Namespaces that serve the admission webhooks of the operator's resources.
    webhooks: BTreeSet<String>,
}

impl FirstLook {
    async fn take(lister: &Lister<'_>) -> Result<Self, DiscoverError> {
        let (running, instances, namespaces, configurations) = tokio::try_join!(
            workload::find(lister),
            lister.list_all(INSTANCE_KINDS),
            lister.list_all(&[GroupKind("", "Namespace")]),
            lister.list_all(WEBHOOK_KINDS),
        )?;
        let mut webhooks = BTreeSet::new();
        for found in configurations {
            webhooks.extend(admits_objects_of_the_operator(&found.pick::<Value>()?));
        }
        Ok(Self { running, instances, namespaces, webhooks })
    }

    /// Namespaces captured whole, and why: those asked for, else those of operators and instances.
    fn homes(&self, scope: &Scope) -> (BTreeSet<String>, &'static str) {
        if !scope.namespaces.is_empty() {
            return (scope.namespaces.iter().cloned().collect(), "in a namespace asked for");
        }
        let operators = self.running.operators.iter().map(|one| &one.operator.key);
        let instances = self.instances.iter().map(|found| &found.key);
        let plain = self.running.plain.iter().map(|(key, _)| key);
        let homes = operators.chain(instances).chain(plain).filter_map(|key| key.namespace.clone());
        let exists = |name: &&String| self.namespaces.iter().any(|namespace| &&namespace.key.name == name);
        let homes = homes.chain(self.webhooks.iter().filter(exists).cloned()).collect();
        (homes, "in a namespace that runs Prometheus or its operator")
    }
}
