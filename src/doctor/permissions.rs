//! Whether promsafe may do what a backup and a restore need, by the API server's own judgement. What they need stands in
//! `access`.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use super::Check;
use super::check::Group;
use crate::access::{self, ANY, Need, Run, Where};
use crate::cluster::{Access, Cluster, ClusterError};
use crate::model::{Instance, InstanceKind, Inventory, ObjectKey, ServedKind, ServedKinds};
use crate::words;

/// Access reviews in flight at once.
const REVIEWS_IN_FLIGHT: usize = 16;

/// One line a run.
pub(super) async fn checks(
    cluster: &Cluster,
    served: &ServedKinds,
    inventory: &Inventory,
    captured: &[ObjectKey],
) -> Vec<Check> {
    let runs = [("backup", backup(served, inventory)), ("restore", restore(served, inventory, captured))];
    let mut checks = Vec::new();
    for (run, accesses) in runs {
        let all = accesses.len();
        checks.push(match missing(cluster, accesses).await {
            Ok(missing) if missing.is_empty() => {
                Group::Permissions.ok(format!("{run}: each of the {all} permissions it needs is granted"))
            }
            Ok(missing) => Group::Permissions.failed(
                format!("{run}: {} of {all} permissions are missing: {}", missing.len(), in_words(&missing)),
                format!("promsafe rbac {run} | kubectl apply -f -"),
            ),
            Err(error) => Group::Permissions.skipped(format!("{run}: {}", words::chain(&error))),
        });
    }
    checks
}

async fn missing(cluster: &Cluster, accesses: BTreeSet<Access>) -> Result<Vec<Access>, ClusterError> {
    let reviews = futures::stream::iter(accesses.into_iter().map(async |access| {
        let allowed = cluster.allowed(&access).await?;
        Ok::<_, ClusterError>((!allowed).then_some(access))
    }));
    reviews.buffered(REVIEWS_IN_FLIGHT).try_filter_map(async |access| Ok(access)).try_collect().await
}

/// Every missing verb and resource once, with the namespaces where it is missing.
fn in_words(missing: &[Access]) -> String {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for access in missing {
        let what = Access { namespace: None, ..access.clone() }.to_string();
        places.entry(what).or_default().extend(access.namespace.as_deref());
    }
    let words = places.into_iter().map(|(what, namespaces)| match namespaces.as_slice() {
        [] => what,
        [one] => format!("{what} in namespace {one}"),
        several => format!("{what} in namespaces {}", several.join(" ")),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Whether volumes are snapshotted, or a Prometheus is asked.
fn needs(inventory: &Inventory) -> Vec<Need> {
    let asked = |one: &Instance| one.kind == InstanceKind::Prometheus && !one.pods.is_empty();
    let mut needs = vec![Need::Reading, Need::Named];
    needs.extend((!inventory.volumes.is_empty()).then_some(Need::Snapshots));
    needs.extend(inventory.instances.iter().any(asked).then_some(Need::Fingerprint));
    needs
}

/// What a backup of this inventory does.
fn backup(served: &ServedKinds, inventory: &Inventory) -> BTreeSet<Access> {
    of_table(Run::Backup, served, inventory).collect()
}

/// What a restore of this inventory into an empty cluster does.
fn restore(served: &ServedKinds, inventory: &Inventory, captured: &[ObjectKey]) -> BTreeSet<Access> {
    let mut accesses: BTreeSet<Access> = of_table(Run::Restore, served, inventory).collect();
    for key in captured.iter().filter(|key| served.of(key).is_some()) {
        accesses.extend(["get", "create"].map(|verb| Access {
            verb: verb.to_owned(),
            group: key.group.clone(),
            resource: key.plural.clone(),
            subresource: None,
            namespace: key.namespace.clone(),
        }));
    }
    accesses
}

/// What the table says, as far as the cluster serves it. Where it says everything, every kind that can be saved is asked
/// for: a role may name them one by one.
fn of_table<'a>(run: Run, served: &'a ServedKinds, inventory: &'a Inventory) -> impl Iterator<Item = Access> + 'a {
    let at = Where { captured: &inventory.namespaces, own: None };
    let needed: Vec<_> = access::accesses(run, &needs(inventory), at).map(Access::from).collect();
    needed.into_iter().flat_map(|access| {
        let everything = access.resource == ANY;
        let fits = |kind: &&ServedKind| {
            let group = access.group == ANY || access.group == kind.group;
            let wanted = kind.can("list") && kind.can("create") && (kind.namespaced || access.namespace.is_none());
            group && if everything { wanted } else { kind.plural == access.resource }
        };
        let of =
            |kind: &ServedKind| Access { group: kind.group.clone(), resource: kind.plural.clone(), ..access.clone() };
        served.kinds.iter().filter(fits).map(of).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(verb: &str, group: &str, resource: &str, namespace: Option<&str>) -> Access {
        let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(one, sub)| (one, Some(sub)));
        Access {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_missing_is_said_once_with_its_namespaces() {
        let missing = [
            access("list", "", "secrets", Some("a")),
            access("get", "", "pods/proxy", Some("a")),
            access("list", "", "secrets", Some("b")),
            access("patch", "x.io", "things", None),
        ];
        let words = "get pods/proxy in namespace a, list secrets in namespaces a b, patch things.x.io";
        assert_eq!(in_words(&missing), words);
    }
}
