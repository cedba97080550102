//! Where a store is, as the user says it. Knows how to spell it, not how to reach it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Place of a store: `s3://bucket/prefix`, `file:///directory`, or a plain path of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl(Place);

/// What the two backends need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Bucket and prefix; the prefix is empty or ends without a slash.
    S3 { bucket: String, prefix: String },
    /// A directory.
    Directory(PathBuf),
}

/// A text that names no store.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreUrlError {
    /// Nothing at all.
    #[error("read the address of the store: it is empty")]
    Empty,
    /// A scheme other than `s3` and `file`.
    #[error("read the address of the store: {0:?} is no known scheme; use s3://bucket/prefix or a directory")]
    UnknownScheme(String),
    /// `s3:/bucket`, which would be a directory.
    #[error(
        "read the address of the store: a slash is missing behind the colon; use s3://bucket/prefix, or for a directory ./NAME"
    )]
    HalfScheme,
    /// `s3://` without a usable bucket. The text is not repeated: it may hold credentials.
    #[error("read the address of the store: s3:// is not followed by the name of a bucket")]
    NoBucket,
    /// A prefix that is no path.
    #[error("read the address of the store: the prefix {0:?} has an empty part, '.' or '..'")]
    OddPrefix(String),
    /// `file://` with a host, or with a relative path.
    #[error("read the address of the store: file:// is followed by an absolute path, such as file:///backups")]
    NotAbsolute,
}

impl StoreUrl {
    pub(super) fn place(&self) -> &Place {
        &self.0
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            None if text.is_empty() => Err(StoreUrlError::Empty),
            None if is_half_a_scheme(text) => Err(StoreUrlError::HalfScheme),
            None => Ok(Self(Place::Directory(PathBuf::from(text)))),
            Some(("s3", rest)) => s3(rest),
            Some(("file", path)) if path.starts_with('/') => Ok(Self(Place::Directory(PathBuf::from(path)))),
            Some(("file", _)) => Err(StoreUrlError::NotAbsolute),
            Some((scheme, _)) => Err(StoreUrlError::UnknownScheme(scheme.to_owned())),
        }
    }
}

/// Letters and digits followed by a colon: most likely a slash was forgotten.
fn is_half_a_scheme(text: &str) -> bool {
    let before = text.split_once(':').map_or("", |(before, _)| before);
    !before.is_empty() && before.chars().all(|c| c.is_ascii_alphanumeric())
}

fn s3(rest: &str) -> Result<StoreUrl, StoreUrlError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if bucket.is_empty() || !bucket.chars().all(plain) {
        return Err(StoreUrlError::NoBucket);
    }
    let prefix = prefix.trim_end_matches('/');
    if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(StoreUrlError::OddPrefix(prefix.to_owned()));
    }
    Ok(StoreUrl(Place::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
}

/// A text that is read back as the same place.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Place::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Place::Directory(path) if path.is_absolute() => write!(f, "file://{}", path.display()),
            Place::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_spelt() {
        for (text, spelt) in [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("file:///backups", "file:///backups"),
            ("/backups", "file:///backups"),
            ("backups/here", "backups/here"),
            ("./s3:/here", "./s3:/here"),
            ("of-2026:11", "of-2026:11"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), spelt);
            assert_eq!(spelt.parse(), Ok(url));
        }
    }

    #[test]
    fn strangers_are_refused() {
        for text in [
            "",
            "s3://",
            "s3:///prefix",
            "s3://b/a//c",
            "s3://b/../c",
            "file://host/dir",
            "https://b.s3/x",
            "s3:/b/x",
            "S3:b",
        ] {
            assert!(text.parse::<StoreUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_in_an_address_are_not_repeated() {
        let error = "s3://AKIA:hunter2@bucket/x".parse::<StoreUrl>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
