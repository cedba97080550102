//! `promsafe completion` and `promsafe man`: what a shell and a manual want to know, printed from the command line's own
//! definition.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Exit, Failure, print};

#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The command to describe [default: promsafe itself]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

pub(super) fn completion(args: &CompletionArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Args::command(), "promsafe", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

pub(super) fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(described(args.command.as_deref())?).render(&mut page)?;
    print(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}

/// The command whose page is asked for. Building it gives it the name its page has, such as `promsafe-restore`.
fn described(name: Option<&str>) -> Result<clap::Command, Failure> {
    let mut whole = super::Args::command();
    whole.build();
    let Some(name) = name else { return Ok(whole) };
    let command = whole.find_subcommand(name).cloned();
    command.ok_or_else(|| Failure::Option(format!("there is no command {name}")))
}
