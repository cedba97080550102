//! What is stripped from a captured manifest before it can be created again, as a table kind → rules.
//!
//! Knows what the API server and the controllers write by themselves. The same rules make the text of a saved object
//! and of a live one, so equal texts mean that a restore has nothing to do. Must not know the plan, the cluster or the
//! store; the loop over the table names no kind.

mod claim;
mod definition;
mod difference;
mod fields;
mod metadata;
mod monitoring;
mod namespace;
mod pod;
mod role;
mod rule;
mod secret;
mod service;
mod service_account;
mod webhook;
mod workload;

use std::fmt;

use serde_json::{Map, Value};

use crate::model::{CapturedManifest, ObjectKey};

pub use difference::differing_fields;
pub use rule::{Kinds, Rule};

/// The table: rows of one file stay together. [`metadata`] is last because other rows read what it takes away.
const TABLE: &[&[Rule]] = &[
    namespace::RULES,
    service_account::RULES,
    role::RULES,
    secret::RULES,
    service::RULES,
    claim::RULES,
    definition::RULES,
    webhook::RULES,
    monitoring::RULES,
    pod::RULES,
    workload::RULES,
    metadata::RULES,
];

/// Every row of the table, in the order in which they are applied.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    TABLE.iter().copied().flatten()
}

/// A manifest fit to be created. Sanitising is the only way from a captured manifest to it, and the writer takes
/// nothing else. Its text is canonical: keys are sorted, no white space, so equal objects have equal texts.
#[derive(Clone, PartialEq, Eq)]
pub struct RestorableManifest {
    key: ObjectKey,
    api_version: String,
    json: Box<str>,
}

/// A captured manifest that cannot be read: a damaged backup, never something an API server served.
#[derive(Debug, thiserror::Error)]
pub enum SanitiseError {
    /// The text is no JSON object.
    #[error("read the manifest of {object}")]
    ReadManifest {
        /// The object, as `Kind namespace/name`.
        object: String,
        /// Where the text breaks off.
        source: serde_json::Error,
    },
    /// The object does not say in which version it is written.
    #[error("find apiVersion in the manifest of {object}")]
    FindApiVersion {
        /// The object, as `Kind namespace/name`.
        object: String,
    },
}

impl RestorableManifest {
    /// Strips a captured manifest of all that the cluster wrote into it.
    ///
    /// # Errors
    /// When the text is no JSON object with an `apiVersion`.
    pub fn from_captured(captured: &CapturedManifest) -> Result<Self, SanitiseError> {
        let key = captured.key.clone();
        let mut object: Map<String, Value> = serde_json::from_str(&captured.json)
            .map_err(|source| SanitiseError::ReadManifest { object: key.to_string(), source })?;
        sanitise(&key, &mut object);
        match object.get("apiVersion").and_then(Value::as_str).map(str::to_owned) {
            Some(api_version) => Ok(Self::made(key, api_version, &Value::Object(object))),
            None => Err(SanitiseError::FindApiVersion { object: key.to_string() }),
        }
    }

    /// An object that promsafe makes itself, such as the content that binds a snapshot again. Taken as it is.
    pub fn made(key: ObjectKey, api_version: String, json: &Value) -> Self {
        Self { key, api_version, json: json.to_string().into_boxed_str() }
    }

    /// Which object it is.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The version it is written in, as manifests spell it: `v1`, `apps/v1`.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// The canonical text.
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// Without the text, which may hold a Secret.
impl fmt::Debug for RestorableManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestorableManifest")
            .field("key", &self.key)
            .field("api_version", &self.api_version)
            .finish_non_exhaustive()
    }
}

/// Applies every row that names the object's kind.
fn sanitise(key: &ObjectKey, object: &mut Map<String, Value>) {
    for rule in rules().filter(|rule| rule.kinds.include(key)) {
        (rule.strip)(object);
    }
}

#[cfg(test)]
mod tests;
