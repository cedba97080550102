//! `meta.json` of a block, read as leniently as Prometheus reads it (`readMetaFile`, Go's `encoding/json`): unknown keys are
//! passed over, letter case of keys does not count, what is absent or null is zero; a value of another type is an error.

use std::io;

use serde_json::{Map, Value};

use super::{Directory, ReadAt};

/// Largest `meta.json` that is read; blocks of a year have a few hundred KiB.
const MOST_BYTES: u64 = 16 << 20;

/// What the block was made of when it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) samples: u64,
    pub(super) series: u64,
    pub(super) chunks: u64,
    pub(super) tombstones: u64,
}

/// The versions that Prometheus gets on with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Version {
    /// As it is written.
    #[default]
    One,
    /// Written by Prometheus 2.1 only. Prometheus makes it 1 when it starts, and 2 of the version of the index.
    Bogus,
}

/// A `meta.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) ulid: String,
    /// Oldest time, in milliseconds since the epoch.
    pub(super) min_time: i64,
    /// End, exclusive.
    pub(super) max_time: i64,
    pub(super) stats: Stats,
    /// Compacted to nothing: Prometheus deletes it when it starts.
    pub(super) deletable: bool,
    /// Blocks that it replaces: Prometheus deletes them when it starts.
    pub(super) parents: Vec<String>,
    /// How it came to be, such as `from-out-of-order`.
    pub(super) hints: Vec<String>,
    pub(super) version: Version,
}

impl Meta {
    /// Whether it does not count for what the head takes: it holds out-of-order samples or those of stale series.
    pub(super) fn is_apart(&self) -> bool {
        self.hints.iter().any(|hint| ["from-out-of-order", "from-stale-series"].contains(&hint.as_str()))
    }
}

/// Reads the `meta.json` of a block; the inner error says why Prometheus skips the block.
pub(super) fn read(directory: &dyn Directory, block: &str) -> io::Result<Result<Meta, String>> {
    let path = format!("{block}/meta.json");
    let file = match super::open(directory, &path)? {
        Ok(file) => file,
        Err(absent) => return Ok(Err(absent.to_string())),
    };
    if file.bytes() > MOST_BYTES {
        return Ok(Err(format!("has {} bytes", file.bytes())));
    }
    Ok(parse(&whole(file.as_ref())?))
}

fn whole(file: &dyn ReadAt) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.bytes()).map_err(io::Error::other)?];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Understands a `meta.json`, or says what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Meta, String> {
    // Go takes bytes that are no UTF-8 inside of strings.
    let text = String::from_utf8_lossy(bytes);
    let value: Value = serde_json::from_str(&text).map_err(|error| format!("is no JSON: {error}"))?;
    let object = Object(value.as_object().ok_or("is no JSON object")?);
    let version = match object.integer("version")? {
        1 => Version::One,
        2 => Version::Bogus,
        other => return Err(format!("has version {other}, and Prometheus reads version 1")),
    };
    let empty = Map::new();
    let stats = object.object("stats")?.unwrap_or(Object(&empty));
    let compaction = object.object("compaction")?.unwrap_or(Object(&empty));
    // Only their type matters.
    compaction.integer("level")?;
    compaction.boolean("failed")?;
    compaction.strings("sources")?.iter().try_for_each(|text| ulid(text))?;
    stats.natural("numFloatSamples")?;
    stats.natural("numHistogramSamples")?;
    Ok(Meta {
        ulid: object.ulid("ulid")?,
        min_time: object.integer("minTime")?,
        max_time: object.integer("maxTime")?,
        stats: Stats {
            samples: stats.natural("numSamples")?,
            series: stats.natural("numSeries")?,
            chunks: stats.natural("numChunks")?,
            tombstones: stats.natural("numTombstones")?,
        },
        deletable: compaction.boolean("deletable")?,
        parents: parents(compaction)?,
        hints: compaction.strings("hints")?.iter().map(|text| (*text).to_owned()).collect(),
        version,
    })
}

fn parents(compaction: Object<'_>) -> Result<Vec<String>, String> {
    let mut parents = Vec::new();
    for value in compaction.array("parents")? {
        let parent = Object(value.as_object().ok_or("has parents that are no objects")?);
        parent.integer("minTime")?;
        parent.integer("maxTime")?;
        parents.push(parent.ulid("ulid")?);
    }
    Ok(parents)
}

fn ulid(text: &str) -> Result<(), String> {
    let fits = text.len() == 26 && text.as_bytes()[0] <= b'7';
    if fits { Ok(()) } else { Err(format!("has {text:?} where a ULID belongs")) }
}

/// An object whose keys are found as Go finds them.
#[derive(Clone, Copy)]
struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    fn get(self, key: &str) -> Option<&'a Value> {
        let folded = || self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value);
        self.0.get(key).or_else(folded).filter(|value| !value.is_null())
    }

    fn typed<T>(self, key: &str, kind: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, String> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| format!("has a {key} that is no {kind}"))
    }

    fn integer(self, key: &str) -> Result<i64, String> {
        Ok(self.typed(key, "integer", Value::as_i64)?.unwrap_or(0))
    }

    fn natural(self, key: &str) -> Result<u64, String> {
        Ok(self.typed(key, "natural number", Value::as_u64)?.unwrap_or(0))
    }

    fn boolean(self, key: &str) -> Result<bool, String> {
        Ok(self.typed(key, "boolean", Value::as_bool)?.unwrap_or(false))
    }

    fn object(self, key: &str) -> Result<Option<Self>, String> {
        Ok(self.typed(key, "object", Value::as_object)?.map(Self))
    }

    fn array(self, key: &str) -> Result<&'a [Value], String> {
        Ok(self.typed(key, "array", Value::as_array)?.map_or(&[], Vec::as_slice))
    }

    fn strings(self, key: &str) -> Result<Vec<&'a str>, String> {
        let strings: Option<_> = self.array(key)?.iter().map(Value::as_str).collect();
        strings.ok_or_else(|| format!("has {key} that are no strings"))
    }

    fn ulid(self, key: &str) -> Result<String, String> {
        let text = self.typed(key, "string", Value::as_str)?;
        text.map_or(Ok(()), ulid)?;
        Ok(text.unwrap_or("00000000000000000000000000").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REAL: &str = r#"{
	"ulid": "01KB5X7N9R0000000000000000",
	"minTime": 1700000000000,
	"maxTime": 1700007200000,
	"stats": {"numSamples": 240, "numFloatSamples": 240, "numSeries": 2, "numChunks": 4},
	"compaction": {"level": 2, "sources": ["01KB5X7N9R0000000000000000"],
		"parents": [{"ulid": "01KB5X7N9R0000000000000001", "minTime": 1, "maxTime": 2}], "hints": ["from-out-of-order"]},
	"version": 1,
	"thanos": {"labels": {}}
}"#;

    #[test]
    fn real_meta_is_understood() {
        let meta = parse(REAL.as_bytes()).unwrap();
        assert_eq!((meta.min_time, meta.max_time), (1_700_000_000_000, 1_700_007_200_000));
        assert_eq!(meta.stats, Stats { samples: 240, series: 2, chunks: 4, tombstones: 0 });
        assert_eq!((meta.parents.len(), meta.hints[0].as_str()), (1, "from-out-of-order"));
    }

    #[test]
    fn what_go_takes_is_taken_and_what_it_refuses_is_refused() {
        for (from, to, taken) in [
            ("minTime", "MINTIME", true),
            ("\"numSeries\": 2", "\"numSeries\": null", true),
            ("thanos", "th\u{fffd}nos", true),
            ("\"version\": 1", "\"version\": 3", false),
            ("\"version\": 1", "\"version\": 2", true),
            ("\"version\"", "\"vorsion\"", false),
            ("1700000000000", "17000000000e2", false),
            ("1700000000000", "1.5", false),
            ("1700000000000", "\"1\"", false),
            ("\"numSeries\": 2", "\"numSeries\": -2", false),
            ("\"level\": 2", "\"level\": []", false),
            ("\"ulid\": \"01KB5X7N9R0000000000000000\"", "\"ulid\": \"short\"", false),
            ("from-out-of-order\"", "from-out-of-order\", 3", false),
            ("{}}\n}", "{}}\n} trailing", false),
        ] {
            assert!(REAL.contains(from), "{from}");
            assert_eq!(parse(REAL.replacen(from, to, 1).as_bytes()).is_ok(), taken, "{from} -> {to}");
        }
        assert!(parse(b"").is_err() && parse(b"null").is_err() && parse(b"[]").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_changed_byte_is_understood_or_refused(at in 0..REAL.len(), byte: u8) {
            let mut bytes = REAL.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes);
        }
    }
}
