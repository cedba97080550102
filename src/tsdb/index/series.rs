//! The series of an index, one after the other. One that is damaged is passed over: the next one begins where a checksum
//! holds again.

use std::io;

use super::symbols::{Order, Symbols};
use super::toc::Format;
use crate::tsdb::checksum::crc32c;
use crate::tsdb::varint;
use crate::tsdb::window::{MOST_AT_ONCE, Window};

/// A chunk, as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tsdb) struct ChunkMeta {
    /// Number of its segment and offset in it.
    pub(in crate::tsdb) reference: u64,
    /// Its oldest sample, in milliseconds since the epoch.
    pub(in crate::tsdb) min_time: i64,
    /// Its newest sample.
    pub(in crate::tsdb) max_time: i64,
}

/// A series.
#[derive(Debug, Default)]
pub(in crate::tsdb) struct Series {
    /// References of names and values of its labels, in turn.
    labels: Vec<u64>,
    pub(in crate::tsdb) chunks: Vec<ChunkMeta>,
}

/// What comes next.
pub(super) enum Step {
    /// The series at this place of the set of series can be read.
    Whole(u64),
    /// One or more cannot, from this offset on.
    Damaged(u64),
}

/// A walk over all series.
pub(super) struct Walk<'a> {
    window: Window<'a>,
    format: Format,
    symbols: Symbols,
    at: u64,
    end: u64,
    /// Bytes that may still be read to find the next series behind a damaged one.
    budget: u64,
    pub(super) series: Series,
    before: Vec<u64>,
    /// Series whose labels are not sorted, or that come before the one before them.
    pub(super) unsorted: u64,
    /// Labels of all series that can be read.
    pub(super) labels: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(window: Window<'a>, format: Format, symbols: Symbols, (start, end): (u64, u64)) -> Self {
        let budget = end.saturating_sub(start).saturating_mul(2);
        Self {
            window,
            format,
            symbols,
            at: start.min(end),
            end,
            budget,
            series: Series::default(),
            before: Vec::new(),
            unsorted: 0,
            labels: 0,
        }
    }

    /// Goes on to the next series; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Step>> {
        self.skip_padding()?;
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        if let Some(end) = self.read(at)? {
            self.at = end;
            self.check_order();
            return Ok(Some(Step::Whole(at / self.format.alignment())));
        }
        self.find_next(at)?;
        Ok(Some(Step::Damaged(at)))
    }

    /// Moves to the next multiple of the alignment that does not hold a zero.
    fn skip_padding(&mut self) -> io::Result<()> {
        let alignment = self.format.alignment();
        self.at = self.at.next_multiple_of(alignment);
        while self.at < self.end {
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(4096);
            let bytes = self.window.at(self.at, left)?;
            if bytes.is_empty() {
                self.at = self.end;
            }
            let step = usize::try_from(alignment).map_err(io::Error::other)?;
            let zeros = bytes.iter().step_by(step).take_while(|byte| **byte == 0).count();
            let found = zeros < bytes.len().div_ceil(step);
            self.at += (zeros * step) as u64;
            if found {
                break;
            }
        }
        Ok(())
    }

    /// Reads the series at an offset; gives where it ends, or `None` when Prometheus could not read it.
    fn read(&mut self, at: u64) -> io::Result<Option<u64>> {
        let head = self.window.at(at, 5)?;
        let mut rest = head;
        let Some(length) = varint::unsigned(&mut rest) else { return Ok(None) };
        let start = at + (head.len() - rest.len()) as u64;
        let Some(end) = start.checked_add(length).filter(|end| *end <= self.end) else { return Ok(None) };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if length + 4 > MOST_AT_ONCE {
            return Ok(None);
        }
        let Some(bytes) = self.window.exactly(start, length + 4)? else { return Ok(None) };
        let (bytes, crc) = bytes.split_at(length);
        if crc32c(bytes).to_be_bytes() != crc {
            return Ok(None);
        }
        Ok(decode(bytes, self.symbols.end, &mut self.series).map(|()| end + 4))
    }

    fn check_order(&mut self) {
        let labels = &self.series.labels;
        self.labels += labels.len() as u64 / 2;
        if self.symbols.order == Order::Sorted {
            let names = labels.iter().step_by(2);
            let sorted = names.clone().zip(names.skip(1)).all(|(one, next)| one < next) && self.before < *labels;
            self.unsorted += u64::from(!sorted);
        }
        std::mem::swap(&mut self.before, &mut self.series.labels);
    }

    fn find_next(&mut self, damaged: u64) -> io::Result<()> {
        self.at = damaged;
        while self.at < self.end {
            self.at += self.format.alignment();
            self.skip_padding()?;
            let head = self.window.at(self.at, 5)?;
            let length = varint::unsigned(&mut &head[..]).unwrap_or(0);
            let cost = if self.at + length > self.end { 16 } else { length + 16 };
            self.budget = self.budget.saturating_sub(cost);
            if self.budget == 0 {
                self.at = self.end;
            } else if self.read(self.at)?.is_some() {
                break;
            }
        }
        Ok(())
    }
}

/// Understands the bytes of a series.
fn decode(mut bytes: &[u8], symbols: u64, series: &mut Series) -> Option<()> {
    series.labels.clear();
    series.chunks.clear();
    let labels = varint::unsigned(&mut bytes)?;
    for _ in 0..labels.checked_mul(2)? {
        let symbol = varint::unsigned(&mut bytes)?;
        if symbol >= symbols {
            return None;
        }
        series.labels.push(symbol);
    }
    let chunks = varint::unsigned(&mut bytes)?;
    if chunks == 0 {
        return Some(());
    }
    let mut chunk = ChunkMeta { min_time: varint::signed(&mut bytes)?, max_time: 0, reference: 0 };
    chunk.max_time = chunk.min_time.wrapping_add_unsigned(varint::unsigned(&mut bytes)?);
    chunk.reference = varint::unsigned(&mut bytes)?;
    series.chunks.push(chunk);
    for _ in 1..chunks {
        chunk.min_time = chunk.max_time.wrapping_add_unsigned(varint::unsigned(&mut bytes)?);
        chunk.max_time = chunk.min_time.wrapping_add_unsigned(varint::unsigned(&mut bytes)?);
        chunk.reference = chunk.reference.wrapping_add_signed(varint::signed(&mut bytes)?);
        series.chunks.push(chunk);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tsdb::testing::Bytes;

    const SYMBOLS: Symbols = Symbols { end: 10, order: Order::Sorted };

    fn entry(content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        let mut bytes = [&[length][..], content, &crc32c(content).to_be_bytes()].concat();
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        bytes
    }

    /// Places of the series that can be read, offsets of damage, and how many are unsorted.
    fn walked(bytes: &[u8]) -> (Vec<u64>, Vec<u64>, u64) {
        let window = Window::new(Box::new(Bytes(bytes.to_vec())));
        let mut walk = Walk::new(window, Format::V2, SYMBOLS, (0, bytes.len() as u64));
        let (mut whole, mut damaged) = (Vec::new(), Vec::new());
        while let Some(step) = walk.next().unwrap() {
            match step {
                Step::Whole(place) => whole.push(place),
                Step::Damaged(offset) => damaged.push(offset),
            }
        }
        (whole, damaged, walk.unsorted)
    }

    #[test]
    fn chunks_are_decoded_from_their_differences() {
        let mut series = Series::default();
        let bytes = [1, 3, 4, 2, 20, 5, 8, 1, 6, 40];
        decode(&bytes, 10, &mut series).unwrap();
        let first = ChunkMeta { reference: 8, min_time: 10, max_time: 15 };
        let second = ChunkMeta { reference: 28, min_time: 16, max_time: 22 };
        assert_eq!((series.labels, series.chunks), (vec![3, 4], vec![first, second]));
        assert!(decode(&bytes, 4, &mut Series::default()).is_none(), "symbol 4 of 4");
    }

    #[test]
    fn series_behind_damage_are_found() {
        let series = [entry(&[1, 1, 1, 0]), entry(&[1, 1, 2, 0, 0]), entry(&[2, 1, 2, 3, 4, 0])].concat();
        assert_eq!(walked(&series), (vec![0, 1, 2], vec![], 0));
        for at in 0..10 {
            for bit in 0..8 {
                let mut damaged = series.clone();
                damaged[16 + at] ^= 1 << bit;
                assert_eq!(walked(&damaged), (vec![0, 2], vec![16], 0), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn labels_and_series_out_of_order_are_counted() {
        assert_eq!(walked(&entry(&[2, 3, 1, 1, 1, 0])).2, 1);
        assert_eq!(walked(&[entry(&[1, 2, 1, 0]), entry(&[1, 1, 1, 0])].concat()).2, 1);
        assert_eq!(walked(&[entry(&[1, 2, 1, 0]), entry(&[1, 2, 1, 0])].concat()).2, 1);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            walked(&bytes);
        }

        #[test]
        fn any_series_is_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes, 200, &mut Series::default());
        }
    }
}
