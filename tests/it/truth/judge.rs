//! What a real Prometheus makes of a data directory, in the words of promsafe's verdict.

use std::collections::BTreeSet;
use std::path::Path;

use promsafe::tsdb::Grade;

use super::answers::{Answers, Difference};
use super::corpus::Corpus;
use super::damage::Extent;
use super::server::{Release, Server};

/// Scrapes nothing, evaluates nothing, keeps everything.
const QUIET: &str = "global: {scrape_interval: 1h}\n";

/// What became of a directory.
pub(super) struct Truth {
    pub(super) grade: Grade,
    /// In words.
    pub(super) why: String,
}

/// What an undamaged copy answers.
pub(super) struct Baseline {
    answers: Answers,
    labels: BTreeSet<String>,
}

/// A start on a directory: why it failed, or what was found.
struct Start {
    wal_corruptions: u64,
    head_chunk_corruptions: u64,
    unknown_references: u64,
    blocks: usize,
    answers: Answers,
}

impl Baseline {
    /// Asks an undamaged copy.
    pub(super) fn of(corpus: &Corpus, copy: &Path) -> Self {
        let mut server = Server::spawn(Release::Current, copy, QUIET, &[]);
        server.ready().expect("Prometheus starts on what it left");
        let labels = Answers::of(&server, corpus, &BTreeSet::new()).labels();
        let answers = Answers::of(&server, corpus, &labels);
        assert_eq!(answers.failed, [], "no query fails on what Prometheus left");
        assert!(answers.samples() > 5000, "only {} samples in {}", answers.samples(), corpus.name);
        assert_eq!(server.metric("prometheus_tsdb_wal_corruptions_total"), 0);
        Self { answers, labels }
    }

    /// Starts Prometheus on a damaged copy and compares what it answers.
    pub(super) fn judge(&self, corpus: &Corpus, copy: &Path, extent: Extent) -> Truth {
        let first = match self.start(corpus, copy) {
            Ok(start) => start,
            Err(reason) => return Truth { grade: Grade::Fatal, why: shortened(&reason) },
        };
        let difference = first.answers.against(&self.answers);
        let mut notes = first.notes();
        notes.extend(in_words(&difference));
        if first.wal_corruptions > 0 {
            match self.start(corpus, copy) {
                Ok(second) => {
                    let missing = second.answers.against(&self.answers).missing;
                    if missing != difference.missing {
                        notes.push(format!("after one more start {missing}"));
                    }
                }
                Err(reason) => {
                    return Truth { grade: Grade::Fatal, why: format!("repaired, then: {}", shortened(&reason)) };
                }
            }
        }
        Truth { grade: grade(&difference, &first, extent), why: notes.join("; ") }
    }

    fn start(&self, corpus: &Corpus, copy: &Path) -> Result<Start, String> {
        let mut server = Server::spawn(Release::Current, copy, QUIET, &[]);
        server.ready()?;
        Ok(Start {
            wal_corruptions: server.metric("prometheus_tsdb_wal_corruptions_total"),
            head_chunk_corruptions: server.metric("prometheus_tsdb_mmap_chunk_corruptions_total"),
            unknown_references: server.metric("prometheus_tsdb_wal_replay_unknown_refs_total"),
            blocks: server.blocks(),
            answers: Answers::of(&server, corpus, &self.labels),
        })
    }
}

/// Whether Prometheus starts on a copy, for those that nothing is known of.
///
/// # Errors
/// Why it does not.
pub(super) fn starts(copy: &Path) -> Result<(), String> {
    Server::spawn(Release::Current, copy, QUIET, &[]).ready()
}

/// Nothing but the end of what was being written is gone: a torn tail. Anything else that is gone or cannot be asked for:
/// degraded.
fn grade(difference: &Difference, start: &Start, extent: Extent) -> Grade {
    // What came late is in a log of its own: a tear in one of the two takes nothing from the other.
    let is_of_other_log = |series: &String| series.contains("\"late\"") != (extent == Extent::TailOfLate);
    let only_missing = difference.other == 0
        && difference.labels.is_empty()
        && difference.failed.is_empty()
        && !difference.series.iter().any(is_of_other_log);
    match (difference.is_none(), extent) {
        (true, _) if start.wal_corruptions + start.head_chunk_corruptions == 0 => Grade::Ok,
        (true, _) => Grade::TornTail,
        (false, Extent::Tail | Extent::TailOfLate) if only_missing => Grade::TornTail,
        (false, _) => Grade::Degraded,
    }
}

impl Start {
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.wal_corruptions > 0 {
            notes.push("log repaired".to_owned());
        }
        if self.head_chunk_corruptions > 0 {
            notes.push("head chunks removed".to_owned());
        }
        if self.unknown_references > 0 {
            notes.push(format!("{} references to no series", self.unknown_references));
        }
        notes.push(format!("{} blocks", self.blocks));
        notes
    }
}

fn in_words(difference: &Difference) -> Vec<String> {
    let mut words = Vec::new();
    if let Some((from, to)) = difference.span {
        let minutes = (to - from) / 60_000;
        words.push(format!("{} samples of {} series gone, {minutes} min", difference.missing, difference.series.len()));
    }
    if difference.other > 0 {
        words.push(format!("{} samples others", difference.other));
    }
    if let Some(label) = difference.labels.first() {
        words.push(format!("{} labels lead elsewhere, {label}", difference.labels.len()));
    }
    if let Some(reason) = difference.failed.first() {
        words.push(format!("{} queries fail, {}", difference.failed.len(), shortened(reason)));
    }
    words
}

/// The end of a reason: what comes before names directories.
fn shortened(reason: &str) -> String {
    let reason = reason.trim().trim_matches('"').replace("\\\"", "'");
    let characters = reason.chars().count();
    reason.chars().skip(characters.saturating_sub(110)).collect()
}
