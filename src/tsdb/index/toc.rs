//! Beginning and end of an index: magic, version, table of contents, and how its sections are framed.

use std::io;

use crate::tsdb::window::Window;

const MAGIC: u32 = 0xBAAA_D700;
/// Magic and version.
const HEADER: u64 = 5;
/// Six offsets and their checksum.
const TOC: u64 = 52;

/// How series are referred to, and symbols within series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Both by their offset in bytes.
    V1,
    /// Series by sixteenths of their offset, symbols by number.
    V2,
}

impl Format {
    /// What offsets of series are multiples of.
    pub(super) fn alignment(self) -> u64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 16,
        }
    }
}

/// Where the sections of an index begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Toc {
    pub(super) format: Format,
    pub(super) symbols: u64,
    pub(super) series: u64,
    pub(super) label_indices: u64,
    pub(super) label_offset_table: u64,
    pub(super) postings: u64,
    pub(super) postings_offset_table: u64,
    /// Where the table of contents itself begins.
    pub(super) end: u64,
}

impl Toc {
    /// Reads it, or says why Prometheus cannot. `version` is there when Prometheus would write it before.
    pub(super) fn read(window: &mut Window<'_>, version: Option<u8>) -> io::Result<Result<Self, String>> {
        let bytes = window.bytes();
        if bytes < HEADER {
            return Ok(Err(format!("has {bytes} bytes")));
        }
        if window.u32(0)? != Some(MAGIC) {
            return Ok(Err("does not begin as an index does".to_owned()));
        }
        let format = match version.or(window.at(4, 1)?.first().copied()) {
            Some(1) => Format::V1,
            // Version 3 lets postings and checksums of others in; Prometheus reads it as version 2.
            Some(2 | 3) => Format::V2,
            other => return Ok(Err(format!("has version {}", other.unwrap_or_default()))),
        };
        let Some(end) = bytes.checked_sub(TOC) else {
            return Ok(Err(format!("has {bytes} bytes, too few for a table of contents")));
        };
        if window.crc(end, TOC - 4)? != window.u32(bytes - 4)? {
            return Ok(Err("has a table of contents with a wrong checksum".to_owned()));
        }
        let mut offsets = [0; 6];
        let table = window.at(end, 48)?;
        for (offset, bytes) in offsets.iter_mut().zip(table.chunks_exact(8)) {
            *offset = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        let [symbols, series, label_indices, label_offset_table, postings, postings_offset_table] = offsets;
        let toc =
            Self { format, symbols, series, label_indices, label_offset_table, postings, postings_offset_table, end };
        Ok(Ok(toc))
    }

    /// Where a section that begins here ends at most: at the next one, or at the table of contents.
    pub(super) fn end_of(&self, start: u64) -> u64 {
        let starts = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_offset_table,
            self.postings,
            self.postings_offset_table,
        ];
        starts.into_iter().filter(|other| *other > start).min().unwrap_or(self.end).min(self.end)
    }
}

/// What a length of 32 bits and a checksum frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    /// First byte behind the length.
    pub(super) start: u64,
    /// First byte of the checksum.
    pub(super) end: u64,
}

impl Section {
    /// Finds its borders and checks the checksum.
    pub(super) fn read(window: &mut Window<'_>, offset: u64) -> io::Result<Result<Self, &'static str>> {
        let Some(section) = Self::borders(window, offset)? else { return Ok(Err("ends behind the file")) };
        let crc = window.crc(section.start, section.end - section.start)?;
        Ok(if crc.is_some() && crc == window.u32(section.end)? { Ok(section) } else { Err("has a wrong checksum") })
    }

    /// Finds its borders; `None` when they are not inside of the file.
    pub(super) fn borders(window: &mut Window<'_>, offset: u64) -> io::Result<Option<Self>> {
        let Some(length) = window.u32(offset)? else { return Ok(None) };
        let start = offset + 4;
        let end = start + u64::from(length);
        Ok((end + 4 <= window.bytes()).then_some(Self { start, end }))
    }
}

/// Reads entries of a section one after the other.
pub(super) struct Entries<'w, 'a> {
    window: &'w mut Window<'a>,
    pub(super) at: u64,
    end: u64,
}

impl<'w, 'a> Entries<'w, 'a> {
    pub(super) fn new(window: &'w mut Window<'a>, section: Section) -> Self {
        Self { window, at: section.start, end: section.end }
    }

    pub(super) fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// A big-endian number of 32 bits.
    pub(super) fn u32(&mut self) -> io::Result<Option<u32>> {
        if self.end.saturating_sub(self.at) < 4 {
            return Ok(None);
        }
        let value = self.window.u32(self.at)?;
        self.at += 4;
        Ok(value)
    }

    /// An unsigned integer of variable length.
    #[inline]
    pub(super) fn unsigned(&mut self) -> io::Result<Option<u64>> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let bytes = self.window.at(self.at, left.min(crate::tsdb::varint::MOST_BYTES))?;
        let mut rest = bytes;
        let value = crate::tsdb::varint::unsigned(&mut rest);
        self.at += (bytes.len() - rest.len()) as u64;
        Ok(value)
    }

    /// A string with its length before it: the beginning of it when it is longer than anything Prometheus takes.
    #[inline]
    pub(super) fn string(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(length) = self.unsigned()? else { return Ok(None) };
        let start = self.at;
        let Some(end) = start.checked_add(length).filter(|end| *end <= self.end) else { return Ok(None) };
        self.at = end;
        self.window.at(start, usize::try_from(length).unwrap_or(usize::MAX)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tsdb::checksum::crc32c;
    use crate::tsdb::testing::Bytes;

    fn window(bytes: &[u8]) -> Window<'static> {
        Window::new(Box::new(Bytes(bytes.to_vec())))
    }

    #[test]
    fn section_is_checked() {
        let crc = crc32c(b"abc").to_be_bytes();
        let bytes = [&[9, 0, 0, 0, 3][..], b"abc", &crc].concat();
        assert_eq!(Section::read(&mut window(&bytes), 1).unwrap(), Ok(Section { start: 5, end: 8 }));
        for at in 1..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Section::read(&mut window(&flipped), 1).unwrap().is_err(), "{at}");
            assert!(Section::read(&mut window(&bytes[..at]), 1).unwrap().is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..120), offset: u64) {
            let _ = Section::read(&mut window(&bytes), offset).unwrap();
            let _ = Toc::read(&mut window(&bytes), None).unwrap();
        }
    }
}
