//! `promsafe delete`

use std::io::{IsTerminal, Write};

use tokio::sync::oneshot;

use super::options::{ClusterOptions, StoreArgs, output_format};
use super::run_lock::{LockArgs, under};
use super::{Exit, Failure, print, until_interrupted};
use crate::delete::{Deleted, Doomed, KeptSnapshots, LastGood, choose, delete};
use crate::model::{BackupId, Reporter, Timeouts};
use crate::report::{OutputFormat, deleted};
use crate::store::Store;
use crate::words;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backups: their ids, unique beginnings of them, or latest
    #[arg(value_name = "ID", required = true)]
    backups: Vec<String>,
    /// Delete even the newest complete backup of a cluster or directory, and one that cannot be read
    #[arg(long)]
    force: bool,
    /// Leave the VolumeSnapshots of the backups where they are
    #[arg(long, env = "PROMSAFE_KEEP_SNAPSHOTS")]
    keep_snapshots: bool,
    /// Do not ask; without a terminal nothing is deleted unless this is given
    #[arg(short, long, env = "PROMSAFE_YES")]
    yes: bool,
    /// How to print the result; with json, progress on stderr is JSON lines too
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let timeouts = Timeouts::default();
    let reporter = args.output.reporter();
    let store = args.store.open(&timeouts).await?;
    let last_good = if args.force { LastGood::Delete } else { LastGood::Keep };
    let doomed = until_interrupted(async {
        let mut ids = Vec::new();
        for wanted in &args.backups {
            ids.push(store.resolve(wanted).await?);
        }
        choose(&store, &ids, last_good).await
    })
    .await?;
    let url = store.url().to_string();
    if !args.yes {
        let snapshots = if args.keep_snapshots { 0 } else { doomed.snapshots().count() };
        if confirm(&doomed, snapshots).await? == Answer::No {
            print(&match args.output {
                OutputFormat::Table => "nothing was deleted".to_owned(),
                OutputFormat::Json | OutputFormat::Yaml => deleted(&Deleted::default(), &url, args.output)?,
            })?;
            // No code 0: in a script what was to follow the deletion must not.
            return Ok(Exit::Failed);
        }
    }
    let done = Box::pin(remove(args, &store, &doomed, &timeouts, reporter.as_ref())).await?;
    print(&deleted(&done, &url, args.output)?)?;
    let left = !args.keep_snapshots && !done.snapshots_left.is_empty();
    Ok(if left || !done.problems.is_empty() { Exit::Problems } else { Exit::Done })
}

/// Deletes; under the run lock when there are snapshots to delete, so that no restore needs them at this moment.
async fn remove(
    args: &Args,
    store: &Store,
    doomed: &Doomed,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> Result<Deleted, Failure> {
    let run = |snapshots| Box::pin(until_interrupted(delete(store, doomed, snapshots, timeouts, reporter)));
    if args.keep_snapshots || doomed.snapshots().next().is_none() {
        return run(KeptSnapshots::Keep).await;
    }
    let cluster = match args.cluster.connect(timeouts).await {
        Ok(cluster) => cluster,
        Err(error) => return run(KeptSnapshots::NoCluster(&words::chain(&error))).await,
    };
    if let Err(error) = cluster.identity().await {
        return run(KeptSnapshots::NoCluster(&words::chain(&error))).await;
    }
    let ids: Vec<&str> = doomed.ids().map(BackupId::as_str).collect();
    let lock = args.lock.acquire(&cluster, &format!("delete {}", ids.join(" ")), timeouts, reporter).await?;
    let (mut done, housekeeping) = under(lock, reporter, run(KeptSnapshots::DeleteIn(&cluster))).await?;
    done.problems.extend(housekeeping.problems);
    Ok(done)
}

/// What was said to the question whether to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    /// Anything but yes.
    No,
}

/// Asks on a terminal whether these go, and so many snapshots with them.
async fn confirm(doomed: &Doomed, snapshots: usize) -> Result<Answer, Failure> {
    let ids: Vec<&str> = doomed.ids().map(BackupId::as_str).collect();
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Option("there is no terminal to ask on: --yes deletes without asking".to_owned()));
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "delete {} for ever, and {snapshots} VolumeSnapshots with their data? [y/N] ", ids.join(", "))?;
    stderr.flush()?;
    let (sender, receiver) = oneshot::channel();
    // Not on a thread of the runtime: the program could not end before a line was typed, whatever signal came.
    std::thread::spawn(move || {
        let mut line = String::new();
        drop(sender.send(std::io::stdin().read_line(&mut line).map(|_| line)));
    });
    let line = until_interrupted(async { receiver.await.map_err(std::io::Error::other)? }).await?;
    Ok(if matches!(line.trim(), "y" | "Y" | "yes") { Answer::Yes } else { Answer::No })
}
