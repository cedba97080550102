//! The tombstones of a block: what was deleted by the API and waits for compaction. Prometheus reads them whole when it
//! starts (`tombstones.ReadTombstones`) and does not start when they are damaged.

use std::io;

use super::window::Window;
use super::{Absent, Directory, varint};

const MAGIC: u32 = 0x0130_BA30;
const FORMAT: u8 = 1;
/// Magic and format.
const HEADER: u64 = 5;
/// Most bytes of one tombstone.
const MOST_ENTRY: usize = 3 * varint::MOST_BYTES;

/// How many tombstones a block has, or what is wrong with them.
pub(super) fn count(directory: &dyn Directory, block: &str) -> io::Result<Result<u64, String>> {
    let file = match super::open(directory, &format!("{block}/tombstones"))? {
        Ok(file) => file,
        Err(Absent::Missing) => return Ok(Ok(0)),
        Err(absent @ Absent::NoFile) => return Ok(Err(absent.to_string())),
    };
    let mut window = Window::new(file);
    let bytes = window.bytes();
    if bytes < HEADER + 4 {
        return Ok(Err(format!("has {bytes} bytes")));
    }
    let magic = window.u32(0)?;
    if magic != Some(MAGIC) {
        return Ok(Err("does not begin as tombstones do".to_owned()));
    }
    let format = window.at(4, 1)?.first().copied();
    if window.crc(HEADER, bytes - HEADER - 4)? != window.u32(bytes - 4)? {
        return Ok(Err("has a wrong checksum".to_owned()));
    }
    if format != Some(FORMAT) {
        return Ok(Err(format!("has format {}", format.unwrap_or_default())));
    }
    entries(&mut window, bytes - 4)
}

fn entries(window: &mut Window<'_>, end: u64) -> io::Result<Result<u64, String>> {
    let (mut at, mut count) = (HEADER, 0);
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let entry = window.at(at, MOST_ENTRY.min(left))?;
        let mut rest = entry;
        let whole = varint::unsigned(&mut rest).and_then(|_| varint::signed(&mut rest));
        if whole.and_then(|_| varint::signed(&mut rest)).is_none() {
            return Ok(Err(format!("has a tombstone at byte {at} that cannot be read")));
        }
        at += (entry.len() - rest.len()) as u64;
        count += 1;
    }
    Ok(Ok(count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tsdb::checksum::crc32c;
    use crate::tsdb::testing::Tree;

    fn counted(bytes: &[u8]) -> Result<u64, String> {
        let mut tree = Tree::default();
        tree.0.insert("b/tombstones".to_owned(), bytes.to_vec());
        count(&tree, "b").unwrap()
    }

    fn file(entries: &[u8]) -> Vec<u8> {
        let crc = crc32c(entries).to_be_bytes();
        [&MAGIC.to_be_bytes()[..], &[FORMAT], entries, &crc].concat()
    }

    #[test]
    fn tombstones_are_counted() {
        assert_eq!(counted(&file(&[])), Ok(0));
        assert_eq!(counted(&file(&[1, 2, 4, 0x80, 1, 2, 4])), Ok(2));
        assert_eq!(count(&Tree::default(), "b").unwrap(), Ok(0));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let whole = file(&[1, 2, 4, 3, 2, 4]);
        for at in 0..whole.len() {
            assert!(counted(&whole[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert!(counted(&bytes).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert!(counted(&file(&[1, 2])).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_counted_or_refused(entries in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = counted(&entries);
            let _ = counted(&file(&entries));
        }
    }
}
