//! What the doctor says: checks with their verdicts. It knows no cluster and no store.

use serde::Serialize;

/// What a check is about; in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The API server and all that it serves.
    Cluster,
    /// The operator, and what runs Prometheus and its kin.
    Prometheus,
    /// What takes `VolumeSnapshot`s.
    Snapshots,
    /// Each claim of the captured namespaces.
    Claims,
    /// What promsafe may do.
    Permissions,
    /// Where backups are kept.
    Store,
    /// Whether Prometheus would keep what is restored.
    Retention,
    /// Who would undo a restore.
    Gitops,
    /// A scratch volume, snapshotted and read back.
    SnapshotTest,
}

impl Group {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "CLUSTER",
            Self::Prometheus => "PROMETHEUS",
            Self::Snapshots => "SNAPSHOTS",
            Self::Claims => "CLAIMS",
            Self::Permissions => "PERMISSIONS",
            Self::Store => "STORE",
            Self::Retention => "RETENTION",
            Self::Gitops => "GITOPS",
            Self::SnapshotTest => "SNAPSHOT TEST",
        }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// A backup or a restore works, with less than one would want.
    Warning,
    /// A backup or a restore would be refused or fail.
    Failed,
    /// Not looked at; the text says why.
    Skipped,
}

impl Verdict {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about.
    pub group: Group,
    /// How it came out.
    #[serde(rename = "result")]
    pub verdict: Verdict,
    /// What was seen, on one line.
    pub seen: String,
    /// What to type or do about it; `None` where nothing is to be done.
    pub hint: Option<String>,
}

impl Group {
    /// All is well.
    pub(super) fn ok(self, seen: impl Into<String>) -> Check {
        Check { group: self, verdict: Verdict::Ok, seen: seen.into(), hint: None }
    }

    /// Worse than one would want.
    pub(super) fn warning(self, seen: impl Into<String>, hint: impl Into<String>) -> Check {
        Check { group: self, verdict: Verdict::Warning, seen: seen.into(), hint: Some(hint.into()) }
    }

    /// A run would be refused or fail.
    pub(super) fn failed(self, seen: impl Into<String>, hint: impl Into<String>) -> Check {
        Check { group: self, verdict: Verdict::Failed, seen: seen.into(), hint: Some(hint.into()) }
    }

    /// Not looked at.
    pub(super) fn skipped(self, why: impl Into<String>) -> Check {
        Check { group: self, verdict: Verdict::Skipped, seen: why.into(), hint: None }
    }
}
