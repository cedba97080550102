//! THE table of metrics a run leaves behind, and their text. Knows the exposition format (Prometheus
//! `docs/instrumenting/exposition_formats`), not who reads it.
//!
//! A run that failed says nothing about sizes, volumes and its last success: what the run before said stays.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::{BackupRecord, VolumeRecord};

/// One family of metrics. All are gauges: a run is over before anybody can look at it twice.
pub struct Family {
    /// Name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
}

/// Every family, in the order of the text.
pub const FAMILIES: &[Family] = &[
    Family { name: INFO, help: "1, with the version of promsafe that ran last." },
    Family { name: LAST_RUN, help: "When the last run ended, in seconds since 1970." },
    Family {
        name: LAST_SUCCESS,
        help: "When the last run ended that did its work, also with problems (exit code 0 or 3), in seconds since 1970.",
    },
    Family { name: EXIT_CODE, help: "Exit code of the last run: 0 done, 3 done with problems, all else failed." },
    Family { name: DURATION, help: "How long the last run took." },
    Family { name: BYTES, help: "Size of the last backup in the store, without its volumes." },
    Family { name: OBJECTS, help: "Objects in the last backup." },
    Family {
        name: VOLUMES,
        help: "Volumes of the last backup: snapshotted, skipped on request, or failed so that there is no backup.",
    },
    Family { name: MISSING_REFERENCES, help: "Objects that the last backup needs and that were not there." },
    Family {
        name: GAP,
        help: "From the newest sample that the last restore brought back until its snapshot was cut; the longest of all.",
    },
];

const INFO: &str = "promsafe_info";
const LAST_RUN: &str = "promsafe_last_run_timestamp_seconds";
const LAST_SUCCESS: &str = "promsafe_last_success_timestamp_seconds";
const EXIT_CODE: &str = "promsafe_last_run_exit_code";
const DURATION: &str = "promsafe_run_duration_seconds";
const BYTES: &str = "promsafe_backup_bytes";
const OBJECTS: &str = "promsafe_backup_objects";
const VOLUMES: &str = "promsafe_volumes";
const MISSING_REFERENCES: &str = "promsafe_missing_references";
const GAP: &str = "promsafe_gap_seconds";

/// Label that tells the commands apart.
const COMMAND: &str = "command";

/// One number: family, one more label, value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    family: &'static str,
    label: Option<(&'static str, String)>,
    value: f64,
}

impl Sample {
    fn new(family: &'static str, value: f64) -> Self {
        Self { family, label: None, value }
    }

    fn with(self, label: &'static str, value: &str) -> Self {
        Self { label: Some((label, value.to_owned())), ..self }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnd {
    /// `backup` or `restore`.
    pub command: &'static str,
    /// Version of promsafe.
    pub version: &'static str,
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Its exit code.
    pub exit_code: u8,
    /// Whether it did its work.
    pub success: bool,
    /// What it measured: [`of_backup`], [`of_refused_backup`] or [`of_restore`].
    pub measured: Vec<Sample>,
}

/// What a backup in the store says.
#[expect(clippy::cast_precision_loss, reason = "sizes and counts beyond 2^53 do not occur")]
pub fn of_backup(record: &BackupRecord) -> Vec<Sample> {
    let bytes: u64 = record.files.iter().map(|file| file.bytes).sum();
    let count = |is: fn(&VolumeRecord) -> bool| record.volumes.iter().filter(|volume| is(volume)).count();
    let copied = count(|volume| volume.copy.is_some());
    let snapshotted = count(|volume| volume.snapshot.is_some() && volume.copy.is_none());
    vec![
        Sample::new(BYTES, bytes as f64),
        Sample::new(OBJECTS, record.objects as f64),
        volumes("snapshotted", snapshotted),
        volumes("copied", copied),
        volumes("skipped", record.volumes.len() - snapshotted - copied),
        volumes("failed", 0),
        Sample::new(MISSING_REFERENCES, record.missing_references.len() as f64),
    ]
}

/// What a backup says that was not made because of so many volumes.
pub fn of_refused_backup(failed_volumes: usize) -> Vec<Sample> {
    vec![volumes("snapshotted", 0), volumes("copied", 0), volumes("skipped", 0), volumes("failed", failed_volumes)]
}

/// What a restore says; without a gap when nothing could be measured.
pub fn of_restore(gap_seconds: Option<f64>) -> Vec<Sample> {
    gap_seconds.map(|gap| Sample::new(GAP, gap)).into_iter().collect()
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 volumes")]
fn volumes(result: &str, count: usize) -> Sample {
    Sample::new(VOLUMES, count as f64).with("result", result)
}

/// Lines of one family by their labels, each with its value.
type Lines = BTreeMap<(usize, String), String>;

/// The text of a run alone, for the Pushgateway, which keeps what the run before said if asked to.
pub fn text(end: &RunEnd) -> String {
    print(&lines(end))
}

/// The text of a file that held this before: what a command says of its last run replaces what it said before, and what
/// it says nothing about stays, unless it succeeded.
pub fn text_after(before: &str, end: &RunEnd) -> String {
    let new = lines(end);
    let own = format!("{COMMAND}=\"{}\"", end.command);
    let told: Vec<usize> = new.keys().map(|(family, _)| *family).collect();
    let mut all = kept(before);
    all.retain(|(family, labels), _| {
        !labels.split(',').any(|label| label == own) || !end.success && !told.contains(family)
    });
    all.extend(new);
    print(&all)
}

fn lines(end: &RunEnd) -> Lines {
    let seconds = |at: Timestamp| Duration::from_millis(at.as_millisecond().unsigned_abs()).as_secs_f64();
    let mut samples = vec![
        Sample::new(INFO, 1.0).with("version", end.version),
        Sample::new(LAST_RUN, seconds(end.at)),
        Sample::new(EXIT_CODE, f64::from(end.exit_code)),
        Sample::new(DURATION, end.took.as_secs_f64()),
    ];
    if end.success {
        samples.push(Sample::new(LAST_SUCCESS, seconds(end.at)));
    }
    samples.extend(end.measured.iter().cloned());
    let line = |sample: Sample| {
        let mut labels = format!("{COMMAND}=\"{}\"", end.command);
        if let Some((label, value)) = &sample.label {
            // Versions and results: nothing that would need escapes.
            let value: String = value.chars().filter(|c| !matches!(c, '"' | '\\' | '\n')).collect();
            labels = format!("{labels},{label}=\"{value}\"");
        }
        let family = FAMILIES.iter().position(|family| family.name == sample.family).unwrap_or_default();
        ((family, labels), sample.value.to_string())
    };
    samples.into_iter().map(line).collect()
}

/// The lines of an earlier text that are ours; whatever else stands there is not kept, half a file no more than a stranger.
fn kept(text: &str) -> Lines {
    let line = |line: &str| {
        let (name, rest) = line.split_once('{')?;
        let (labels, value) = rest.split_once("} ")?;
        let family = FAMILIES.iter().position(|family| family.name == name)?;
        let value = value.trim();
        value.parse::<f64>().ok()?;
        Some(((family, labels.to_owned()), value.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn print(lines: &Lines) -> String {
    let mut text = String::new();
    let mut last = None;
    for ((family, labels), value) in lines {
        let Family { name, help } = &FAMILIES[*family];
        // Writing to a String cannot fail.
        if last != Some(family) {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            last = Some(family);
        }
        let _ = writeln!(text, "{name}{{{labels}}} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(command: &'static str, exit_code: u8, at: &str, measured: Vec<Sample>) -> RunEnd {
        RunEnd {
            command,
            version: "0.1.0",
            at: at.parse().unwrap(),
            took: Duration::from_millis(1500),
            exit_code,
            success: matches!(exit_code, 0 | 3),
            measured,
        }
    }

    #[test]
    fn each_family_is_introduced_once_and_in_one_piece() {
        let backup = text(&end("backup", 0, "2026-11-21T12:00:00.25Z", of_refused_backup(2)));
        let both = text_after(&backup, &end("restore", 0, "2026-11-21T13:00:00Z", of_restore(Some(-0.5))));
        for family in FAMILIES {
            let lines: Vec<usize> = (both.lines().enumerate())
                .filter(|(_, line)| line.starts_with(family.name))
                .map(|(number, _)| number)
                .collect();
            assert!(lines.windows(2).all(|pair| pair[1] == pair[0] + 1), "{both}");
            assert!(both.matches(&format!("# HELP {} ", family.name)).count() <= 1, "{both}");
        }
        assert!(both.contains("promsafe_last_run_timestamp_seconds{command=\"backup\"} 1795262400.25\n"), "{both}");
        assert!(both.contains("promsafe_volumes{command=\"backup\",result=\"failed\"} 2\n"), "{both}");
        assert!(both.contains("promsafe_gap_seconds{command=\"restore\"} -0.5\n"), "{both}");
    }

    #[test]
    fn failed_run_keeps_what_the_one_before_measured() {
        let measured = vec![Sample::new(BYTES, 7.0)];
        let first = text(&end("backup", 3, "2026-11-21T12:00:00Z", measured));
        let second = text_after(&first, &end("backup", 7, "2026-11-21T13:00:00Z", vec![]));
        assert!(
            second.contains("promsafe_last_success_timestamp_seconds{command=\"backup\"} 1795262400\n"),
            "{second}"
        );
        assert!(second.contains("promsafe_last_run_timestamp_seconds{command=\"backup\"} 1795266000\n"), "{second}");
        assert!(second.contains("promsafe_last_run_exit_code{command=\"backup\"} 7\n"), "{second}");
        assert!(second.contains("promsafe_backup_bytes{command=\"backup\"} 7\n"), "{second}");
        let third = text_after(&second, &end("backup", 0, "2026-11-21T14:00:00Z", vec![]));
        assert!(!third.contains("promsafe_backup_bytes"), "{third}");
        assert!(third.contains("promsafe_last_success_timestamp_seconds{command=\"backup\"} 1795269600\n"), "{third}");
    }

    #[test]
    fn newer_version_replaces_the_older() {
        let first = text(&end("backup", 0, "2026-11-21T12:00:00Z", vec![])).replace("0.1.0", "0.0.9");
        let second = text_after(&first, &end("backup", 1, "2026-11-21T13:00:00Z", vec![]));
        assert_eq!(second.matches("promsafe_info{").count(), 1, "{second}");
    }

    #[test]
    fn strange_lines_are_not_kept() {
        let strange = "up 1\npromsafe_info{command=\"restore\",version=\"1\"} one\npromsafe_backup_bytes{comm";
        let new = end("backup", 0, "2026-11-21T12:00:00Z", vec![]);
        assert_eq!(text_after(strange, &new), text(&new));
    }
}
