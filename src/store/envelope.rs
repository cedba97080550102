//! The envelope of `backup.json`: format, version needed, hash, record. Fixed for all formats, so that any version can
//! tell a damaged file from one that is newer than itself. Pure: bytes in, value out.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{BackupRecord, FORMAT, FORMAT_WITH_COPIES, Sha256};

/// The oldest promsafe that reads a format.
fn needs(format: u32) -> &'static str {
    if format >= FORMAT_WITH_COPIES { "promsafe 0.2" } else { "promsafe 0.1" }
}

/// Why the bytes of a `backup.json` give no record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EnvelopeError {
    /// The bytes are not what some promsafe wrote.
    Damaged(String),
    /// The bytes are sound, and of a format this program does not know.
    Newer { format: u32, needs: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    format: u32,
    needs: String,
    sha256: String,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The bytes of `backup.json` for this record.
pub(super) fn seal(record: &BackupRecord) -> Result<Vec<u8>, serde_json::Error> {
    let format = record.format();
    let (needs, record) = (needs(format), serde_json::to_string_pretty(record)?);
    render(format, needs, &digest(format, needs, &record), &record)
}

/// The record in the bytes of a `backup.json`. The hash is held first: what it says about a newer format is true.
pub(super) fn open(bytes: &[u8]) -> Result<BackupRecord, EnvelopeError> {
    let damaged = |error: serde_json::Error| EnvelopeError::Damaged(error.to_string());
    let Envelope { format, needs, sha256, record } = serde_json::from_slice(bytes).map_err(damaged)?;
    let found = digest(format, &needs, record.get());
    if found != sha256 {
        return Err(EnvelopeError::Damaged(format!("its sha256 is {found}, not the {sha256} it says")));
    }
    // The hash does not cover how the envelope itself is spelt; this does.
    if render(format, &needs, &sha256, record.get()).map_err(damaged)? != bytes {
        return Err(EnvelopeError::Damaged("its envelope is not spelt as promsafe spells it".to_owned()));
    }
    if format > FORMAT {
        return Err(EnvelopeError::Newer { format, needs });
    }
    if format == 0 {
        return Err(EnvelopeError::Damaged("there is no format 0".to_owned()));
    }
    serde_json::from_str(record.get()).map_err(damaged)
}

fn digest(format: u32, needs: &str, record: &str) -> String {
    Sha256::of(format!("{format}\n{needs}\n{record}").as_bytes()).to_string()
}

fn render(format: u32, needs: &str, sha256: &str, record: &str) -> Result<Vec<u8>, serde_json::Error> {
    let (needs, sha256) = (serde_json::to_string(needs)?, serde_json::to_string(sha256)?);
    let text = format!(r#"{{"format":{format},"needs":{needs},"sha256":{sha256},"record":{record}}}"#);
    Ok((text + "\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn forged(format: u32, needs: &str, record: &str) -> Vec<u8> {
        render(format, needs, &digest(format, needs, record), record).unwrap()
    }

    #[test]
    fn sealed_records_are_read_back() {
        for record in [samples::small_record(), samples::full_record()] {
            assert_eq!(open(&seal(&record).unwrap()).as_ref(), Ok(&record));
        }
    }

    #[test]
    fn every_flipped_bit_is_an_error() {
        let bytes = seal(&samples::small_record()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let opened = open(&flipped);
            assert!(matches!(opened, Err(EnvelopeError::Damaged(_))), "bit {bit}: {opened:?}");
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_an_error() {
        let bytes = seal(&samples::small_record()).unwrap();
        for end in 0..bytes.len() {
            assert!(open(&bytes[..end]).is_err(), "cut at {end}");
        }
        for tail in ["\n", " ", "{}"] {
            assert!(open(&[&bytes, tail.as_bytes()].concat()).is_err(), "{tail:?}");
        }
    }

    #[test]
    fn a_newer_format_says_what_it_needs() {
        let newer = forged(FORMAT + 1, "promsafe 7.2", r#"{"quite":"different"}"#);
        let needs = "promsafe 7.2".to_owned();
        assert_eq!(open(&newer), Err(EnvelopeError::Newer { format: FORMAT + 1, needs }));
    }

    #[test]
    fn a_flipped_bit_in_a_newer_format_is_damage() {
        let newer = forged(FORMAT + 1, "promsafe 7.2", r#"{"quite":"different"}"#);
        for bit in 0..newer.len() * 8 {
            let mut flipped = newer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(open(&flipped), Err(EnvelopeError::Damaged(_))), "bit {bit}");
        }
    }

    #[test]
    fn a_record_may_hold_fields_of_a_later_version_of_its_format() {
        let record = serde_json::to_string(&samples::small_record()).unwrap();
        let later = record.replacen('{', r#"{"added_later":1,"#, 1);
        assert_eq!(open(&forged(FORMAT, needs(FORMAT), &later)), Ok(samples::small_record()));
    }

    #[test]
    fn format_0_and_foreign_records_are_damage() {
        assert!(matches!(open(&forged(0, "promsafe 0.1", "{}")), Err(EnvelopeError::Damaged(_))));
        assert!(matches!(open(&forged(1, "promsafe 0.1", "{}")), Err(EnvelopeError::Damaged(_))));
    }
}
