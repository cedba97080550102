//! `promsafe rbac`: the roles a run needs, printed from the table of permissions.

use clap::ValueEnum;

use super::options::manifest_format;
use super::workers::Volumes;
use super::{Exit, Failure, print};
use crate::access::{self, Account, Copies};
use crate::report::{Manifest, OutputFormat, manifests, roles, service_account};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What promsafe is to be run for
    #[arg(value_enum)]
    run: Run,
    /// Only this namespace; may be repeated [default: the whole cluster]
    #[arg(short, long, env = "PROMSAFE_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    namespace: Vec<String>,
    /// How volumes are saved or brought back; with copy and both also what their Jobs need
    #[arg(long, env = "PROMSAFE_VOLUMES", value_enum, default_value = "snapshot")]
    volumes: Volumes,
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
    print(&manifests(&documents(run, &args.namespace, &account, args.volumes.copies()), args.output)?)?;
    Ok(Exit::Done)
}

/// The service account with its roles and bindings.
fn documents(run: access::Run, namespaces: &[String], account: &Account, copies: Copies) -> Vec<Manifest> {
    let mut all = vec![service_account(account, &[])];
    all[0].comment = about(run, namespaces, account, copies);
    all.extend(roles(run, namespaces, account, copies));
    all
}

fn about(run: access::Run, namespaces: &[String], account: &Account, copies: Copies) -> String {
    let (name, home) = (run.name(), &account.namespace);
    let limited = namespaces.iter().fold(String::new(), |limited, namespace| limited + " -n " + namespace);
    let volumes = if copies == Copies::Allowed { " --volumes copy" } else { "" };
    let mut text = format!(
        "Printed by: promsafe rbac {name}{limited}{volumes}\n\
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
    use std::fmt::Write;
    use std::path::Path;

    use super::*;

    const PAGE: &str = "# Permissions\n\n\
        Printed from `src/access/table.rs` by a test; `UPDATE_DOCS=1 cargo test docs_` writes it anew.\n\n\
        `promsafe rbac backup|restore|doctor` prints a service account, its roles and their bindings, with the reason of \
        each rule as a comment; `deploy/rbac-*.yaml` hold what it prints without options.\n\n\
        | | without `-n` | `-n NAMESPACE`, as often as you like |\n|---|---|---|\n\
        | roles | one ClusterRole | a Role in each of these namespaces, and a small ClusterRole |\n\
        | reads Secrets | of every namespace: a list shows what is in them | of these namespaces alone |\n\
        | to be run as | `promsafe backup` | `promsafe backup -n NAMESPACE`, with the same namespaces |\n\n\
        - Each run has an account of its own, so that who backs up every night cannot restore. \
        `--service-account` and `--service-account-namespace` name others; roles of other accounts carry their names.\n\
        - Who only reads has `list` on everything and `get` by name: `get` on everything would include `pods/exec` \
        (before Kubernetes 1.35) and `nodes/proxy`, and with them every pod.\n\
        - Whoever may restore rules what they restore. Bind that role for as long as a restore takes. With `-n` its \
        namespaces have to be there before, as Roles live in them.\n\
        - `--volumes copy` adds what copies of volumes need (*only for copies* below): whoever may make Jobs and Secrets in a \
        namespace can do what any pod there can, so the roles have it only when it is asked for.\n\
        - A missing permission is refused before anything is written (exit code 4), with verb, resource, namespace and reason.\n\n\
        A role says nothing twice: what a rule on everything grants is left out of the others. \
        Where: *captured* are the namespaces that are saved or restored (without `-n` all), *own* is promsafe's own.\n\n\
        | run | where | verbs | resources | because |\n|---|---|---|---|---|\n";

    fn page() -> String {
        let mut page = PAGE.to_owned();
        for row in access::TABLE {
            let runs: Vec<&str> = row.runs.iter().map(|run| run.name()).collect();
            let place = match row.place {
                access::Place::Captured => "captured",
                access::Place::Cluster => "cluster",
                access::Place::Everywhere => "all namespaces",
                access::Place::Own => "own",
            };
            let group = if row.group.is_empty() { String::new() } else { format!(".{}", row.group) };
            let resources: Vec<String> = row
                .resources
                .iter()
                .map(|resource| format!("`{resource}{group}`").replace("`*.*`", "everything"))
                .collect();
            let names =
                if row.names.is_empty() { String::new() } else { format!(" named `{}`", row.names.join("`, `")) };
            let (verbs, resources) = (row.verbs.join(", "), resources.join(", "));
            writeln!(page, "| {} | {place} | {verbs} | {resources}{names} | {} |", runs.join(", "), row.because)
                .unwrap();
        }
        page
    }

    #[test]
    fn docs_rbac_is_what_the_table_says() {
        crate::cli::options::hold_file(Path::new("docs/rbac.md"), &page());
    }

    #[test]
    fn docs_deploy_rbac_files_are_what_the_command_prints() {
        for run in access::Run::ALL {
            let text = manifests(&documents(run, &[], &Account::of(run), Copies::Left), OutputFormat::Yaml).unwrap();
            crate::cli::options::hold_file(&Path::new("deploy").join(format!("rbac-{}.yaml", run.name())), &text);
        }
    }
}
