//! Memory for pieces, lent and given back. The allocator, asked for 8 MiB again and again, keeps twice of what is in use and
//! has each page of it cleared anew.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::model::PIECE_BYTES;

/// Buffers of a piece each. There are as many as were ever lent at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers {
    free: Arc<Mutex<Vec<Box<[u8]>>>>,
}

/// A buffer that goes back when the last who reads it lets go.
struct Lent {
    buffer: Box<[u8]>,
    length: usize,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.free.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.buffer));
    }
}

impl Buffers {
    /// Lends a buffer to `fill`, which says how much of it counts.
    ///
    /// # Errors
    /// What `fill` gives.
    pub(super) fn lend(&self, fill: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Bytes> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = match free {
            Some(buffer) => buffer,
            None => vec![0; usize::try_from(PIECE_BYTES).map_err(io::Error::other)?].into_boxed_slice(),
        };
        let mut lent = Lent { buffer, length: 0, home: self.clone() };
        lent.length = fill(&mut lent.buffer)?;
        Ok(Bytes::from_owner(lent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &Buffers, with: &[u8]) -> Bytes {
        let fill = |buffer: &mut [u8]| {
            buffer[..with.len()].copy_from_slice(with);
            Ok(with.len())
        };
        buffers.lend(fill).unwrap()
    }

    #[test]
    fn buffer_is_lent_again_when_the_last_reader_has_let_go() {
        let buffers = Buffers::default();
        let (first, second) = (filled(&buffers, b"first"), filled(&buffers, b"second"));
        let (place, reader) = (first.as_ptr(), first.clone());
        drop(first);
        assert_ne!(filled(&buffers, b"third").as_ptr(), place);
        assert_eq!((&reader[..], &second[..]), (&b"first"[..], &b"second"[..]));
        drop(reader);
        assert!(buffers.lend(|_| Err(io::ErrorKind::NotFound.into())).is_err());
        let places = [filled(&buffers, b"4"), filled(&buffers, b"5"), second].map(|bytes| bytes.as_ptr());
        assert!(places.contains(&place));
        assert_eq!(buffers.free.lock().unwrap().len(), 3);
    }
}
