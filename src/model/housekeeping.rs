//! What a run did beside its own work: for runs that died before it, and to tell how it ended.

use serde::Serialize;

use super::Problem;

/// What a run did beside its own work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Housekeeping {
    /// Holder of the run lock that died with it; this run took the lock over.
    pub took_over: Option<String>,
    /// Snapshot objects of dead runs whose deletion was asked for, as `Kind namespace/name`.
    pub swept: Vec<String>,
    /// What of this could not be done.
    pub problems: Vec<Problem>,
}

impl Housekeeping {
    /// Adds what was done at another time of the same run.
    pub fn extend(&mut self, other: Self) {
        self.took_over = self.took_over.take().or(other.took_over);
        self.swept.extend(other.swept);
        self.problems.extend(other.problems);
    }
}
