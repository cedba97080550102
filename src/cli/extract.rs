//! `promsafe extract`

use std::num::NonZeroU64;
use std::path::PathBuf;

use super::options::{StoreArgs, bandwidth, output_format};
use super::{Exit, Failure, print, until_interrupted};
use crate::extract::{ExtractRequest, extract};
use crate::fill::{Head, OnDamage};
use crate::model::Timeouts;
use crate::report::{OutputFormat, extracted};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup: its id, a unique beginning of it, or latest
    #[arg(value_name = "ID")]
    backup: String,
    /// Where to: an empty directory, or the one an interrupted run of the same backup filled
    #[arg(long, env = "PROMSAFE_TO", value_name = "DIRECTORY")]
    to: PathBuf,
    /// Which volume, as NAMESPACE/CLAIM [default: the only one that was copied]
    #[arg(long, env = "PROMSAFE_VOLUME", value_name = "VOLUME")]
    volume: Option<String>,
    /// Leave the head out (wal, wbl, chunks_head): blocks alone, without about the last three hours
    #[arg(long, env = "PROMSAFE_BLOCKS_ONLY")]
    blocks_only: bool,
    /// Leave out blocks and files of which something is damaged or missing, and bring back all else
    #[arg(long, env = "PROMSAFE_SKIP_DAMAGED")]
    skip_damaged: bool,
    /// Bytes per second to fetch at most, such as 50MiB
    #[arg(long, env = "PROMSAFE_BANDWIDTH", value_parser = bandwidth, value_name = "BYTES")]
    bandwidth: Option<NonZeroU64>,
    /// How to print the result; with json, progress on stderr is JSON lines too
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let reporter = args.output.reporter();
    let store = args.store.open(&Timeouts::for_data()).await?;
    let outcome = until_interrupted(async {
        let request = ExtractRequest {
            id: store.resolve(&args.backup).await?,
            directory: args.to.clone(),
            volume: args.volume.clone(),
            head: if args.blocks_only { Head::LeaveOut } else { Head::Include },
            on_damage: if args.skip_damaged { OnDamage::Skip } else { OnDamage::Stop },
            bytes_per_second: args.bandwidth,
        };
        extract(&store, &request, reporter.as_ref()).await
    })
    .await?;
    print(&extracted(&outcome, args.output)?)?;
    let is_whole = outcome.filled.left_out.is_empty() && outcome.filled.problems.is_empty();
    Ok(if is_whole { Exit::Done } else { Exit::Problems })
}
