//! Every failure in words: what, on which object, why, what to type next.

use serde_json::json;

use super::OutputFormat;
use crate::backup::BackupError;
use crate::cli::Failure;
use crate::model::Refusal;
use crate::snapshots::GivenUp;
use crate::words;

/// The text of a failure for stderr.
pub fn failure(failure: &Failure, output: OutputFormat) -> String {
    let refusals = refusals(failure);
    let left = given_up(failure);
    if output != OutputFormat::Table {
        let error = json!({
            "error": words::chain(failure),
            "exit_code": failure.exit() as u8,
            "refusals": refusals,
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
    if let Some(left) = left {
        lines.extend(left.deleted.iter().map(|object| format!("made by this run, deletion asked for: {object}")));
        lines.extend(left.left.iter().map(|object| format!("made by this run, could not be deleted: {object}")));
    }
    lines.push(format!("hint: {}", failure.hint()));
    lines.join("\n")
}

fn refusals(failure: &Failure) -> &[Refusal] {
    match failure {
        Failure::Backup(BackupError::Refused(refusals)) => refusals,
        _ => &[],
    }
}

fn given_up(failure: &Failure) -> Option<&GivenUp> {
    match failure {
        Failure::Backup(BackupError::GaveUp { given_up, .. }) => Some(given_up),
        _ => None,
    }
}
