//! What checks need to know of the captured objects; the objects themselves are not kept.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::gitops;
use super::listing::Metadata;
use crate::model::{CapturedManifest, Collector, GroupKind, ObjectKey};

/// Takes note of what belongs to a backup.
#[derive(Default)]
pub(super) struct Noted {
    /// Every object.
    pub(super) keys: Vec<ObjectKey>,
    /// Names and marks of those that another tool may own.
    pub(super) marked: Vec<Metadata>,
    /// Volume mode and access modes (`Filesystem, ReadWriteOnce`) by `namespace/claim`.
    pub(super) modes: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Claim {
    spec: ClaimSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    access_modes: Vec<String>,
    volume_mode: Option<String>,
}

impl Collector for Noted {
    fn keep(&mut self, manifest: CapturedManifest) {
        let read: Object = serde_json::from_str(&manifest.json).unwrap_or_default();
        if gitops::may_be_owned(&read.metadata) {
            self.marked.push(read.metadata);
        }
        if manifest.key.is(GroupKind("", "PersistentVolumeClaim")) {
            let Claim { spec } = serde_json::from_str(&manifest.json).unwrap_or_default();
            let mode = spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned());
            self.modes.insert(manifest.key.qualified_name(), format!("{mode}, {}", spec.access_modes.join(" ")));
        }
        self.keys.push(manifest.key);
    }

    fn leave_out(&mut self, _key: &ObjectKey, _because: &str) {}
}
