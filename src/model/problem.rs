//! What went wrong without stopping the run, and what keeps a run from starting.

use serde::{Deserialize, Serialize};

/// One thing that failed while the run went on. Pipelines return problems; events only show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The object, as `Kind namespace/name`.
    pub object: String,
    /// What was tried, such as `create`.
    pub tried: String,
    /// Why it failed, in the words of the one who refused.
    pub cause: String,
    /// What to type or do next.
    pub hint: String,
}

impl Problem {
    /// It on one line, without what to do.
    pub fn in_words(&self) -> String {
        let Self { object, tried, cause, .. } = self;
        format!("{tried} {object}: {cause}")
    }
}

/// A reason why a run does not start. Nothing has been changed when one is returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The object, as `Kind namespace/name`.
    pub object: String,
    /// What stands in the way.
    pub why: String,
    /// What to type or do about it.
    pub fix: String,
}
