//! Whether the account promsafe runs as may do what a run will do, by the API server's own judgement. What is needed stands
//! in `access`; this asks.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;

use super::PreflightError;
use crate::access::{self, ANY, Need, Needed, Run, Where};
use crate::cluster::{Access, Cluster};
use crate::model::{GroupKind, ObjectKey, Refusal};
use crate::plan::{Decision, RestorePlan};
use crate::sanitise::RestorableManifest;
use crate::scope::SNAPSHOT_GROUP;

/// Access reviews in flight at once.
const REVIEWS_IN_FLIGHT: usize = 16;

const RBAC: &str = "rbac.authorization.k8s.io";

/// Something to ask for, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    access: Access,
    /// Name of the object, when only one is meant.
    name: Option<String>,
    because: &'static str,
}

impl From<Needed> for Asked {
    fn from(needed: Needed) -> Self {
        let (name, because) = (needed.name.map(str::to_owned), needed.because);
        Self { access: needed.into(), name, because }
    }
}

/// Without its name: see [`Cluster::allowed_on`].
impl From<Needed> for Access {
    fn from(needed: Needed) -> Self {
        Self {
            verb: needed.verb.to_owned(),
            group: needed.group.to_owned(),
            resource: needed.resource.to_owned(),
            subresource: needed.subresource.map(str::to_owned),
            namespace: needed.namespace,
        }
    }
}

/// What a restore does: each create of its plan, and what the table says of the rest.
pub(super) fn of_plan(plan: &RestorePlan) -> Vec<Asked> {
    let mut needs = Vec::new();
    needs.extend((!plan.restored_claims.is_empty()).then_some(Need::Snapshots));
    needs.extend(plan.fills.iter().any(|fill| !fill.done).then_some(Need::Copy));
    let volumes = !plan.restored_claims.is_empty() || !plan.fills.is_empty();
    let kinds: BTreeSet<(&str, &str)> =
        plan.steps().map(|step| step.manifest.key()).map(|key| (key.group.as_str(), key.kind.as_str())).collect();
    let prometheus = kinds.contains(&("monitoring.coreos.com", "Prometheus"));
    needs.extend((prometheus && volumes).then_some(Need::Fingerprint));
    let behind_services = ["admissionregistration.k8s.io", "apiregistration.k8s.io"];
    needs.extend(kinds.iter().any(|(group, _)| behind_services.contains(group)).then_some(Need::Endpoints));
    let at = Where { captured: &plan.namespaces, own: None };
    let mut asked: BTreeSet<Asked> = access::accesses(Run::Restore, &needs, at)
        // A snapshot's own creates are in the plan, in the namespaces that have claims.
        .filter(|needed| needed.verb != "create" || needed.subresource.is_some() || needed.group != SNAPSHOT_GROUP)
        .map(Asked::from)
        .collect();
    let created = plan.steps().filter(|step| step.decision == Decision::Create).map(|step| &step.manifest);
    asked.extend(created.flat_map(|manifest| [Some(create(manifest.key())), grant(manifest)]).flatten());
    asked.into_iter().collect()
}

fn create(key: &ObjectKey) -> Asked {
    Asked { access: access("create", key, &key.plural), name: None, because: "" }
}

fn access(verb: &str, key: &ObjectKey, resource: &str) -> Access {
    Access {
        verb: verb.to_owned(),
        group: key.group.clone(),
        resource: resource.to_owned(),
        subresource: None,
        namespace: key.namespace.clone(),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Binding {
    role_ref: RoleRef,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RoleRef {
    kind: String,
    name: String,
}

/// What RBAC's guard against escalation asks for besides the create (kubernetes `pkg/registry/rbac/escalation_check.go`):
/// `escalate` on a role; on a binding `bind` on the role it names, in the namespace of the binding.
fn grant(manifest: &RestorableManifest) -> Option<Asked> {
    let key = manifest.key();
    let because = "RBAC lets nobody grant more than they hold, but for who may escalate and bind";
    if [GroupKind(RBAC, "Role"), GroupKind(RBAC, "ClusterRole")].iter().any(|kind| key.is(*kind)) {
        return Some(Asked { access: access("escalate", key, &key.plural), name: Some(key.name.clone()), because });
    }
    if [GroupKind(RBAC, "RoleBinding"), GroupKind(RBAC, "ClusterRoleBinding")].iter().any(|kind| key.is(*kind)) {
        let RoleRef { kind, name } = serde_json::from_str::<Binding>(manifest.json()).ok()?.role_ref;
        let plural = if kind == "Role" { "roles" } else { "clusterroles" };
        return Some(Asked { access: access("bind", key, plural), name: Some(name), because });
    }
    None
}

/// A refusal for each that is not allowed.
pub(super) async fn forbidden<A: Into<Asked>>(
    cluster: &Cluster,
    asked: Vec<A>,
) -> Result<Vec<Refusal>, PreflightError> {
    // What is everything to the table has been read before, or is asked one by one.
    let single = asked.into_iter().map(Into::into).filter(|asked: &Asked| asked.access.resource != ANY);
    let reviews = futures::stream::iter(single.map(async |asked: Asked| {
        let failed = |source| PreflightError { what: format!("permission to {}", asked.access), source };
        let allowed = match &asked.name {
            Some(name) => cluster.allowed_on(&asked.access, name).await,
            None => cluster.allowed(&asked.access).await,
        };
        Ok::<_, PreflightError>((!allowed.map_err(failed)?).then(|| not_allowed(&asked)))
    }));
    reviews.buffered(REVIEWS_IN_FLIGHT).try_filter_map(async |refusal| Ok(refusal)).try_collect().await
}

fn not_allowed(asked: &Asked) -> Refusal {
    let Access { verb, group, resource, subresource, namespace } = &asked.access;
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let subresource = subresource.as_ref().map_or_else(String::new, |subresource| format!("/{subresource}"));
    let object = format!("{resource}{group}{subresource}");
    let place = namespace.as_ref().map_or_else(|| "at cluster scope".to_owned(), |ns| format!("in namespace {ns}"));
    let named = asked.name.as_ref().map_or_else(String::new, |name| format!(" named {name}"));
    let because = if asked.because.is_empty() { String::new() } else { format!(" ({})", asked.because) };
    Refusal {
        why: format!("no permission to {verb} {object}{named} {place}{because}"),
        fix: format!(
            "grant the verb {verb} on {object} {place} to the account promsafe runs as; promsafe rbac prints all it needs"
        ),
        object,
    }
}
