//! Which cluster it is, whether all of its API answers, and what runs Prometheus in it.

use serde::Deserialize;

use super::Check;
use super::check::Group;
use super::listing::{self, Condition, Metadata};
use crate::cluster::{Cluster, ClusterError};
use crate::model::{ClusterIdentity, GroupKind, Instance, Inventory, ServedKinds};
use crate::scope::OPERATOR_GROUP;
use crate::words;

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiService {
    metadata: Metadata,
    spec: ApiServiceSpec,
    status: ApiServiceStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiServiceSpec {
    group: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiServiceStatus {
    conditions: Vec<Condition>,
}

impl ApiService {
    /// The condition that says why its server does not answer (kube-aggregator `pkg/controllers/status`).
    fn unavailable(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind == "Available" && condition.status == "False")
    }
}

/// Which cluster.
pub(super) fn identity(identity: Result<ClusterIdentity, ClusterError>) -> Check {
    match identity {
        Ok(ClusterIdentity { uid, version, server }) => {
            Group::Cluster.ok(format!("API server {server} answers: {version}, cluster uid {uid}"))
        }
        Err(error) => Group::Cluster.failed(
            format!("which cluster this is cannot be read: {}", words::chain(&error)),
            "grant the verb get on the namespace kube-system to the account promsafe runs as",
        ),
    }
}

/// Groups whose server does not answer, by the name of their APIService.
pub(super) async fn api_services(cluster: &Cluster, served: &ServedKinds) -> Vec<Check> {
    let kind = GroupKind("apiregistration.k8s.io", "APIService");
    // Without permission to list them the groups that discovery lacks are all that is known.
    let services: Vec<ApiService> = listing::all(cluster, served, kind).await.unwrap_or_default();
    let dead = || services.iter().filter(|service| service.unavailable().is_some());
    let mut checks: Vec<Check> = dead().filter_map(dead_service).collect();
    let named = |group: &&String| dead().any(|service| &service.spec.group == *group);
    checks.extend(served.failed_groups.iter().filter(|group| !named(group)).map(|group| {
        Group::Cluster.warning(
            format!("API group {group}: its server does not answer, so nothing in it is seen"),
            format!("kubectl get apiservice | grep {group}, then mend its server or delete it"),
        )
    }));
    if checks.is_empty() {
        checks.push(Group::Cluster.ok("every API group answers"));
    }
    checks
}

fn dead_service(service: &ApiService) -> Option<Check> {
    let Condition { reason, message, .. } = service.unavailable()?;
    let name = &service.metadata.name;
    Some(Group::Cluster.warning(
        format!(
            "APIService {name}: its server does not answer ({reason}: {message}); nothing of the group {} is seen, and no \
             namespace can be deleted to its end",
            service.spec.group
        ),
        format!("mend its server, or if it is gone for good: kubectl delete apiservice {name}"),
    ))
}

/// Operators, instances and the kinds of the operator.
pub(super) fn found(inventory: &Inventory, served: &ServedKinds) -> Vec<Check> {
    let group = Group::Prometheus;
    let kinds = served.kinds.iter().filter(|kind| kind.group == OPERATOR_GROUP).count();
    let mut checks = vec![match kinds {
        0 => group.skipped(format!("no kind of {OPERATOR_GROUP} is served: the operator's CRDs are not here")),
        kinds => group.ok(format!("{kinds} kinds of {OPERATOR_GROUP} are served")),
    }];
    checks.extend(inventory.operators.iter().map(|operator| {
        group.ok(format!("operator {} ({})", operator.key.qualified_name(), version(operator.version.as_deref())))
    }));
    if inventory.operators.is_empty() && inventory.instances.iter().any(|one| one.key.group == OPERATOR_GROUP) {
        let hint = "kubectl get deployments --all-namespaces | grep prometheus-operator";
        checks.push(group.warning("there are custom resources of the operator, and no operator that runs them", hint));
    }
    checks.extend(inventory.instances.iter().map(instance));
    checks.extend(inventory.missing_references.iter().map(|missing| {
        let needed = missing.needed_by();
        group.warning(format!("{} is needed by {needed}: {}", missing.object, missing.why), missing.fix.clone())
    }));
    if inventory.instances.is_empty() {
        checks.push(group.skipped("no Prometheus, Alertmanager, ThanosRuler or agent was found"));
    }
    checks
}

fn instance(instance: &Instance) -> Check {
    let text = format!("{} ({})", instance.key, version(instance.version.as_deref()));
    match instance.pods.len() {
        0 => Group::Prometheus.warning(
            format!("{text} has no pods"),
            format!(
                "kubectl -n {} describe {} {}",
                instance.key.namespace.as_deref().unwrap_or_default(),
                instance.key.plural,
                instance.key.name
            ),
        ),
        1 => Group::Prometheus.ok(format!("{text}, 1 pod")),
        pods => Group::Prometheus.ok(format!("{text}, {pods} pods")),
    }
}

fn version(version: Option<&str>) -> &str {
    version.unwrap_or("version not named")
}
