//! The operator's resources that do not run: monitors, probes, rules, scrape and Alertmanager configurations, wherever they
//! are. A large cluster has a hundred thousand of them, so they are taken page by page and never held together.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::capture::Collected;
use super::lister::listable;
use super::{DiscoverError, Found, Lister};
use crate::references::names_nothing;
use crate::scope::{INSTANCE_KINDS, OPERATOR_GROUP};
use crate::selection::{Selects, selects};

/// What one instance selects.
struct Selector {
    /// The instance, as `Kind namespace/name`.
    instance: String,
    namespace: String,
    selects: Vec<Selects>,
}

/// Which resources are selected, and by whom.
pub(super) struct Selection {
    selectors: Vec<Selector>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Labelled {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    labels: BTreeMap<String, String>,
}

impl Selection {
    /// From the instances and all namespaces with their labels.
    pub(super) fn new(instances: &[Found], namespaces: &[Found]) -> Result<Self, DiscoverError> {
        let mut selection = Self { selectors: Vec::new(), namespaces: BTreeMap::new() };
        for found in instances {
            let value: Value = found.pick()?;
            selection.selectors.push(Selector {
                instance: found.key.to_string(),
                namespace: found.key.namespace.clone().unwrap_or_default(),
                selects: selects(&found.key, &value),
            });
        }
        for found in namespaces {
            selection.namespaces.insert(found.key.name.clone(), found.pick::<Labelled>()?.metadata.labels);
        }
        Ok(selection)
    }

    /// Why a resource is in. One that nobody selects is in as well: with its definition it would be lost for ever.
    fn reason(&self, found: &Found) -> Result<String, DiscoverError> {
        let labels = found.pick::<Labelled>()?.metadata.labels;
        let namespace = found.key.namespace.as_deref().unwrap_or_default();
        let none = BTreeMap::new();
        let namespace_labels = self.namespaces.get(namespace).unwrap_or(&none);
        let by = self.selectors.iter().find_map(|selector| {
            let selects = selector.selects.iter().filter(|selects| found.key.is(selects.kind));
            let mut selects =
                selects.filter(|selects| selects.matches(&selector.namespace, namespace, namespace_labels, &labels));
            Some(format!("selected by {} ({})", selector.instance, selects.next()?.field))
        });
        Ok(by.unwrap_or_else(|| "custom resource of the operator that no instance selects".to_owned()))
    }
}

/// Takes all of them.
pub(super) async fn take(
    lister: &Lister<'_>,
    selection: &Selection,
    collected: &mut Collected<'_>,
) -> Result<(), DiscoverError> {
    let kinds = lister.served.kinds.iter().filter(|kind| kind.group == OPERATOR_GROUP && listable(kind));
    let kinds = kinds.filter(|kind| !INSTANCE_KINDS.iter().any(|instance| kind.is(*instance)));
    for mut pages in kinds.flat_map(|kind| lister.pages(kind)).collect::<Vec<_>>() {
        while let Some(page) = pages.next().await? {
            for found in page {
                if let Some(why) = collected.why_left_out(&found)? {
                    collected.leave_out(&found.key, why);
                    continue;
                }
                let reason = selection.reason(&found)?;
                let value = if names_nothing(&found.key) { Value::Null } else { found.pick()? };
                collected.take_once(found, reason, &value);
            }
        }
    }
    Ok(())
}
