//! What was found of backups in a store, as text and as a value.

use serde_json::{Value, json};

use super::table::table;
use crate::integrity::{BackupVerdict, Flaw, Level, Trouble, TsdbVerdict, Verification, VolumeVerdict};
use crate::tsdb::Grade;
use crate::{layout, quantity};

pub(super) fn text(verification: &Verification, store: &str) -> String {
    let mut lines = Vec::new();
    let rows: Vec<_> = verification.backups.iter().flat_map(rows).collect();
    if !rows.is_empty() {
        lines.push(table(&["BACKUP", "WHAT", "FILES", "SIZE", "RESULT"], rows));
    }
    lines.extend(verification.all_flaws().map(flaw));
    let volumes =
        verification.backups.iter().flat_map(|backup| backup.volumes.iter().map(move |volume| (backup, volume)));
    lines.extend(volumes.filter_map(|(backup, volume)| Some(tsdb(backup, volume, volume.tsdb.as_ref()?))));
    let hashed = match verification.level {
        Level::List => "none hashed: sizes alone were compared".to_owned(),
        Level::Hash | Level::Tsdb if verification.hashed == verification.pieces => "all hashed".to_owned(),
        Level::Hash | Level::Tsdb => format!(
            "{} of them, {}, hashed ({}% asked for)",
            verification.hashed,
            quantity::human(verification.hashed_bytes),
            verification.percent
        ),
    };
    if verification.pieces > 0 {
        let bytes = quantity::human(verification.piece_bytes);
        lines.push(format!("PIECES     {}, {bytes}; {hashed}", verification.pieces));
    }
    let (bad, extra) = counts(verification);
    let count = verification.backups.len();
    let those = format!("{count} {} of {store}", if count == 1 { "backup" } else { "backups" });
    lines.push(match (verification.worst(), bad, extra) {
        (_, bad, extra) if bad > 0 => format!("DAMAGED    {bad} objects of {store} damaged or missing, {extra} extra"),
        (Grade::Fatal, ..) => format!("DAMAGED    {those}: whole, but Prometheus would not start on all of the data"),
        (Grade::Degraded, ..) => format!("DEGRADED   {those}: whole, but Prometheus would not find all of the data"),
        (_, _, 0) => format!("VERIFIED   {those}: whole"),
        (_, _, extra) => format!("VERIFIED   {those}: whole, {extra} extra objects"),
    });
    lines.join("\n")
}

/// Objects that are damaged or missing, each once, and those that are extra.
fn counts(verification: &Verification) -> (usize, usize) {
    let of = |extra: bool| {
        let those = verification.all_flaws().filter(|flaw| (flaw.trouble == Trouble::Extra) == extra);
        those.map(|flaw| flaw.object.as_str()).collect::<std::collections::BTreeSet<_>>().len()
    };
    (of(false), of(true))
}

fn rows(backup: &BackupVerdict) -> Vec<Vec<String>> {
    // Flaws of pieces and trees stand in the rows of the volumes.
    let result = if backup.is_flawed_in(&layout::backup_prefix(&backup.id)) { "DAMAGED" } else { "ok" };
    let row = |what: &str, files: u64, bytes: u64, result: String| {
        vec![backup.id.to_string(), what.to_owned(), files.to_string(), quantity::human(bytes), result]
    };
    let mut rows = vec![row("record and objects", backup.objects + 1, backup.bytes, result.to_owned())];
    rows.extend(backup.volumes.iter().map(|volume| {
        let result = match volume.flawed {
            // Without files there is still the list of none.
            0 if backup.is_flawed_in(&volume.tree.to_string()) => "DAMAGED".to_owned(),
            0 => "ok".to_owned(),
            files => format!("{files} files DAMAGED"),
        };
        row(&volume.name, volume.files, volume.bytes, result)
    }));
    rows
}

fn tsdb(backup: &BackupVerdict, volume: &VolumeVerdict, verdict: &TsdbVerdict) -> String {
    let head = format!("TSDB       {} in {}", volume.name, backup.id);
    let report = match verdict {
        TsdbVerdict::Unreadable(why) => return format!("{head}: cannot be read: {why}"),
        TsdbVerdict::Inspected(report) => report,
    };
    let samples: u64 = report.blocks.iter().map(|block| block.samples).sum();
    let (blocks, logs) = (report.blocks.len(), report.logs.len());
    let mut rows =
        vec![format!("{head}: {blocks} blocks with {samples} samples, {logs} logs: {}", grade(report.grade))];
    rows.extend(report.all_findings().map(|finding| {
        let at = finding.offset.map(|offset| format!(" at {offset}")).unwrap_or_default();
        let word = if finding.grade == Grade::Ok { "note" } else { grade(finding.grade) };
        format!("           {word}: {}{at}: {}", finding.path, finding.what)
    }));
    rows.join("\n")
}

fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Ok => "ok",
        Grade::TornTail => "torn tail, as after a crash",
        Grade::Degraded => "DEGRADED",
        Grade::Fatal => "FATAL",
    }
}

fn flaw(flaw: &Flaw) -> String {
    let word = match flaw.trouble {
        Trouble::Damaged => "DAMAGED",
        Trouble::Missing => "MISSING",
        Trouble::Extra => "EXTRA",
    };
    let mut rows = vec![format!("{word:<10} {}: {}", flaw.object, flaw.why)];
    rows.extend(flaw.belongs_to.iter().map(|owner| format!("           part of {owner}")));
    rows.join("\n")
}

pub(super) fn view(verification: &Verification, store: &str) -> Value {
    let level = match verification.level {
        Level::List => "list",
        Level::Hash => "hash",
        Level::Tsdb => "tsdb",
    };
    json!({
        "result": "verify",
        "store": store,
        "level": level,
        "whole": !verification.is_damaged(),
        "verification": verification,
    })
}
