//! The command line: words and flags in, an exit code out.

mod backup;
mod copy;
mod cronjob;
mod delete;
mod discover;
mod doctor;
mod exit;
mod explain;
mod extract;
mod failure;
mod generate;
mod hint;
mod list;
mod options;
mod prune;
mod rbac;
mod restore;
mod run_lock;
mod schedule;
mod show;
mod store_lock;
mod telemetry;
mod termination;
mod verify;
mod verify_backup;
mod volume;
mod workers;

use std::io::Write;

use clap::{Parser, Subcommand};

pub use exit::{CODES, Exit, Failure};

use crate::report::OutputFormat;
use termination::TerminationLog;

/// Backup and restore of Prometheus on Kubernetes, with proof.
#[derive(Debug, Parser)]
#[command(name = "promsafe", version, about, after_help = exit::help(), max_term_width = 110)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what belongs to a backup, each object with the reason why. Changes nothing
    #[command(after_help = exit::help())]
    Discover(discover::Args),
    /// Say why an object is in a backup or not
    #[command(after_help = exit::help())]
    Explain(explain::Args),
    /// Check all that a backup and a restore will need. Warnings keep the exit code 0; a failed check is 4
    #[command(after_help = exit::help())]
    Doctor(doctor::Args),
    /// Save Prometheus, its operator and all they need; snapshot their volumes
    #[command(after_help = exit::help())]
    Backup(backup::Args),
    /// Copy a data directory of this machine into the store: a backup without a cluster
    ///
    /// Read once, in pieces of 8 MiB; pieces and blocks that the store holds already are not sent again, and what an
    /// interrupted copy sent stays. A directory in use is copied as a crash would leave it: logs first, blocks last, so that
    /// nothing the log held at the beginning is missing. What vanished while it was read is looked for once more and then
    /// named. For an exact copy stop Prometheus, or copy what its snapshot API (/api/v1/admin/tsdb/snapshot) makes.
    #[command(after_help = exit::help())]
    Copy(copy::Args),
    /// Bring the files of a copied volume back into a directory of this machine
    #[command(after_help = exit::help())]
    Extract(extract::Args),
    /// List the complete backups of a store
    #[command(after_help = exit::help())]
    List(list::Args),
    /// Show what a backup holds
    #[command(after_help = exit::help())]
    Show(show::Args),
    /// Bring a backup back and prove that it came back
    #[command(after_help = exit::help())]
    Restore(restore::Args),
    /// Say whether backups are whole, or whether Prometheus will start on a data directory and find all. Changes nothing
    #[command(after_help = verify::help())]
    Verify(verify::Args),
    /// Delete backups, with the VolumeSnapshots they keep
    #[command(after_help = exit::help())]
    Delete(delete::Args),
    /// Mark data that no backup refers to, and remove what has been marked for long enough
    #[command(after_help = exit::help())]
    Prune(prune::Args),
    /// Print the roles that a run needs, with the reason of each rule, for: kubectl apply -f -
    #[command(after_help = exit::help())]
    Rbac(rbac::Args),
    /// Print a CronJob that takes backups, with all it needs, for: kubectl apply -f -
    #[command(after_help = exit::help())]
    Cronjob(cronjob::Args),
    /// The program of the Jobs that copy volumes
    #[command(hide = true, after_help = exit::help())]
    Volume(volume::Args),
    /// Print the completion script of a shell
    #[command(after_help = exit::help())]
    Completion(generate::CompletionArgs),
    /// Print a manual page, for: man --local-file -
    #[command(after_help = exit::help())]
    Man(generate::ManArgs),
}

impl Command {
    /// Where a pod wants to be told how the run ended; those that succeed tell it themselves.
    fn termination_log(&self) -> TerminationLog {
        match self {
            Self::Backup(args) => args.termination.clone(),
            Self::Restore(args) => args.termination.clone(),
            Self::Volume(args) => args.termination().clone(),
            _ => TerminationLog::default(),
        }
    }
}

/// Runs a command line and says how it ended; every failure has been put into words on stderr.
pub async fn run(args: Args) -> Exit {
    let termination_log = args.command.termination_log();
    let (ended, output) = match args.command {
        Command::Discover(args) => (discover::run(&args).await, args.output),
        Command::Explain(args) => (explain::run(&args).await, args.output),
        Command::Doctor(args) => (doctor::run(&args).await, args.output),
        Command::Backup(args) => (backup::run(&args).await, args.output),
        Command::Copy(args) => (copy::run(&args).await, args.output),
        Command::Extract(args) => (extract::run(&args).await, args.output),
        Command::List(args) => (list::run(&args).await, args.output),
        Command::Show(args) => (show::run(&args).await, args.output),
        Command::Restore(args) => (restore::run(&args).await, args.output),
        Command::Verify(args) => (verify::run(&args).await, args.output),
        Command::Volume(args) => (volume::run(&args).await, OutputFormat::Table),
        Command::Delete(args) => (Box::pin(delete::run(&args)).await, args.output),
        Command::Prune(args) => (prune::run(&args).await, args.output),
        Command::Rbac(args) => (rbac::run(&args), OutputFormat::Table),
        Command::Cronjob(args) => (cronjob::run(&args), OutputFormat::Table),
        Command::Completion(args) => (generate::completion(&args), OutputFormat::Table),
        Command::Man(args) => (generate::man(&args), OutputFormat::Table),
    };
    ended.unwrap_or_else(|failure| {
        let text = failure::words_for(&failure, output);
        // Nowhere is left to tell of a stderr that cannot be written.
        drop(writeln!(std::io::stderr(), "{text}"));
        termination_log.tell(failure.exit(), &failure::words_for(&failure, OutputFormat::Table), output);
        failure.exit()
    })
}

/// Writes a result to stdout.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        // A reader such as head has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Ends when the process is asked to stop by SIGINT or SIGTERM.
async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Runs a command that only reads until it is done or asked to stop.
async fn until_interrupted<T, E: Into<Failure>>(run: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    tokio::select! {
        ended = run => ended.map_err(Into::into),
        () = interrupted() => Err(Failure::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_option_has_an_environment_variable_but_those_that_must_not_be_forgotten_in_one() {
        let per_run = ["help", "version", "snapshot_test", "force"];
        for command in Args::command().get_subcommands() {
            for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
                let id = argument.get_id().as_str();
                let named = argument.get_env().is_some_and(|name| name.to_string_lossy().starts_with("PROMSAFE_"));
                assert!(named || per_run.contains(&id), "{} --{id} has no variable", command.get_name());
            }
        }
    }
}
