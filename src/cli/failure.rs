//! Every failure in words: what, on which object, why, what to type next.

use serde_json::json;

use super::hint::for_this_store;
use super::{Exit, Failure};
use crate::apply::ApplyError;
use crate::backup::BackupError;
use crate::copy_directory::CopyDirectoryError;
use crate::delete::DeleteError;
use crate::extract::ExtractError;
use crate::fill::FillError;
use crate::model::{Problem, Refusal};
use crate::prune::PruneError;
use crate::report::OutputFormat;
use crate::restore::RestoreError;
use crate::snapshots::GivenUp;
use crate::words;

/// The text of a failure for stderr.
pub(super) fn words_for(failure: &Failure, output: OutputFormat) -> String {
    let refusals = refusals(failure);
    let left = given_up(failure);
    if output != OutputFormat::Table {
        let error = json!({
            "error": words::chain(failure),
            "exit_code": failure.exit() as u8,
            "refusals": refusals,
            "problems": problems(failure),
            "snapshots_deleted": left.map(|left| &left.deleted),
            "snapshots_left": left.map(|left| &left.left),
            "hint": failure.hint(),
        });
        return error.to_string();
    }
    let mut lines = vec![format!("error: {}", words::chain(failure))];
    for refusal in refusals {
        lines.push(format!("REFUSED  {} {}", refusal.object, refusal.why));
        lines.push(format!("         fix: {}", refusal.fix));
    }
    for problem in problems(failure) {
        lines.push(format!("PROBLEM  {} {}: {}", problem.tried, problem.object, problem.cause));
    }
    if let Some(left) = left {
        lines.extend(left.deleted.iter().map(|object| format!("made by this run, deletion asked for: {object}")));
        lines.extend(left.left.iter().map(|object| format!("made by this run, could not be deleted: {object}")));
    }
    lines.push(format!("hint: {}", failure.hint()));
    // A command line that is not understood is typed again, whatever its store.
    let names_commands = failure.exit() != Exit::Usage && lines[1..].iter().any(|line| line.contains("promsafe "));
    lines.extend(for_this_store().filter(|_| names_commands));
    lines.join("\n")
}

fn refusals(failure: &Failure) -> &[Refusal] {
    match failure {
        Failure::Backup(BackupError::Refused(refusals))
        | Failure::Delete(DeleteError::Refused(refusals))
        | Failure::Restore(RestoreError::Refused(refusals))
        | Failure::FillVolume(FillError::Refused(refusals))
        | Failure::Copy(CopyDirectoryError::Refused(refusals))
        | Failure::Extract(
            ExtractError::Refused(refusals) | ExtractError::Fill { source: FillError::Refused(refusals), .. },
        ) => refusals,
        _ => &[],
    }
}

fn problems(failure: &Failure) -> &[Problem] {
    match failure {
        Failure::Restore(RestoreError::Apply(ApplyError { applied, .. })) => &applied.problems,
        Failure::Prune(PruneError::Unreadable { unreadable }) => unreadable,
        _ => &[],
    }
}

fn given_up(failure: &Failure) -> Option<&GivenUp> {
    match failure {
        Failure::Backup(BackupError::GaveUp { given_up, .. }) => Some(given_up),
        _ => None,
    }
}
