//! The write-ahead log and its checkpoints.

use std::io;

use super::directory::{Directory, EntryKind};
use super::logs::{
    Broken, Reading, broken_finding, finding, gap_finding, graded, lost_behind, missing_finding, new_report,
    read_segments, segment_name, strays_finding, unknown_finding,
};
use super::numbering::{CHECKPOINT, Numbered, checkpoints, gap, segments};
use super::record::Log;
use super::refs::RefSet;
use super::segments::Records;
use super::tally::{Replay, Span};
use super::verdict::{Finding, Grade, LogReport, Loss};

pub(super) const NAME: &str = "wal";

/// How the start goes that replays the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Everything is replayed.
    Whole,
    /// `wal` is repaired, and what would be read after it is not.
    Repaired,
    /// There is none.
    Refused,
}

/// What Prometheus has in memory after it read `wal`.
#[derive(Debug)]
pub(super) struct Head {
    /// End of the newest block, exclusive.
    pub(super) valid_from_ms: Option<i64>,
    pub(super) known: RefSet,
    /// Samples that were replayed.
    pub(super) span: Span,
    pub(super) start: Start,
    /// Worst finding in `wal` and its checkpoint.
    pub(super) wal: Grade,
    /// Worst finding in `wbl`.
    pub(super) wbl: Grade,
    /// The last head chunk, by the number of its file and its place in it.
    pub(super) last_chunk: u64,
}

impl Head {
    pub(super) fn new(valid_from_ms: Option<i64>) -> Self {
        let (known, span, start, last_chunk) = (RefSet::default(), Span::default(), Start::Whole, 0);
        Self { valid_from_ms, known, span, start, wal: Grade::Ok, wbl: Grade::Ok, last_chunk }
    }
}

/// Reads `wal` and its checkpoints; what comes of it is in the head then.
pub(super) fn inspect(directory: &dyn Directory, records: &mut Records, head: &mut Head) -> io::Result<Vec<LogReport>> {
    let entries = directory.list(NAME)?;
    let (all, checkpoints) = (segments(&entries), checkpoints(&entries));
    let mut wal = new_report(NAME, &all);
    let first = checkpoints.last().map_or(0, |newest| newest.number.saturating_add(1));
    wal.findings.extend(numbering_findings(&all, checkpoints.last(), first));
    let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
    for file in files {
        if file.name.starts_with(CHECKPOINT) {
            let what = "is no directory: Prometheus does not start".to_owned();
            wal.findings.push(finding(Grade::Fatal, format!("{NAME}/{}", file.name), what));
        } else if file.name.ends_with(".repair") {
            let what = "a repair was interrupted: Prometheus never reads what it left".to_owned();
            wal.findings.push(finding(Grade::Ok, format!("{NAME}/{}", file.name), what));
        }
    }
    let replayed: Vec<_> = all.iter().filter(|segment| segment.number >= first).cloned().collect();
    let mut reports = Vec::new();
    for checkpoint in &checkpoints {
        let newest = checkpoint.number.saturating_add(1) == first;
        let place = Checkpoint { path: format!("{NAME}/{}", checkpoint.name), wal: &all, newest };
        reports.push(place.inspect(directory, records, head)?);
    }
    if wal.findings.iter().any(|finding| finding.grade == Grade::Fatal) {
        head.start = Start::Refused;
    }
    let mut replay = Replay::new(Log::Wal, head.valid_from_ms, (head.start == Start::Whole).then_some(&mut head.known));
    let found = &mut wal.findings;
    let broken = read_segments(directory, NAME, &replayed, Reading::EachAlone, records, &mut replay, found)?;
    replay.tally.fill(&mut wal);
    wal.findings.extend(strays_finding(NAME, &replay));
    wal.findings.extend(unknown_finding(NAME, &replay.tally));
    head.span.merge(replay.tally.span);
    if let Some(broken) = broken {
        let behind = Replay::new(Log::Wal, head.valid_from_ms, None);
        let lost = lost_behind(directory, NAME, &replayed, &broken, records, behind)?;
        wal.findings.push(broken_finding(NAME, &replayed, &broken, &lost));
        if head.start == Start::Whole {
            head.start = Start::Repaired;
        }
    }
    let wal = graded(wal);
    head.wal = head.wal.max(wal.grade);
    reports.insert(0, wal);
    Ok(reports)
}

/// What is wrong with the numbers of segments, told from the first that is replayed.
fn numbering_findings(all: &[Numbered], checkpoint: Option<&Numbered>, first: i64) -> Option<Finding> {
    if let Some((one, next)) = gap(all) {
        return Some(gap_finding(NAME, one, next));
    }
    let newest = all.last().map_or(-1, |segment| segment.number);
    if let Some(checkpoint) = checkpoint.filter(|_| newest < first) {
        let what = format!(
            "no segment follows {}: Prometheus has what the checkpoint holds, and will not read what it writes next",
            checkpoint.name
        );
        return Some(finding(Grade::Degraded, NAME.to_owned(), what).with_loss(Loss::default()));
    }
    let oldest = all.first()?.number;
    if oldest > first {
        return Some(missing_finding(NAME, first));
    }
    let mut replayed = all.iter().filter(|segment| segment.number >= first);
    replayed.find(|segment| segment.name != segment_name(segment.number)).map(|one| missing_finding(NAME, one.number))
}

/// One checkpoint. Only the newest is read by Prometheus.
struct Checkpoint<'a> {
    path: String,
    wal: &'a [Numbered],
    newest: bool,
}

impl Checkpoint<'_> {
    fn inspect(&self, directory: &dyn Directory, records: &mut Records, head: &mut Head) -> io::Result<LogReport> {
        let segments = segments(&directory.list(&self.path)?);
        let mut report = new_report(&self.path, &segments);
        let mut replay = Replay::new(Log::Wal, head.valid_from_ms, self.newest.then_some(&mut head.known));
        let found = &mut report.findings;
        let broken = read_segments(directory, &self.path, &segments, Reading::AllAsOne, records, &mut replay, found)?;
        replay.tally.fill(&mut report);
        report.findings.extend(unknown_finding(&self.path, &replay.tally));
        if !self.newest {
            report.findings.clear();
            return Ok(report);
        }
        report.findings.extend(strays_finding(&self.path, &replay));
        head.span.merge(replay.tally.span);
        if let Some((one, next)) = gap(&segments) {
            report.findings.push(gap_finding(&self.path, one, next));
        }
        if let Some(broken) = broken {
            let valid_from_ms = head.valid_from_ms;
            report.findings.push(self.broken(directory, &segments, &broken, records, valid_from_ms)?);
            head.start = Start::Repaired;
        }
        let report = graded(report);
        head.wal = report.grade;
        if report.grade == Grade::Fatal {
            head.start = Start::Refused;
        }
        Ok(report)
    }

    /// Prometheus repairs `wal` at the number of the checkpoint's own segment: it deletes all segments above that, then
    /// looks for the one of that number in `wal`, and gives up when there is none.
    fn broken(
        &self,
        directory: &dyn Directory,
        segments: &[Numbered],
        broken: &Broken,
        records: &mut Records,
        valid_from_ms: Option<i64>,
    ) -> io::Result<Finding> {
        let damaged = &segments[broken.at];
        let deleted: Vec<_> = self.wal.iter().filter(|segment| segment.number > damaged.number).cloned().collect();
        let all = Broken { at: 0, damage: super::segments::Damage { offset: 0, why: "", resume: 0 } };
        let behind = Replay::new(Log::Wal, valid_from_ms, None);
        let lost = lost_behind(directory, NAME, &deleted, &all, records, behind)?;
        let exists = self.wal.iter().any(|segment| segment.number == damaged.number);
        let (grade, end) = if exists {
            (Grade::Degraded, "starts with what is before the damage")
        } else {
            (Grade::Fatal, "does not start")
        };
        let why = broken.damage.why;
        let what = format!("{why}: Prometheus deletes {} segments of wal, and {end}", deleted.len());
        let path = format!("{}/{}", self.path, damaged.name);
        Ok(finding(grade, path, what).at_offset(broken.damage.offset).with_loss(lost.loss()))
    }
}
