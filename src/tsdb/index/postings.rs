//! The postings of an index: for each label pair the series that have it, and for the empty pair all series. The table of
//! where they are is read whole when Prometheus starts, the lists when they are asked for.

use std::io;

use super::toc::{Entries, Section, Toc};
use crate::tsdb::bitmap::Bitmap;
use crate::tsdb::checksum::Running;
use crate::tsdb::window::Window;

/// Bytes of a list that are looked at together; a multiple of four.
const PIECE: u64 = 64 << 10;
/// Most bytes of a name or value that are quoted.
const QUOTED: usize = 60;

/// A list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tsdb) struct BadList {
    /// Its label pair, such as `job="node"`.
    pub(in crate::tsdb) pair: String,
    pub(in crate::tsdb) offset: u64,
}

/// All lists together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::tsdb) struct Postings {
    /// Lists that cannot be read, but the one of all series.
    pub(in crate::tsdb) damaged: u64,
    /// The first of them.
    pub(in crate::tsdb) first_damaged: Option<BadList>,
    /// References in lists that can be read, without the one of all series.
    pub(in crate::tsdb) references: u64,
    /// Those of them that lead to no series.
    pub(in crate::tsdb) dangling: u64,
    /// Lists that are not sorted.
    pub(in crate::tsdb) unsorted: u64,
    /// The list of all series.
    pub(in crate::tsdb) all: All,
    /// Lists that were not looked at, because those before are longer than the file.
    pub(in crate::tsdb) skipped: u64,
}

/// The list of all series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::tsdb) enum All {
    /// No label pair leads to it.
    #[default]
    Missing,
    /// It is at this offset and cannot be read.
    Damaged(u64),
    /// It has this many series, and so many of them are not there.
    Whole { series: u64, missing: u64 },
}

struct List {
    references: u64,
    dangling: u64,
    sorted: bool,
}

/// Reads the table and every list; the inner error says why Prometheus cannot open the index.
pub(super) fn read(
    (table, lists): (&mut Window<'_>, &mut Window<'_>),
    toc: &Toc,
    series: &Bitmap,
) -> io::Result<Result<Postings, String>> {
    let section = match Section::read(table, toc.postings_offset_table)? {
        Ok(section) => section,
        Err(fault) => return Ok(Err(format!("has a postings offset table that {fault}"))),
    };
    let unreadable = || Ok(Err("has a postings offset table that cannot be read".to_owned()));
    let mut entries = Entries::new(table, section);
    let Some(mut count) = entries.u32()? else { return unreadable() };
    let mut postings = Postings::default();
    let mut budget = lists.bytes().saturating_mul(2);
    let mut pair = Pair::default();
    while count > 0 && !entries.is_done() {
        if entries.unsigned()? != Some(2) || !pair.read(&mut entries)? {
            return unreadable();
        }
        let Some(offset) = entries.unsigned()? else { return unreadable() };
        count -= 1;
        let Some(section) = Section::borders(lists, offset)? else {
            postings.take_damaged(&pair, offset);
            continue;
        };
        let Some(left) = budget.checked_sub(section.end - section.start) else {
            postings.skipped += 1;
            continue;
        };
        budget = left;
        match list(lists, section, series)? {
            None => postings.take_damaged(&pair, offset),
            Some(list) if pair.is_empty() => {
                postings.all = All::Whole { series: list.references, missing: list.dangling };
                postings.unsorted += u64::from(!list.sorted);
            }
            Some(list) => {
                postings.references += list.references;
                postings.dangling += list.dangling;
                postings.unsorted += u64::from(!list.sorted);
            }
        }
    }
    Ok(Ok(postings))
}

impl Postings {
    fn take_damaged(&mut self, pair: &Pair, offset: u64) {
        if pair.is_empty() {
            self.all = All::Damaged(offset);
            return;
        }
        self.damaged += 1;
        self.first_damaged.get_or_insert_with(|| BadList { pair: pair.words(), offset });
    }
}

/// Name and value of a label, as far as they are quoted.
#[derive(Default)]
struct Pair {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Pair {
    fn read(&mut self, entries: &mut Entries<'_, '_>) -> io::Result<bool> {
        for part in [&mut self.name, &mut self.value] {
            let Some(bytes) = entries.string()? else { return Ok(false) };
            part.clear();
            part.extend_from_slice(&bytes[..bytes.len().min(QUOTED)]);
        }
        Ok(true)
    }

    fn is_empty(&self) -> bool {
        self.name.is_empty() && self.value.is_empty()
    }

    fn words(&self) -> String {
        format!("{}={:?}", String::from_utf8_lossy(&self.name), String::from_utf8_lossy(&self.value))
    }
}

/// Reads one list; `None` when Prometheus could not.
fn list(window: &mut Window<'_>, section: Section, series: &Bitmap) -> io::Result<Option<List>> {
    let Some(count) = window.u32(section.start)?.map(u64::from) else { return Ok(None) };
    if section.end - section.start != 4 + 4 * count {
        return Ok(None);
    }
    let (mut at, mut crc, mut before) = (section.start, Running::new(), None);
    let mut list = List { references: count, dangling: 0, sorted: true };
    while at < section.end {
        let length = (section.end - at).min(PIECE);
        let Some(bytes) = window.exactly(at, usize::try_from(length).map_err(io::Error::other)?)? else {
            return Ok(None);
        };
        crc.update(bytes);
        // The count stands before the references.
        let references = if at == section.start { &bytes[4..] } else { bytes };
        for bytes in references.chunks_exact(4) {
            let reference = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            list.sorted &= before.is_none_or(|before| before < reference);
            list.dangling += u64::from(!series.contains(u64::from(reference)));
            before = Some(reference);
        }
        at += length;
    }
    Ok((window.u32(section.end)? == Some(crc.value())).then_some(list))
}
