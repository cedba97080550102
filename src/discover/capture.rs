//! Collects what is in, each object once with the first reason found, and tells what is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::demands::{Demands, Here};
use super::unmanaged::Unmanaged;
use super::volume::Mounts;
use super::{DiscoverError, Facts, Found, Lister, RULES};
use crate::model::{Collector, DataVolume, Inventory, MissingReference, ObjectKey};

/// Why the claim of an ephemeral volume is left out.
const EPHEMERAL: &str = "made by Kubernetes for one pod";

pub(super) struct Collected<'a> {
    collector: &'a mut dyn Collector,
    mounts: &'a Mounts,
    unmanaged: &'a Unmanaged,
    facts: Facts,
    demands: Demands,
    /// What is in, apart from what can come only once.
    taken: BTreeSet<ObjectKey>,
    objects: u64,
    cluster_scoped_objects: u64,
    left_out: BTreeMap<String, u64>,
    missing: Vec<MissingReference>,
}

impl<'a> Collected<'a> {
    pub(super) fn new(
        namespaces: &BTreeSet<String>,
        mounts: &'a Mounts,
        unmanaged: &'a Unmanaged,
        collector: &'a mut dyn Collector,
    ) -> Self {
        Self {
            collector,
            mounts,
            unmanaged,
            facts: Facts::of_namespaces(namespaces),
            demands: Demands::default(),
            taken: BTreeSet::new(),
            objects: 0,
            cluster_scoped_objects: 0,
            left_out: BTreeMap::new(),
            missing: Vec::new(),
        }
    }

    /// Takes every object of the namespaces captured whole, less what controllers make again.
    pub(super) fn take_all(&mut self, all: &[Found], reason: &str) -> Result<(), DiscoverError> {
        all.iter().try_for_each(|found| self.take_unless_left_out(found, reason))
    }

    /// Takes an object of another namespace.
    pub(super) fn take_elsewhere(&mut self, found: &Found, reason: &str) -> Result<(), DiscoverError> {
        if self.taken.contains(&found.key) { Ok(()) } else { self.take_unless_left_out(found, reason) }
    }

    fn take_unless_left_out(&mut self, found: &Found, reason: &str) -> Result<(), DiscoverError> {
        match self.why_left_out(found)? {
            Some(why) => self.leave_out(&found.key, why),
            None => self.take(found, self.unmanaged.reason(&found.key).unwrap_or(reason), &found.pick()?),
        }
        Ok(())
    }

    /// Takes what the table of rules selects, until it selects nothing more: a role may bring the roles it is made of.
    fn take_by_rules(&mut self, candidates: &[Found], volumes: &[DataVolume]) -> Result<(), DiscoverError> {
        volumes.iter().filter_map(|volume| volume.driver.as_deref()).for_each(|driver| self.facts.learn_driver(driver));
        loop {
            let before = self.objects;
            for rule in RULES {
                for found in candidates.iter().filter(|found| found.key.is(rule.kind)) {
                    if self.taken.contains(&found.key) {
                        continue;
                    }
                    let value: Value = found.pick()?;
                    let Some(reason) = (rule.select)(&self.facts, &value) else { continue };
                    if self.why_left_out(found)?.is_none() {
                        self.take(found, &reason, &value);
                    }
                }
            }
            if self.objects == before {
                return Ok(());
            }
        }
    }

    /// Takes what the rules select and what is named by what is in, until neither brings anything that needs more.
    pub(super) async fn take_closure(
        &mut self,
        lister: &Lister<'_>,
        here: &Here<'_>,
        candidates: &[Found],
        volumes: &[DataVolume],
    ) -> Result<(), DiscoverError> {
        self.take_by_rules(candidates, volumes)?;
        while self.demands.is_open() {
            for fetched in self.demands.settle(lister, here, &mut self.missing).await? {
                if here.is_elsewhere(&fetched.found.key) {
                    self.take_elsewhere(&fetched.found, &fetched.reason)?;
                }
            }
            self.take_by_rules(candidates, volumes)?;
        }
        Ok(())
    }

    /// Why an object is not in, if it is not.
    pub(super) fn why_left_out(&self, found: &Found) -> Result<Option<&'static str>, DiscoverError> {
        if self.unmanaged.reason(&found.key).is_some() {
            return Ok(None);
        }
        if self.mounts.is_ephemeral(&found.key) {
            return Ok(Some(EPHEMERAL));
        }
        found.why_left_out()
    }

    pub(super) fn leave_out(&mut self, key: &ObjectKey, why: &str) {
        *self.left_out.entry(why.to_owned()).or_default() += 1;
        self.collector.leave_out(key, why);
    }

    fn take(&mut self, found: &Found, reason: &str, value: &Value) {
        if self.taken.insert(found.key.clone()) {
            self.learn(&found.key, value);
            self.collector.keep(found.captured(reason));
        }
    }

    /// Takes an object of a kind that is listed only once.
    pub(super) fn take_once(&mut self, found: Found, reason: String, value: &Value) {
        self.learn(&found.key, value);
        self.collector.keep(found.into_captured(reason));
    }

    fn learn(&mut self, key: &ObjectKey, value: &Value) {
        self.objects += 1;
        self.cluster_scoped_objects += u64::from(key.is_cluster_scoped());
        self.facts.learn(key, value);
        self.demands.note(key, value);
    }

    pub(super) fn finish(self, inventory: &mut Inventory) {
        inventory.objects = self.objects;
        inventory.cluster_scoped_objects = self.cluster_scoped_objects;
        inventory.left_out = self.left_out;
        inventory.missing_references = self.missing;
    }
}
