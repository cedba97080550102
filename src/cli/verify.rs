//! `promsafe verify`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use jiff::Timestamp;

use super::options::{StoreArgs, output_format};
use super::verify_backup::{self, Backups};
use super::{Exit, Failure, exit, interrupted, print};
use crate::integrity::Level;
use crate::report::{OutputFormat, verified};
use crate::tsdb::Subset;
use crate::verify::{Verified, VerifyError, VerifyRequest, verify_directory};

/// Blocks read at once when the machine does not say how many processors it has.
const USUAL_THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// The end of `promsafe verify --help`.
pub(super) fn help() -> String {
    format!(
        "Of a backup: whole is exit code 0, objects that belong to nothing are 3, what is damaged or missing is 6.\n\
         Of data: Prometheus will start and nothing is lost (ok), or only the end of what was being written is missing \
         (torn-tail): 0.\nIt will start without something that was there (degraded): 3. It will not start (fatal): 6.\n\n{}",
        exit::help()
    )
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A backup: its id, a unique beginning of it, or latest. Or what holds a slash or is a directory: a data directory of
    /// Prometheus, or a volume that has one in prometheus-db or data
    #[arg(value_name = "ID|DIRECTORY", default_value = "latest", conflicts_with = "all")]
    target: String,
    /// Verify every complete backup; what several of them hold is read once
    #[arg(long, env = "PROMSAFE_ALL")]
    all: bool,
    /// How closely to look [default: hash for backups, tsdb for a directory]
    #[arg(long, env = "PROMSAFE_LEVEL", value_enum)]
    level: Option<LevelArg>,
    /// Hash only so many percent of the pieces, each time others; or read so many percent of a directory's blocks, always
    /// the same ones
    #[arg(long, env = "PROMSAFE_SUBSET", value_parser = share, value_name = "PERCENT", default_value_t = Subset::ALL)]
    pub(super) subset: Subset,
    /// How to print the result
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelArg {
    /// Is every object there and of the right size? Of a directory: what names and meta.json files say
    List,
    /// Are all bytes what was written? Only of backups
    Hash,
    /// Will Prometheus start on the data, and find every sample?
    Tsdb,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    if args.all {
        return verify_backup::run(args, Backups::All, level(args)).await;
    }
    if !(args.target.contains('/') || Path::new(&args.target).is_dir()) {
        return verify_backup::run(args, Backups::One(&args.target), level(args)).await;
    }
    if args.level == Some(LevelArg::Hash) {
        let why = format!("{} is a directory, of which no hashes are known: use --level tsdb, or list", args.target);
        return Err(Failure::Option(why));
    }
    let found = directory(PathBuf::from(&args.target), args).await?;
    print(&verified(&found, args.output)?)?;
    Ok(exit::of_grade(found.report.grade))
}

/// Reads `5%` or `5`; nothing at all is what `--level list` is for.
fn share(text: &str) -> Result<Subset, String> {
    let subset: Subset = text.parse()?;
    if subset == Subset::NONE { Err("at least 1%; --level list reads no data".to_owned()) } else { Ok(subset) }
}

/// How closely to look at backups.
fn level(args: &Args) -> Level {
    match args.level {
        Some(LevelArg::List) => Level::List,
        Some(LevelArg::Hash) | None => Level::Hash,
        Some(LevelArg::Tsdb) => Level::Tsdb,
    }
}

async fn directory(path: PathBuf, args: &Args) -> Result<Verified, VerifyError> {
    let stop = Arc::new(AtomicBool::new(false));
    let request = VerifyRequest {
        subset: if args.level == Some(LevelArg::List) { Subset::NONE } else { args.subset },
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
