//! Holds the barriers of the restore order: waits for what the next stage needs, each with its own deadline.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError};
use crate::model::{Event, GroupKind, ObjectKey, Reporter, Timeouts};
use crate::order::Barrier;
use crate::plan::RestorePlan;
use crate::sanitise::RestorableManifest;
use crate::scope::INSTANCE_KINDS;

/// A barrier could not be held: going on would make what cannot be undone.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// The cluster could not be asked.
    #[error("wait for {object}")]
    Ask {
        /// What was asked about.
        object: String,
        /// Why not.
        #[source]
        source: ClusterError,
    },
    /// Our deadline came first.
    #[error("{object} was not ready after {after_seconds} s: {state}")]
    TimedOut {
        /// What was waited for.
        object: String,
        /// The deadline in seconds.
        after_seconds: u64,
        /// What was last known of it.
        state: String,
    },
}

/// Waits with one deadline, telling what it waits for.
pub(crate) struct Watch<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) reporter: &'a dyn Reporter,
}

/// What a look at something awaited gave.
pub(crate) enum Look<T> {
    Done(T),
    /// Not yet; what is known of it.
    Not(String),
}

impl Watch<'_> {
    /// Looks until it is done or the deadline has come.
    pub(crate) async fn until<T>(
        &self,
        object: &str,
        deadline: Duration,
        mut look: impl AsyncFnMut() -> Result<Look<T>, ClusterError>,
    ) -> Result<T, BarrierError> {
        let begun = Instant::now();
        let mut told = Duration::ZERO;
        loop {
            let asked = look().await.map_err(|source| BarrierError::Ask { object: object.to_owned(), source })?;
            let state = match asked {
                Look::Done(done) => return Ok(done),
                Look::Not(state) => state,
            };
            if begun.elapsed() >= deadline {
                let after_seconds = deadline.as_secs();
                return Err(BarrierError::TimedOut { object: object.to_owned(), after_seconds, state });
            }
            if begun.elapsed() >= told + Duration::from_secs(5) {
                told = begun.elapsed();
                let event = Event::Waiting { on: object.to_owned(), state, for_seconds: told.as_secs() };
                self.reporter.event(&event);
            }
            tokio::time::sleep(self.timeouts.pause(begun.elapsed())).await;
        }
    }

    async fn value(&self, key: &ObjectKey, api_version: &str) -> Result<Option<Value>, ClusterError> {
        let text = self.cluster.get(key, api_version).await?;
        Ok(text.map(|text| serde_json::from_str(&text).unwrap_or_default()))
    }

    /// Holds a barrier over the objects of a plan.
    ///
    /// # Errors
    /// When the deadline came first or the cluster could not be asked.
    pub(crate) async fn hold(&self, barrier: Barrier, plan: &RestorePlan) -> Result<(), BarrierError> {
        match barrier {
            Barrier::None => Ok(()),
            Barrier::NamespacesActive => self.namespaces_active(plan).await,
            Barrier::Established => self.established(plan).await,
            Barrier::SnapshotsReady => self.snapshots_ready(plan).await,
            Barrier::ClaimsUsable => self.claims_usable(plan).await,
            Barrier::EndpointsReady => self.endpoints_ready(plan).await,
            Barrier::InstancesReady => self.instances_ready(plan).await,
        }
    }

    async fn namespaces_active(&self, plan: &RestorePlan) -> Result<(), BarrierError> {
        for manifest in of_kind(plan, GroupKind("", "Namespace")) {
            self.until(&manifest.key().to_string(), self.timeouts.established, async || {
                let namespace = self.value(manifest.key(), manifest.api_version()).await?.unwrap_or_default();
                let phase = text(&namespace, "/status/phase").unwrap_or("unknown");
                Ok(if phase == "Active" { Look::Done(()) } else { Look::Not(format!("phase {phase}")) })
            })
            .await?;
        }
        Ok(())
    }

    async fn established(&self, plan: &RestorePlan) -> Result<(), BarrierError> {
        let wanted: BTreeSet<(String, String)> =
            of_kind(plan, GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"))
                .filter_map(|manifest| {
                    let definition: Value = serde_json::from_str(manifest.json()).ok()?;
                    Some((
                        text(&definition, "/spec/group")?.to_owned(),
                        text(&definition, "/spec/names/kind")?.to_owned(),
                    ))
                })
                .collect();
        self.until("CustomResourceDefinitions", self.timeouts.established, async || {
            let served = self.cluster.served_kinds().await?;
            let is_served = |(group, kind): &&(String, String)| {
                served.kinds.iter().any(|row| &row.group == group && &row.kind == kind)
            };
            let missing: Vec<&str> =
                wanted.iter().filter(|row| !is_served(row)).map(|(_, kind)| kind.as_str()).collect();
            Ok(if missing.is_empty() {
                Look::Done(())
            } else {
                Look::Not(format!("not served yet: {}", missing.join(", ")))
            })
        })
        .await
    }

    async fn snapshots_ready(&self, plan: &RestorePlan) -> Result<(), BarrierError> {
        let snapshots = plan.transient.iter().filter(|key| key.kind == "VolumeSnapshot");
        for key in snapshots {
            self.until(&key.to_string(), self.timeouts.snapshot_ready, async || {
                let snapshot = self.value(key, crate::names::SNAPSHOT_API).await?.unwrap_or_default();
                let ready = snapshot.pointer("/status/readyToUse") == Some(&Value::Bool(true));
                let error = text(&snapshot, "/status/error/message");
                Ok(if ready {
                    Look::Done(())
                } else {
                    Look::Not(
                        error.map_or_else(
                            || "not ready to use yet".to_owned(),
                            |error| format!("status.error: {error}"),
                        ),
                    )
                })
            })
            .await?;
        }
        Ok(())
    }

    /// With WaitForFirstConsumer a claim stays Pending until a pod uses it: waiting for Bound would never end.
    async fn claims_usable(&self, plan: &RestorePlan) -> Result<(), BarrierError> {
        for manifest in of_kind(plan, GroupKind("", "PersistentVolumeClaim")) {
            let claim: Value = serde_json::from_str(manifest.json()).unwrap_or_default();
            let class = text(&claim, "/spec/storageClassName").unwrap_or_default();
            let class = ObjectKey::cluster_scoped("storage.k8s.io", "StorageClass", "storageclasses", class);
            self.until(&manifest.key().to_string(), self.timeouts.instance_ready, async || {
                let claim = self.value(manifest.key(), manifest.api_version()).await?.unwrap_or_default();
                let class = self.value(&class, "storage.k8s.io/v1").await?.unwrap_or_default();
                let waits_for_a_pod = text(&class, "/volumeBindingMode") == Some("WaitForFirstConsumer");
                let phase = text(&claim, "/status/phase").unwrap_or("unknown");
                let usable = phase == "Bound" || phase == "Pending" && waits_for_a_pod;
                Ok(if usable { Look::Done(()) } else { Look::Not(format!("phase {phase}")) })
            })
            .await?;
        }
        Ok(())
    }

    /// A webhook without endpoints refuses what it should check, so its configuration waits for them.
    async fn endpoints_ready(&self, plan: &RestorePlan) -> Result<(), BarrierError> {
        let Some(kind) = self.slices().await? else { return Ok(()) };
        for (namespace, service) in services(plan) {
            let selector = format!("kubernetes.io/service-name={service}");
            let object = format!("Service {namespace}/{service}");
            self.until(&object, self.timeouts.instance_ready, async || {
                let slices = self.cluster.list(&kind, Some(&namespace), Some(&selector)).await?;
                let ready = slices.iter().any(|slice| {
                    let slice: Value = serde_json::from_str(&slice.json).unwrap_or_default();
                    let endpoints = slice.pointer("/endpoints").and_then(Value::as_array);
                    endpoints.into_iter().flatten().any(|e| e.pointer("/conditions/ready") == Some(&Value::Bool(true)))
                });
                Ok(if ready { Look::Done(()) } else { Look::Not("no ready endpoint".to_owned()) })
            })
            .await?;
        }
        Ok(())
    }

    async fn slices(&self) -> Result<Option<crate::model::ServedKind>, BarrierError> {
        let served = self.cluster.served_kinds().await;
        let served = served.map_err(|source| BarrierError::Ask { object: "the kinds served".to_owned(), source })?;
        Ok(served.find(GroupKind("discovery.k8s.io", "EndpointSlice")).cloned())
    }

    async fn instances_ready(&self, plan: &RestorePlan) -> Result<(), BarrierError> {
        for manifest in INSTANCE_KINDS.iter().flat_map(|kind| of_kind(plan, *kind)) {
            self.until(&manifest.key().to_string(), self.timeouts.instance_ready, async || {
                let resource = self.cluster.get(manifest.key(), manifest.api_version()).await?;
                let resource: Instance = resource.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
                Ok(resource.look())
            })
            .await?;
        }
        Ok(())
    }
}

/// Conditions of an instance (prometheus-operator `pkg/apis/monitoring/v1/types.go`).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Instance {
    metadata: InstanceMetadata,
    spec: InstanceSpec,
    status: InstanceStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InstanceMetadata {
    generation: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InstanceSpec {
    paused: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InstanceStatus {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
    observed_generation: i64,
}

impl Instance {
    fn look(&self) -> Look<()> {
        if self.spec.paused {
            // The operator does nothing about a paused resource: there is nothing to wait for.
            return Look::Done(());
        }
        for wanted in ["Reconciled", "Available"] {
            let found = self.status.conditions.iter().find(|condition| condition.r#type == wanted);
            let Some(condition) = found else { return Look::Not(format!("the operator has not set {wanted} yet")) };
            if condition.status != "True" || condition.observed_generation < self.metadata.generation {
                let why = [condition.reason.as_str(), condition.message.as_str()];
                let why = why.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
                let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
                return Look::Not(format!("{wanted} is {}{why}", condition.status));
            }
        }
        Look::Done(())
    }
}

fn of_kind(plan: &RestorePlan, kind: GroupKind) -> impl Iterator<Item = &RestorableManifest> {
    plan.steps().map(|step| &step.manifest).filter(move |manifest| manifest.key().is(kind))
}

/// `(namespace, name)` of the Services that webhook configurations and APIServices of a plan name.
fn services(plan: &RestorePlan) -> BTreeSet<(String, String)> {
    let mut services = BTreeSet::new();
    let groups = ["admissionregistration.k8s.io", "apiregistration.k8s.io"];
    for manifest in plan.steps().map(|step| &step.manifest).filter(|m| groups.contains(&m.key().group.as_str())) {
        let value: Value = serde_json::from_str(manifest.json()).unwrap_or_default();
        let webhooks = value.pointer("/webhooks").and_then(Value::as_array).into_iter().flatten();
        let named = webhooks.filter_map(|w| w.pointer("/clientConfig/service")).chain(value.pointer("/spec/service"));
        for service in named {
            if let (Some(namespace), Some(name)) = (text(service, "/namespace"), text(service, "/name")) {
                services.insert((namespace.to_owned(), name.to_owned()));
            }
        }
    }
    services
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(status: &Value) -> Option<String> {
        let instance: Instance =
            serde_json::from_value(json!({"metadata": {"generation": 2}, "status": status})).unwrap();
        match instance.look() {
            Look::Done(()) => None,
            Look::Not(state) => Some(state),
        }
    }

    #[test]
    fn instance_is_ready_only_when_this_generation_is() {
        let condition = |kind: &str, status: &str, generation: i64| json!({"type": kind, "status": status, "reason": "R", "observedGeneration": generation});
        assert!(state(&json!({})).unwrap().contains("not set Reconciled"));
        assert_eq!(
            state(&json!({"conditions": [condition("Reconciled", "True", 2), condition("Available", "True", 2)]})),
            None
        );
        let stale = json!({"conditions": [condition("Reconciled", "True", 1), condition("Available", "True", 2)]});
        assert!(state(&stale).is_some());
        let degraded =
            json!({"conditions": [condition("Reconciled", "True", 2), condition("Available", "Degraded", 2)]});
        assert_eq!(state(&degraded).unwrap(), "Available is Degraded (R)");
    }
}
