//! Copies of volumes and what is brought back from them, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::table::table;
use super::text::{problems, utc};
use crate::copy_directory::DirectoryCopied;
use crate::extract::Extracted;
use crate::model::{BackupRecord, VolumeRecord};
use crate::quantity::human;

/// The result of `copy` in words.
pub(super) fn copied_text(outcome: &DirectoryCopied, store: &str) -> String {
    let (record, copied) = (&outcome.record, &outcome.copied);
    let mut lines = source(record);
    lines.push(format!(
        "COPIED     {} files, {}; sent {}, {} known from an earlier copy and not read",
        copied.files,
        human(copied.bytes),
        human(copied.sent_bytes),
        human(copied.taken_over_bytes),
    ));
    lines.extend(problems(&copied.problems));
    lines.push(format!("SAVED      {}  {}  in {}  {store}", record.id, human(copied.bytes), seconds(outcome.took)));
    lines.join("\n")
}

/// The result of `copy` for programs.
pub(super) fn copied_view(outcome: &DirectoryCopied, store: &str) -> Value {
    json!({
        "result": "copy",
        "store": store,
        "took_ms": outcome.took.as_millis(),
        "copied": outcome.copied,
        "problems": outcome.copied.problems,
        "backup": outcome.record,
    })
}

/// The result of `extract` in words.
pub(super) fn extracted_text(outcome: &Extracted) -> String {
    let filled = &outcome.filled;
    let mut lines = Vec::new();
    for left in &filled.left_out {
        lines.push(format!("LEFT OUT   {}: {}", left.object, left.cause));
    }
    lines.extend(problems(&filled.problems));
    lines.push(format!(
        "EXTRACTED  {} of backup {}: {} files, {} ({} written, the rest was there)  in {}  {}",
        outcome.volume,
        outcome.backup,
        filled.files,
        human(filled.bytes),
        human(filled.written_bytes),
        seconds(outcome.took),
        outcome.directory.display(),
    ));
    lines.join("\n")
}

/// The result of `extract` for programs.
pub(super) fn extracted_view(outcome: &Extracted) -> Value {
    json!({
        "result": "extract",
        "backup": outcome.backup,
        "volume": outcome.volume,
        "directory": outcome.directory,
        "took_ms": outcome.took.as_millis(),
        "files": outcome.filled.files,
        "bytes": outcome.filled.bytes,
        "written_bytes": outcome.filled.written_bytes,
        "left_out": outcome.filled.left_out,
        "problems": outcome.filled.problems,
    })
}

/// Where a backup without a cluster was taken.
pub(super) fn source(record: &BackupRecord) -> Vec<String> {
    record.directory.iter().map(|source| format!("DIRECTORY  {} of {}", source.path, source.host)).collect()
}

/// The copies of a backup, a row for each volume that has one.
pub(super) fn copies(record: &BackupRecord) -> Option<String> {
    let rows: Vec<_> = record.volumes.iter().filter_map(|volume| row(record, volume)).collect();
    (!rows.is_empty()).then(|| table(&["COPY OF", "FILES", "DATA", "SENT", "CUT", "TREE"], rows))
}

fn copied_name(record: &BackupRecord, volume: &VolumeRecord) -> String {
    record.directory.as_ref().map_or_else(|| volume.volume.qualified_name(), |source| source.path.clone())
}

fn row(record: &BackupRecord, volume: &VolumeRecord) -> Option<Vec<String>> {
    let copy = volume.copy.as_ref()?;
    let name = copied_name(record, volume);
    let tree = copy.tree.to_string()[..12].to_owned();
    Some(vec![name, copy.files.to_string(), human(copy.bytes), human(copy.sent_bytes), utc(copy.cut_at), tree])
}

/// What went wrong while the copies of a backup were made.
pub(super) fn copy_problems(record: &BackupRecord) -> Vec<String> {
    let copies = record.volumes.iter().filter_map(|volume| Some((volume, volume.copy.as_ref()?)));
    let told = copies.flat_map(|(volume, copy)| {
        let name = copied_name(record, volume);
        copy.problems.iter().map(move |problem| format!("LACKS      in the copy of {name}: {problem}"))
    });
    told.collect()
}

/// Size of all copies of a backup together; `-` when it has none.
pub(super) fn data_size(record: &BackupRecord) -> String {
    let mut copies = record.volumes.iter().filter_map(|volume| volume.copy.as_ref()).peekable();
    if copies.peek().is_none() { "-".to_owned() } else { human(copies.map(|copy| copy.bytes).sum()) }
}

fn seconds(took: Duration) -> String {
    format!("{:.1}s", took.as_secs_f64())
}
