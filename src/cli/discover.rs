//! `promsafe discover`

use super::options::{ClusterOptions, output_format};
use super::{Exit, Failure, print, until_interrupted};
use crate::discover::{Scope, discover};
use crate::model::{Decisions, Timeouts};
use crate::report::{OutputFormat, discovered};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look only into this namespace; may be repeated [default: all]
    #[arg(short, long, env = "PROMSAFE_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    namespace: Vec<String>,
    /// How to print the result
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    cluster: ClusterOptions,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let timeouts = Timeouts::default();
    let cluster = args.cluster.connect(&timeouts).await?;
    let scope = Scope { namespaces: args.namespace.clone() };
    let reporter = args.output.reporter();
    let mut decisions = Decisions::default();
    let (inventory, _) = until_interrupted(discover(&cluster, &scope, &mut decisions, reporter.as_ref())).await?;
    decisions.kept.sort();
    print(&discovered(&inventory, &decisions, args.output)?)?;
    let whole = inventory.failed_groups.is_empty() && inventory.missing_references.is_empty();
    Ok(if whole { Exit::Done } else { Exit::Problems })
}
