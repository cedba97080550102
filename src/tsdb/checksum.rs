//! CRC-32C, the checksum of everything in a data directory (prometheus `tsdb/docs/format`: "CRC32 Castagnoli").

use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

/// Of bytes that are there at once.
#[inline]
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    crc32_iscsi(bytes)
}

/// Of bytes that come one after the other.
pub(super) struct Running(Digest);

impl Running {
    pub(super) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    #[inline]
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn value(&self) -> u32 {
        // One of 32 bits in a number of 64.
        u32::try_from(self.0.finalize()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_the_algorithm_comes_out_in_one_piece_and_in_many() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut running = Running::new();
        for piece in [&b"1234"[..], b"", b"56789"] {
            running.update(piece);
        }
        assert_eq!((running.value(), Running::new().value()), (0xe306_9283, 0));
    }
}
