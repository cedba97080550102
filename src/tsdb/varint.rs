//! Integers of variable length as Go's `encoding/binary` writes them, taken from the front of a slice.

/// Most bytes of an integer of 64 bits.
pub(super) const MOST_BYTES: usize = 10;

/// Takes an unsigned integer off the front; `None` when the bytes end before it does, or it is longer than 64 bits.
#[inline]
pub(super) fn unsigned(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    let mut value = u64::from(first & 0x7f);
    for (at, &byte) in rest.iter().take(MOST_BYTES - 1).enumerate() {
        let shift = 7 * (at + 1);
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            *bytes = &rest[at + 1..];
            return Some(value);
        }
    }
    None
}

/// Takes a signed integer (zig-zag) off the front.
#[inline]
pub(super) fn signed(bytes: &mut &[u8]) -> Option<i64> {
    let value = unsigned(bytes)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
        bytes
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(value: u64, behind in proptest::collection::vec(any::<u8>(), 0..3)) {
            let bytes = [written(value), behind.clone()].concat();
            let mut rest = &bytes[..];
            prop_assert_eq!(unsigned(&mut rest), Some(value));
            prop_assert_eq!(rest, &behind[..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut rest = &bytes[..];
            if unsigned(&mut rest).is_none() {
                prop_assert_eq!(rest.len(), bytes.len());
            }
        }
    }

    #[test]
    fn signs_alternate() {
        for (byte, value) in [(0, 0), (1, -1), (2, 1), (3, -2)] {
            assert_eq!(signed(&mut &[byte][..]), Some(value));
        }
        assert_eq!(signed(&mut &written(u64::MAX)[..]), Some(i64::MIN));
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        assert_eq!(unsigned(&mut &[0xff; 11][..]), None);
        assert_eq!(unsigned(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2][..]), None);
        assert_eq!(unsigned(&mut &[0x80][..]), None);
    }
}
