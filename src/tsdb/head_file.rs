//! A file read in pieces of fixed size.

use std::io;

use super::checksum::Running;
use super::directory::ReadAt;

const WINDOW_BYTES: usize = 1 << 20;

/// A piece of a file.
pub(super) struct Window<'f> {
    pub(super) file: &'f dyn ReadAt,
    bytes: Vec<u8>,
    from: u64,
}

impl<'f> Window<'f> {
    pub(super) fn new(file: &'f dyn ReadAt) -> Self {
        Self { file, bytes: Vec::new(), from: 0 }
    }

    /// These bytes of the file, at most as many as a window holds; fewer at its end.
    pub(super) fn get(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let within = offset.checked_sub(self.from).and_then(|within| usize::try_from(within).ok());
        let held = within.filter(|within| within.saturating_add(bytes) <= self.bytes.len());
        let within = if let Some(within) = held {
            within
        } else {
            self.fill(offset)?;
            0
        };
        let end = self.bytes.len().min(within + bytes);
        Ok(&self.bytes[within..end])
    }

    fn fill(&mut self, offset: u64) -> io::Result<()> {
        self.from = offset;
        self.bytes.resize(WINDOW_BYTES, 0);
        let mut read = 0;
        while read < WINDOW_BYTES {
            match self.file.read_at(offset + read as u64, &mut self.bytes[read..])? {
                0 => break,
                more => read += more,
            }
        }
        self.bytes.truncate(read);
        Ok(())
    }

    /// Checksum of these bytes, as far as the file has them.
    pub(super) fn checksum(&mut self, mut from: u64, to: u64) -> io::Result<u32> {
        let mut checksum = Running::new();
        while from < to {
            let bytes = usize::try_from(to - from).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES);
            let piece = self.get(from, bytes)?;
            if piece.is_empty() {
                break;
            }
            checksum.update(piece);
            from += piece.len() as u64;
        }
        Ok(checksum.value())
    }

    /// How many bytes from here on are not zero.
    pub(super) fn written_from(&mut self, mut offset: u64) -> io::Result<usize> {
        let mut written: usize = 0;
        loop {
            let piece = self.get(offset, WINDOW_BYTES)?;
            if piece.is_empty() {
                return Ok(written);
            }
            written = written.saturating_add(piece.iter().filter(|&&byte| byte != 0).count());
            offset += piece.len() as u64;
        }
    }
}
