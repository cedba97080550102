//! Who takes what discovery finds.

use super::{CapturedManifest, ObjectKey};

/// Takes what discovery finds, one object at a time: nobody need hold all of a large cluster at once.
pub trait Collector: Send {
    /// Takes an object that belongs to the backup. Every object comes once.
    fn keep(&mut self, manifest: CapturedManifest);

    /// Takes note of an object that was looked at and does not belong, and why.
    fn leave_out(&mut self, key: &ObjectKey, because: &str);
}

/// Takes no object, only what was decided about each.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// What is in, with the reason.
    pub kept: Vec<(ObjectKey, String)>,
    /// What was looked at and is out, with the reason.
    pub left_out: Vec<(ObjectKey, String)>,
}

impl Collector for Decisions {
    fn keep(&mut self, manifest: CapturedManifest) {
        self.kept.push((manifest.key, manifest.reason));
    }

    fn leave_out(&mut self, key: &ObjectKey, because: &str) {
        self.left_out.push((key.clone(), because.to_owned()));
    }
}
