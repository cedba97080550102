//! THE table of exit codes, and what maps to which. README's table is a copy of it.

use crate::apply::{ApplyError, StageError};
use crate::backup::BackupError;
use crate::barrier::BarrierError;
use crate::cluster::ClusterError;
use crate::copies;
use crate::copy::CopyError;
use crate::copy_directory::CopyDirectoryError;
use crate::delete::DeleteError;
use crate::discover::DiscoverError;
use crate::doctor::{Diagnosis, Verdict};
use crate::explain::ExplainError;
use crate::extract::ExtractError;
use crate::fill::FillError;
use crate::fills;
use crate::lock::LockError;
use crate::prune::PruneError;
use crate::report::PrintError;
use crate::restore::RestoreError;
use crate::snapshots::SnapshotError;
use crate::store::{StoreError, StoreLockError};
use crate::tsdb::Grade;
use crate::verify::VerifyError;
use crate::worker::WorkerError;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// It was not done.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// It was done, with problems that are named.
    Problems = 3,
    /// It was refused before anything was changed.
    Refused = 4,
    /// There is no such complete backup.
    NoSuchBackup = 5,
    /// A backup or the data in it is damaged, or of a newer format.
    Damaged = 6,
    /// The cluster or the store does not answer, or takes no credentials.
    Unreachable = 7,
    /// Something waited for did not come in time.
    TimedOut = 8,
    /// Stopped by a signal.
    Interrupted = 130,
}

/// Every code with its meaning, for `--help` and README.
pub const CODES: &[(Exit, &str)] = &[
    (Exit::Done, "done"),
    (Exit::Failed, "failed"),
    (Exit::Usage, "wrong usage"),
    (Exit::Problems, "done, with problems that are named"),
    (Exit::Refused, "refused before anything was changed"),
    (Exit::NoSuchBackup, "no such complete backup"),
    (Exit::Damaged, "damaged backup or data, or a newer format"),
    (Exit::Unreachable, "cluster or store unreachable, or credentials not accepted"),
    (Exit::TimedOut, "timed out waiting"),
    (Exit::Interrupted, "interrupted"),
];

/// The end of every `--help`.
pub(super) fn help() -> String {
    let rows: Vec<String> = CODES.iter().map(|(code, meaning)| format!("  {:>3}  {meaning}", *code as u8)).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// `backup` failed.
    #[error("backup failed")]
    Backup(#[from] BackupError),
    /// `restore` failed.
    #[error("restore failed")]
    Restore(#[from] RestoreError),
    /// `copy` failed.
    #[error("copy failed")]
    Copy(#[from] CopyDirectoryError),
    /// `extract` failed.
    #[error("extract failed")]
    Extract(#[from] ExtractError),
    /// A volume could not be copied.
    #[error("copy the volume")]
    SaveVolume(#[from] CopyError),
    /// Prometheus would not start on what was brought back.
    #[error(
        "what was brought back is what was copied, and Prometheus would not start on it: {0}; --skip-damaged leaves that out"
    )]
    Unstartable(String),
    /// A volume could not be filled.
    #[error("fill the volume")]
    FillVolume(#[from] FillError),
    /// `discover` failed.
    #[error("discover failed")]
    Discover(#[from] DiscoverError),
    /// `explain` failed.
    #[error("explain failed")]
    Explain(#[from] ExplainError),
    /// `verify` could not look.
    #[error("verify failed")]
    Verify(#[from] VerifyError),
    /// `delete` failed.
    #[error("delete failed")]
    Delete(#[from] DeleteError),
    /// `prune` failed.
    #[error("prune failed")]
    Prune(#[from] PruneError),
    /// The lock of the store is not ours.
    #[error(transparent)]
    StoreLock(#[from] StoreLockError),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cluster could not be connected to.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The run lock is not ours.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The result could not be written to stdout.
    #[error("write the result")]
    Output(#[from] std::io::Error),
    /// The result could not be put into words.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// An option that cannot be used.
    #[error("{0}")]
    Option(String),
    /// Stopped by a signal.
    #[error("interrupted")]
    Interrupted,
}

/// Whether something may have been written when an error came: a 403 is a refusal only before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    Writing,
}

impl Failure {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Backup(error) => of_backup(error),
            Self::Restore(error) => of_restore(error),
            Self::Copy(error) => of_copy(error),
            Self::Extract(error) => of_extract(error),
            Self::SaveVolume(error) => of_engine_copy(error),
            Self::FillVolume(error) => of_engine_fill(error),
            Self::Discover(error) => of_discover(error),
            Self::Explain(error) => of_explain(error),
            Self::Verify(error) => of_verify(error),
            Self::Delete(DeleteError::Refused(_)) => Exit::Refused,
            Self::Unstartable(_) | Self::Prune(PruneError::Unreadable { .. }) => Exit::Damaged,
            Self::StoreLock(error) | Self::Prune(PruneError::Lock(error)) => of_store_lock(error),
            Self::Store(error) | Self::Delete(DeleteError::Store(error)) | Self::Prune(PruneError::Store(error)) => {
                of_store(error)
            }
            Self::Cluster(error) => of_cluster(error, Phase::Reading),
            Self::Lock(error) => of_lock(error),
            Self::Prune(PruneError::WriteMark(_)) | Self::Output(_) | Self::Print(_) => Exit::Failed,
            Self::Option(_) => Exit::Usage,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

fn of_backup(error: &BackupError) -> Exit {
    match error {
        BackupError::LookAt(error) => of_cluster(error, Phase::Reading),
        BackupError::Discover(error) => of_discover(error),
        BackupError::Preflight(error) => of_cluster(&error.source, Phase::Reading),
        BackupError::Refused(_) => Exit::Refused,
        BackupError::Snapshot(error) => of_snapshot(error),
        BackupError::Copy(copies::CopyError::Talk { source, .. }) => of_cluster(source, Phase::Writing),
        BackupError::Copy(copies::CopyError::Worker(error)) => of_worker(error),
        BackupError::Bundle(_) => Exit::Failed,
        BackupError::Copy(copies::CopyError::Earlier(error))
        | BackupError::Store(error)
        | BackupError::Seal { source: error, .. } => of_store(error),
        BackupError::UseStore(error) => of_store_lock(error),
        BackupError::Interrupted => Exit::Interrupted,
        BackupError::GaveUp { source, .. } => of_backup(source),
    }
}

fn of_restore(error: &RestoreError) -> Exit {
    match error {
        RestoreError::Open(error) => of_store(error),
        RestoreError::Refused(_) => Exit::Refused,
        RestoreError::Unpack { .. } | RestoreError::Rename { .. } | RestoreError::Plan(_) => Exit::Damaged,
        RestoreError::Survey(error) => of_cluster(&error.source, Phase::Reading),
        RestoreError::Preflight(error) => of_cluster(&error.source, Phase::Reading),
        RestoreError::Apply(ApplyError { source: StageError::Incomplete { .. }, .. }) => Exit::Failed,
        RestoreError::Apply(ApplyError { source: StageError::Barrier(source), .. }) | RestoreError::Release(source) => {
            of_barrier(source)
        }
        RestoreError::Apply(ApplyError { source: StageError::Fill(error), .. }) => match error {
            fills::FillError::Remove { .. } => Exit::Failed,
            fills::FillError::Worker(error) => of_worker(error),
            fills::FillError::Mark { source, .. } => of_cluster(source, Phase::Writing),
        },
        RestoreError::Interrupted => Exit::Interrupted,
    }
}

fn of_copy(error: &CopyDirectoryError) -> Exit {
    match error {
        CopyDirectoryError::Refused(_) => Exit::Refused,
        CopyDirectoryError::UseStore(error) | CopyDirectoryError::Seal { source: error, .. } => of_store(error),
        CopyDirectoryError::Copy { source, .. } => of_engine_copy(source),
        CopyDirectoryError::Lock(error) => of_store_lock(error),
    }
}

fn of_extract(error: &ExtractError) -> Exit {
    match error {
        ExtractError::Open(error) => of_store(error),
        ExtractError::Refused(_) => Exit::Refused,
        ExtractError::Fill { source, .. } => of_engine_fill(source),
    }
}

fn of_engine_copy(error: &CopyError) -> Exit {
    match error {
        CopyError::Store(error) => of_store(error),
        // Where it is asked for, it is a refusal by then.
        CopyError::Empty { .. } | CopyError::ReadDirectory { .. } | CopyError::MakeTree { .. } => Exit::Failed,
    }
}

fn of_engine_fill(error: &FillError) -> Exit {
    match error {
        FillError::Refused(_) => Exit::Refused,
        FillError::Read { source, .. } => of_store(source),
        FillError::ReadTree { .. } => Exit::Damaged,
        FillError::Write { .. } => Exit::Failed,
    }
}

/// A worker's own exit code counts, as far as it tells what to do.
fn of_worker(error: &WorkerError) -> Exit {
    match error {
        WorkerError::HandOver { source, .. } => of_store(source),
        WorkerError::Unreachable { .. } => Exit::Refused,
        WorkerError::Talk { source, .. } => of_cluster(source, Phase::Writing),
        WorkerError::Start { .. } | WorkerError::End { .. } => Exit::TimedOut,
        WorkerError::Work { exit_code, .. } => {
            let told = [Exit::NoSuchBackup, Exit::Damaged, Exit::Unreachable, Exit::TimedOut];
            told.into_iter().find(|exit| Some(*exit as i32) == *exit_code).unwrap_or(Exit::Failed)
        }
    }
}

fn of_explain(error: &ExplainError) -> Exit {
    match error {
        ExplainError::Discover(error) => of_discover(error),
        ExplainError::Store(error) => of_store(error),
        ExplainError::Unpack { .. } => Exit::Damaged,
        ExplainError::Unknown { .. } => Exit::Failed,
    }
}

/// Exit code of `doctor`: a half that could not be looked at before a check that failed.
pub(super) fn of_diagnosis(diagnosis: &Diagnosis) -> Exit {
    let cluster = diagnosis.no_cluster.as_ref().map(|error| of_cluster(error, Phase::Reading));
    let store = diagnosis.no_store.as_ref().map(of_store);
    match [cluster, store].contains(&Some(Exit::Unreachable)) {
        _ if diagnosis.interrupted => Exit::Interrupted,
        true => Exit::Unreachable,
        false if diagnosis.count(Verdict::Failed) > 0 => Exit::Refused,
        false => Exit::Done,
    }
}

fn of_verify(error: &VerifyError) -> Exit {
    match error {
        VerifyError::NoData { .. } | VerifyError::Read { .. } => Exit::Failed,
        VerifyError::Stopped => Exit::Interrupted,
    }
}

/// Exit code of what `verify` found.
pub(super) fn of_grade(grade: Grade) -> Exit {
    match grade {
        Grade::Ok | Grade::TornTail => Exit::Done,
        Grade::Degraded => Exit::Problems,
        Grade::Fatal => Exit::Damaged,
    }
}

fn of_lock(error: &LockError) -> Exit {
    match error {
        LockError::Held { .. } | LockError::Ask { source: ClusterError::NotFound { .. }, .. } => Exit::Refused,
        LockError::Ask { source, .. } => of_cluster(source, Phase::Reading),
        LockError::Understand { .. } | LockError::Lost { .. } => Exit::Failed,
        LockError::Renew { source: Some(source), .. } => match source.as_ref() {
            LockError::Ask { source, .. } => of_cluster(source, Phase::Writing),
            _ => Exit::Failed,
        },
        LockError::Renew { source: None, .. } => Exit::Unreachable,
    }
}

fn of_store_lock(error: &StoreLockError) -> Exit {
    match error {
        StoreLockError::Held { .. } => Exit::Refused,
        StoreLockError::Ask { source, .. } => of_store(source),
        StoreLockError::Lost { .. } => Exit::Failed,
        StoreLockError::Renew { .. } => Exit::Unreachable,
    }
}

fn of_discover(error: &DiscoverError) -> Exit {
    match error {
        DiscoverError::List { source, .. } => of_cluster(source, Phase::Reading),
        DiscoverError::Read { .. } => Exit::Failed,
        DiscoverError::NoSuchNamespace { .. } => Exit::Refused,
    }
}

fn of_snapshot(error: &SnapshotError) -> Exit {
    match error {
        SnapshotError::Talk { source, .. } => of_cluster(source, Phase::Writing),
        SnapshotError::Understand { .. } => Exit::Failed,
        SnapshotError::NotReady { .. } => Exit::TimedOut,
    }
}

fn of_barrier(error: &BarrierError) -> Exit {
    match error {
        BarrierError::Ask { source, .. } => of_cluster(source, Phase::Writing),
        BarrierError::TimedOut { .. } => Exit::TimedOut,
    }
}

fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::NoSuchBackup { .. } | StoreError::NoBackups { .. } | StoreError::Ambiguous { .. } => {
            Exit::NoSuchBackup
        }
        StoreError::Damaged { .. } | StoreError::NewerFormat { .. } => Exit::Damaged,
        StoreError::Unreachable { .. } | StoreError::AccessDenied { .. } | StoreError::NoSuchBucket { .. } => {
            Exit::Unreachable
        }
        StoreError::AlreadyExists { .. }
        | StoreError::Access { .. }
        | StoreError::NameFile(_)
        | StoreError::RecordDiffers { .. } => Exit::Failed,
        StoreError::Configure { .. } => Exit::Usage,
    }
}

fn of_cluster(error: &ClusterError, phase: Phase) -> Exit {
    match error {
        ClusterError::ReadKubeconfig { .. }
        | ClusterError::UseCredentials { .. }
        | ClusterError::Unreachable { .. }
        | ClusterError::TimedOut { .. }
        | ClusterError::Unauthorized { .. }
        | ClusterError::TooManyAttempts { .. } => Exit::Unreachable,
        ClusterError::Forbidden { .. } if phase == Phase::Reading => Exit::Refused,
        ClusterError::Forbidden { .. }
        | ClusterError::NamespaceTerminating { .. }
        | ClusterError::NotFound { .. }
        | ClusterError::Invalid { .. }
        | ClusterError::Conflict { .. }
        | ClusterError::Answered { .. }
        | ClusterError::ReadAnswer { .. }
        | ClusterError::BuildRequest { .. }
        | ClusterError::PodAnswered { .. }
        | ClusterError::UseLogin { .. }
        | ClusterError::Forward { .. } => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_help_once() {
        let help = help();
        let codes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 130];
        assert_eq!(CODES.iter().map(|(code, _)| *code as u8).collect::<Vec<_>>(), codes);
        assert!(codes.iter().all(|code| help.contains(&format!("{code}  "))));
    }

    #[test]
    fn readme_holds_the_same_table() {
        let readme = include_str!("../../README.md");
        for (code, meaning) in CODES {
            let row = format!("| {} | {meaning} |", *code as u8);
            assert!(readme.contains(&row), "README.md lacks the row {row}");
        }
    }
}
