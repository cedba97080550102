//! Records as they were before compression: snappy's block format, and zstd.
//!
//! No length that a file states is trusted for more memory than the bytes at hand can stand for.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Longest record that is read, packed or not. A record lies within one segment, and the largest segment that can be
/// asked for has 256 MiB.
pub(super) const MAX_RECORD_BYTES: usize = 256 << 20;
/// Three bytes of snappy stand for 64 at most.
const MAX_SNAPPY_RATIO: usize = 22;
/// Prometheus' encoder looks back 8 MiB.
const MAX_ZSTD_WINDOW_BYTES: u64 = 64 << 20;
/// What is decoded before it is looked whether there is too much.
const ZSTD_STEP_BYTES: usize = 1 << 20;
/// Capacity that stays between records.
const KEPT_BYTES: usize = 4 << 20;

/// How a record is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// Not at all.
    Plain,
    /// Snappy, block format.
    Snappy,
    /// Zstandard frames.
    Zstd,
}

/// Unpacks one record after the other into the same memory.
pub(super) struct Unpacker {
    snappy: snap::raw::Decoder,
    zstd: FrameDecoder,
    buffer: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        let mut zstd = FrameDecoder::new();
        zstd.set_max_window_size(MAX_ZSTD_WINDOW_BYTES);
        Self { snappy: snap::raw::Decoder::new(), zstd, buffer: Vec::new() }
    }

    /// The record, or why it cannot be had.
    pub(super) fn unpack<'a>(&'a mut self, packing: Packing, packed: &'a [u8]) -> Result<&'a [u8], &'static str> {
        match packing {
            _ if packed.is_empty() => Ok(packed),
            Packing::Plain => Ok(packed),
            Packing::Snappy => self.unpack_snappy(packed),
            Packing::Zstd => self.unpack_zstd(packed),
        }
    }

    /// Gives memory back that an unusually large record took.
    pub(super) fn shrink(&mut self) {
        self.buffer.truncate(KEPT_BYTES);
        self.buffer.shrink_to(KEPT_BYTES);
    }

    fn unpack_snappy(&mut self, packed: &[u8]) -> Result<&[u8], &'static str> {
        const BROKEN: &str = "snappy data cannot be decoded";
        let bytes = snap::raw::decompress_len(packed).map_err(|_| BROKEN)?;
        if bytes > packed.len().saturating_mul(MAX_SNAPPY_RATIO) {
            return Err(BROKEN);
        }
        if bytes > MAX_RECORD_BYTES {
            return Err("record is larger than any that is written");
        }
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
        let written = self.snappy.decompress(packed, &mut self.buffer[..bytes]).map_err(|_| BROKEN)?;
        self.buffer.get(..written).ok_or(BROKEN)
    }

    fn unpack_zstd(&mut self, mut packed: &[u8]) -> Result<&[u8], &'static str> {
        const BROKEN: &str = "zstd data cannot be decoded";
        self.buffer.clear();
        while !packed.is_empty() {
            match self.zstd.init(&mut packed) {
                Ok(()) => {}
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    packed = usize::try_from(length).ok().and_then(|length| packed.get(length..)).ok_or(BROKEN)?;
                    continue;
                }
                Err(_) => return Err(BROKEN),
            }
            loop {
                let step = BlockDecodingStrategy::UptoBytes(ZSTD_STEP_BYTES);
                self.zstd.decode_blocks(&mut packed, step).map_err(|_| BROKEN)?;
                self.zstd.collect_to_writer(&mut self.buffer).map_err(|_| BROKEN)?;
                if self.buffer.len() > MAX_RECORD_BYTES {
                    return Err("record is larger than any that is written");
                }
                if self.zstd.is_finished() {
                    break;
                }
            }
        }
        Ok(&self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_the_bytes_cannot_stand_for_takes_no_memory() {
        let mut unpacker = Unpacker::new();
        // States 256 MiB in four bytes, then holds one literal.
        let lie = [0x80, 0x80, 0x80, 0x80, 0x01, 0x00, b'x'];
        assert!(unpacker.unpack(Packing::Snappy, &lie).is_err());
        assert_eq!(unpacker.buffer.capacity(), 0);
    }

    #[test]
    fn a_bomb_of_zstd_is_given_up_at_the_bound() {
        // A frame without size or checksum, window of 8 MiB: blocks of one repeated byte, 128 KiB each, and no end.
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3];
        let block = u32::to_le_bytes((128 * 1024) << 3 | 1 << 1);
        for _ in 0..3000 {
            bomb.extend_from_slice(&block[..3]);
            bomb.push(b'x');
        }
        let mut unpacker = Unpacker::new();
        assert_eq!(unpacker.unpack(Packing::Zstd, &bomb), Err("record is larger than any that is written"));
    }

    #[test]
    fn snappy_gives_back_what_went_in() {
        let text = b"up up up up up up up up up up up up".repeat(100);
        let packed = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        let mut unpacker = Unpacker::new();
        assert_eq!(unpacker.unpack(Packing::Snappy, &packed).unwrap(), text);
        assert_eq!(unpacker.unpack(Packing::Plain, &packed).unwrap(), packed);
        assert_eq!(unpacker.unpack(Packing::Zstd, &[]).unwrap(), b"");
    }
}
