//! `promsafe explain`

use super::options::{ClusterOptions, StoreArgs, output_format};
use super::{Exit, Failure, print, until_interrupted};
use crate::discover::Scope;
use crate::explain::{Question, in_backup, in_cluster};
use crate::model::Timeouts;
use crate::report::{OutputFormat, explained};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The object, such as secret/alertmanager-main or clusterrole/prometheus
    #[arg(value_name = "KIND/NAME", value_parser = kind_and_name)]
    object: (String, String),
    /// Its namespace [default: all, and cluster-scoped objects]
    #[arg(short, long, env = "PROMSAFE_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// Ask this backup instead of the cluster: its id, a unique beginning of it, or latest
    #[arg(long, env = "PROMSAFE_BACKUP", value_name = "ID")]
    backup: Option<String>,
    /// How to print the result
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let timeouts = Timeouts::default();
    let (kind, name) = args.object.clone();
    let question = Question { kind, name, namespace: args.namespace.clone() };
    let answers = if let Some(backup) = &args.backup {
        let store = args.store.open(&timeouts).await?;
        let id = until_interrupted(store.resolve(backup)).await?;
        until_interrupted(in_backup(&store, &id, &question)).await?
    } else {
        let cluster = args.cluster.connect(&timeouts).await?;
        let reporter = args.output.reporter();
        until_interrupted(in_cluster(&cluster, &Scope::default(), &question, reporter.as_ref())).await?
    };
    print(&explained(&answers, args.output)?)?;
    Ok(Exit::Done)
}

/// Reads `secret/name`.
fn kind_and_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((kind.to_owned(), name.to_owned()))
        }
        _ => Err("write it like secret/alertmanager-main; the namespace goes to -n".to_owned()),
    }
}
