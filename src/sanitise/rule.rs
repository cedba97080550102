//! What a row of the table is. Knows no kind and no field.

use serde_json::{Map, Value};

use crate::model::{GroupKind, ObjectKey};

/// For which kinds a row holds.
#[derive(Debug, Clone, Copy)]
pub enum Kinds {
    /// For every kind, custom resources included.
    Every,
    /// For these only.
    Only(&'static [GroupKind]),
}

impl Kinds {
    /// Whether the object is of one of these kinds.
    pub fn include(self, key: &ObjectKey) -> bool {
        match self {
            Self::Every => true,
            Self::Only(kinds) => kinds.iter().any(|kind| key.is(*kind)),
        }
    }
}

/// One row: what is taken away, and why. `docs/restore-order.md` is printed from the rows.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The kinds it holds for.
    pub kinds: Kinds,
    /// What is taken away, in the words of Kubernetes.
    pub what: &'static str,
    /// Why, with the one who writes it.
    pub because: &'static str,
    /// Takes it away. Total, and a second time it changes nothing.
    pub(super) strip: fn(&mut Map<String, Value>),
}
