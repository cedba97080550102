//! `promsafe restore`

use std::time::Duration;

use clap::ValueEnum;
use futures::TryFutureExt;

use super::options::{ClusterOptions, StoreArgs, duration, output_format, unique};
use super::run_lock::{LockArgs, under};
use super::telemetry::MetricsArgs;
use super::termination::TerminationLog;
use super::workers::WorkerArgs;
use super::{Exit, Failure, interrupted, print, until_interrupted};
use crate::fill::{Head, OnDamage};
use crate::metrics;
use crate::model::{Reporter, Timeouts};
use crate::plan::{ClusterScoped, Decision, RestoreRequest, VolumeSource};
use crate::report::{OutputFormat, planned, restored};
use crate::restore::{RestoreEnd, RestoreOutcome, Run, open, restore};
use crate::worker::{WorkerSettings, Workers};

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(super) struct Args {
    /// The backup: its id, a unique beginning of it, or latest
    #[arg(value_name = "ID", default_value = "latest")]
    backup: String,
    /// Restore only this namespace; may be repeated [default: all of the backup]
    #[arg(short, long, env = "PROMSAFE_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    namespace: Vec<String>,
    /// Create missing cluster-scoped objects too: definitions, roles, bindings, classes, webhooks
    #[arg(long, env = "PROMSAFE_INCLUDE_CLUSTER_SCOPED")]
    include_cluster_scoped: bool,
    /// Print what would be done and change nothing
    #[arg(long, env = "PROMSAFE_PLAN")]
    plan: bool,
    /// Where the data of volumes comes from
    #[arg(long, env = "PROMSAFE_FROM", value_enum, default_value = "auto")]
    from: From,
    /// Put claims of a storage class into another: OLD=NEW; may be repeated. Only copies fit into any class
    #[arg(long, env = "PROMSAFE_STORAGE_CLASS", value_parser = renaming, value_delimiter = ',', value_name = "OLD=NEW")]
    storage_class: Vec<(String, String)>,
    /// Of copies, bring back the blocks alone, without what Prometheus had not written to a block yet
    #[arg(long, env = "PROMSAFE_BLOCKS_ONLY")]
    blocks_only: bool,
    /// Of copies, leave out what is damaged, and name it, instead of failing
    #[arg(long, env = "PROMSAFE_SKIP_DAMAGED")]
    skip_damaged: bool,
    /// How long to wait for a VolumeSnapshot, such as 90s or 10m
    #[arg(long, env = "PROMSAFE_SNAPSHOT_TIMEOUT", value_parser = duration, default_value = "10m", value_name = "TIME")]
    snapshot_timeout: Duration,
    /// How long to wait for each instance to be available, such as 90s or 10m
    #[arg(long, env = "PROMSAFE_READY_TIMEOUT", value_parser = duration, default_value = "15m", value_name = "TIME")]
    ready_timeout: Duration,
    /// How long to wait for each Prometheus to give the answers it gave before, such as 90s or 10m
    #[arg(long, env = "PROMSAFE_PROOF_TIMEOUT", value_parser = duration, default_value = "2m", value_name = "TIME")]
    proof_timeout: Duration,
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
    metrics: MetricsArgs,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// The snapshot when there is one and its driver is in the cluster, else the copy
    Auto,
    /// Snapshots
    Snapshot,
    /// Copies in the store
    Copy,
}

/// Reads `OLD=NEW`.
fn renaming(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err(format!("{text:?} is not OLD=NEW")),
    }
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let telemetry = args.metrics.begin("restore", args.store.ca_file())?;
    let reporter = args.output.reporter();
    let end = bring_back(args, reporter.as_ref()).await;
    let mut problems = Vec::new();
    if !args.plan {
        let (ended, measured) = match &end {
            Ok(end) => (exit_of(end), metrics::of_restore(gap(end))),
            Err(failure) => (failure.exit(), Vec::new()),
        };
        problems = telemetry.end(ended, measured, reporter.as_ref()).await;
    }
    let mut end = end?;
    if let RestoreEnd::Done(outcome) = &mut end {
        outcome.housekeeping.problems.extend(problems);
    }
    let told = |output| match &end {
        RestoreEnd::Planned(plan) | RestoreEnd::Refused(plan) => planned(plan, output),
        RestoreEnd::Done(outcome) => restored(outcome, output),
    };
    args.termination.tell(exit_of(&end), &told(OutputFormat::Table)?, args.output);
    print(&told(args.output)?)?;
    Ok(exit_of(&end))
}

/// Plans, or restores under the run lock.
async fn bring_back(args: &Args, reporter: &dyn Reporter) -> Result<RestoreEnd, Failure> {
    let timeouts = Timeouts {
        snapshot_ready: args.snapshot_timeout,
        instance_ready: args.ready_timeout,
        prometheus_answer: args.proof_timeout,
        ..Timeouts::default()
    };
    let request = RestoreRequest {
        cluster_scoped: if args.include_cluster_scoped { ClusterScoped::Include } else { ClusterScoped::Leave },
        namespaces: args.namespace.clone(),
        run: format!("{:08x}", unique()),
        from: match args.from {
            From::Auto => VolumeSource::Auto,
            From::Snapshot => VolumeSource::Snapshot,
            From::Copy => VolumeSource::Copy,
        },
        storage_classes: args.storage_class.iter().cloned().collect(),
    };
    let settings = WorkerSettings {
        head: if args.blocks_only { Head::LeaveOut } else { Head::Include },
        on_damage: if args.skip_damaged { OnDamage::Skip } else { OnDamage::Stop },
        ..args.workers.settings()
    };
    let store = args.store.open(&timeouts).await?;
    let id = until_interrupted(store.resolve(&args.backup)).await?;
    let opened = until_interrupted(open(&store, &id, reporter)).await?;
    let cluster = args.cluster.connect(&timeouts).await?;
    let workers = Workers::new(&cluster, &store, &settings, &timeouts, reporter);
    let run = |run| Box::pin(restore(&workers, opened, &request, run, interrupted()).map_err(Failure::from));
    if args.plan {
        return run(Run::PlanOnly).await;
    }
    let doing = format!("restore {id} (run {})", request.run);
    let lock = args.lock.acquire(&cluster, &doing, &timeouts, reporter).await?;
    let (mut end, housekeeping) = under(lock, reporter, run(Run::Execute)).await?;
    if let RestoreEnd::Done(outcome) = &mut end {
        outcome.housekeeping.extend(housekeeping);
    }
    Ok(end)
}

fn exit_of(end: &RestoreEnd) -> Exit {
    match end {
        RestoreEnd::Planned(plan) | RestoreEnd::Refused(plan) if plan.refusals.is_empty() => Exit::Done,
        RestoreEnd::Planned(_) | RestoreEnd::Refused(_) => Exit::Refused,
        RestoreEnd::Done(outcome) => exit(outcome),
    }
}

/// The longest gap that the proof found, in seconds.
fn gap(end: &RestoreEnd) -> Option<f64> {
    match end {
        RestoreEnd::Done(outcome) => outcome.confirmation.as_ref()?.gap_seconds(),
        RestoreEnd::Planned(_) | RestoreEnd::Refused(_) => None,
    }
}

fn exit(outcome: &RestoreOutcome) -> Exit {
    let pods = || outcome.confirmation.iter().flat_map(|confirmation| &confirmation.pods);
    if pods().any(|pod| !pod.ready) {
        return Exit::TimedOut;
    }
    if pods().any(|pod| !pod.history_holds()) {
        return Exit::Damaged;
    }
    let not_as_saved = outcome.plan.count(|decision| matches!(decision, Decision::Kept(_) | Decision::Impossible(_)));
    let beside = !outcome.housekeeping.problems.is_empty() || !outcome.applied.filled.problems.is_empty();
    let problems = beside || !outcome.applied.problems.is_empty() || !outcome.released.left.is_empty();
    let unproven = outcome.confirmation.as_ref().is_some_and(|confirmation| !confirmation.holds());
    if not_as_saved > 0 || problems || unproven { Exit::Problems } else { Exit::Done }
}
