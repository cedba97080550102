//! What the records of a log say: which series they introduce, and which samples of which time they hold.
//!
//! Every record is decoded to its end, since Prometheus takes one that cannot be for damage. Facts: prometheus
//! `tsdb/record/record.go`, `tsdb/encoding/encoding.go`.

use super::tally::Replay;

/// The record does not end where its fields do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Which log a record is read from: each replay passes over what belongs to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// The write-ahead log, and its checkpoints.
    Wal,
    /// The log of out-of-order samples.
    Wbl,
}

/// Schema of histograms whose bounds are given one by one.
const CUSTOM_BUCKETS: i64 = -53;
/// Schemas of exponential histograms that are read; the finest of them at less resolution.
const EXPONENTIAL: std::ops::RangeInclusive<i64> = -4..=52;

/// Decodes a record and hands what it says to the replay.
pub(super) fn decode(log: Log, record: &[u8], replay: &mut Replay<'_>) -> Result<(), Malformed> {
    let Some((&kind, rest)) = record.split_first() else { return Ok(()) };
    let mut fields = Fields(rest);
    match (kind, log) {
        (1, Log::Wal) => series(&mut fields, replay),
        (2, _) => samples(&mut fields, replay),
        (3, Log::Wal) => tombstones(&mut fields),
        (4, Log::Wal) => exemplars(&mut fields),
        (5, Log::Wbl) => markers(&mut fields, replay),
        (6, Log::Wal) => metadata(&mut fields),
        (7 | 9, _) => histograms(&mut fields, replay, Buckets::Integers),
        (8 | 10, _) => histograms(&mut fields, replay, Buckets::Floats),
        (11, _) => samples_with_start(&mut fields, replay),
        (12, _) => histograms_with_start(&mut fields, replay, Buckets::Integers),
        (13, _) => histograms_with_start(&mut fields, replay, Buckets::Floats),
        (1 | 3..=6, _) => Ok(()),
        _ => {
            replay.unknown_record();
            Ok(())
        }
    }
}

fn series(fields: &mut Fields<'_>, replay: &mut Replay<'_>) -> Result<(), Malformed> {
    while !fields.is_empty() {
        let reference = fields.be64()?;
        fields.skip_labels()?;
        replay.series(reference);
    }
    Ok(())
}

fn samples(fields: &mut Fields<'_>, replay: &mut Replay<'_>) -> Result<(), Malformed> {
    let Some((reference, time_ms)) = fields.base()? else { return Ok(()) };
    while !fields.is_empty() {
        let (reference, time_ms) = (fields.varint()?.wrapping_add(reference), fields.varint()?.wrapping_add(time_ms));
        fields.skip(8)?;
        replay.sample(reference.cast_unsigned(), time_ms);
    }
    Ok(())
}

fn samples_with_start(fields: &mut Fields<'_>, replay: &mut Replay<'_>) -> Result<(), Malformed> {
    let Some((mut reference, first_ms)) = fields.first()? else { return Ok(()) };
    fields.skip(8)?;
    replay.sample(reference.cast_unsigned(), first_ms);
    while !fields.is_empty() {
        reference = reference.wrapping_add(fields.varint()?);
        let time_ms = first_ms.wrapping_add(fields.varint()?);
        fields.skip_start()?;
        fields.skip(8)?;
        replay.sample(reference.cast_unsigned(), time_ms);
    }
    Ok(())
}

fn tombstones(fields: &mut Fields<'_>) -> Result<(), Malformed> {
    while !fields.is_empty() {
        fields.be64()?;
        fields.varint()?;
        fields.varint()?;
    }
    Ok(())
}

fn exemplars(fields: &mut Fields<'_>) -> Result<(), Malformed> {
    let Some(_) = fields.base()? else { return Ok(()) };
    while !fields.is_empty() {
        fields.varint()?;
        fields.varint()?;
        fields.skip(8)?;
        fields.skip_labels()?;
    }
    Ok(())
}

fn markers(fields: &mut Fields<'_>, replay: &mut Replay<'_>) -> Result<(), Malformed> {
    while !fields.is_empty() {
        let (reference, chunk) = (fields.be64()?, fields.be64()?);
        replay.written_out(reference, chunk);
    }
    Ok(())
}

fn metadata(fields: &mut Fields<'_>) -> Result<(), Malformed> {
    while !fields.is_empty() {
        fields.uvarint()?;
        fields.skip(1)?;
        for _ in 0..fields.uvarint()? {
            fields.skip_bytes()?;
            fields.skip_bytes()?;
        }
    }
    Ok(())
}

/// How the buckets of a histogram are counted.
#[derive(Clone, Copy)]
enum Buckets {
    Integers,
    Floats,
}

fn histograms(fields: &mut Fields<'_>, replay: &mut Replay<'_>, buckets: Buckets) -> Result<(), Malformed> {
    let Some((reference, time_ms)) = fields.base()? else { return Ok(()) };
    while !fields.is_empty() {
        let (reference, time_ms) = (fields.varint()?.wrapping_add(reference), fields.varint()?.wrapping_add(time_ms));
        histogram(fields, buckets, replay, reference, time_ms)?;
    }
    Ok(())
}

fn histograms_with_start(fields: &mut Fields<'_>, replay: &mut Replay<'_>, buckets: Buckets) -> Result<(), Malformed> {
    let Some((mut reference, first_ms)) = fields.first()? else { return Ok(()) };
    histogram(fields, buckets, replay, reference, first_ms)?;
    while !fields.is_empty() {
        reference = reference.wrapping_add(fields.varint()?);
        let time_ms = first_ms.wrapping_add(fields.varint()?);
        fields.skip_start()?;
        histogram(fields, buckets, replay, reference, time_ms)?;
    }
    Ok(())
}

fn histogram(
    fields: &mut Fields<'_>,
    buckets: Buckets,
    replay: &mut Replay<'_>,
    reference: i64,
    time_ms: i64,
) -> Result<(), Malformed> {
    fields.skip(1)?;
    let schema = fields.varint()?;
    match buckets {
        // The zero threshold and the sum; between them two counts.
        Buckets::Integers => {
            fields.skip(8)?;
            fields.uvarint()?;
            fields.uvarint()?;
            fields.skip(8)?;
        }
        Buckets::Floats => fields.skip(32)?,
    }
    for _positive_then_negative in 0..2 {
        for _ in 0..fields.uvarint()? {
            fields.varint()?;
            fields.uvarint()?;
        }
    }
    for _positive_then_negative in 0..2 {
        for _ in 0..fields.uvarint()? {
            match buckets {
                Buckets::Integers => drop(fields.varint()?),
                Buckets::Floats => fields.skip(8)?,
            }
        }
    }
    if schema == CUSTOM_BUCKETS {
        for _ in 0..fields.uvarint()? {
            fields.skip(8)?;
        }
    }
    // One of another schema is left out with a warning.
    if schema == CUSTOM_BUCKETS || EXPONENTIAL.contains(&schema) {
        replay.sample(reference.cast_unsigned(), time_ms);
    }
    Ok(())
}

/// What of a record is still to be read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn skip(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.0 = self.0.get(bytes..).ok_or(Malformed)?;
        Ok(())
    }

    #[inline]
    fn be64(&mut self) -> Result<u64, Malformed> {
        let (value, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*value))
    }

    /// Reference and time that all others of the record are counted from.
    fn base(&mut self) -> Result<Option<(i64, i64)>, Malformed> {
        if self.is_empty() {
            return Ok(None);
        }
        Ok(Some((self.be64()?.cast_signed(), self.be64()?.cast_signed())))
    }

    /// Reference and time of the first of a record with start times, which follow each other in it.
    fn first(&mut self) -> Result<Option<(i64, i64)>, Malformed> {
        if self.is_empty() {
            return Ok(None);
        }
        let first = (self.varint()?, self.varint()?);
        self.varint()?;
        Ok(Some(first))
    }

    /// 0 is no start time, 1 that of the one before; with all else it follows.
    fn skip_start(&mut self) -> Result<(), Malformed> {
        let (&marker, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        if marker > 1 {
            self.varint()?;
        }
        Ok(())
    }

    #[inline]
    fn uvarint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (at, &byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                // The tenth byte has room for one bit.
                if at == 9 && byte > 1 {
                    return Err(Malformed);
                }
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    #[inline]
    fn varint(&mut self) -> Result<i64, Malformed> {
        let value = self.uvarint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn skip_bytes(&mut self) -> Result<(), Malformed> {
        let bytes = usize::try_from(self.uvarint()?).map_err(|_| Malformed)?;
        self.skip(bytes)
    }

    fn skip_labels(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.uvarint()? {
            self.skip_bytes()?;
            self.skip_bytes()?;
        }
        Ok(())
    }
}
