//! The name of a backup: `20261121T090000Z-7f3c0a1b`. Names sort by time.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Name of a backup: UTC time of its start and eight hexadecimal digits that keep the runs of one second apart, also those
/// of many clusters whose `CronJobs` write to one store at midnight. The first versions wrote four, which are read as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

/// A text that is no backup's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not the name of a backup (such as 20261121T090000Z-7f3c0a1b)")]
pub struct BackupIdError(String);

/// How a name is spelt: digits, letters of the time, lower-case hexadecimal digits.
const SHAPE: &str = "dddddddd_dddddd_-xxxxxxxx";
/// How names of the first versions are spelt.
const SHORT_SHAPE: &str = "dddddddd_dddddd_-xxxx";

impl BackupId {
    /// The name for a backup started at this time. `unique` tells it from others of the same second.
    pub fn new(started_at: Timestamp, unique: u32) -> Self {
        let utc = started_at.to_zoned(TimeZone::UTC);
        Self(format!("{}-{unique:08x}", utc.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it may stand in the name of a Kubernetes object, which allows no capital letters (RFC 1123).
    pub fn in_object_name(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for BackupId {
    type Err = BackupIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = if text.len() == SHORT_SHAPE.len() { SHORT_SHAPE } else { SHAPE };
        let fits = |(want, got): (char, char)| match want {
            'd' => got.is_ascii_digit(),
            'x' => got.is_ascii_digit() || ('a'..='f').contains(&got),
            '_' => matches!(got, 'T' | 'Z'),
            other => got == other,
        };
        if text.len() == shape.len() && shape.chars().zip(text.chars()).all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BackupIdError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for BackupId {
    type Error = BackupIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_read_back() {
        let id = BackupId::new("2026-11-21T09:00:00Z".parse().unwrap(), 0x7f3c);
        assert_eq!(id.to_string(), "20261121T090000Z-00007f3c");
        assert_eq!(id.as_str().parse(), Ok(id));
        assert_eq!("20261121T090000Z-7f3c".parse::<BackupId>().unwrap().as_str(), "20261121T090000Z-7f3c");
    }

    #[test]
    fn strangers_are_no_names() {
        for text in [
            "",
            "latest",
            "20261121T090000Z-7F3C",
            "20261121T090000Z-7f3c0",
            "20261121T090000Z-7f3c0a1bc",
            "20261121T090000Z-7f3c/",
            "../../../etc/passwd12345",
        ] {
            assert!(text.parse::<BackupId>().is_err(), "{text}");
        }
    }
}
