//! `promsafe verify ID|latest|--all`: backups in a store.

use std::io::Write;

use jiff::Timestamp;
use serde_json::json;

use super::hint::for_this_store;
use super::options::unique;
use super::verify::Args;
use super::{Exit, Failure, print, until_interrupted};
use crate::integrity::{BackupVerdict, Level, Trouble, Verification, VerifyRequest, verify};
use crate::layout;
use crate::model::{BackupId, Timeouts};
use crate::report::{OutputFormat, verified_backups};
use crate::store::{Store, StoreError};
use crate::tsdb::Grade;

/// The way on that is always there.
const OTHERS: &str = "promsafe list shows other backups";

/// Which backups.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backups<'a> {
    /// The one that is meant by an id, a unique beginning of one, or `latest`.
    One(&'a str),
    /// Every complete one.
    All,
}

/// Verifies backups at this level.
pub(super) async fn run(args: &Args, backups: Backups<'_>, level: Level) -> Result<Exit, Failure> {
    let store = args.store.open(&Timeouts::for_data()).await?;
    let reporter = args.output.reporter();
    let verification = until_interrupted(async {
        let backups = chosen(&store, backups).await?;
        let seed = u64::from(unique()) << 32 | u64::from(unique());
        let now_ms = Timestamp::now().as_millisecond();
        let request = VerifyRequest { backups, level, percent: args.subset.percent(), seed, now_ms };
        verify(&store, &request, reporter.as_ref()).await
    })
    .await?;
    let url = store.url().to_string();
    // Most often the disk of the store is not mounted: that must not look as if all were well.
    if verification.backups.is_empty() && !verification.is_damaged() {
        return Err(StoreError::NoBackups { url }.into());
    }
    print(&verified_backups(&verification, &url, args.output)?)?;
    if let Some(hint) = hint(&verification) {
        let line = match args.output {
            OutputFormat::Table => {
                let lines: Vec<_> = std::iter::once(format!("hint: {hint}")).chain(for_this_store()).collect();
                lines.join("\n")
            }
            OutputFormat::Json | OutputFormat::Yaml => json!({ "hint": hint }).to_string(),
        };
        // The exit code tells the damage, whether or not stderr can be written.
        drop(writeln!(std::io::stderr(), "{line}"));
    }
    Ok(exit(&verification))
}

async fn chosen(store: &Store, backups: Backups<'_>) -> Result<Vec<BackupId>, StoreError> {
    if let Backups::One(wanted) = backups {
        return Ok(vec![store.resolve(wanted).await?]);
    }
    let listed = store.list().await?;
    Ok(listed.into_iter().filter(|backup| backup.sealed).map(|backup| backup.id).collect())
}

fn exit(verification: &Verification) -> Exit {
    if verification.is_damaged() {
        return Exit::Damaged;
    }
    let extra = verification.all_flaws().any(|flaw| flaw.trouble == Trouble::Extra);
    if extra || verification.worst() >= Grade::Degraded { Exit::Problems } else { Exit::Done }
}

/// What to type when something is damaged; of several backups, for the newest that is.
fn hint(verification: &Verification) -> Option<String> {
    let is_damaged = |backup: &&BackupVerdict| !backup.is_whole() || is_fatal(backup);
    if let Some(backup) = verification.backups.iter().rev().find(is_damaged) {
        return Some(way_on(backup).map_or_else(|| OTHERS.to_owned(), |way| format!("{way}; {OTHERS}")));
    }
    let damaged = verification.flaws.iter().find(|flaw| flaw.trouble != Trouble::Extra)?;
    Some(if damaged.object.contains(layout::MARKS) {
        "promsafe prune replaces a mark that is damaged".to_owned()
    } else {
        format!("bring back {} from a copy of the store", layout::STORE)
    })
}

/// How to bring back what is not damaged of a backup; `None` when that is nothing.
fn way_on(backup: &BackupVerdict) -> Option<String> {
    let id = &backup.id;
    let mut listed = backup.volumes.iter().filter(|volume| !backup.is_flawed_in(&volume.tree.to_string()));
    let first = &listed.next()?.name;
    let all_are_listed = listed.count() + 1 == backup.volumes.len();
    // Directories are called HOST:/PATH; in the name of a claim no colon may be.
    let is_directory = first.contains(':');
    Some(if is_directory && backup.is_whole() {
        format!("promsafe extract {id} --to DIRECTORY brings it back as it was; move away what is FATAL there")
    } else if is_directory {
        format!("promsafe extract {id} --to DIRECTORY --skip-damaged brings back all else")
    } else if all_are_listed && !backup.is_flawed_in(&layout::backup_prefix(id)) {
        format!("promsafe restore {id} --skip-damaged brings back all else")
    } else {
        format!("promsafe extract {id} --to DIRECTORY --volume {first} --skip-damaged brings back the data of {first}")
    })
}

fn is_fatal(backup: &BackupVerdict) -> bool {
    let mut verdicts = backup.volumes.iter().filter_map(|volume| volume.tsdb.as_ref());
    verdicts.any(|verdict| verdict.grade() == Grade::Fatal)
}
