//! `promsafe show`

use super::options::{StoreArgs, output_format};
use super::{Exit, Failure, print, until_interrupted};
use crate::model::Timeouts;
use crate::report::{OutputFormat, shown};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup: its id, a unique beginning of it, or latest
    #[arg(value_name = "ID")]
    backup: String,
    /// How to print the result
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let store = args.store.open(&Timeouts::default()).await?;
    let record = until_interrupted(async {
        let id = store.resolve(&args.backup).await?;
        Ok::<_, crate::store::StoreError>(store.open_backup(&id).await?.record().clone())
    })
    .await?;
    print(&shown(&record, args.output)?)?;
    Ok(Exit::Done)
}
