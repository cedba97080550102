//! Reads lists of objects as far as checks need them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cluster::{Cluster, ClusterError};
use crate::model::{GroupKind, ServedKinds};

/// What names an object and what is said on it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// A condition of an object's status.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

/// All objects of a kind, wherever they are; none when it is not served. What cannot be read is left out.
pub(super) async fn all<T: DeserializeOwned>(
    cluster: &Cluster,
    served: &ServedKinds,
    kind: GroupKind,
) -> Result<Vec<T>, ClusterError> {
    let Some(kind) = served.find(kind) else { return Ok(Vec::new()) };
    let texts = cluster.list(kind, None, None).await?;
    Ok(texts.iter().filter_map(|text| serde_json::from_str(&text.json).ok()).collect())
}
