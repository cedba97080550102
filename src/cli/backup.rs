//! `promsafe backup`

use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;

use super::options::{ClusterOptions, StoreArgs, duration, output_format, unique};
use super::termination::TerminationLog;
use super::{Exit, Failure, interrupted, print};
use crate::backup::{BackupRequest, MissingReferences, backup};
use crate::discover::Scope;
use crate::model::{BackupId, Timeouts};
use crate::preflight::VolumeMode;
use crate::report::{OutputFormat, backed_up};

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
    /// How long to wait for a VolumeSnapshot, such as 90s or 10m
    #[arg(long, env = "PROMSAFE_SNAPSHOT_TIMEOUT", value_parser = duration, default_value = "10m", value_name = "TIME")]
    snapshot_timeout: Duration,
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Volumes {
    /// A CSI `VolumeSnapshot` each; the data stays in the storage backend
    Snapshot,
    /// Nothing: objects only, no history
    None,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let timeouts = Timeouts { snapshot_ready: args.snapshot_timeout, ..Timeouts::default() };
    let started_at = Timestamp::now();
    let request = BackupRequest {
        id: BackupId::new(started_at, unique()),
        started_at,
        scope: Scope { namespaces: args.namespace.clone() },
        mode: match args.volumes {
            Volumes::Snapshot => VolumeMode::Snapshot,
            Volumes::None => VolumeMode::None,
        },
        missing: if args.allow_missing { MissingReferences::Allow } else { MissingReferences::Refuse },
    };
    let cluster = args.cluster.connect(&timeouts).await?;
    let store = args.store.open(&timeouts).await?;
    let reporter = args.output.reporter();
    let outcome = backup(&cluster, &store, &request, &timeouts, reporter.as_ref(), interrupted()).await?;
    let (url, exit) = (store.url().to_string(), if outcome.problems.is_empty() { Exit::Done } else { Exit::Problems });
    args.termination.tell(exit, &backed_up(&outcome, &url, OutputFormat::Table)?, args.output);
    print(&backed_up(&outcome, &url, args.output)?)?;
    Ok(exit)
}
