//! The framing that `wal`, `wbl`, checkpoints and chunk snapshots share: segments of 32 KiB pages, with records in one
//! fragment or several, none of them across segments.
//!
//! What is taken for damage is what prometheus `tsdb/wlog/reader.go` takes for damage, to the quirk: a page of zeros is
//! passed over wherever it is, and a record whose end is missing counts as torn only if nothing at all follows it.

use std::io;

use super::checksum::crc32c;
use super::compression::{MAX_RECORD_BYTES, Packing, Unpacker};
use super::directory::ReadAt;
use super::record::Malformed;

const PAGE_BYTES: usize = 32 * 1024;
const HEADER_BYTES: usize = 7;
/// What is read at once: 1 MiB.
const WINDOW_BYTES: usize = 32 * PAGE_BYTES;
/// Capacity of the buffer for joined records that stays between segments.
const KEPT_BYTES: usize = 4 << 20;

const PADDING: u8 = 0;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

const UNENDED: &str = "a record begins before the last one ended";

/// Where a segment cannot be read further, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    /// Where the fragment begins, in bytes.
    pub(super) offset: u64,
    /// In words.
    pub(super) why: &'static str,
    /// Where reading can be tried again.
    pub(super) resume: u64,
}

/// What to do at damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Stop, as Prometheus does.
    Stop,
    /// Look for the next record that is whole.
    PassOver,
}

/// How a segment ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SegmentEnd {
    /// Where reading stopped before the end.
    pub(super) damage: Option<Damage>,
    /// The first page of zeros with something behind it.
    pub(super) hole: Option<u64>,
    /// Where nothing but whole pages of zeros begins.
    pub(super) zeros_from: Option<u64>,
    /// Where a fragment begins whose header is cut off. Filled up with zeros it is an empty record, and no damage to Prometheus.
    pub(super) cut_header: Option<u64>,
    /// How long the segment is, filled up to a page.
    pub(super) bytes: u64,
}

/// Takes records as they come.
pub(super) type Visit<'v> = dyn FnMut(&[u8]) -> Result<(), Malformed> + 'v;

/// Reads the records of segments that follow each other.
pub(super) struct Records {
    window: Vec<u8>,
    joiner: Joiner,
}

impl Records {
    pub(super) fn new() -> Self {
        let joiner =
            Joiner { joined: Vec::new(), unpacker: Unpacker::new(), fragments: 0, kind: PADDING, cut_header: None };
        Self { window: vec![0; WINDOW_BYTES], joiner }
    }

    /// Reads a segment from this offset on, a fragment's begin.
    pub(super) fn read(
        &mut self,
        file: &dyn ReadAt,
        from: u64,
        at: At,
        visit: &mut Visit<'_>,
    ) -> io::Result<SegmentEnd> {
        let mut end = SegmentEnd::default();
        self.joiner.cut_header = None;
        let mut start = usize::try_from(from % PAGE_BYTES as u64).unwrap_or(0);
        let mut offset = from - start as u64;
        loop {
            let filled = fill(file, offset, &mut self.window)?;
            if filled == 0 {
                break;
            }
            let pages = self.window[..filled].chunks_exact(PAGE_BYTES);
            for (number, page) in pages.enumerate() {
                let page_offset = offset + (number * PAGE_BYTES) as u64;
                let place = if page_offset + PAGE_BYTES as u64 >= file.bytes() { Place::Last } else { Place::Within };
                note_zeros(&mut end, page, page_offset);
                let written = usize::try_from(file.bytes().saturating_sub(page_offset)).unwrap_or(usize::MAX);
                let page = Page { bytes: page, offset: page_offset, place, written };
                if let Err(damage) = self.joiner.page(&page, start, at, visit) {
                    end.damage = Some(damage);
                    return Ok(end);
                }
                start = 0;
            }
            offset += filled as u64;
            if filled < WINDOW_BYTES {
                break;
            }
        }
        end.bytes = offset;
        end.cut_header = self.joiner.cut_header.take();
        Ok(end)
    }

    /// Ends a series of segments: nothing of it goes into the next. Says whether its last record is torn.
    pub(super) fn finish(&mut self) -> bool {
        let torn = matches!(self.joiner.kind, FIRST | MIDDLE);
        self.joiner.reset();
        self.joiner.joined.shrink_to(KEPT_BYTES);
        self.joiner.unpacker.shrink();
        torn
    }

    /// Whether a record has begun and not ended.
    pub(super) fn is_amid_record(&self) -> bool {
        self.joiner.fragments > 0
    }
}

/// Fills the window with whole pages, the last one filled up with zeros as Prometheus reads it.
fn fill(file: &dyn ReadAt, offset: u64, window: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < window.len() {
        match file.read_at(offset + read as u64, &mut window[read..])? {
            0 => break,
            more => read += more,
        }
    }
    let filled = read.next_multiple_of(PAGE_BYTES);
    window[read..filled].fill(0);
    Ok(filled)
}

fn note_zeros(end: &mut SegmentEnd, page: &[u8], offset: u64) {
    if page[0] == 0 && page.iter().all(|&byte| byte == 0) {
        end.zeros_from.get_or_insert(offset);
    } else if let Some(hole) = end.zeros_from.take() {
        end.hole.get_or_insert(hole);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Within,
    Last,
}

struct Page<'a> {
    bytes: &'a [u8],
    offset: u64,
    place: Place,
    /// How many of its bytes the file has, or more.
    written: usize,
}

struct Fragment<'a> {
    kind: u8,
    packing: Packing,
    data: &'a [u8],
}

/// What lies at a place in a page.
enum Found<'a> {
    Fragment(Fragment<'a>, usize),
    /// Nothing more in this page.
    End,
    Damage(&'static str, usize),
}

impl<'a> Page<'a> {
    fn fragment(&self, at: usize) -> Found<'a> {
        let Some((&head, rest)) = self.bytes.get(at..).and_then(<[u8]>::split_first) else { return Found::End };
        let kind = head & 7;
        if kind == PADDING {
            let clean = rest.iter().all(|&byte| byte == 0);
            return if clean { Found::End } else { Found::Damage("there is something in the padding", PAGE_BYTES) };
        }
        let cut = |missing: &[u8]| match self.place {
            // The end of the file comes first, and is taken for the end of the log.
            Place::Last if missing.is_empty() => Found::End,
            _ => Found::Damage("a fragment reaches out of its page", PAGE_BYTES),
        };
        let Some((header, rest)) = rest.split_at_checked(HEADER_BYTES - 1) else { return cut(rest) };
        let bytes = usize::from(u16::from_be_bytes([header[0], header[1]]));
        let checksum = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
        let Some(data) = rest.get(..bytes) else { return cut(rest) };
        let next = at + HEADER_BYTES + bytes;
        if crc32c(data) != checksum {
            return Found::Damage("a fragment does not match its checksum", next);
        }
        let packing = match head {
            head if head & 8 != 0 => Packing::Snappy,
            head if head & 16 != 0 => Packing::Zstd,
            _ => Packing::Plain,
        };
        Found::Fragment(Fragment { kind, packing, data }, next)
    }
}

/// Makes records of fragments.
struct Joiner {
    joined: Vec<u8>,
    unpacker: Unpacker,
    /// How many of the record have come.
    fragments: u64,
    /// Of the fragment read last.
    kind: u8,
    /// Of the segment being read.
    cut_header: Option<u64>,
}

impl Joiner {
    fn reset(&mut self) {
        self.joined.clear();
        self.fragments = 0;
        self.kind = PADDING;
    }

    fn page(&mut self, page: &Page<'_>, start: usize, at: At, visit: &mut Visit<'_>) -> Result<(), Damage> {
        let mut place = start;
        loop {
            let (why, resume) = match page.fragment(place) {
                Found::End => {
                    if let Some(head) = page.bytes.get(place) {
                        self.kind = head & 7;
                    }
                    return Ok(());
                }
                Found::Damage(why, resume) => (why, resume),
                Found::Fragment(fragment, next) => {
                    self.kind = fragment.kind;
                    if place + HEADER_BYTES > page.written {
                        self.cut_header = Some(page.offset + place as u64);
                    }
                    match self.take(&fragment, visit) {
                        Ok(()) => {
                            place = next;
                            continue;
                        }
                        // The begin of another record is where to go on; it is read anew without what came before.
                        Err(why) if why == UNENDED => (why, place),
                        Err(why) => (why, next),
                    }
                }
            };
            if at == At::Stop {
                let (offset, resume) = (page.offset + place as u64, page.offset + resume as u64);
                return Err(Damage { offset, why, resume });
            }
            self.reset();
            place = resume;
        }
    }

    fn take(&mut self, fragment: &Fragment<'_>, visit: &mut Visit<'_>) -> Result<(), &'static str> {
        match (fragment.kind, self.fragments) {
            (FULL | FIRST, 0) | (MIDDLE | LAST, 1..) => {}
            (FULL | FIRST, _) => return Err(UNENDED),
            (MIDDLE | LAST, _) => return Err("a record goes on that never began"),
            _ => return Err("a fragment is of no known type"),
        }
        if fragment.kind == FULL {
            return deliver(&mut self.unpacker, fragment.packing, fragment.data, visit);
        }
        if self.joined.len() + fragment.data.len() > MAX_RECORD_BYTES {
            return Err("record is larger than any that is written");
        }
        self.joined.extend_from_slice(fragment.data);
        self.fragments += 1;
        if fragment.kind != LAST {
            return Ok(());
        }
        let delivered = deliver(&mut self.unpacker, fragment.packing, &self.joined, visit);
        self.joined.clear();
        self.fragments = 0;
        delivered
    }
}

fn deliver(unpacker: &mut Unpacker, packing: Packing, data: &[u8], visit: &mut Visit<'_>) -> Result<(), &'static str> {
    let record = unpacker.unpack(packing, data)?;
    visit(record).map_err(|Malformed| "a record cannot be decoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(Vec<u8>);

    impl ReadAt for Bytes {
        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
            let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
            let read = rest.len().min(into.len());
            into[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        }
    }

    fn fragment(head: u8, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        [&[head], &length[..], &crc32c(data).to_be_bytes(), data].concat()
    }

    /// The parts, each on a page of its own.
    fn pages(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
        }
        bytes
    }

    /// The records, how the segment ended, and whether its last record is torn.
    fn read(bytes: &[u8], at: At) -> (Vec<Vec<u8>>, SegmentEnd, bool) {
        let (mut seen, mut records) = (Vec::new(), Records::new());
        let file = Bytes(bytes.to_vec());
        let end = records.read(&file, 0, at, &mut |record| {
            seen.push(record.to_vec());
            Ok(())
        });
        (seen, end.unwrap(), records.finish())
    }

    #[test]
    fn header_that_is_cut_off_is_told_of_its_own_segment_alone() {
        let (_, end, _) = read(&[fragment(FULL, b"one"), vec![FULL]].concat(), At::Stop);
        assert_eq!((end.cut_header, end.damage), (Some(10), None));
        // Amid a record it is damage, and the next segment is not to blame.
        let mut records = Records::new();
        let mut next = |bytes: Vec<u8>| records.read(&Bytes(bytes), 0, At::Stop, &mut |_| Ok(())).unwrap();
        assert!(next([fragment(FIRST, b"t"), vec![FULL]].concat()).damage.is_some());
        assert_eq!(next(fragment(LAST, b"o")).cut_header, None);
    }

    #[test]
    fn fragments_become_records_again() {
        let packed = snap::raw::Encoder::new().compress_vec(&vec![b'y'; 50_000]).unwrap();
        let bytes =
            [fragment(FULL, b"one"), fragment(FIRST, b"t"), fragment(MIDDLE, b"w"), fragment(LAST, b"o")].concat();
        let bytes = pages(&[[bytes, fragment(FULL | 8, &packed)].concat(), fragment(FULL, b"")]);
        let (seen, end, torn) = read(&bytes, At::Stop);
        assert_eq!(seen, [b"one".to_vec(), b"two".to_vec(), vec![b'y'; 50_000], Vec::new()]);
        assert_eq!((end.damage, end.hole, end.zeros_from, torn), (None, None, None, false));
    }

    #[test]
    fn each_damage_is_named_where_it_is() {
        let good = fragment(FULL, b"good");
        let at = good.len() as u64;
        for (name, rest, why) in [
            (
                "bit",
                {
                    let mut bad = fragment(FULL, b"bad");
                    bad[9] ^= 1;
                    bad
                },
                "a fragment does not match its checksum",
            ),
            ("kind", fragment(7, b"bad"), "a fragment is of no known type"),
            ("middle", fragment(MIDDLE, b"bad"), "a record goes on that never began"),
            ("snappy", fragment(FULL | 8, b"\xff\xff\xff\xff\xff\xff"), "snappy data cannot be decoded"),
            ("zstd", fragment(FULL | 16, b"bad"), "zstd data cannot be decoded"),
            ("padding", vec![0, 0, 1], "there is something in the padding"),
            ("length", vec![FULL, 0xff, 0xff, 0, 0, 0, 0, 1], "a fragment reaches out of its page"),
        ] {
            let bytes = pages(&[[good.clone(), rest].concat(), fragment(FULL, b"behind")]);
            let (seen, end, _) = read(&bytes, At::Stop);
            let damage = end.damage.unwrap();
            assert_eq!((seen, damage.offset, damage.why), (vec![b"good".to_vec()], at, why), "{name}");
            assert_eq!(read(&bytes, At::PassOver).0, [b"good".to_vec(), b"behind".to_vec()], "{name}");
        }
    }

    #[test]
    fn a_record_that_begins_amid_another_is_damage_and_is_found_behind_it() {
        let bytes = pages(&[[fragment(FIRST, b"lost"), fragment(FULL, b"behind")].concat()]);
        let (seen, end, _) = read(&bytes, At::Stop);
        assert_eq!((seen.len(), end.damage.unwrap().why), (0, UNENDED));
        assert_eq!(read(&bytes, At::PassOver).0, [b"behind".to_vec()]);
    }

    #[test]
    fn only_a_record_with_nothing_at_all_behind_it_is_torn() {
        let filled = fragment(FIRST, &vec![b'x'; PAGE_BYTES - HEADER_BYTES]);
        assert_eq!(filled.len(), PAGE_BYTES);
        let (_, end, torn) = read(&filled, At::Stop);
        assert_eq!((end.damage, torn), (None, true));
        // Zeros behind it: Prometheus does not see that the record has no end.
        let (_, end, torn) = read(&pages(&[filled, vec![0]]), At::Stop);
        assert_eq!((end.damage, end.zeros_from, torn), (None, Some(PAGE_BYTES as u64), false));
    }

    #[test]
    fn zeros_are_a_hole_or_the_tail() {
        let bytes = pages(&[fragment(FULL, b"a"), vec![0], fragment(FULL, b"b"), vec![0], vec![0]]);
        let (seen, end, torn) = read(&bytes, At::Stop);
        assert_eq!((seen.len(), end.damage, torn), (2, None, false));
        let page = PAGE_BYTES as u64;
        assert_eq!((end.hole, end.zeros_from, end.bytes), (Some(page), Some(3 * page), 5 * page));
    }

    #[test]
    fn a_file_cut_anywhere_is_read_to_its_last_whole_record() {
        let bytes = [fragment(FULL, b"one"), fragment(FULL, b"two")].concat();
        for cut in 0..=bytes.len() {
            let (seen, end, _) = read(&bytes[..cut], At::Stop);
            // A type and zeros are a whole record of no bytes.
            assert_eq!(seen.iter().filter(|record| !record.is_empty()).count(), cut / 10, "{cut}");
            assert_eq!(end.damage.is_some(), cut % 10 > 2, "{cut}");
        }
    }
}
