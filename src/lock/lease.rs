//! A Lease as far as the run lock needs it, and how it is read and written. Every write names the version it is for.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::LockError;
use crate::cluster::{Cluster, ClusterError};
use crate::model::ObjectKey;
use crate::names::LEASE_API;

/// How often a lock that is given back may change under our hands.
const ATTEMPTS: usize = 3;

/// A `coordination.k8s.io/v1` Lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Lease {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) resource_version: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    pub(super) acquire_time: Option<Timestamp>,
    pub(super) renew_time: Option<Timestamp>,
}

impl Lease {
    /// A lock of this holder.
    pub(super) fn new(holder: &str, duration: Duration, now: Timestamp) -> Self {
        let spec = Spec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(duration.as_secs().max(1)),
            acquire_time: Some(now),
            renew_time: Some(now),
        };
        Self { metadata: Metadata::default(), spec }
    }

    /// The whole object.
    pub(super) fn to_json(&self, key: &ObjectKey) -> String {
        json!({
            "apiVersion": LEASE_API,
            "kind": key.kind,
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "labels": {"app.kubernetes.io/managed-by": "promsafe"},
            },
            "spec": self.spec.to_value(),
        })
        .to_string()
    }
}

impl Spec {
    /// Who holds it; `None` when nobody does.
    pub(super) fn holder(&self) -> Option<&str> {
        self.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// After how long without renewal its holder is dead.
    pub(super) fn duration(&self, otherwise: Duration) -> Duration {
        self.lease_duration_seconds.map_or(otherwise, Duration::from_secs)
    }

    /// Whether its last renewal lies further away than its duration, in the past or in the future.
    pub(super) fn looks_old(&self, now: Timestamp, otherwise: Duration) -> bool {
        self.renew_time.is_none_or(|at| now.duration_since(at).unsigned_abs() > self.duration(otherwise))
    }

    fn to_value(&self) -> Value {
        json!({
            "holderIdentity": self.holder_identity,
            "leaseDurationSeconds": self.lease_duration_seconds,
            "acquireTime": self.acquire_time.map(micro_time),
            "renewTime": self.renew_time.map(micro_time),
        })
    }
}

/// A `MicroTime`, which has exactly six digits (apimachinery `pkg/apis/meta/v1/micro_time.go`).
pub(super) fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// A time for people.
pub(super) fn utc(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "unknown".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

pub(super) fn understand(key: &ObjectKey, json: &str) -> Result<Lease, LockError> {
    serde_json::from_str(json).map_err(|source| LockError::Understand { lease: key.to_string(), source })
}

pub(super) async fn read(cluster: &Cluster, key: &ObjectKey) -> Result<Option<Lease>, LockError> {
    let json = cluster.get(key, LEASE_API).await.map_err(|source| LockError::Ask { tried: "read", source })?;
    json.map(|json| understand(key, &json)).transpose()
}

/// Writes this lock over the one that was found; `None` when that one has changed meanwhile.
pub(super) async fn replace(
    cluster: &Cluster,
    key: &ObjectKey,
    found: &Lease,
    new: &Lease,
) -> Result<Option<Lease>, LockError> {
    patch(cluster, key, &found.metadata.resource_version, new.spec.to_value(), "take").await
}

/// Renews the lock of this version; `None` when it has changed meanwhile.
pub(super) async fn renew(
    cluster: &Cluster,
    key: &ObjectKey,
    version: &str,
    now: Timestamp,
) -> Result<Option<Lease>, LockError> {
    patch(cluster, key, version, json!({"renewTime": micro_time(now)}), "renew").await
}

/// Empties the lock if it is still this holder's.
pub(super) async fn give_back(cluster: &Cluster, key: &ObjectKey, holder: &str) -> Result<(), LockError> {
    for _ in 0..ATTEMPTS {
        let found = read(cluster, key).await?.filter(|found| found.spec.holder() == Some(holder));
        let Some(found) = found else { break };
        let nobody = json!({"holderIdentity": ""});
        if patch(cluster, key, &found.metadata.resource_version, nobody, "give back").await?.is_some() {
            break;
        }
    }
    Ok(())
}

async fn patch(
    cluster: &Cluster,
    key: &ObjectKey,
    version: &str,
    spec: Value,
    tried: &'static str,
) -> Result<Option<Lease>, LockError> {
    let patch = json!({"metadata": {"resourceVersion": version}, "spec": spec});
    match cluster.merge_patch(key, LEASE_API, &patch).await {
        Ok(json) => understand(key, &json).map(Some),
        Err(ClusterError::Conflict { .. } | ClusterError::NotFound { .. }) => Ok(None),
        Err(source) => Err(LockError::Ask { tried, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_digits() {
        for (at, spelt) in [
            ("2026-11-21T13:00:00Z", "2026-11-21T13:00:00.000000Z"),
            ("2026-11-21T13:00:00.123456789Z", "2026-11-21T13:00:00.123456Z"),
        ] {
            assert_eq!(micro_time(at.parse().unwrap()), spelt);
        }
    }

    #[test]
    fn lock_of_another_clock_looks_old_in_both_directions() {
        let now: Timestamp = "2026-11-21T13:00:00Z".parse().unwrap();
        let duration = Duration::from_secs(30);
        for (renewed, old) in [
            ("2026-11-21T12:59:45Z", false),
            ("2026-11-21T13:00:20Z", false),
            ("2026-11-21T12:59:00Z", true),
            ("2026-11-21T14:00:00Z", true),
        ] {
            let lease = Lease::new("somebody", duration, renewed.parse().unwrap());
            assert_eq!(lease.spec.looks_old(now, duration), old, "{renewed}");
        }
        assert!(Spec::default().looks_old(now, duration));
    }

    #[test]
    fn empty_holder_is_nobody() {
        let spec = Spec { holder_identity: Some(String::new()), ..Spec::default() };
        assert_eq!((spec.holder(), Spec::default().holder()), (None, None));
    }
}
