//! Collects what is in, each object once with the first reason found, and counts what is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{DiscoverError, Facts, Found, RULES};
use crate::model::{CapturedManifest, DataVolume, ObjectKey};

pub(super) struct Collected {
    facts: Facts,
    objects: BTreeMap<ObjectKey, CapturedManifest>,
    left_out: BTreeMap<String, u64>,
}

impl Collected {
    pub(super) fn new(namespaces: &BTreeSet<String>) -> Self {
        Self { facts: Facts::of_namespaces(namespaces), objects: BTreeMap::new(), left_out: BTreeMap::new() }
    }

    /// Takes every object of the namespaces captured whole, less what controllers make again.
    pub(super) fn take_namespaces<'a>(
        &mut self,
        all: impl Iterator<Item = &'a Found>,
        reason: &str,
    ) -> Result<(), DiscoverError> {
        for found in all {
            match found.why_left_out()? {
                Some(why) => *self.left_out.entry(why.to_owned()).or_default() += 1,
                None => self.take(found, reason, &found.pick()?),
            }
        }
        Ok(())
    }

    /// Takes objects of other namespaces that the operator reads.
    pub(super) fn take_elsewhere<'a>(
        &mut self,
        all: impl Iterator<Item = &'a Found>,
        reason: &str,
    ) -> Result<(), DiscoverError> {
        let home = self.facts.namespaces.clone();
        self.take_namespaces(
            all.filter(|found| !found.key.namespace.as_ref().is_some_and(|ns| home.contains(ns))),
            reason,
        )
    }

    /// Takes what the table of rules selects.
    pub(super) fn take_by_rules(&mut self, candidates: &[Found], volumes: &[DataVolume]) -> Result<(), DiscoverError> {
        volumes.iter().filter_map(|volume| volume.driver.as_deref()).for_each(|driver| self.facts.learn_driver(driver));
        for rule in RULES {
            for found in candidates.iter().filter(|found| found.key.is(rule.kind)) {
                if self.objects.contains_key(&found.key) {
                    continue;
                }
                let value: Value = found.pick()?;
                let Some(reason) = (rule.select)(&self.facts, &value) else { continue };
                match found.why_left_out()? {
                    Some(why) => *self.left_out.entry(why.to_owned()).or_default() += 1,
                    None => self.take(found, &reason, &value),
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, found: &Found, reason: &str, value: &Value) {
        self.facts.learn(&found.key, value);
        self.objects.entry(found.key.clone()).or_insert_with(|| found.captured(reason));
    }

    pub(super) fn finish(self) -> (Vec<CapturedManifest>, BTreeMap<String, u64>) {
        (self.objects.into_values().collect(), self.left_out)
    }
}
