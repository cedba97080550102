//! `promsafe list`

use jiff::Timestamp;

use super::options::{StoreArgs, output_format};
use super::{Exit, Failure, print, until_interrupted};
use crate::list::list;
use crate::model::Timeouts;
use crate::report::{OutputFormat, listed};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How to print the result
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let store = args.store.open(&Timeouts::default()).await?;
    let listing = until_interrupted(list(&store)).await?;
    print(&listed(&listing, &store.url().to_string(), Timestamp::now(), args.output)?)?;
    Ok(if listing.unreadable.is_empty() { Exit::Done } else { Exit::Damaged })
}
