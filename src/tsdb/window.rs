//! Reads a file through a window that moves: a few large reads when it goes forward, small ones when it jumps. Whatever a
//! file claims about lengths, no more than [`MOST_AT_ONCE`] of it is in memory.

use std::io;

use super::ReadAt;
use super::checksum::Running;

/// Bytes read at once when going forward: what the processor keeps near it while they are looked at.
const LARGE: usize = 256 << 10;
/// Bytes read at once after a jump.
const SMALL: usize = 16 << 10;
/// The longest piece that can be had in one slice.
pub(super) const MOST_AT_ONCE: usize = 4 << 20;

/// A window on a file.
pub(super) struct Window<'a> {
    file: Box<dyn ReadAt + 'a>,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    start: u64,
    /// How much to read next.
    stride: usize,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: Box<dyn ReadAt + 'a>) -> Self {
        Self { file, buffer: Vec::new(), start: 0, stride: SMALL }
    }

    /// Size of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    /// The bytes at an offset: `wanted` of them, fewer where the file ends, and never more than [`MOST_AT_ONCE`].
    #[inline]
    pub(super) fn at(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let from = offset.wrapping_sub(self.start);
        let length = self.buffer.len() as u64;
        if from <= length && wanted as u64 <= length - from {
            let from = usize::try_from(from).map_err(io::Error::other)?;
            return Ok(&self.buffer[from..from + wanted]);
        }
        self.fill(offset, wanted.min(MOST_AT_ONCE))
    }

    /// Exactly these bytes, or `None` where the file ends before or they are too many.
    #[inline]
    pub(super) fn exactly(&mut self, offset: u64, wanted: usize) -> io::Result<Option<&[u8]>> {
        let bytes = self.at(offset, wanted)?;
        Ok(if bytes.len() == wanted { Some(bytes) } else { None })
    }

    #[cold]
    fn fill(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let end = self.start + self.buffer.len() as u64;
        let forward = (self.start..=end).contains(&offset) && !self.buffer.is_empty();
        self.stride = if forward { (self.stride * 4).min(LARGE) } else { SMALL };
        let left = usize::try_from(self.file.bytes().saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = self.stride.max(wanted).min(left);
        // What is in the buffer already is not read again.
        let mut kept = 0;
        if forward {
            let from = usize::try_from(offset - self.start).map_err(io::Error::other)?;
            kept = self.buffer.len() - from;
            self.buffer.copy_within(from.., 0);
        }
        self.buffer.resize(length.max(kept), 0);
        self.start = offset;
        let mut filled = kept;
        while filled < self.buffer.len() {
            let read = self.file.read_at(offset + filled as u64, &mut self.buffer[filled..]);
            match read {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) => {
                    self.buffer.clear();
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        Ok(&self.buffer[..wanted.min(filled)])
    }

    /// CRC-32C of a piece of any length, or `None` where the file ends before it does.
    #[inline]
    pub(super) fn crc(&mut self, offset: u64, length: u64) -> io::Result<Option<u32>> {
        if offset.checked_add(length).is_none_or(|end| end > self.bytes()) {
            return Ok(None);
        }
        let (mut crc, mut done) = (Running::new(), 0);
        while done < length {
            let wanted = usize::try_from(length - done).unwrap_or(usize::MAX).min(SMALL);
            let bytes = self.at(offset + done, wanted)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            crc.update(bytes);
            done += bytes.len() as u64;
        }
        Ok(Some(crc.value()))
    }

    /// A big-endian number of 32 bits.
    pub(super) fn u32(&mut self, offset: u64) -> io::Result<Option<u32>> {
        let bytes = self.exactly(offset, 4)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tsdb::testing::Bytes;

    proptest! {
        #[test]
        fn any_walk_sees_the_bytes_of_the_file(
            length in 0_usize..200_000,
            walk in proptest::collection::vec((0_u64..220_000, 0_usize..70_000), 1..40),
        ) {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
            let mut window = Window::new(Box::new(Bytes(bytes.clone())));
            for (offset, wanted) in walk {
                let from = usize::try_from(offset).unwrap().min(length);
                let expected = &bytes[from..(from + wanted).min(length)];
                prop_assert_eq!(window.at(offset, wanted).unwrap(), expected);
                let whole = expected.len() == wanted && offset + wanted as u64 <= length as u64;
                let crc = window.crc(offset, wanted as u64).unwrap();
                prop_assert_eq!(crc, whole.then(|| crate::tsdb::checksum::crc32c(expected)));
            }
        }
    }

    #[test]
    fn no_claim_of_a_length_is_believed() {
        let mut window = Window::new(Box::new(Bytes(vec![0; MOST_AT_ONCE + 1])));
        assert_eq!(window.at(0, usize::MAX).unwrap().len(), MOST_AT_ONCE);
        assert_eq!(window.crc(1, u64::MAX).unwrap(), None);
        assert_eq!(window.at(u64::MAX, usize::MAX).unwrap().len(), 0);
    }
}
