//! What the objects that are in name, and where it is: among what was captured, elsewhere and fetched, or missing.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::lister::LISTS_IN_FLIGHT;
use super::{DiscoverError, Found, Lister};
use crate::cluster::ClusterError;
use crate::model::{GroupKind, MissingReference, ObjectKey};
use crate::references::{self, Need, Reference};

/// An object that is named. Cluster-scoped ones have no namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    kind: GroupKind,
    namespace: Option<String>,
    name: String,
}

/// Who names an object, or a key in it.
#[derive(Debug, Clone)]
struct Named {
    by: String,
    field: String,
    more: u64,
}

/// All that was noted of one target.
#[derive(Debug, Default)]
struct Demand {
    /// The first that named it, whatever the need.
    first: Option<Named>,
    /// The first that cannot do without it.
    required: Option<Named>,
    /// Keys of its data that cannot be done without.
    keys: BTreeMap<String, Named>,
}

/// The references of all objects that are in.
#[derive(Debug, Default)]
pub(super) struct Demands {
    open: BTreeMap<Target, Demand>,
    /// Targets that were found elsewhere already: what was not there is asked for again, since only now somebody may need it.
    settled: BTreeSet<Target>,
}

/// What was fetched for a demand, and why.
pub(super) struct Fetched {
    pub(super) found: Found,
    pub(super) reason: String,
}

impl Demands {
    /// Takes note of what an object names.
    pub(super) fn note(&mut self, key: &ObjectKey, value: &Value) {
        for Reference { kind, namespace, name, key: data_key, field, need } in references::of(key, value) {
            let demand = self.open.entry(Target { kind, namespace, name }).or_default();
            let named = || Named { by: key.to_string(), field: field.clone(), more: 0 };
            let mut places = vec![&mut demand.first];
            if need == Need::Required {
                places.push(&mut demand.required);
            }
            for place in places {
                place.as_mut().map_or_else(|| (), |named| named.more += 1);
                place.get_or_insert_with(named);
            }
            if let (Some(data_key), Need::Required) = (data_key, need) {
                demand.keys.entry(data_key).and_modify(|named| named.more += 1).or_insert_with(named);
            }
        }
    }

    /// Whether something is left to look for.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Looks for all that is open: first in `here`, what was seen in the namespaces captured whole, then by asking.
    /// Gives what was fetched from elsewhere and adds to `missing` what is required and not there.
    pub(super) async fn settle(
        &mut self,
        lister: &Lister<'_>,
        here: &Here<'_>,
        missing: &mut Vec<MissingReference>,
    ) -> Result<Vec<Fetched>, DiscoverError> {
        let open = std::mem::take(&mut self.open);
        let mut ask = Vec::new();
        for (target, demand) in open {
            match here.find(&target) {
                Some(found) => missing.extend(missing_keys(&target, &demand, found)?),
                None if self.settled.contains(&target) && demand.keys.is_empty() => {}
                None => ask.push((target, demand)),
            }
        }
        let looks = futures::stream::iter(ask.into_iter().map(async |(target, demand)| {
            let look = look(lister, &target).await?;
            Ok::<_, DiscoverError>((target, demand, look))
        }));
        let looks: Vec<_> = looks.buffered(LISTS_IN_FLIGHT).try_collect().await?;
        let mut fetched = Vec::new();
        for (target, demand, look) in looks {
            match look {
                Look::There(found) => {
                    missing.extend(missing_keys(&target, &demand, &found)?);
                    let reason = demand.reason();
                    let first = self.settled.insert(target);
                    fetched.extend(Some(Fetched { found, reason }).filter(|_| first));
                }
                Look::Not { why, fix } => {
                    missing.extend(demand.required.map(|named| named.missing(&target, None, why, fix)));
                }
            }
        }
        Ok(fetched)
    }
}

impl Demand {
    fn reason(&self) -> String {
        let named = self.required.as_ref().or(self.first.as_ref());
        named.map_or_else(String::new, |named| format!("named by {} ({})", named.by, named.field))
    }
}

impl Named {
    fn missing(self, target: &Target, data_key: Option<&str>, why: String, fix: String) -> MissingReference {
        let object = target.to_string();
        MissingReference {
            object: data_key.map_or(object.clone(), |data_key| format!("{object} key {data_key}")),
            named_by: self.by,
            field: self.field,
            named_elsewhere: self.more,
            why,
            fix,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind.1, self.name),
            None => write!(f, "{} {}", self.kind.1, self.name),
        }
    }
}

/// What was seen in the namespaces captured whole, left out or not: what a controller makes again is there too.
pub(super) struct Here<'a> {
    objects: BTreeMap<(Option<&'a str>, &'a str, &'a str, &'a str), &'a Found>,
    namespaces: &'a BTreeSet<String>,
}

impl<'a> Here<'a> {
    pub(super) fn new(objects: impl Iterator<Item = &'a Found>, namespaces: &'a BTreeSet<String>) -> Self {
        let objects = objects.map(|found| {
            let key = &found.key;
            ((key.namespace.as_deref(), key.group.as_str(), key.kind.as_str(), key.name.as_str()), found)
        });
        Self { objects: objects.collect(), namespaces }
    }

    fn find(&self, target: &Target) -> Option<&'a Found> {
        let key = (target.namespace.as_deref(), target.kind.0, target.kind.1, target.name.as_str());
        self.objects.get(&key).copied()
    }

    /// Whether a fetched object is the business of this backup: cluster-scoped ones come by the rules, and those of the
    /// namespaces captured whole are in already.
    pub(super) fn is_elsewhere(&self, key: &ObjectKey) -> bool {
        key.namespace.as_ref().is_some_and(|namespace| !self.namespaces.contains(namespace))
    }
}

enum Look {
    There(Found),
    Not { why: String, fix: String },
}

async fn look(lister: &Lister<'_>, target: &Target) -> Result<Look, DiscoverError> {
    let Some(served) = lister.served.find(target.kind) else {
        let why = format!("the cluster does not serve {}", target.kind);
        return Ok(Look::Not { why, fix: format!("install what serves {}, or take the reference out", target.kind) });
    };
    let key = served.key(target.namespace.as_deref(), &target.name);
    match lister.get(&key, &served.api_version()).await {
        Ok(Some(found)) => Ok(Look::There(found)),
        Ok(None) => {
            Ok(Look::Not { why: "does not exist".to_owned(), fix: "create it, or take the reference out".to_owned() })
        }
        Err(DiscoverError::List { source: ClusterError::Forbidden { .. }, .. }) => {
            let narrow = key.namespace.as_ref().map_or_else(String::new, |namespace| format!(" -n {namespace}"));
            Ok(Look::Not {
                why: format!("may not be read: no permission to get {}", served.plural),
                fix: format!("grant it: promsafe rbac backup{narrow} | kubectl apply -f -"),
            })
        }
        Err(other) => Err(other),
    }
}

fn missing_keys(target: &Target, demand: &Demand, found: &Found) -> Result<Vec<MissingReference>, DiscoverError> {
    if demand.keys.is_empty() {
        return Ok(Vec::new());
    }
    let value: Value = found.pick()?;
    let missing = demand.keys.iter().filter(|(data_key, _)| !references::holds_key(&value, data_key));
    let missing = missing.map(|(data_key, named)| {
        let (why, fix) = ("does not hold this key", "add the key, or take the reference out");
        named.clone().missing(target, Some(data_key), why.to_owned(), fix.to_owned())
    });
    Ok(missing.collect())
}
