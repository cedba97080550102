//! Who keeps whom out of a store, and the signs of life by which that is known.

use std::fmt;

/// What a run does to the data of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreLockKind {
    /// It writes a backup, and relies on the pieces that are there.
    Use,
    /// It removes pieces.
    Prune,
}

impl StoreLockKind {
    /// How it is spelt in the name of a sign.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Prune => "prune",
        }
    }

    /// Whether two runs keep each other out: all but two that only add.
    pub fn conflicts_with(self, other: Self) -> bool {
        self == Self::Prune || other == Self::Prune
    }
}

impl fmt::Display for StoreLockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A sign of life of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreSign {
    /// What the run does.
    pub kind: StoreLockKind,
    /// Name of the run, different from all others: letters, digits and `-`.
    pub run: String,
    /// Which of its signs: each is greater than the former.
    pub sequence: u64,
}

#[cfg(test)]
mod tests {
    use super::StoreLockKind::{Prune, Use};

    #[test]
    fn only_those_that_add_go_together() {
        assert!(!Use.conflicts_with(Use));
        assert!(Use.conflicts_with(Prune) && Prune.conflicts_with(Use) && Prune.conflicts_with(Prune));
    }
}
