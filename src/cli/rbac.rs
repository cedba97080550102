//! `promsafe rbac`: the roles a run needs, printed from the table of permissions.

use clap::ValueEnum;

use super::options::manifest_format;
use super::{Exit, Failure, print};
use crate::access::{self, Account};
use crate::report::{Manifest, OutputFormat, manifests, roles, service_account};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What promsafe is to be run for
    #[arg(value_enum)]
    run: Run,
    /// Only this namespace; may be repeated [default: the whole cluster]
    #[arg(short, long, env = "PROMSAFE_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    namespace: Vec<String>,
    /// Service account that promsafe runs as [default: promsafe-backup, promsafe-restore or promsafe-doctor]
    #[arg(long, env = "PROMSAFE_SERVICE_ACCOUNT", value_name = "NAME")]
    service_account: Option<String>,
    /// Namespace of the service account, and of the run lock
    #[arg(long, env = "PROMSAFE_SERVICE_ACCOUNT_NAMESPACE", value_name = "NAME", default_value = "promsafe")]
    service_account_namespace: String,
    /// How to print the manifests; yaml has the reasons as comments
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = manifest_format(), default_value = "yaml")]
    output: OutputFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Run {
    /// `promsafe backup` and `promsafe discover`.
    Backup,
    /// `promsafe restore`.
    Restore,
    /// `promsafe doctor`.
    Doctor,
}

impl From<Run> for access::Run {
    fn from(run: Run) -> Self {
        match run {
            Run::Backup => Self::Backup,
            Run::Restore => Self::Restore,
            Run::Doctor => Self::Doctor,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let run = access::Run::from(args.run);
    let name = args.service_account.clone().unwrap_or_else(|| Account::of(run).name);
    let account = Account { name, namespace: args.service_account_namespace.clone() };
    print(&manifests(&documents(run, &args.namespace, &account), args.output)?)?;
    Ok(Exit::Done)
}

/// The service account with its roles and bindings.
fn documents(run: access::Run, namespaces: &[String], account: &Account) -> Vec<Manifest> {
    let mut all = vec![service_account(account, &[])];
    all[0].comment = about(run, namespaces, account);
    all.extend(roles(run, namespaces, account));
    all
}

fn about(run: access::Run, namespaces: &[String], account: &Account) -> String {
    let (name, home) = (run.name(), &account.namespace);
    let limited = namespaces.iter().fold(String::new(), |limited, namespace| limited + " -n " + namespace);
    let mut text = format!(
        "Printed by: promsafe rbac {name}{limited}\n\
         Namespace {home} has to be there: kubectl create namespace {home}"
    );
    if run == access::Run::Restore && !namespaces.is_empty() {
        text += "\nSo have the namespaces of the other roles, with the labels they had; a restore of a whole cluster makes them.";
    }
    if run == access::Run::Restore {
        text += "\nWhoever may restore may write everything where they restore. Delete the bindings after it.";
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn docs_deploy_rbac_files_are_what_the_command_prints() {
        for run in access::Run::ALL {
            let text = manifests(&documents(run, &[], &Account::of(run)), OutputFormat::Yaml).unwrap();
            crate::cli::options::hold_file(&Path::new("deploy").join(format!("rbac-{}.yaml", run.name())), &text);
        }
    }
}
