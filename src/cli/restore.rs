//! `promsafe restore`

use std::time::Duration;

use super::options::{ClusterOptions, StoreArgs, duration, output_format, unique};
use super::termination::TerminationLog;
use super::{Exit, Failure, print, until_interrupted};
use crate::model::Timeouts;
use crate::plan::{ClusterScoped, Decision, RestoreRequest};
use crate::report::{OutputFormat, planned, restored};
use crate::restore::{RestoreEnd, RestoreOutcome, Run, restore};

#[derive(Debug, clap::Args)]
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
    #[arg(long)]
    plan: bool,
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
    cluster: ClusterOptions,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let timeouts = Timeouts {
        snapshot_ready: args.snapshot_timeout,
        instance_ready: args.ready_timeout,
        prometheus_answer: args.proof_timeout,
        ..Timeouts::default()
    };
    let request = RestoreRequest {
        cluster_scoped: if args.include_cluster_scoped { ClusterScoped::Include } else { ClusterScoped::Leave },
        namespaces: args.namespace.clone(),
        run: format!("{:04x}", unique()),
    };
    let run = if args.plan { Run::PlanOnly } else { Run::Execute };
    let store = args.store.open(&timeouts).await?;
    let id = until_interrupted(store.resolve(&args.backup)).await?;
    let cluster = args.cluster.connect(&timeouts).await?;
    let reporter = args.output.reporter();
    let end = until_interrupted(restore(&cluster, &store, &id, &request, run, &timeouts, reporter.as_ref())).await?;
    match end {
        RestoreEnd::Planned(plan) | RestoreEnd::Refused(plan) => {
            let exit = if plan.refusals.is_empty() { Exit::Done } else { Exit::Refused };
            args.termination.tell(exit, &planned(&plan, OutputFormat::Table)?, args.output);
            print(&planned(&plan, args.output)?)?;
            Ok(exit)
        }
        RestoreEnd::Done(outcome) => {
            args.termination.tell(exit(&outcome), &restored(&outcome, OutputFormat::Table)?, args.output);
            print(&restored(&outcome, args.output)?)?;
            Ok(exit(&outcome))
        }
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
    let problems = !outcome.applied.problems.is_empty() || !outcome.released.left.is_empty();
    let unproven = outcome.confirmation.as_ref().is_some_and(|confirmation| !confirmation.holds());
    if not_as_saved > 0 || problems || unproven { Exit::Problems } else { Exit::Done }
}
