//! `promsafe verify`

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use jiff::Timestamp;

use super::options::output_format;
use super::{Exit, Failure, exit, interrupted, print};
use crate::report::{OutputFormat, verified};
use crate::tsdb::Subset;
use crate::verify::{Verified, VerifyError, VerifyRequest, verify_directory};

/// Blocks read at once when the machine does not say how many processors it has.
const USUAL_THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// The end of `promsafe verify --help`.
pub(super) fn help() -> String {
    format!(
        "Prometheus will start and nothing is lost (ok), or only the end of what was being written is missing (torn-tail): \
         exit code 0.\nIt will start without something that was there (degraded): 3. It will not start (fatal): 6.\n\n{}",
        exit::help()
    )
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A data directory of Prometheus, or a volume that has one in prometheus-db or data
    #[arg(value_name = "DIRECTORY")]
    target: PathBuf,
    /// How deep to look
    #[arg(long, env = "PROMSAFE_LEVEL", value_enum, default_value = "tsdb")]
    level: Level,
    /// Read only so many percent of the blocks whole, always the same ones, and of the others meta.json
    #[arg(long, env = "PROMSAFE_SUBSET", value_name = "PERCENT", default_value_t = Subset::ALL)]
    subset: Subset,
    /// How to print the result
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
}

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    /// At names and meta.json files
    List,
    /// At every byte that Prometheus would read
    Tsdb,
}

/// What is looked at.
enum Target {
    /// A directory of this machine.
    Directory(PathBuf),
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    match Target::Directory(args.target.clone()) {
        Target::Directory(path) => {
            let found = directory(path, args).await?;
            print(&verified(&found, args.output)?)?;
            Ok(exit::of_grade(found.report.grade))
        }
    }
}

async fn directory(path: PathBuf, args: &Args) -> Result<Verified, VerifyError> {
    let stop = Arc::new(AtomicBool::new(false));
    let request = VerifyRequest {
        subset: if args.level == Level::List { Subset::NONE } else { args.subset },
        now_ms: Timestamp::now().as_millisecond(),
        threads: std::thread::available_parallelism().unwrap_or(USUAL_THREADS),
        stop: stop.clone(),
    };
    let look = move || verify_directory(&path, &request);
    let mut looking = tokio::task::spawn_blocking(look);
    let ended = tokio::select! {
        ended = &mut looking => ended,
        () = interrupted() => {
            stop.store(true, Ordering::Relaxed);
            looking.await
        }
    };
    ended.unwrap_or(Err(VerifyError::Stopped))
}
