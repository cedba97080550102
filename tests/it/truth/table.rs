//! The table of truths and verdicts, and the differences that are meant.

use std::fmt::Write as _;
use std::time::Duration;

use promsafe::tsdb::{Grade, Report};

use super::Judged;

/// Where the table goes, for `testbed/truth`.
pub(super) const TABLE: &str = "PROMSAFE_TRUTH_TABLE";

/// A difference that is meant: rows that begin so, with promsafe's grade, and the reason.
struct Known {
    row: &'static str,
    verdict: Grade,
    because: &'static str,
}

const EMPTY: &str = "a segment begins empty: nothing tells that this one held more";
const FROM_LOG: &str = "the chunks are removed, and their samples come back from the log";

const KNOWN: &[Known] = &[
    Known {
        row: "3.13: FromHead block: Missing",
        verdict: Grade::Ok,
        because: "the gap is named; nothing tells whether there ever was a block",
    },
    Known { row: "3.13: wal, Middle file: Cut(Byte(0))", verdict: Grade::Ok, because: EMPTY },
    Known { row: "3.13: wal, Newest file: Cut(Byte(0))", verdict: Grade::Ok, because: EMPTY },
    Known {
        row: "3.13: wal, Newest file: Missing",
        verdict: Grade::Ok,
        because: "a log may end with any segment: nothing tells that there was one more",
    },
    Known { row: "3.13: wbl, Newest file: Cut(Byte(0))", verdict: Grade::Ok, because: EMPTY },
    Known { row: "3.13: chunks_head, Oldest file: Flip(", verdict: Grade::Ok, because: FROM_LOG },
    Known { row: "3.13: chunks_head, Middle file: Flip(", verdict: Grade::Ok, because: FROM_LOG },
    Known { row: "2.42: chunks_head, Oldest file: Flip(", verdict: Grade::Ok, because: FROM_LOG },
    Known { row: "2.42: chunks_head, Oldest file: Cut(", verdict: Grade::Ok, because: FROM_LOG },
    Known {
        row: "3.13: chunks_head, Oldest file: Append(29 bytes)",
        verdict: Grade::Degraded,
        because: "chunks behind zeros are lost to Prometheus: what lies there may have been some",
    },
    Known {
        row: "3.13: chunks_head, Newest file: Append(29 bytes)",
        verdict: Grade::TornTail,
        because: "zeros behind the chunks are their end to Prometheus, and nothing is lost with them",
    },
];

/// Rows as they are printed, and what is wrong with them.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<[String; 5]>,
    disagreements: Vec<String>,
    known: usize,
}

impl Table {
    pub(super) fn add(&mut self, judged: Vec<Judged>) {
        for Judged { corpus, row, truth, verdict } in judged {
            let row = format!("{corpus}: {row}");
            let known = KNOWN.iter().find(|known| row.starts_with(known.row) && known.verdict == verdict.grade);
            let agreement = match known {
                _ if truth.grade == verdict.grade => "agrees".to_owned(),
                Some(known) => format!("known: {}", known.because),
                None => "DISAGREES".to_owned(),
            };
            self.known += usize::from(agreement.starts_with("known"));
            if agreement == "DISAGREES" {
                let (truth_words, words) = (&truth.why, worst(&verdict));
                let said =
                    format!("{row}: {:?} ({truth_words}), promsafe says {:?} ({words})", truth.grade, verdict.grade);
                self.disagreements.push(said);
            }
            let prometheus = format!("{:?}: {}", truth.grade, truth.why);
            self.rows.push([row, prometheus, format!("{:?}", verdict.grade), worst(&verdict), agreement]);
        }
    }

    /// Rows that promsafe and Prometheus do not agree on, and that are not meant.
    pub(super) fn disagreements(&self) -> &[String] {
        &self.disagreements
    }

    /// Writes it where it is wanted.
    pub(super) fn finish(&self, took: Duration) {
        let Some(file) = std::env::var_os(TABLE) else { return };
        let mut text = String::from("damage | Prometheus | promsafe | its worst finding | agreement\n");
        for row in &self.rows {
            writeln!(text, "{}", row.join(" | ")).unwrap();
        }
        let (rows, disagree, known, seconds) = (self.rows.len(), self.disagreements.len(), self.known, took.as_secs());
        writeln!(text, "{rows} rows, {disagree} disagree, {known} known differences, {seconds} s").unwrap();
        std::fs::write(file, text).unwrap();
    }
}

/// Appends a row to a file beside the table, as soon as it is known.
pub(super) fn tell(judged: &Judged) {
    let Some(file) = std::env::var_os(TABLE) else { return };
    let file = std::path::PathBuf::from(file).with_extension("progress");
    let mut file = std::fs::File::options().create(true).append(true).open(file).unwrap();
    let Judged { corpus, row, truth, verdict } = judged;
    let (grade, why, said) = (truth.grade, &truth.why, verdict.grade);
    let line = format!("{corpus}: {row} | {grade:?}: {why} | {said:?} | {}\n", worst(verdict));
    std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
}

/// The worst finding in words.
fn worst(report: &Report) -> String {
    let worst = report.all_findings().max_by_key(|finding| finding.grade);
    worst.map_or_else(String::new, |finding| format!("{}: {}", finding.path, finding.what))
}
