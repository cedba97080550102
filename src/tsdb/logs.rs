//! The logs of a data directory, judged by what Prometheus does with them when it starts: what it replays, what it drops
//! to repair itself, and when it gives up.
//!
//! Facts: prometheus `tsdb/db.go` (open), `tsdb/head.go` (Init), `tsdb/head_wal.go`, `tsdb/wlog/wlog.go` (Repair).

use std::io;

use super::directory::{Directory, Entry, EntryKind};
use super::head_chunks::{self, HeadChunks};
use super::numbering::{Numbered, gap, segments};
use super::record::Log;
use super::segments::{At, Damage, Records, SegmentEnd};
use super::tally::{Replay, Tally};
use super::verdict::{Finding, Grade, LogReport, Loss};
use super::wal::{self, Head, Start};

const WBL: &str = "wbl";
const SNAPSHOT: &str = "chunk_snapshot.";

/// Reads every log that there is. Samples before the end of the newest block of in-order samples, in milliseconds since
/// the epoch, exclusive, are in blocks already.
///
/// # Errors
/// When a directory or a file cannot be read.
pub(super) fn inspect(directory: &dyn Directory, newest_block_end_ms: Option<i64>) -> io::Result<Vec<LogReport>> {
    let entries = directory.list("")?;
    let has = |name: &str| entries.iter().any(|entry| entry.name == name && entry.kind == EntryKind::Directory);
    let mut records = Records::new();
    let mut head = Head::new(newest_block_end_ms);
    let mut reports = Vec::new();
    if has(wal::NAME) {
        reports.extend(wal::inspect(directory, &mut records, &mut head)?);
    }
    let chunks = if has(head_chunks::NAME) { Some(HeadChunks::read(directory, &mut head)?) } else { None };
    if has(WBL) {
        let report = inspect_wbl(directory, &mut records, &mut head)?;
        head.wbl = report.grade;
        reports.push(report);
    }
    reports.extend(chunks.map(|chunks| chunks.judge(&head)));
    for entry in entries.iter().filter(|entry| is_snapshot(entry)) {
        reports.push(inspect_snapshot(directory, &entry.name, &mut records)?);
    }
    Ok(reports)
}

fn is_snapshot(entry: &Entry) -> bool {
    let numbers = entry.name.strip_prefix(SNAPSHOT).filter(|_| entry.kind == EntryKind::Directory);
    numbers.is_some_and(|numbers| numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

fn inspect_wbl(directory: &dyn Directory, records: &mut Records, head: &mut Head) -> io::Result<LogReport> {
    let segments = segments(&directory.list(WBL)?);
    let mut report = new_report(WBL, &segments);
    if let Some((one, next)) = gap(&segments) {
        report.findings.push(gap_finding(WBL, one, next));
    }
    if let Some(misnamed) = segments.iter().find(|segment| segment.name != segment_name(segment.number)) {
        report.findings.push(missing_finding(WBL, misnamed.number));
    }
    let known = (head.start == Start::Whole).then_some(&mut head.known);
    let mut replay = Replay::new(Log::Wbl, None, known);
    replay.last_chunk = head.last_chunk;
    let broken =
        read_segments(directory, WBL, &segments, Reading::EachAlone, records, &mut replay, &mut report.findings)?;
    replay.tally.fill(&mut report);
    report.findings.extend(strays_finding(WBL, &replay));
    report.findings.extend(unknown_finding(WBL, &replay.tally));
    if let Some(broken) = broken {
        let lost = lost_behind(directory, WBL, &segments, &broken, records, Replay::new(Log::Wbl, None, None))?;
        report.findings.push(broken_finding(WBL, &segments, &broken, &lost));
    }
    if let Some(loss) = replay.pending_loss().filter(|_| head.start == Start::Repaired) {
        let what = "is not replayed at the start that repairs wal: what of it is not in chunks_head cannot be queried \
                    before the start after it";
        report.findings.push(finding(Grade::Degraded, WBL.to_owned(), what.to_owned()).with_loss(loss));
    }
    Ok(graded(report))
}

/// Framing only. Prometheus reads a snapshot only where that feature is on, and replays wal when it cannot.
fn inspect_snapshot(directory: &dyn Directory, name: &str, records: &mut Records) -> io::Result<LogReport> {
    let segments = segments(&directory.list(name)?);
    let mut report = new_report(name, &segments);
    for segment in &segments {
        let path = format!("{name}/{}", segment.name);
        let file = directory.open(&path)?;
        let mut count = 0;
        let end = records.read(&*file, 0, At::Stop, &mut |_| {
            count += 1;
            Ok(())
        })?;
        report.records += count;
        if let Some(damage) = end.damage {
            let what = format!("{}: Prometheus replays wal instead of this snapshot", damage.why);
            report.findings.push(finding(Grade::Ok, path, what).at_offset(damage.offset));
            break;
        }
    }
    records.finish();
    Ok(graded(report))
}

/// Whether a record may go on in the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Each segment has a reader of its own: `wal` and `wbl`.
    EachAlone,
    /// One reader for all: checkpoints.
    AllAsOne,
}

/// Where a log cannot be read further.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    /// Which of the segments.
    pub(super) at: usize,
    pub(super) damage: Damage,
}

/// Replays segments until the first that is damaged.
pub(super) fn read_segments(
    directory: &dyn Directory,
    path: &str,
    segments: &[Numbered],
    reading: Reading,
    records: &mut Records,
    replay: &mut Replay<'_>,
    findings: &mut Vec<Finding>,
) -> io::Result<Option<Broken>> {
    for (at, segment) in segments.iter().enumerate() {
        let rest = &segments[at + 1..];
        let path = format!("{path}/{}", segment.name);
        let file = directory.open(&path)?;
        let end = records.read(&*file, 0, At::Stop, &mut |record| replay.record(record))?;
        let amid = records.is_amid_record();
        let alone = reading == Reading::EachAlone;
        let torn = (rest.is_empty() || alone || end.damage.is_some()) && records.finish();
        // A start makes a new segment before it reads the others.
        let newest = alone && rest.iter().all(|segment| segment.bytes == 0);
        let tail = match (newest, amid) {
            (false, _) => Tail::Finished,
            (true, false) => Tail::Newest,
            (true, true) => Tail::AmidRecord,
        };
        if !torn {
            findings.extend(zeros_finding(&path, &end, tail));
            findings.extend(cut_header_finding(&path, &end, newest));
        }
        let torn_off = || Damage { offset: end.bytes, why: "the last record has no end", resume: end.bytes };
        if let Some(damage) = end.damage.clone().or_else(|| torn.then(torn_off)) {
            return Ok(Some(Broken { at, damage }));
        }
    }
    Ok(None)
}

/// Whole pages of zeros, which Prometheus passes over: nothing more in the newest segment, a loss anywhere else.
fn zeros_finding(path: &str, end: &SegmentEnd, tail: Tail) -> Option<Finding> {
    let (hole, zeros) = (end.hole, end.zeros_from.filter(|_| end.damage.is_none()));
    if let Some(offset) = hole.or(zeros.filter(|_| tail == Tail::Finished)) {
        let what = "a page of zeros: Prometheus passes over it, and what it held is gone".to_owned();
        return Some(finding(Grade::Degraded, path.to_owned(), what).at_offset(offset).with_loss(Loss::default()));
    }
    let offset = zeros.or((tail == Tail::AmidRecord).then_some(end.bytes))?;
    let what = "ends in zeros: what was written last never reached the disk".to_owned();
    Some(finding(Grade::TornTail, path.to_owned(), what).at_offset(offset))
}

/// A record of which nothing but the first bytes of its header is there.
fn cut_header_finding(path: &str, end: &SegmentEnd, newest: bool) -> Option<Finding> {
    let (grade, what) = if newest {
        (Grade::TornTail, "ends within the header of a record: what was written last never reached the disk")
    } else {
        (
            Grade::Degraded,
            "ends within the header of a record, which Prometheus takes for an empty one: what it held is gone",
        )
    };
    let finding = finding(grade, path.to_owned(), what.to_owned()).at_offset(end.cut_header?);
    Some(if newest { finding } else { finding.with_loss(Loss::default()) })
}

/// What the end of a segment may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Something was written after this segment.
    Finished,
    /// It is the newest.
    Newest,
    /// It is the newest, and a record in it has begun and not ended.
    AmidRecord,
}

/// Counts what is behind damage: the rest of its segment, and all newer ones.
pub(super) fn lost_behind(
    directory: &dyn Directory,
    path: &str,
    segments: &[Numbered],
    broken: &Broken,
    records: &mut Records,
    mut replay: Replay<'_>,
) -> io::Result<Tally> {
    records.finish();
    for (at, segment) in segments.iter().enumerate().skip(broken.at) {
        let file = directory.open(&format!("{path}/{}", segment.name))?;
        let from = if at == broken.at { broken.damage.resume } else { 0 };
        records.read(&*file, from, At::PassOver, &mut |record| {
            if record.is_empty() { Ok(()) } else { replay.record(record) }
        })?;
        records.finish();
    }
    Ok(replay.tally)
}

/// What a repair does: it keeps what is before the damage.
pub(super) fn broken_finding(path: &str, segments: &[Numbered], broken: &Broken, lost: &Tally) -> Finding {
    let Damage { offset, why, .. } = broken.damage;
    let path = format!("{path}/{}", segments[broken.at].name);
    if lost.records == 0 {
        let what = format!("{why}, and nothing is behind it: Prometheus keeps what is before it");
        return finding(Grade::TornTail, path, what).at_offset(offset);
    }
    let newer = match segments.len() - broken.at - 1 {
        0 => String::new(),
        1 => " and the newer segment".to_owned(),
        newer => format!(" and {newer} newer segments"),
    };
    let what = format!("{why}: Prometheus drops the rest of this segment{newer}, but for what chunks_head holds");
    finding(Grade::Degraded, path, what).at_offset(offset).with_loss(lost.loss())
}

/// Samples whose series no record introduced.
pub(super) fn strays_finding(path: &str, replay: &Replay<'_>) -> Option<Finding> {
    let tally = &replay.tally;
    if tally.strays == 0 {
        return None;
    }
    let loss = Loss {
        series: Some(replay.strange.len()),
        samples: Some(tally.strays),
        from_ms: tally.stray_span.oldest(),
        to_ms: tally.stray_span.newest(),
    };
    let what = "samples of series that no record introduces: Prometheus drops them".to_owned();
    Some(finding(Grade::Degraded, path.to_owned(), what).with_loss(loss))
}

/// Records that a newer Prometheus wrote.
pub(super) fn unknown_finding(path: &str, tally: &Tally) -> Option<Finding> {
    let what = format!("{} records of an unknown type: Prometheus passes over them", tally.unknown_records);
    let finding = finding(Grade::Degraded, path.to_owned(), what).with_loss(Loss::default());
    (tally.unknown_records > 0).then_some(finding)
}

pub(super) fn gap_finding(path: &str, one: &Numbered, next: &Numbered) -> Finding {
    let what = format!("segments are missing between {} and {}: Prometheus does not start", one.name, next.name);
    finding(Grade::Fatal, path.to_owned(), what)
}

pub(super) fn missing_finding(path: &str, number: i64) -> Finding {
    let what = format!("segment {} is missing: Prometheus does not start", segment_name(number));
    finding(Grade::Fatal, path.to_owned(), what)
}

/// What Prometheus calls a segment.
pub(super) fn segment_name(number: i64) -> String {
    format!("{number:08}")
}

pub(super) fn finding(grade: Grade, path: String, what: String) -> Finding {
    Finding { grade, path, offset: None, what, loss: None }
}

impl Finding {
    pub(super) fn at_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    pub(super) fn with_loss(mut self, loss: Loss) -> Self {
        self.loss = Some(loss);
        self
    }
}

/// A report of files that are not read yet.
pub(super) fn new_report(name: &str, files: &[Numbered]) -> LogReport {
    let bytes = files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
    LogReport { name: name.to_owned(), segments: files.len() as u64, bytes, ..LogReport::default() }
}

/// The report, as bad as the worst of its findings.
pub(super) fn graded(mut report: LogReport) -> LogReport {
    report.grade = report.findings.iter().map(|finding| finding.grade).max().unwrap_or_default();
    report
}
