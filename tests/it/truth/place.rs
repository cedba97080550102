//! Where in a file of the TSDB to do damage. Knows just enough of each format to find the places that matter
//! (`tsdb/docs/format`), on its own, so that a mistake of the reader under test is not repeated here.

use std::ops::Range;

/// Of what format a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Index,
    Chunks,
    Tombstones,
    /// A segment of a log or checkpoint.
    Segment,
    HeadChunks,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// This byte.
    Byte(usize),
    /// This byte from the end; 1 is the last one.
    FromEnd(usize),
    /// The byte in the middle.
    Middle,
    /// So many bytes behind the start of a section of the index, in the order of its table of contents: symbols, series,
    /// label indices, table of these, postings, table of these.
    Section(usize, usize),
    /// A part of the first record; where a file has none, the byte behind its header, here and below.
    First(Part),
    /// A part of the record in the middle.
    Mid(Part),
    /// A part of the last record.
    Last(Part),
}

/// A part of a record: a fragment of a log, a chunk, a head chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The first byte.
    Head,
    /// The byte in the middle of its data.
    Data,
    /// A byte of its checksum.
    Sum,
}

/// A record: all of it, and where its checksum is.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) all: Range<usize>,
    data: Range<usize>,
    pub(super) sum: usize,
}

impl Record {
    /// What its checksum is over.
    pub(super) fn summed(&self, format: Format) -> Range<usize> {
        match format {
            Format::Chunks => self.data.start - 1..self.data.end,
            Format::HeadChunks => self.all.start..self.data.end,
            _ => self.data.clone(),
        }
    }
}

impl Place {
    /// The byte that it means in such a file.
    pub(super) fn offset(self, format: Format, bytes: &[u8]) -> usize {
        let part = |record: Option<&Record>, part: Part| {
            let Some(record) = record else { return bytes.len().saturating_sub(1).min(8) };
            match part {
                Part::Head => record.all.start,
                Part::Data => usize::midpoint(record.data.start, record.data.end),
                Part::Sum => record.sum,
            }
        };
        match self {
            Self::Byte(at) => at,
            Self::FromEnd(back) => bytes.len() - back,
            Self::Middle => bytes.len() / 2,
            Self::Section(number, behind) => {
                let entry = bytes.len() - 52 + 8 * number;
                usize::try_from(u64::from_be_bytes(bytes[entry..entry + 8].try_into().unwrap())).unwrap() + behind
            }
            Self::First(of) => part(records(format, bytes).first(), of),
            Self::Mid(of) => {
                let records = records(format, bytes);
                part(records.get(records.len() / 2), of)
            }
            Self::Last(of) => part(records(format, bytes).last(), of),
        }
    }
}

/// The records of a file, as far as it can be read.
pub(super) fn records(format: Format, bytes: &[u8]) -> Vec<Record> {
    match format {
        Format::Segment => fragments(bytes),
        Format::Chunks => chunks(bytes),
        Format::HeadChunks => head_chunks(bytes),
        Format::Json | Format::Index | Format::Tombstones => Vec::new(),
    }
}

/// Fragments: a type, a length of two bytes, a checksum of four, the data; in pages of 32 KiB.
fn fragments(bytes: &[u8]) -> Vec<Record> {
    const PAGE: usize = 32 * 1024;
    let mut fragments = Vec::new();
    let mut at = 0;
    while at + 7 <= bytes.len() {
        let length = usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
        if bytes[at].trailing_zeros() >= 3 || PAGE - at % PAGE < 7 {
            at = (at / PAGE + 1) * PAGE;
            continue;
        }
        let end = at + 7 + length;
        fragments.push(Record { all: at..end, data: at + 7..end, sum: at + 3 });
        at = end;
    }
    fragments
}

/// Chunks of a block: length, encoding, data, checksum of four bytes.
fn chunks(bytes: &[u8]) -> Vec<Record> {
    let mut chunks = Vec::new();
    let mut at = 8;
    while at < bytes.len() {
        let (length, digits) = uvarint(&bytes[at..]);
        let data = at + digits + 1..at + digits + 1 + length;
        chunks.push(Record { all: at..data.end + 4, sum: data.end, data });
        at = chunks.last().map_or(at, |chunk| chunk.all.end);
    }
    chunks
}

/// Chunks of the head: series, two times, encoding, length, data, checksum; zeros behind the last one.
fn head_chunks(bytes: &[u8]) -> Vec<Record> {
    let mut chunks = Vec::new();
    let mut at = 8;
    while at + 25 < bytes.len() && bytes[at..at + 8] != [0; 8] {
        let (length, digits) = uvarint(&bytes[at + 25..]);
        let data = at + 25 + digits..at + 25 + digits + length;
        chunks.push(Record { all: at..data.end + 4, sum: data.end, data });
        at = chunks.last().map_or(at, |chunk| chunk.all.end);
    }
    chunks
}

fn uvarint(bytes: &[u8]) -> (usize, usize) {
    let digits = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let value = bytes[..digits].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    (value, digits)
}
