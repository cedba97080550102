//! An object as the API server served it.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ObjectKey;

/// JSON as served, with the reason why it belongs to the backup. The text is kept, not a parsed tree: custom resource
/// definitions take ten times their text as a tree, and no field may be lost by a trip through types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedManifest {
    /// Which object it is.
    pub key: ObjectKey,
    /// Why it is in the backup, in words for the reader.
    pub reason: String,
    /// One JSON object, as served.
    pub json: Box<str>,
}

impl CapturedManifest {
    /// The JSON as a tree.
    ///
    /// # Errors
    /// When the text is no JSON; cannot happen to what the API server served, can to a damaged file.
    pub fn value(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(&self.json)
    }

    /// The JSON read into a type that picks the fields it wants. Never for writing back.
    ///
    /// # Errors
    /// When a picked field has another type.
    pub fn pick<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.json)
    }
}
