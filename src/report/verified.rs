//! The result of `promsafe verify` on a directory: what is not well, and what there is.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::table::table;
use crate::quantity::human;
use crate::tsdb::{Finding, Grade, Looked, Loss, Report};
use crate::verify::Verified;

pub(super) fn view(verified: &Verified) -> Value {
    let report = &verified.report;
    json!({
        "result": "verify",
        "directory": verified.path.display().to_string(),
        "grade": report.grade,
        "newest_sample_ms": report.newest_sample_ms(),
        "blocks": report.blocks,
        "logs": report.logs,
        "findings": report.findings,
    })
}

pub(super) fn text(verified: &Verified) -> String {
    let report = &verified.report;
    let mut lines = Vec::new();
    let rows = unwell(report);
    if !rows.is_empty() {
        lines.push(table(&["PART", "VERDICT", "FROM", "TO", "SERIES", "SAMPLES", "SIZE"], rows));
        lines.push(String::new());
    }
    let mut findings: Vec<_> = report.all_findings().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    lines.extend(findings.into_iter().map(line));
    lines.push(summary(verified));
    lines.join("\n")
}

/// A row for each block and log that is not ok.
fn unwell(report: &Report) -> Vec<Vec<String>> {
    let row = |name: &str, grade: Grade, (from, to): (Option<i64>, Option<i64>), [series, samples, bytes]: [u64; 3]| {
        vec![
            name.to_owned(),
            word(grade).to_owned(),
            from.map_or_else(|| "unknown".to_owned(), time),
            to.map_or_else(|| "unknown".to_owned(), time),
            series.to_string(),
            samples.to_string(),
            human(bytes),
        ]
    };
    let blocks = report.blocks.iter().filter(|block| block.grade > Grade::Ok).map(|block| {
        let times = (block.min_time_ms, block.max_time_ms);
        row(&block.name, block.grade, times, [block.series, block.samples, block.bytes])
    });
    let logs =
        report.logs.iter().filter(|log| log.grade > Grade::Ok).map(|log| {
            row(&log.name, log.grade, (log.min_time_ms, log.max_time_ms), [log.series, log.samples, log.bytes])
        });
    blocks.chain(logs).collect()
}

fn line(finding: &Finding) -> String {
    let label = match finding.grade {
        Grade::Ok => "NOTE",
        Grade::TornTail => "TORN TAIL",
        Grade::Degraded => "DEGRADED",
        Grade::Fatal => "FATAL",
    };
    let mut line = format!("{label:<10} {}", finding.path);
    if let Some(offset) = finding.offset {
        // Writing to a string cannot fail.
        let _ = write!(line, " at byte {offset}");
    }
    let _ = write!(line, ": {}", finding.what);
    if let Some(lost) = finding.loss.as_ref().and_then(lost) {
        let _ = write!(line, "\n           lost: {lost}");
    }
    line
}

fn lost(loss: &Loss) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(loss.series.map(|series| format!("{series} series")));
    parts.extend(loss.samples.map(|samples| format!("{samples} samples")));
    if let (Some(from), Some(to)) = (loss.from_ms, loss.to_ms) {
        parts.push(format!("from {} to {}", time(from), time(to)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn summary(verified: &Verified) -> String {
    let report = &verified.report;
    let whole = report.blocks.iter().filter(|block| block.looked == Looked::Whole).count();
    let looked = if whole == report.blocks.len() { String::new() } else { format!(" ({whole} of them read whole)") };
    let sum =
        |part: fn(&crate::tsdb::BlockReport) -> u64| report.blocks.iter().map(part).fold(0_u64, u64::saturating_add);
    let bytes = report.logs.iter().map(|log| log.bytes).fold(sum(|block| block.bytes), u64::saturating_add);
    let newest = report.newest_sample_ms().map_or(String::new(), |newest| format!("; newest sample {}", time(newest)));
    format!(
        "VERIFIED   {}: {}, {} blocks{looked}, {} logs, {} series and {} samples in blocks, {}{newest}",
        verified.path.display(),
        word(report.grade),
        report.blocks.len(),
        report.logs.len(),
        sum(|block| block.series),
        sum(|block| block.samples),
        human(bytes),
    )
}

fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::Ok => "ok",
        Grade::TornTail => "torn-tail",
        Grade::Degraded => "degraded",
        Grade::Fatal => "fatal",
    }
}

fn time(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsdb::BlockReport;

    #[test]
    fn what_is_lost_and_why_stands_below_the_block() {
        let loss = Loss { series: Some(1), samples: Some(120), from_ms: Some(0), to_ms: Some(3_600_000) };
        let mut block =
            BlockReport { name: "B".to_owned(), samples: 5640, series: 24, bytes: 9855, ..BlockReport::default() };
        (block.min_time_ms, block.max_time_ms, block.looked) = (Some(0), Some(7_200_000), Looked::Whole);
        block.newest_sample_ms = Some(7_199_999);
        block
            .take(Finding::new(Grade::Degraded, "B/chunks/000001", "1 of 48 chunks cannot be read").at(8).losing(loss));
        let note = Finding::new(Grade::Ok, "x.tmp", "was left behind");
        let report = Report { grade: Grade::Degraded, blocks: vec![block], findings: vec![note], ..Report::default() };
        let text = text(&Verified { path: "/prometheus".into(), report });
        assert_eq!(
            text,
            "PART  VERDICT   FROM                  TO                    SERIES  SAMPLES  SIZE\n\
             B     degraded  1970-01-01T00:00:00Z  1970-01-01T02:00:00Z  24      5640     9.6Ki\n\n\
             DEGRADED   B/chunks/000001 at byte 8: 1 of 48 chunks cannot be read\n           \
             lost: 1 series, 120 samples, from 1970-01-01T00:00:00Z to 1970-01-01T01:00:00Z\n\
             NOTE       x.tmp: was left behind\n\
             VERIFIED   /prometheus: degraded, 1 blocks, 0 logs, 24 series and 5640 samples in blocks, 9.6Ki; newest sample \
             1970-01-01T01:59:59Z"
        );
    }
}
