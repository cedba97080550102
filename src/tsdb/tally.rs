//! What is counted while a log is read.

use std::collections::HashMap;

use super::record::{Log, Malformed, decode};
use super::refs::RefSet;
use super::verdict::{LogReport, Loss};

/// Times from the oldest to the newest, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The oldest; above `to_ms` when there is none.
    pub(super) from_ms: i64,
    /// The newest, inclusive.
    pub(super) to_ms: i64,
}

impl Default for Span {
    fn default() -> Self {
        Self { from_ms: i64::MAX, to_ms: i64::MIN }
    }
}

impl Span {
    #[inline]
    pub(super) fn include(&mut self, time_ms: i64) {
        self.from_ms = self.from_ms.min(time_ms);
        self.to_ms = self.to_ms.max(time_ms);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.from_ms = self.from_ms.min(other.from_ms);
        self.to_ms = self.to_ms.max(other.to_ms);
    }

    pub(super) fn is_empty(self) -> bool {
        self.from_ms > self.to_ms
    }

    pub(super) fn oldest(self) -> Option<i64> {
        (!self.is_empty()).then_some(self.from_ms)
    }

    pub(super) fn newest(self) -> Option<i64> {
        (!self.is_empty()).then_some(self.to_ms)
    }
}

/// Counts of a log, or of a part of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) records: u64,
    pub(super) series: u64,
    pub(super) samples: u64,
    pub(super) samples_in_blocks: u64,
    /// Of all samples.
    pub(super) span: Span,
    /// Of those that no block covers.
    pub(super) fresh: Span,
    /// Samples of series that nothing introduced, among those no block covers.
    pub(super) strays: u64,
    pub(super) stray_span: Span,
    /// Records of a type that Prometheus passes over.
    pub(super) unknown_records: u64,
}

impl Tally {
    /// Writes the counts into a report.
    pub(super) fn fill(&self, report: &mut LogReport) {
        report.records = self.records;
        report.series = self.series;
        report.samples = self.samples;
        report.samples_in_blocks = self.samples_in_blocks;
        report.min_time_ms = self.span.oldest();
        report.max_time_ms = self.span.newest();
    }

    /// What is missing when all this is.
    pub(super) fn loss(&self) -> Loss {
        Loss {
            series: Some(self.series),
            samples: Some(self.samples - self.samples_in_blocks),
            from_ms: self.fresh.oldest(),
            to_ms: self.fresh.newest(),
        }
    }
}

/// One log, or a part of it, read as Prometheus reads it when it starts.
pub(super) struct Replay<'a> {
    pub(super) tally: Tally,
    pub(super) strange: RefSet,
    log: Log,
    /// Samples before it are left out.
    valid_from_ms: i64,
    /// What has been introduced; `None` where that is not asked.
    known: Option<&'a mut RefSet>,
    pending: Pending,
    /// The last head chunk that there is; markers of later ones do not count.
    pub(super) last_chunk: u64,
}

/// Samples of `wbl` that are in no head chunk yet: each series' since its last marker.
#[derive(Debug, Default)]
struct Pending {
    by_series: HashMap<u64, (u64, Span)>,
    /// Of series beyond those that are told apart.
    others: (u64, Span),
}

impl Pending {
    const MOST_SERIES: usize = 1 << 18;

    fn add(&mut self, reference: u64, time_ms: i64) {
        let full = self.by_series.len() >= Self::MOST_SERIES && !self.by_series.contains_key(&reference);
        let (samples, span) = if full { &mut self.others } else { self.by_series.entry(reference).or_default() };
        *samples += 1;
        span.include(time_ms);
    }

    fn loss(&self) -> Option<Loss> {
        let (mut samples, mut span) = self.others;
        for (more, times) in self.by_series.values() {
            samples += more;
            span.merge(*times);
        }
        let series = (self.others.0 == 0).then_some(self.by_series.len() as u64);
        let loss = Loss { series, samples: Some(samples), from_ms: span.oldest(), to_ms: span.newest() };
        (samples > 0).then_some(loss)
    }
}

impl<'a> Replay<'a> {
    /// Reads a log, with the series known before it. Series of what is read come to them.
    pub(super) fn new(log: Log, valid_from_ms: Option<i64>, known: Option<&'a mut RefSet>) -> Self {
        let valid_from_ms = valid_from_ms.filter(|_| log == Log::Wal).unwrap_or(i64::MIN);
        let (tally, strange, pending) = (Tally::default(), RefSet::default(), Pending::default());
        Self { tally, strange, log, valid_from_ms, known, pending, last_chunk: 0 }
    }

    /// Takes a record in, all of it or nothing.
    pub(super) fn record(&mut self, record: &[u8]) -> Result<(), Malformed> {
        let before = self.tally;
        match decode(self.log, record, self) {
            Ok(()) => {
                self.tally.records += 1;
                Ok(())
            }
            Err(malformed) => {
                self.tally = before;
                Err(malformed)
            }
        }
    }

    pub(super) fn series(&mut self, reference: u64) {
        self.tally.series += 1;
        if let Some(known) = &mut self.known {
            known.insert(reference);
        }
    }

    #[inline]
    pub(super) fn sample(&mut self, reference: u64, time_ms: i64) {
        self.tally.samples += 1;
        self.tally.span.include(time_ms);
        if time_ms < self.valid_from_ms {
            self.tally.samples_in_blocks += 1;
            return;
        }
        self.tally.fresh.include(time_ms);
        if self.log == Log::Wbl {
            self.pending.add(reference, time_ms);
        }
        if let Some(known) = &mut self.known
            && !known.contains(reference)
        {
            self.tally.strays += 1;
            self.tally.stray_span.include(time_ms);
            self.strange.insert(reference);
        }
    }

    /// All samples of this series so far are in head chunks, if this one of them is there.
    pub(super) fn written_out(&mut self, reference: u64, chunk: u64) {
        if chunk <= self.last_chunk {
            self.pending.by_series.remove(&reference);
        }
    }

    /// What is missing when this log is not replayed.
    pub(super) fn pending_loss(&self) -> Option<Loss> {
        self.pending.loss()
    }

    pub(super) fn unknown_record(&mut self) {
        self.tally.unknown_records += 1;
    }
}
