//! `promsafe backup`

use std::time::Duration;

use jiff::Timestamp;

use super::options::{ClusterOptions, StoreArgs, duration, output_format, unique};
use super::run_lock::{LockArgs, under};
use super::store_lock::{StoreLockArgs, under_store_lock};
use super::telemetry::MetricsArgs;
use super::termination::TerminationLog;
use super::workers::{Volumes, WorkerArgs};
use super::{Exit, Failure, interrupted, print};
use crate::backup::{BackupError, BackupOutcome, BackupRequest, MissingReferences, backup};
use crate::copy::Reading;
use crate::discover::Scope;
use crate::lock::RunLock;
use crate::metrics::{self, Sample};
use crate::model::{BackupId, Reporter, StoreLockKind, Timeouts};
use crate::report::{OutputFormat, backed_up};
use crate::store::{Store, StoreLock};
use crate::worker::WorkerSettings;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Back up only this namespace; may be repeated [default: all that run Prometheus or its operator]
    #[arg(short, long, env = "PROMSAFE_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    namespace: Vec<String>,
    /// What to save of volumes
    #[arg(long, env = "PROMSAFE_VOLUMES", value_enum, default_value = "snapshot")]
    volumes: Volumes,
    /// Go on when something that a saved object needs is not there; the backup then says what
    #[arg(long, env = "PROMSAFE_ALLOW_MISSING")]
    allow_missing: bool,
    /// Read all blocks again, also those that an earlier copy holds
    #[arg(long, env = "PROMSAFE_REREAD")]
    reread: bool,
    /// How long to wait for a VolumeSnapshot, such as 90s or 10m
    #[arg(long, env = "PROMSAFE_SNAPSHOT_TIMEOUT", value_parser = duration, default_value = "10m", value_name = "TIME")]
    snapshot_timeout: Duration,
    /// How to print the result; with json, progress on stderr is JSON lines too
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    pub(super) termination: TerminationLog,
    #[command(flatten)]
    workers: WorkerArgs,
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    store_lock: StoreLockArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let telemetry = args.metrics.begin("backup", args.store.ca_file())?;
    let reporter = args.output.reporter();
    let taken = take(args, reporter.as_ref()).await;
    let (ended, measured) = match &taken {
        Ok((outcome, _)) => (exit(outcome), metrics::of_backup(&outcome.record)),
        Err(failure) => (failure.exit(), unsaved(failure)),
    };
    let problems = telemetry.end(ended, measured, reporter.as_ref()).await;
    let (mut outcome, url) = taken?;
    outcome.housekeeping.problems.extend(problems);
    args.termination.tell(exit(&outcome), &backed_up(&outcome, &url, OutputFormat::Table)?, args.output);
    print(&backed_up(&outcome, &url, args.output)?)?;
    Ok(exit(&outcome))
}

/// Takes the backup under the run lock; with the URL of its store.
async fn take(args: &Args, reporter: &dyn Reporter) -> Result<(BackupOutcome, String), Failure> {
    let timeouts = Timeouts { snapshot_ready: args.snapshot_timeout, ..Timeouts::default() };
    let started_at = Timestamp::now();
    let id = BackupId::new(started_at, unique());
    let cluster = args.cluster.connect(&timeouts).await?;
    let store = args.store.open(&timeouts).await?;
    let lock = args.lock.acquire(&cluster, &format!("backup {id}"), &timeouts, reporter).await?;
    let request = BackupRequest {
        id,
        started_at,
        scope: Scope { namespaces: args.namespace.clone() },
        mode: args.volumes.mode(),
        workers: WorkerSettings {
            reading: if args.reread { Reading::Everything } else { Reading::OnlyNew },
            ..args.workers.settings()
        },
        missing: if args.allow_missing { MissingReferences::Allow } else { MissingReferences::Refuse },
        locked_since: lock.as_ref().map(RunLock::held_since),
    };
    let run = Box::pin(under_lock_of_store(args, &store, &request, reporter, async |use_of_store| {
        let run = backup(&cluster, &store, &request, &timeouts, reporter, use_of_store, interrupted());
        Box::pin(run).await.map_err(Failure::from)
    }));
    let (mut outcome, housekeeping) = under(lock, reporter, run).await?;
    outcome.housekeeping.extend(housekeeping);
    Ok((outcome, store.url().to_string()))
}

/// Runs a backup that copies with the lock of the store: what it finds there must not be pruned before its record refers
/// to it.
async fn under_lock_of_store(
    args: &Args,
    store: &Store,
    request: &BackupRequest,
    reporter: &dyn Reporter,
    run: impl AsyncFn(Option<&StoreLock<'_>>) -> Result<BackupOutcome, Failure>,
) -> Result<BackupOutcome, Failure> {
    if !request.mode.copies() {
        return run(None).await;
    }
    let doing = format!("backup {}", request.id);
    let run = async |lock: &StoreLock<'_>| run(Some(lock)).await;
    let locked = under_store_lock(&args.store_lock, store, StoreLockKind::Use, &doing, reporter, run).await?;
    let (mut outcome, housekeeping) = locked;
    outcome.housekeeping.extend(housekeeping);
    Ok(outcome)
}

fn exit(outcome: &BackupOutcome) -> Exit {
    let problems = outcome.problems.len() + outcome.housekeeping.problems.len();
    if problems == 0 { Exit::Done } else { Exit::Problems }
}

/// Volumes because of which there is no backup, as far as that is known.
fn unsaved(failure: &Failure) -> Vec<Sample> {
    match failure {
        Failure::Backup(BackupError::Refused(refusals)) => {
            let volumes = refusals.iter().filter(|refusal| refusal.object.starts_with("PersistentVolumeClaim "));
            metrics::of_refused_backup(volumes.count())
        }
        _ => Vec::new(),
    }
}
