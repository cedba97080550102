//! Chunks of the head that Prometheus has written out of its memory already.
//!
//! They are a copy: at damage Prometheus deletes files of them and makes them again from `wal` and `wbl`, so that whether
//! something is lost depends on those. Facts: prometheus `tsdb/chunks/head_chunks.go`, `tsdb/head.go`
//! (loadMmappedChunks, removeCorruptedMmappedChunks).

use std::collections::HashMap;
use std::io;

use super::directory::Directory;
use super::head_file::Window;
use super::logs::{finding, graded, new_report};
use super::numbering::{Numbered, chunk_files, gap};
use super::refs::RefSet;
use super::tally::Span;
use super::verdict::{Finding, Grade, LogReport, Loss};
use super::wal::{Head, Start};

pub(super) const NAME: &str = "chunks_head";

const MAGIC: [u8; 4] = 0x0130_BC91_u32.to_be_bytes();
const VERSION: u8 = 1;
const FILE_HEADER_BYTES: u64 = 8;
/// Everything of a chunk but its data, at most: less at the end of a file is damage, unless it is zeros.
const META_BYTES: usize = 34;
/// Series, both times and encoding.
const BEFORE_LENGTH_BYTES: usize = 25;
const MAX_LENGTH_BYTES: usize = 5;
const CHECKSUM_BYTES: u64 = 4;
const OUT_OF_ORDER: u8 = 0x80;
/// So few bytes in zeros are no chunk: it has a series, two times and a checksum.
const MOST_STRAY_BYTES: usize = 16;

/// Every file, read.
pub(super) struct HeadChunks {
    files: Vec<Numbered>,
    report: LogReport,
    reading: Reading,
}

impl HeadChunks {
    /// Reads every file, after `wal`; which chunk is the last is in the head then.
    pub(super) fn read(directory: &dyn Directory, head: &mut Head) -> io::Result<Self> {
        let mut files = chunk_files(&directory.list(NAME)?);
        let mut report = new_report(NAME, &files);
        if let Some(newest) = files.pop_if(|newest| newest.number > 0) {
            if is_unwritten(directory, &newest)? {
                let what = "was made and never written: Prometheus deletes it".to_owned();
                report.findings.push(finding(Grade::Ok, path(&newest), what));
            } else {
                files.push(newest);
            }
        }
        if let Some((one, next)) = gap(&files) {
            let what = format!("files are missing between {} and {}: Prometheus does not start", one.name, next.name);
            report.findings.push(finding(Grade::Fatal, NAME.to_owned(), what));
        }
        let mut reading = Reading::new();
        for file in &files {
            let opened = directory.open(&path(file))?;
            let mut window = Window::new(&*opened);
            if let Some(why) = wrong_header(&mut window)? {
                let what = format!("{why}: Prometheus does not start");
                report.findings.push(finding(Grade::Fatal, path(file), what));
            } else {
                reading.file(file, &mut window, head)?;
            }
        }
        reading.fill(&mut report);
        head.last_chunk = reading.last_chunk;
        Ok(Self { files, report, reading })
    }

    /// Judges what damage costs by what `wal` and `wbl` hold.
    pub(super) fn judge(mut self, head: &Head) -> LogReport {
        self.report.findings.extend(self.reading.findings(&self.files, head));
        graded(self.report)
    }
}

fn path(file: &Numbered) -> String {
    format!("{NAME}/{}", file.name)
}

/// Prometheus deletes the newest file when it has no magic number yet.
fn is_unwritten(directory: &dyn Directory, file: &Numbered) -> io::Result<bool> {
    let opened = directory.open(&path(file))?;
    let mut window = Window::new(&*opened);
    let magic = window.get(0, MAGIC.len())?;
    Ok(magic.len() < MAGIC.len() || magic.iter().all(|&byte| byte == 0))
}

fn wrong_header(window: &mut Window<'_>) -> io::Result<Option<&'static str>> {
    Ok(match window.get(0, 8)? {
        header if header.len() < 8 => Some("is too short for its header"),
        header if !header.starts_with(&MAGIC) => Some("is no file of head chunks"),
        header if header[4] != VERSION => Some("is of an unknown version"),
        _ => None,
    })
}

/// Why a file is not read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Prometheus deletes this file and all newer ones.
    Damage(&'static str),
    /// It deletes all files.
    Sequence,
}

#[derive(Debug, Clone, Copy)]
struct Broken {
    number: i64,
    offset: u64,
    why: Why,
}

/// Counts of chunks.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    chunks: u64,
    samples: u64,
    span: Span,
    /// In-order chunks that no block covers, from where none does.
    fresh: Span,
    out_of_order: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.chunks += other.chunks;
        self.samples += other.samples;
        self.span.merge(other.span);
        self.fresh.merge(other.fresh);
        self.out_of_order += other.out_of_order;
    }
}

/// A chunk's own words about itself.
struct Chunk {
    series: u64,
    from_ms: i64,
    to_ms: i64,
    encoding: u8,
    samples: u16,
}

impl Chunk {
    fn is_out_of_order(&self) -> bool {
        self.encoding & OUT_OF_ORDER != 0
    }

    fn is_of_known_encoding(&self) -> bool {
        (1..=6).contains(&(self.encoding & !OUT_OF_ORDER))
    }
}

/// What is known while the files are read one after the other.
struct Reading {
    all: Counts,
    /// Of files that Prometheus deletes.
    deleted: Counts,
    series: RefSet,
    strange: RefSet,
    strays: Counts,
    newest: Newest,
    unknown_encodings: u64,
    /// Of files that stay.
    last_chunk: u64,
    holes: Vec<(String, u64)>,
    broken: Option<Broken>,
}

impl Reading {
    fn new() -> Self {
        let (all, deleted, strays) = (Counts::default(), Counts::default(), Counts::default());
        let (series, strange, newest) = (RefSet::default(), RefSet::default(), Newest::default());
        let (unknown_encodings, last_chunk, holes, broken) = (0, 0, Vec::new(), None);
        Self { all, deleted, series, strange, strays, newest, unknown_encodings, last_chunk, holes, broken }
    }

    fn file(&mut self, file: &Numbered, window: &mut Window<'_>, head: &mut Head) -> io::Result<()> {
        let mut counts = Counts::default();
        let (mut offset, mut last_chunk) = (FILE_HEADER_BYTES, self.last_chunk);
        while offset < window.file.bytes() {
            match next_chunk(window, offset)? {
                Next::Chunk(chunk, next) => {
                    if !self.take(&chunk, &mut counts, head) && self.broken.is_none() {
                        self.broken = Some(Broken { number: file.number, offset, why: Why::Sequence });
                    }
                    last_chunk = (file.number.cast_unsigned() << 32) | (offset & u64::from(u32::MAX));
                    offset = next;
                }
                Next::End => {
                    if window.written_from(offset)? > MOST_STRAY_BYTES {
                        self.holes.push((path(file), offset));
                    }
                    break;
                }
                Next::Damage(why) => {
                    self.broken.get_or_insert(Broken { number: file.number, offset, why: Why::Damage(why) });
                    break;
                }
            }
        }
        self.all.add(&counts);
        match self.broken.map(|broken| broken.why) {
            Some(Why::Sequence) => (self.deleted, self.last_chunk) = (self.all, 0),
            Some(Why::Damage(_)) => self.deleted.add(&counts),
            None => self.last_chunk = last_chunk,
        }
        Ok(())
    }

    /// Counts a chunk; false when it is not newer than the one of its series before.
    fn take(&mut self, chunk: &Chunk, counts: &mut Counts, head: &mut Head) -> bool {
        counts.chunks += 1;
        counts.samples += u64::from(chunk.samples);
        counts.span.include(chunk.from_ms);
        counts.span.include(chunk.to_ms);
        self.series.insert(chunk.series);
        let valid_from_ms = head.valid_from_ms.unwrap_or(i64::MIN);
        if !chunk.is_out_of_order() && chunk.to_ms < valid_from_ms {
            return true;
        }
        if !chunk.is_of_known_encoding() {
            self.unknown_encodings += 1;
            return true;
        }
        if chunk.is_out_of_order() {
            counts.out_of_order += 1;
            return true;
        }
        counts.fresh.include(chunk.from_ms.max(valid_from_ms));
        counts.fresh.include(chunk.to_ms);
        if self.broken.is_none() && !head.known.contains(chunk.series) {
            self.strays.chunks += 1;
            self.strays.samples += u64::from(chunk.samples);
            self.strays.span.include(chunk.from_ms);
            self.strays.span.include(chunk.to_ms);
            self.strange.insert(chunk.series);
        }
        self.newest.follows(chunk.series, chunk.from_ms, chunk.to_ms)
    }

    fn fill(&self, report: &mut LogReport) {
        report.records = self.all.chunks;
        report.samples = self.all.samples;
        report.series = self.series.len();
        report.min_time_ms = self.all.span.oldest();
        report.max_time_ms = self.all.span.newest();
    }

    fn findings(&self, files: &[Numbered], head: &Head) -> Vec<Finding> {
        let mut findings: Vec<_> = self.broken.iter().map(|broken| self.broken_finding(broken, files, head)).collect();
        for (path, offset) in &self.holes {
            let is_newest = files.last().is_some_and(|newest| *path == self::path(newest));
            let grade =
                if is_newest && is_made_again(&Counts::default(), head) { Grade::TornTail } else { Grade::Degraded };
            let what = "zeros amid chunks: Prometheus takes them for the end of the file".to_owned();
            findings.push(finding(grade, path.clone(), what).at_offset(*offset).with_loss(Loss::default()));
        }
        if self.strays.chunks > 0 && head.start != Start::Refused {
            let what = format!("{} chunks of series that wal does not know: Prometheus drops them", self.strays.chunks);
            let loss = Loss { series: Some(self.strange.len()), ..loss(&self.strays) };
            findings.push(finding(Grade::Degraded, NAME.to_owned(), what).with_loss(loss));
        }
        if self.unknown_encodings > 0 {
            let what = format!("{} chunks of an unknown encoding: Prometheus passes over them", self.unknown_encodings);
            findings.push(finding(Grade::Degraded, NAME.to_owned(), what).with_loss(Loss::default()));
        }
        findings
    }

    fn broken_finding(&self, broken: &Broken, files: &[Numbered], head: &Head) -> Finding {
        let newer = files.iter().filter(|file| file.number > broken.number).count();
        let (why, deleted) = match (broken.why, newer) {
            (Why::Sequence, _) => ("a chunk is not newer than the one before it", "all files".to_owned()),
            (Why::Damage(why), 0) => (why, "this file".to_owned()),
            (Why::Damage(why), newer) => (why, format!("this file and {newer} newer")),
        };
        let file = files.iter().find(|file| file.number == broken.number).map_or_else(|| NAME.to_owned(), path);
        if is_made_again(&self.deleted, head) {
            let grade = if newer == 0 { Grade::TornTail } else { Grade::Ok };
            let what = format!("{why}: Prometheus deletes {deleted}, and makes the chunks again from wal and wbl");
            return finding(grade, file, what).at_offset(broken.offset);
        }
        let what = format!("{why}: Prometheus deletes {deleted}, and wal and wbl do not hold all of it");
        finding(Grade::Degraded, file, what).at_offset(broken.offset).with_loss(loss(&self.deleted))
    }
}

fn loss(counts: &Counts) -> Loss {
    Loss { series: None, samples: Some(counts.samples), from_ms: counts.span.oldest(), to_ms: counts.span.newest() }
}

/// Whether what is deleted is in `wal`, which is cut only behind what blocks hold, and in `wbl`, which is read only when
/// `wal` needed no repair.
fn is_made_again(deleted: &Counts, head: &Head) -> bool {
    let fresh = deleted.fresh;
    let in_order = !head.span.is_empty()
        && head.wal <= Grade::TornTail
        && (fresh.is_empty() || (head.span.from_ms <= fresh.from_ms && fresh.to_ms <= head.span.to_ms));
    in_order && (deleted.out_of_order == 0 || (head.start == Start::Whole && head.wbl <= Grade::TornTail))
}

/// What is at an offset.
enum Next {
    /// A chunk, and where it ends.
    Chunk(Chunk, u64),
    /// Zeros: files are made larger than what is in them.
    End,
    Damage(&'static str),
}

fn next_chunk(window: &mut Window<'_>, offset: u64) -> io::Result<Next> {
    const CUT: Next = Next::Damage("the last chunk is cut off");
    let Some(&meta) = window.get(offset, META_BYTES)?.first_chunk::<META_BYTES>() else {
        return Ok(if window.written_from(offset)? == 0 { Next::End } else { CUT });
    };
    let word = |at: usize| meta[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let (series, from_ms, to_ms) = (word(0), word(8).cast_signed(), word(16).cast_signed());
    if (series, from_ms, to_ms) == (0, 0, 0) {
        return Ok(Next::End);
    }
    let (bytes, length_bytes) = length(&meta[BEFORE_LENGTH_BYTES..BEFORE_LENGTH_BYTES + MAX_LENGTH_BYTES]);
    let data = BEFORE_LENGTH_BYTES + length_bytes;
    let end = offset + data as u64 + bytes;
    if end + CHECKSUM_BYTES > window.file.bytes() {
        return Ok(CUT);
    }
    let checksum = window.checksum(offset, end)?;
    if window.get(end, 4)? != checksum.to_be_bytes() {
        return Ok(Next::Damage("a chunk does not match its checksum"));
    }
    let encoding = meta[BEFORE_LENGTH_BYTES - 1];
    let samples = u16::from_be_bytes([meta[data], meta[data + 1]]);
    // Histograms with start times keep two flags beside the count.
    let samples = if matches!(encoding & !OUT_OF_ORDER, 5 | 6) { samples & 0x3fff } else { samples };
    Ok(Next::Chunk(Chunk { series, from_ms, to_ms, encoding, samples }, end + CHECKSUM_BYTES))
}

/// The length of the data and how many bytes state it: none when none of them ends it.
fn length(stated: &[u8]) -> (u64, usize) {
    let mut value = 0;
    for (at, &byte) in stated.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return (value, at + 1);
        }
    }
    (0, 0)
}

/// The newest time of each series, by pages of series that follow each other; what is beyond its bound is not held.
#[derive(Debug, Default)]
struct Newest {
    pages: HashMap<u64, Box<[i64]>>,
}

impl Newest {
    const PAGE: u64 = 4096;
    /// 32 MiB.
    const MAX_PAGES: usize = 1024;

    fn follows(&mut self, series: u64, from_ms: i64, to_ms: i64) -> bool {
        let number = series / Self::PAGE;
        if self.pages.len() >= Self::MAX_PAGES && !self.pages.contains_key(&number) {
            return true;
        }
        let page = self.pages.entry(number).or_insert_with(|| vec![i64::MIN; 4096].into_boxed_slice());
        let Some(newest) = usize::try_from(series % Self::PAGE).ok().and_then(|at| page.get_mut(at)) else {
            return true;
        };
        let follows = *newest == i64::MIN || *newest < from_ms;
        *newest = to_ms;
        follows
    }
}
