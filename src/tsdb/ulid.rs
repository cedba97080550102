//! Names of blocks: ULIDs, told as `oklog/ulid` tells them for Prometheus.

/// Letters of a ULID, in either case: no I, L, O, U.
const LETTERS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Whether Prometheus takes a directory of this name for a block (`ulid.ParseStrict`).
pub(super) fn is_ulid(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() == 26 && bytes[0] <= b'7' && bytes.iter().all(|byte| LETTERS.contains(&byte.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulids_are_told_from_other_names() {
        for name in ["01HZZZZZZZZZZZZZZZZZZZZZZZ", "01hzzzzzzzzzzzzzzzzzzzzzzz", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
            assert!(is_ulid(name), "{name}");
        }
        for name in ["", "wal", "01HZZZZZZZZZZZZZZZZZZZZZZ", "01HZZZZZZZZZZZZZZZZZZZZZZU", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ"]
        {
            assert!(!is_ulid(name), "{name}");
        }
    }
}
