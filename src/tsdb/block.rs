//! One block: its files each, and whether they agree. What Prometheus reads when it starts and cannot is fatal; what it
//! reads when it is asked and cannot is lost to queries.

use std::io;

use super::chunks::{Fault, Orphans, Segments};
use super::index::{All, ChunkMeta, Index, Postings, Series, SeriesFound};
use super::meta::{Meta, Stats, Version};
use super::verdict::{BlockReport, Finding, Grade, Looked, Loss};
use super::{Directory, meta, tombstones};

/// What Prometheus does about a block that it cannot open.
const NO_START: &str = "Prometheus does not start until the block is mended or moved away";

/// Reads every byte of a block that Prometheus would read, and says what Prometheus will do with it.
///
/// # Errors
/// When bytes cannot be had for another reason than that a file is missing.
pub fn inspect_block(directory: &dyn Directory, name: &str) -> io::Result<BlockReport> {
    let mut report = BlockReport { name: name.to_owned(), looked: Looked::Whole, ..BlockReport::default() };
    let meta = meta::read(directory, name)?;
    report.bytes = bytes(directory, name)?;
    let mut inspection = Inspection { directory, report, meta: meta.as_ref().ok() };
    inspection.files()?;
    let mut report = inspection.report;
    match meta {
        Ok(meta) => about_meta(&meta, &mut report),
        Err(why) => skipped(&why, &mut report),
    }
    Ok(report)
}

/// Size of all files of a block.
pub(super) fn bytes(directory: &dyn Directory, block: &str) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for folder in [block.to_owned(), format!("{block}/chunks")] {
        match directory.list(&folder) {
            Ok(entries) => {
                bytes = entries.iter().fold(bytes, |sum, entry| sum.saturating_add(entry.bytes));
            }
            Err(error) => drop(super::absent(error)?),
        }
    }
    Ok(bytes)
}

/// What `meta.json` says of a block.
pub(super) fn about_meta(meta: &Meta, report: &mut BlockReport) {
    (report.min_time_ms, report.max_time_ms) = (Some(meta.min_time), Some(meta.max_time));
    let path = format!("{}/meta.json", report.name);
    if meta.version == Version::Bogus {
        let what = "has version 2, as Prometheus 2.1 wrote it; Prometheus mends it when it starts";
        report.take(Finding::new(Grade::Ok, &path, what));
    }
    if meta.ulid != report.name {
        let what = format!(
            "belongs to block {}; Prometheus reads the block all the same, and never deletes it when it is too old",
            meta.ulid
        );
        report.take(Finding::new(Grade::Ok, &path, what));
    }
    if meta.deletable {
        let what = "marks the block as empty after compaction; Prometheus deletes it when it starts";
        report.take(Finding::new(Grade::Ok, &path, what));
    }
}

/// A block that Prometheus passes over: damage to its other files does no more harm.
fn skipped(why: &str, report: &mut BlockReport) {
    for finding in &mut report.findings {
        finding.grade = finding.grade.min(Grade::Degraded);
    }
    report.grade = report.grade.min(Grade::Degraded);
    let loss = Loss {
        series: Some(report.series),
        samples: Some(report.samples),
        from_ms: report.min_time_ms,
        to_ms: report.newest_sample_ms,
    };
    let what = format!("{why}; Prometheus starts without the block, and nothing in it can be queried");
    report.take(Finding::new(Grade::Degraded, format!("{}/meta.json", report.name), what).losing(loss));
}

struct Inspection<'a> {
    directory: &'a dyn Directory,
    report: BlockReport,
    meta: Option<&'a Meta>,
}

impl Inspection<'_> {
    fn files(&mut self) -> io::Result<()> {
        let name = self.report.name.clone();
        let segments = Segments::open(self.directory, &name)?;
        let version = self.meta.filter(|meta| meta.version == Version::Bogus).map(|_| 2);
        let index = Index::open(self.directory, &name, version)?;
        if let Err((path, why)) = &segments {
            self.fatal(path, why);
        }
        if let Err(why) = &index {
            self.fatal(&format!("{name}/index"), why);
        }
        if let (Ok(mut segments), Ok(index)) = (segments, index) {
            self.contents(&mut segments, &index)?;
        }
        match tombstones::count(self.directory, &name)? {
            Err(why) => self.fatal(&format!("{name}/tombstones"), &why),
            Ok(count) => self.compare_tombstones(count),
        }
        Ok(())
    }

    fn stats(&self) -> Stats {
        self.meta.map(|meta| meta.stats).unwrap_or_default()
    }

    /// The whole block is lost.
    fn fatal(&mut self, path: &str, why: &str) {
        let stats = self.stats();
        let loss = Loss {
            series: Some(stats.series).filter(|count| *count > 0),
            samples: Some(stats.samples).filter(|count| *count > 0),
            from_ms: self.meta.map(|meta| meta.min_time),
            to_ms: self.meta.map(|meta| meta.max_time.saturating_sub(1)),
        };
        self.report.take(Finding::new(Grade::Fatal, path, format!("{why}; {NO_START}")).losing(loss));
    }

    fn compare_tombstones(&mut self, count: u64) {
        let expected = self.stats().tombstones;
        if self.meta.is_some() && count < expected {
            let what =
                format!("has {count} tombstones where meta.json counts {expected}: what was deleted may come back");
            self.report.take(Finding::new(Grade::Degraded, format!("{}/tombstones", self.report.name), what));
        }
    }

    fn contents(&mut self, segments: &mut Segments<'_>, index: &Index<'_>) -> io::Result<()> {
        let mut tally = Tally::new(self.meta);
        let found = index.series(|series| tally.take(series, segments))?;
        let postings = match index.postings(&found.places)? {
            Ok(postings) => postings,
            Err(why) => {
                self.fatal(index.path(), &why);
                return Ok(());
            }
        };
        (self.report.series, self.report.chunks) = (found.places.count(), tally.chunks);
        self.report.samples = tally.samples;
        self.report.newest_sample_ms = tally.newest;
        if self.meta.is_none() {
            (self.report.min_time_ms, self.report.max_time_ms) =
                (tally.oldest, tally.newest.map(|newest| newest.saturating_add(1)));
        }
        let orphans = segments.orphans()?;
        let grade = self.report.grade;
        self.about_series(&found, &postings, &orphans, index);
        self.about_chunks(&tally, segments);
        self.about_postings(&found, &postings, index);
        if self.report.grade == grade {
            self.about_stats(&orphans, segments);
        }
        if let Some(offset) = index.damaged_label_section()? {
            let what = "has a label section with a wrong checksum; no Prometheus since 2.15 reads it";
            self.report.take(Finding::new(Grade::Ok, index.path(), what).at(offset));
        }
        Ok(())
    }

    fn about_series(&mut self, found: &SeriesFound, postings: &Postings, orphans: &Orphans, index: &Index<'_>) {
        let named = match postings.all {
            All::Whole { missing, .. } => Some(missing),
            All::Missing | All::Damaged(_) => None,
        };
        let counted = Some(self.stats().series).filter(|count| *count > 0);
        let unreadable = named.or(counted.map(|count| count.saturating_sub(found.places.count())));
        if found.damaged > 0 || named.is_some_and(|missing| missing > 0) {
            let many = unreadable.map_or("some".to_owned(), |count| count.to_string());
            let what = format!(
                "{many} of its series cannot be read; queries that select them fail, and compaction of the block fails"
            );
            let loss = Loss {
                series: unreadable,
                samples: Some(orphans.samples),
                from_ms: self.meta.map(|meta| meta.min_time),
                to_ms: self.meta.map(|meta| meta.max_time.saturating_sub(1)),
            };
            let mut finding = Finding::new(Grade::Degraded, index.path(), what).losing(loss);
            finding.offset = found.first_damaged;
            self.report.take(finding);
        }
        if found.unsorted > 0 {
            let what = format!(
                "{} of its series are not in order; queries may miss them, and compaction of the block fails",
                found.unsorted
            );
            self.report.take(Finding::new(Grade::Degraded, index.path(), what));
        }
    }

    fn about_chunks(&mut self, tally: &Tally<'_>, segments: &Segments<'_>) {
        if let Some((reference, fault)) = tally.first_fault {
            let what = format!(
                "{} of {} chunks cannot be read, at the first {fault}; queries that need them fail, and compaction of the \
                 block fails",
                tally.damaged.chunks, tally.chunks
            );
            let samples = self.stats().samples.checked_sub(tally.samples).filter(|lost| *lost > 0);
            let loss = Loss { samples, ..tally.damaged.loss() };
            let path = segments.path(reference, &self.report.name);
            self.report.take(Finding::new(Grade::Degraded, path, what).at(reference & 0xffff_ffff).losing(loss));
        }
        if tally.outside.chunks > 0 {
            let what = format!(
                "has a time range that {} chunks reach out of; what lies outside is missing from queries",
                tally.outside.chunks
            );
            let path = format!("{}/meta.json", self.report.name);
            self.report.take(Finding::new(Grade::Degraded, path, what).losing(tally.outside.loss()));
        }
        if tally.disordered.chunks > 0 {
            let what = format!(
                "has {} chunks that begin before the one before ends, or end before they begin; queries may miss their samples",
                tally.disordered.chunks
            );
            let path = format!("{}/index", self.report.name);
            self.report.take(Finding::new(Grade::Degraded, path, what).losing(tally.disordered.loss()));
        }
    }

    fn about_postings(&mut self, found: &SeriesFound, postings: &Postings, index: &Index<'_>) {
        let mut degraded = |what: String, offset: Option<u64>, series: Option<u64>| {
            let mut finding = Finding::new(Grade::Degraded, index.path(), what);
            finding.offset = offset;
            finding.loss = series.map(|series| Loss { series: Some(series), ..Loss::default() });
            self.report.take(finding);
        };
        let series = found.places.count();
        let everything = "queries without a matcher that names a value fail, and compaction of the block fails";
        match postings.all {
            All::Whole { .. } => {}
            All::Damaged(offset) => {
                degraded(format!("its list of all series cannot be read; {everything}"), Some(offset), Some(series));
            }
            All::Missing => degraded(format!("it has no list of all series; {everything}"), None, Some(series)),
        }
        if let Some(first) = &postings.first_damaged {
            let what = format!(
                "{} of its lists of series by label cannot be read, the first is that of {}; queries that match these \
                 labels fail",
                postings.damaged, first.pair
            );
            degraded(what, Some(first.offset), None);
        }
        if postings.unsorted > 0 {
            degraded(
                format!("{} of its lists of series are not sorted; queries miss series", postings.unsorted),
                None,
                None,
            );
        }
        if postings.skipped > 0 {
            degraded(format!("{} of its lists of series overlap others", postings.skipped), None, None);
        }
        let complete = found.damaged == 0 && postings.damaged == 0 && postings.skipped == 0;
        if let (true, All::Whole { series: listed, missing: 0 }) = (complete, postings.all) {
            if postings.dangling > 0 {
                degraded(format!("{} entries of its lists lead to no series", postings.dangling), None, None);
            } else if (listed, postings.references) != (series, found.labels) {
                let what = format!(
                    "its lists hold {listed} series and {} labels where {series} series have {}; queries miss some",
                    postings.references, found.labels
                );
                degraded(what, None, Some(series.abs_diff(listed)));
            }
        }
    }

    /// Compares a block whose parts are all whole with what was counted when it was written.
    fn about_stats(&mut self, orphans: &Orphans, segments: &Segments<'_>) {
        let stats = self.stats();
        let (series, chunks, samples) = (self.report.series, self.report.chunks, self.report.samples);
        let found = Stats { samples, series, chunks, ..stats };
        let path = format!("{}/meta.json", self.report.name);
        if stats.series + stats.chunks + stats.samples > 0 && found != stats {
            let what = format!(
                "counts {} series, {} chunks and {} samples, and the block has {series}, {chunks} and {samples}",
                stats.series, stats.chunks, stats.samples
            );
            // One number that is off by itself is a damaged meta.json, which Prometheus does not mind.
            let finding = if chunks < stats.chunks && samples < stats.samples {
                let loss = Loss {
                    series: Some(stats.series.saturating_sub(series)),
                    samples: Some(stats.samples - samples),
                    from_ms: self.meta.map(|meta| meta.min_time),
                    to_ms: self.meta.map(|meta| meta.max_time.saturating_sub(1)),
                };
                Finding::new(Grade::Degraded, path, what).losing(loss)
            } else {
                Finding::new(Grade::Ok, path, format!("{what}; Prometheus does not look at it"))
            };
            self.report.take(finding);
        }
        if let Some((number, offset)) = orphans.first {
            let what =
                format!("{} bytes are of chunks that no series has; Prometheus does not look at them", orphans.bytes);
            let path = segments.path_of(number).unwrap_or_default();
            self.report.take(Finding::new(Grade::Ok, path, what).at(offset));
        }
    }
}

/// Chunks that something is wrong with.
#[derive(Default)]
struct Wrong {
    chunks: u64,
    series: u64,
    from: Option<i64>,
    to: Option<i64>,
    /// Number of the last series that was counted.
    last: Option<u64>,
}

impl Wrong {
    fn take(&mut self, chunk: &ChunkMeta, series: u64) {
        self.chunks += 1;
        self.series += u64::from(self.last != Some(series));
        self.last = Some(series);
        self.from = Some(self.from.map_or(chunk.min_time, |from| from.min(chunk.min_time)));
        self.to = self.to.max(Some(chunk.max_time));
    }

    fn loss(&self) -> Loss {
        Loss { series: Some(self.series), samples: None, from_ms: self.from, to_ms: self.to }
    }
}

/// What the chunks of all series come to.
struct Tally<'a> {
    meta: Option<&'a Meta>,
    series: u64,
    chunks: u64,
    samples: u64,
    oldest: Option<i64>,
    newest: Option<i64>,
    damaged: Wrong,
    first_fault: Option<(u64, Fault)>,
    outside: Wrong,
    disordered: Wrong,
}

impl<'a> Tally<'a> {
    fn new(meta: Option<&'a Meta>) -> Self {
        Self {
            meta,
            series: 0,
            chunks: 0,
            samples: 0,
            oldest: None,
            newest: None,
            damaged: Wrong::default(),
            first_fault: None,
            outside: Wrong::default(),
            disordered: Wrong::default(),
        }
    }

    fn take(&mut self, series: &Series, segments: &mut Segments<'_>) -> io::Result<()> {
        self.series += 1;
        self.chunks += series.chunks.len() as u64;
        let (min, max) = self.meta.map_or((i64::MIN, i64::MAX), |meta| (meta.min_time, meta.max_time));
        let mut before = None;
        for chunk in &series.chunks {
            match segments.samples(chunk.reference)? {
                Ok(samples) => self.samples += samples,
                Err(fault) => {
                    self.first_fault.get_or_insert((chunk.reference, fault));
                    self.damaged.take(chunk, self.series);
                }
            }
            if chunk.min_time < min || chunk.max_time >= max {
                self.outside.take(chunk, self.series);
            }
            if chunk.max_time < chunk.min_time || before.is_some_and(|before| chunk.min_time < before) {
                self.disordered.take(chunk, self.series);
            }
            before = Some(chunk.max_time);
        }
        if let (Some(first), Some(last)) = (series.chunks.first(), series.chunks.last()) {
            self.oldest = Some(self.oldest.map_or(first.min_time, |oldest| oldest.min(first.min_time)));
            self.newest = self.newest.max(Some(last.max_time));
        }
        Ok(())
    }
}
