//! The chunks of a block, in segments: one is found by a reference in the index, and a checksum tells whether it is whole
//! (prometheus `tsdb/chunks`). Beginnings of segments are read when Prometheus starts, chunks when they are asked for.

use std::fmt;
use std::io;

use super::checksum::crc32c;
use super::window::Window;
use super::{Directory, varint};

const MAGIC: u32 = 0x85BD_40DD;
const FORMAT: u8 = 1;
const HEADER: u64 = 8;
/// Most bytes of the length of a chunk that Prometheus looks at.
const MOST_LENGTH: usize = 5;
/// Bytes of a chunk that are tried to be had at once; nearly all are shorter.
const USUAL: usize = 4096;

/// Why a chunk cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    NoSegment,
    BehindEnd,
    Length,
    Checksum,
    Encoding(u8),
    Empty,
    /// Chunks before it have more bytes than there are in all segments: they overlap.
    TooMuch,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSegment => out.write_str("its segment is missing"),
            Self::BehindEnd => out.write_str("it ends behind its segment"),
            Self::Length => out.write_str("its length cannot be read"),
            Self::Checksum => out.write_str("its checksum is wrong"),
            Self::Encoding(encoding) => write!(out, "its encoding {encoding} is unknown"),
            Self::Empty => out.write_str("it is too short to hold samples"),
            Self::TooMuch => out.write_str("more bytes are referred to than there are"),
        }
    }
}

/// A chunk that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whole {
    samples: u64,
    /// Where the next one begins.
    end: u64,
}

/// Chunks that no series refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Orphans {
    pub(super) chunks: u64,
    pub(super) samples: u64,
    pub(super) bytes: u64,
    /// Offset of the first byte of them, and the number of its segment.
    pub(super) first: Option<(usize, u64)>,
}

/// The segment that is being read.
struct Current<'a> {
    window: Window<'a>,
    number: usize,
    /// What was read of it ends here.
    done: u64,
    /// Whether the next chunk begins there, or that is not known because the one before cannot be read.
    next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Here,
    Unknown,
}

/// The segments of a block. Chunks are best asked for in the order in which they lie there.
pub(super) struct Segments<'a> {
    directory: &'a dyn Directory,
    /// Paths and sizes, in the order by which references count them.
    files: Vec<(String, u64)>,
    current: Option<Current<'a>>,
    /// Segments before this one are done with.
    next: usize,
    /// Bytes that may still be read out of order.
    budget: u64,
    orphans: Orphans,
}

impl<'a> Segments<'a> {
    /// Looks at the beginning of every segment; the inner error is a path and why Prometheus cannot open it.
    pub(super) fn open(directory: &'a dyn Directory, block: &str) -> io::Result<Result<Self, (String, String)>> {
        let folder = format!("{block}/chunks");
        let entries = match directory.list(&folder) {
            Ok(entries) => entries,
            Err(error) => return super::absent(error).map(|absent| Err((folder, absent.to_string()))),
        };
        let mut files = Vec::new();
        for entry in entries {
            let named = !entry.name.is_empty() && entry.name.bytes().all(|byte| byte.is_ascii_digit());
            if !named || entry.name.parse::<u64>().is_err() {
                continue;
            }
            let path = format!("{folder}/{}", entry.name);
            let file = match super::open(directory, &path)? {
                Ok(file) => file,
                Err(absent) => return Ok(Err((path, absent.to_string()))),
            };
            let mut window = Window::new(file);
            if let Err(fault) = header(&mut window)? {
                return Ok(Err((path, fault)));
            }
            files.push((path, window.bytes()));
        }
        let bytes = files.iter().map(|(_, bytes)| bytes).fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let budget = bytes.saturating_mul(2);
        Ok(Ok(Self { directory, files, current: None, next: 0, budget, orphans: Orphans::default() }))
    }

    /// Path of the segment that a reference leads to.
    pub(super) fn path(&self, reference: u64, block: &str) -> String {
        let file = usize::try_from(reference >> 32).ok().and_then(|number| self.files.get(number));
        file.map_or_else(|| format!("{block}/chunks"), |(path, _)| path.clone())
    }

    /// Path of a segment by its number.
    pub(super) fn path_of(&self, number: usize) -> Option<&str> {
        self.files.get(number).map(|(path, _)| path.as_str())
    }

    /// Number of samples of the chunk that a reference leads to.
    #[inline]
    pub(super) fn samples(&mut self, reference: u64) -> io::Result<Result<u64, Fault>> {
        let offset = reference & 0xffff_ffff;
        let Ok(number) = usize::try_from(reference >> 32) else { return Ok(Err(Fault::NoSegment)) };
        if self.current.as_ref().is_none_or(|current| current.number != number) {
            if number >= self.files.len() {
                return Ok(Err(Fault::NoSegment));
            }
            if number < self.next {
                return self.samples_aside(number, offset);
            }
            self.go_on_to(number)?;
        }
        let Some(current) = &mut self.current else { return Ok(Err(Fault::NoSegment)) };
        if offset < current.done {
            return self.samples_aside(number, offset);
        }
        if offset > current.done {
            current.pass_over(offset, &mut self.orphans)?;
        }
        let read = chunk(&mut current.window, offset)?;
        (current.done, current.next) = match read {
            Ok(whole) => (whole.end, Next::Here),
            // Nothing that the index has lies within its first bytes.
            Err(_) => (offset + 1, Next::Unknown),
        };
        Ok(read.map(|whole| whole.samples))
    }

    /// Chunks that no series refers to, once all that are referred to were asked for.
    pub(super) fn orphans(&mut self) -> io::Result<Orphans> {
        self.go_on_to(self.files.len())?;
        Ok(self.orphans)
    }

    /// Ends the segment being read, passes those between over, and opens the next one to read.
    fn go_on_to(&mut self, number: usize) -> io::Result<()> {
        if let Some(mut current) = self.current.take() {
            let end = current.window.bytes();
            current.pass_over(end, &mut self.orphans)?;
        }
        for passed in self.next..number.min(self.files.len()) {
            let mut passed = Current::new(self.directory, &self.files[passed].0, passed)?;
            let end = passed.window.bytes();
            passed.pass_over(end, &mut self.orphans)?;
        }
        self.next = number.saturating_add(1);
        if let Some((path, _)) = self.files.get(number) {
            self.current = Some(Current::new(self.directory, path, number)?);
        }
        Ok(())
    }

    /// Reads a chunk that lies before the last one.
    #[cold]
    fn samples_aside(&mut self, number: usize, offset: u64) -> io::Result<Result<u64, Fault>> {
        let Some((path, _)) = self.files.get(number) else { return Ok(Err(Fault::NoSegment)) };
        let mut window = Window::new(self.directory.open(path)?);
        let length = length(window.at(offset, MOST_LENGTH)?).map_or(0, |(length, _)| length);
        let Some(left) = self.budget.checked_sub(length.min(window.bytes()).saturating_add(16)) else {
            return Ok(Err(Fault::TooMuch));
        };
        self.budget = left;
        Ok(chunk(&mut window, offset)?.map(|whole| whole.samples))
    }
}

impl<'a> Current<'a> {
    fn new(directory: &'a dyn Directory, path: &str, number: usize) -> io::Result<Self> {
        Ok(Self { window: Window::new(directory.open(path)?), number, done: HEADER, next: Next::Here })
    }

    /// Goes over what lies before a chunk that is referred to, or before the end.
    #[cold]
    fn pass_over(&mut self, to: u64, orphans: &mut Orphans) -> io::Result<()> {
        if self.next == Next::Unknown || self.done >= to {
            return Ok(());
        }
        orphans.first.get_or_insert((self.number, self.done));
        orphans.bytes += to - self.done;
        while self.done < to {
            let Ok(whole) = chunk(&mut self.window, self.done)? else { break };
            orphans.chunks += 1;
            orphans.samples += whole.samples;
            self.done = whole.end;
        }
        Ok(())
    }
}

fn header(window: &mut Window<'_>) -> io::Result<Result<(), String>> {
    let bytes = window.bytes();
    if bytes < HEADER {
        return Ok(Err(format!("has {bytes} bytes")));
    }
    if window.u32(0)? != Some(MAGIC) {
        return Ok(Err("does not begin as a segment of chunks does".to_owned()));
    }
    let format = window.at(4, 1)?.first().copied();
    Ok(if format == Some(FORMAT) { Ok(()) } else { Err(format!("has format {}", format.unwrap_or_default())) })
}

/// Length of the data of a chunk, and of the length itself.
#[inline]
fn length(bytes: &[u8]) -> Option<(u64, usize)> {
    let head = &bytes[..bytes.len().min(MOST_LENGTH)];
    let mut rest = head;
    let length = varint::unsigned(&mut rest)?;
    Some((length, head.len() - rest.len()))
}

/// Reads the chunk at an offset as Prometheus does.
#[inline]
fn chunk(window: &mut Window<'_>, offset: u64) -> io::Result<Result<Whole, Fault>> {
    let bytes = window.at(offset, USUAL)?;
    if bytes.len() < MOST_LENGTH {
        return Ok(Err(Fault::BehindEnd));
    }
    let Some((length, head)) = length(bytes) else { return Ok(Err(Fault::Length)) };
    // Encoding, data and checksum.
    let framed = length + 5;
    let start = offset + head as u64;
    if let Some(rest) = usize::try_from(framed).ok().and_then(|framed| bytes.get(head..head + framed)) {
        let (content, crc) = rest.split_at(rest.len() - 4);
        if crc32c(content).to_be_bytes() != crc {
            return Ok(Err(Fault::Checksum));
        }
        return Ok(counted(content, start + framed));
    }
    let Some(crc) = window.crc(start, length + 1)? else { return Ok(Err(Fault::BehindEnd)) };
    match window.u32(start + length + 1)? {
        None => Ok(Err(Fault::BehindEnd)),
        Some(written) if written != crc => Ok(Err(Fault::Checksum)),
        Some(_) => Ok(counted(window.at(start, 3)?, start + framed)),
    }
}

/// How many samples a chunk says it has; its first byte is the encoding.
#[inline]
fn counted(content: &[u8], end: u64) -> Result<Whole, Fault> {
    let [encoding, high, low, ..] = *content else { return Err(Fault::Empty) };
    let count = u64::from(u16::from_be_bytes([high, low]));
    match encoding {
        // XOR, histogram, histogram of floats, XOR2.
        1..=4 => Ok(Whole { samples: count, end }),
        // Histograms with start times keep flags in the two high bits.
        5 | 6 => Ok(Whole { samples: count & 0x3fff, end }),
        other => Err(Fault::Encoding(other)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tsdb::testing::Tree;

    fn chunk_of(encoding: u8, data: &[u8]) -> Vec<u8> {
        let content = [&[encoding], data].concat();
        let crc = crc32c(&content).to_be_bytes();
        [&[u8::try_from(data.len()).unwrap()][..], &content, &crc].concat()
    }

    fn segment(chunks: &[Vec<u8>]) -> Vec<u8> {
        [&MAGIC.to_be_bytes()[..], &[FORMAT, 0, 0, 0], &chunks.concat()].concat()
    }

    fn tree(segments: &[Vec<u8>]) -> Tree {
        let files = segments.iter().enumerate();
        Tree(files.map(|(at, bytes)| (format!("b/chunks/{:06}", at + 1), bytes.clone())).collect())
    }

    fn asked(tree: &Tree, references: &[u64]) -> (Vec<Result<u64, Fault>>, Orphans) {
        let mut segments = Segments::open(tree, "b").unwrap().unwrap_or_else(|fault| panic!("{fault:?}"));
        let samples = references.iter().map(|reference| segments.samples(*reference).unwrap()).collect();
        (samples, segments.orphans().unwrap())
    }

    #[test]
    fn chunks_are_found_in_any_order_and_orphans_are_counted() {
        let one = segment(&[chunk_of(1, &[0, 3, 9]), chunk_of(4, &[0, 4]), chunk_of(2, &[1, 0, 7, 7])]);
        let two = segment(&[chunk_of(5, &[0xc0, 5])]);
        let tree = tree(&[one, two]);
        let (second, third, other) = (8 + 9, 8 + 9 + 8, 1 << 32 | 8);
        let whole = (vec![Ok(3), Ok(4), Ok(256), Ok(5)], Orphans::default());
        assert_eq!(asked(&tree, &[8, second, third, other]), whole);
        let (samples, _) = asked(&tree, &[other, third, second, 8]);
        assert_eq!(samples, [Ok(5), Ok(256), Ok(4), Ok(3)]);
        let (samples, orphans) = asked(&tree, &[8, third]);
        assert_eq!(samples, [Ok(3), Ok(256)]);
        assert_eq!(orphans, Orphans { chunks: 2, samples: 9, bytes: 8 + 8, first: Some((0, second)) });
    }

    #[test]
    fn every_flipped_bit_of_a_chunk_is_found() {
        let whole = segment(&[chunk_of(1, &[0, 3, 9]), chunk_of(1, &[0, 1, 1]), chunk_of(1, &[0, 4, 1])]);
        for at in 17..26 {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                let (samples, _) = asked(&tree(&[bytes]), &[8, 17, 26]);
                assert!(samples[0] == Ok(3) && samples[1].is_err() && samples[2] == Ok(4), "{at} {bit} {samples:?}");
            }
        }
    }

    #[test]
    fn damaged_beginnings_of_segments_and_missing_ones_are_told_apart() {
        let whole = segment(&[chunk_of(1, &[0, 3, 9])]);
        for cut in 0..8 {
            assert!(Segments::open(&tree(&[whole[..cut].to_vec()]), "b").unwrap().is_err(), "{cut}");
        }
        for at in 0..5 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(Segments::open(&tree(&[bytes]), "b").unwrap().is_err(), "{at}");
        }
        assert_eq!(asked(&tree(std::slice::from_ref(&whole)), &[1 << 32 | 8]).0, [Err(Fault::NoSegment)]);
        assert_eq!(asked(&tree(&[whole[..12].to_vec()]), &[8]).0, [Err(Fault::BehindEnd)]);
        assert!(Segments::open(&Tree::default(), "b").unwrap().is_err());
    }

    #[test]
    fn chunks_that_overlap_are_not_read_without_end() {
        let tree = tree(&[segment(&[chunk_of(1, &[0; 100]), chunk_of(1, &[0, 1])])]);
        let references = [&[8, 115][..], &[8; 100][..]].concat();
        let (samples, _) = asked(&tree, &references);
        assert_eq!((samples[2], samples[101]), (Ok(0), Err(Fault::TooMuch)));
    }

    proptest! {
        #[test]
        fn any_bytes_end(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            references in proptest::collection::vec(0_u64..320, 0..20),
        ) {
            asked(&tree(&[segment(&[bytes])]), &references);
        }
    }
}
