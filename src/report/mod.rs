//! Puts results into words: tables for people, JSON and YAML for programs. Knows no cluster and no store.

mod copies;
mod doctor;
mod keep;
mod manifests;
mod progress;
mod table;
mod text;
mod verified;
mod verified_backups;
mod views;
mod volumes;

use std::str::FromStr;

use serde_json::Value;

pub use manifests::{Manifest, manifests, roles, service_account};

use crate::backup::BackupOutcome;
use crate::copy_directory::DirectoryCopied;
use crate::delete::Deleted;
use crate::doctor::Diagnosis;
use crate::explain::Answer;
use crate::extract::Extracted;
use crate::integrity::Verification;
use crate::list::Listing;
use crate::model::{BackupRecord, Decisions, Inventory, Reporter};
use crate::plan::RestorePlan;
use crate::prune::{PrunePlan, Pruned};
use crate::restore::RestoreOutcome;
use crate::verify::Verified;

/// A result could not be put into the format.
#[derive(Debug, thiserror::Error)]
#[error("print the result")]
pub struct PrintError {
    /// Why.
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// One JSON document, on one line.
    Json,
    /// One YAML document.
    Yaml,
}

impl OutputFormat {
    /// The names of the formats.
    pub const NAMES: [&'static str; 3] = ["table", "json", "yaml"];

    /// Who shows progress for this format.
    pub fn reporter(self) -> Box<dyn Reporter> {
        match self {
            Self::Table => Box::new(progress::Text::default()),
            Self::Json | Self::Yaml => Box::new(progress::JsonLines),
        }
    }

    fn print(self, value: impl FnOnce() -> Value, table: impl FnOnce() -> String) -> Result<String, PrintError> {
        match self {
            Self::Table => Ok(table()),
            Self::Json => Ok(value().to_string()),
            Self::Yaml => serde_saphyr::to_string(&value()).map_err(|error| PrintError { source: Box::new(error) }),
        }
    }
}

impl FromStr for OutputFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            other => Err(format!("{other:?} is none of {}", Self::NAMES.join(", "))),
        }
    }
}

/// The result of `discover`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn discovered(inventory: &Inventory, decisions: &Decisions, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| views::inventory(inventory, decisions), || text::inventory(inventory, decisions))
}

/// The result of `explain`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn explained(answers: &[Answer], output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| views::explanation(answers), || text::explanation(answers))
}

/// The result of `doctor`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn diagnosed(diagnosis: &Diagnosis, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| doctor::view(diagnosis), || doctor::text(diagnosis))
}

/// The result of `backup`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn backed_up(outcome: &BackupOutcome, store: &str, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| views::backup(outcome, store), || text::backup(outcome, store))
}

/// The result of `copy`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn copied(outcome: &DirectoryCopied, store: &str, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| copies::copied_view(outcome, store), || copies::copied_text(outcome, store))
}

/// The result of `extract`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn extracted(outcome: &Extracted, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| copies::extracted_view(outcome), || copies::extracted_text(outcome))
}

/// The result of `list`. Ages are counted from `now`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn listed(
    listing: &Listing,
    store: &str,
    now: jiff::Timestamp,
    output: OutputFormat,
) -> Result<String, PrintError> {
    output.print(|| views::listing(listing, store), || text::listing(listing, store, now))
}

/// The result of `show`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn shown(record: &BackupRecord, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| serde_json::to_value(record).unwrap_or_default(), || text::record(record))
}

/// A plan, executed or not.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn planned(plan: &RestorePlan, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| views::plan(plan), || text::plan(plan))
}

/// The result of `verify` on a directory.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn verified(verified: &Verified, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| verified::view(verified), || verified::text(verified))
}

/// The result of `restore`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn restored(outcome: &RestoreOutcome, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| views::restore(outcome), || text::restore(outcome))
}

/// The result of `delete`.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn deleted(deleted: &Deleted, store: &str, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| keep::deleted_value(deleted, store), || keep::deleted_text(deleted, store))
}

/// What `prune` would do.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn prune_planned(plan: &PrunePlan, store: &str, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| keep::plan_value(plan, store), || keep::plan_text(plan, store))
}

/// The result of `prune`. `took_over` is whose lock it took.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn pruned(
    plan: &PrunePlan,
    done: &Pruned,
    took_over: Option<&str>,
    store: &str,
    output: OutputFormat,
) -> Result<String, PrintError> {
    output
        .print(|| keep::pruned_value(plan, done, took_over, store), || keep::pruned_text(plan, done, took_over, store))
}

/// The result of `verify` on backups.
///
/// # Errors
/// When it cannot be printed in the format.
pub fn verified_backups(verification: &Verification, store: &str, output: OutputFormat) -> Result<String, PrintError> {
    output.print(|| verified_backups::view(verification, store), || verified_backups::text(verification, store))
}
