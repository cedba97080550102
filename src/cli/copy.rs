//! `promsafe copy`

use std::num::NonZeroU64;
use std::path::PathBuf;

use jiff::Timestamp;

use super::options::{StoreArgs, bandwidth, output_format, unique};
use super::store_lock::{StoreLockArgs, under_store_lock};
use super::{Exit, Failure, print, until_interrupted};
use crate::copy::Reading;
use crate::copy_directory::{CopyDirectoryRequest, copy_directory, directory_to_copy};
use crate::model::{BackupId, StoreLockKind, Timeouts};
use crate::report::{OutputFormat, copied};
use crate::store::StoreLock;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory, such as the one Prometheus was given with --storage.tsdb.path
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Read blocks again that an earlier copy holds, instead of knowing them by ULID, meta.json and sizes
    #[arg(long, env = "PROMSAFE_REREAD")]
    reread: bool,
    /// Send at most so many bytes a second, such as 50MiB
    #[arg(long, env = "PROMSAFE_BANDWIDTH", value_parser = bandwidth, value_name = "BYTES")]
    bandwidth: Option<NonZeroU64>,
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
    let started_at = Timestamp::now();
    let store = args.store.open(&Timeouts::for_data()).await?;
    let request = CopyDirectoryRequest {
        id: BackupId::new(started_at, unique()),
        started_at,
        directory: directory_to_copy(&store, &args.directory)?,
        reading: if args.reread { Reading::Everything } else { Reading::OnlyNew },
        bytes_per_second: args.bandwidth,
    };
    let doing = format!("copy {} as {}", request.directory.display(), request.id);
    let run =
        async |lock: &StoreLock<'_>| until_interrupted(copy_directory(&store, &request, lock, reporter.as_ref())).await;
    let locked = under_store_lock(&args.lock, &store, StoreLockKind::Use, &doing, reporter.as_ref(), run).await?;
    let (mut outcome, housekeeping) = locked;
    outcome.copied.problems.extend(housekeeping.problems);
    print(&copied(&outcome, &store.url().to_string(), args.output)?)?;
    Ok(if outcome.copied.problems.is_empty() { Exit::Done } else { Exit::Problems })
}
