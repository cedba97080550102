//! `promsafe prune`

use std::time::Duration;

use super::options::{StoreArgs, duration, output_format};
use super::store_lock::{StoreLockArgs, under_store_lock};
use super::{Exit, Failure, print, until_interrupted};
use crate::model::{Housekeeping, StoreLockKind, Timeouts};
use crate::prune::{PruneError, execute, look};
use crate::report::{OutputFormat, prune_planned, pruned};
use crate::store::StoreLock;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Remove only what has been marked for so long, such as 24h
    #[arg(long, env = "PROMSAFE_GRACE", value_parser = duration, default_value = "24h", value_name = "TIME")]
    grace: Duration,
    /// Print what would be marked and removed, and change nothing
    #[arg(long, env = "PROMSAFE_PLAN", visible_alias = "dry-run")]
    plan: bool,
    /// How to print the result; with json, progress on stderr is JSON lines too
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    lock: StoreLockArgs,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let reporter = args.output.reporter();
    let store = args.store.open(&Timeouts::default()).await?;
    let url = store.url().to_string();
    if args.plan {
        let plan = until_interrupted(look(&store, args.grace, reporter.as_ref())).await?;
        print(&prune_planned(&plan, &url, args.output)?)?;
        return Ok(if plan.problems.is_empty() { Exit::Done } else { Exit::Problems });
    }
    let run = async |lock: &StoreLock<'_>| {
        until_interrupted(async {
            let plan = look(&store, args.grace, reporter.as_ref()).await?;
            let done = execute(&store, &plan, lock, reporter.as_ref()).await?;
            Ok::<_, PruneError>((plan, done))
        })
        .await
    };
    let locked = under_store_lock(&args.lock, &store, StoreLockKind::Prune, "prune", reporter.as_ref(), run).await?;
    let ((plan, mut done), housekeeping) = locked;
    let Housekeeping { took_over, problems, .. } = housekeeping;
    done.problems.extend(problems);
    print(&pruned(&plan, &done, took_over.as_deref(), &url, args.output)?)?;
    Ok(if done.problems.is_empty() { Exit::Done } else { Exit::Problems })
}
