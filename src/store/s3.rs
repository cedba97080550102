//! An S3 bucket as a backend: requests, their deadlines and repetition. The client sends each request once.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::backend::{Backend, Part, is_key};
use super::s3_access::{Handover, StoreAccess};
use super::s3_answer::{Failure, Meaning};
use super::s3_client::{Connected, connect};
use super::s3_clock::Clock;
use super::s3_hash::KnownHash;
use super::{Remote, StoreError, StoreOptions};
use crate::model::{Sha256, Timeouts};

/// Requests sent at most for one operation, and the first wait between two; each further wait is twice as long.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Most memory that is taken at once because a server says how long its answer will be.
const LARGEST_GUESS_BYTES: usize = 16 << 20;

/// A bucket, or what lies under a prefix of it.
pub(super) struct S3 {
    client: Client,
    bucket: String,
    prefix: String,
    who: String,
    endpoint: String,
    clock: Clock,
    handover: Option<Handover>,
    timeouts: Timeouts,
}

/// A result, and how many requests it took.
type Attempted<T> = (Result<T, Failure>, u32);

impl S3 {
    /// Finds the credentials; the bucket is not asked.
    pub(super) async fn open(bucket: &str, prefix: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let Connected { client, who, endpoint, clock, handover } = connect(options).await?;
        Ok(Self {
            client,
            bucket: bucket.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            who,
            endpoint,
            clock,
            handover,
            timeouts: options.timeouts.clone(),
        })
    }

    /// Sends a request until it succeeds, fails for good, or time is up.
    async fn attempt<T, F>(&self, request: impl Fn() -> F) -> Attempted<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let end = Instant::now() + self.timeouts.attempts;
        let mut wait = FIRST_WAIT;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let limit = self.timeouts.request.min(end.saturating_duration_since(Instant::now()));
            let late = |_| Failure::unreachable(format!("no answer within {limit:?}"));
            let result = timeout(limit, request()).await.map_err(late).flatten();
            let give_up = attempts == ATTEMPTS || Instant::now() + wait >= end;
            match &result {
                Err(failure) if failure.transient && !give_up => sleep(wait).await,
                _ => return (result, attempts),
            }
            wait *= 2;
        }
    }

    /// The bucket's name of a key.
    fn full(&self, key: &str) -> Result<String, Failure> {
        let full = format!("{}{key}", self.prefix);
        if is_key(key) {
            Ok(full)
        } else {
            Err(Failure { meaning: Meaning::Other, transient: false, cause: "this is no key".into() })
        }
    }

    fn error(&self, doing: &'static str, key: &str, failure: Failure) -> StoreError {
        let object = format!("s3://{}/{}{key}", self.bucket, self.prefix);
        let source = failure.cause;
        match failure.meaning {
            Meaning::NoBucket => {
                StoreError::NoSuchBucket { doing, object, bucket: self.bucket.clone(), endpoint: self.endpoint.clone() }
            }
            Meaning::Exists => StoreError::AlreadyExists { object },
            Meaning::Denied => StoreError::AccessDenied { doing, object, who: self.who.clone(), source },
            Meaning::Unreachable => {
                StoreError::Unreachable { doing, object: format!("{object} at {}", self.endpoint), source }
            }
            Meaning::NoObject | Meaning::BehindEnd | Meaning::Other => StoreError::Access { doing, object, source },
        }
    }

    async fn create(&self, key: &str, bytes: Bytes, sha256: Option<&Sha256>) -> Result<(), Failure> {
        let full = self.full(key)?;
        // In memory, so that the body is signed with its SHA-256 and can be sent again without a copy.
        let body = SdkBody::from(bytes);
        let (result, attempts) = self
            .attempt(|| async {
                let body = body.try_clone().map(ByteStream::new).ok_or_else(|| Failure::unreachable("body is gone"))?;
                let put = self.client.put_object().bucket(&self.bucket).key(&full).if_none_match("*").body(body);
                put.customize().interceptor(KnownHash::new(sha256)).send().await.map(drop).map_err(Failure::from)
            })
            .await;
        match result {
            // An earlier attempt may have arrived while its answer did not.
            Err(failure) if failure.meaning == Meaning::Exists && attempts > 1 => {
                match (self.fetch(key, None).await?, body.bytes()) {
                    (Some(there), Some(sent)) if there == sent => Ok(()),
                    _ => Err(failure),
                }
            }
            other => other,
        }
    }

    async fn fetch(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>, Failure> {
        let full = self.full(key)?;
        // HTTP knows no empty range; one byte too many is cut off below.
        let header = range.as_ref().map(|r| format!("bytes={}-{}", r.start, r.end.max(r.start + 1) - 1));
        let (result, _) = self
            .attempt(|| async {
                let get = self.client.get_object().bucket(&self.bucket).key(&full).set_range(header.clone());
                let answer = get.send().await?;
                let is_part = answer.content_range.is_some();
                Ok((whole(answer.body, answer.content_length).await?, is_part))
            })
            .await;
        match (result, range) {
            (Ok((bytes, _)), None) => Ok(Some(bytes)),
            (Ok((bytes, is_part)), Some(range)) => Ok(Some(cut(bytes, is_part, &range))),
            (Err(failure), _) if failure.meaning == Meaning::NoObject => Ok(None),
            (Err(failure), Some(_)) if failure.meaning == Meaning::BehindEnd => Ok(Some(Vec::new())),
            (Err(failure), _) => Err(failure),
        }
    }

    /// Whether there is such an object; its parts go to whoever takes them.
    async fn hand_on(&self, key: &str, parts: &mpsc::Sender<Part>) -> Result<bool, Failure> {
        let full = self.full(key)?;
        let (result, _) = self
            .attempt(|| async {
                let get = self.client.get_object().bucket(&self.bucket).key(&full);
                let mut body = get.send().await?.body;
                let mut taken = parts.send(Part::Begin).await;
                while taken.is_ok()
                    && let Some(part) = body.next().await
                {
                    taken = parts.send(Part::Bytes(part.map_err(Failure::unreachable)?)).await;
                }
                Ok(())
            })
            .await;
        match result {
            Ok(()) => Ok(true),
            Err(failure) if failure.meaning == Meaning::NoObject => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<(String, u64)>, Failure> {
        let full = format!("{}{prefix}", self.prefix);
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let (page, _) = self
                .attempt(|| async {
                    let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(&full);
                    list.set_continuation_token(token.clone()).send().await.map_err(Failure::from)
                })
                .await;
            let page = page?;
            keys.extend(page.contents.into_iter().flatten().filter_map(|object| {
                let bytes = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                Some((object.key?.strip_prefix(&self.prefix)?.to_owned(), bytes))
            }));
            match page.next_continuation_token {
                Some(next) if page.is_truncated == Some(true) => token = Some(next),
                _ => break,
            }
        }
        // Consoles leave empty objects whose names end in a slash to show directories.
        keys.retain(|(key, _)| is_key(key));
        keys.sort();
        Ok(keys)
    }

    async fn remove(&self, key: &str) -> Result<(), Failure> {
        let full = self.full(key)?;
        let (result, _) = self
            .attempt(|| async {
                let delete = self.client.delete_object().bucket(&self.bucket).key(&full);
                delete.send().await.map(drop).map_err(Failure::from)
            })
            .await;
        match result {
            Err(failure) if failure.meaning == Meaning::NoObject => Ok(()),
            other => other,
        }
    }
}

/// All bytes of a body. The SDK's own way to collect them copies byte by byte.
async fn whole(mut body: ByteStream, content_length: Option<i64>) -> Result<Vec<u8>, Failure> {
    // A server may say what it likes.
    let said = content_length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(said.min(LARGEST_GUESS_BYTES));
    while let Some(part) = body.next().await {
        bytes.extend_from_slice(&part.map_err(Failure::unreachable)?);
    }
    Ok(bytes)
}

/// The bytes of a range out of an answer to it. A server may ignore the range and send all.
fn cut(mut bytes: Vec<u8>, is_part: bool, range: &Range<u64>) -> Vec<u8> {
    let begin = if is_part { 0 } else { usize::try_from(range.start).unwrap_or(usize::MAX).min(bytes.len()) };
    bytes.drain(..begin);
    bytes.truncate(usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX));
    bytes
}

impl Backend for S3 {
    fn put_new<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.create(key, bytes.into(), None).await.map_err(|failure| self.error("write", key, failure))
        })
    }

    fn put_hashed<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        sha256: &'a Sha256,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let created = self.create(key, bytes, Some(sha256));
        Box::pin(async move { created.await.map_err(|failure| self.error("write", key, failure)) })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move { self.fetch(key, None).await.map_err(|failure| self.error("read", key, failure)) })
    }

    fn get_parts<'a>(&'a self, key: &'a str, parts: mpsc::Sender<Part>) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { self.hand_on(key, &parts).await.map_err(|failure| self.error("read", key, failure)) })
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move { self.fetch(key, Some(range)).await.map_err(|failure| self.error("read", key, failure)) })
    }

    fn sizes<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, u64)>, StoreError>> {
        Box::pin(async move { self.keys(prefix).await.map_err(|failure| self.error("list", prefix, failure)) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.remove(key).await.map_err(|failure| self.error("delete", key, failure)) })
    }

    fn access<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Option<StoreAccess>, StoreError>> {
        Box::pin(async move {
            match &self.handover {
                Some(handover) => handover.access(url).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn remote(&self) -> Option<Remote> {
        Some(Remote { endpoint: self.endpoint.clone(), clock_skew: self.clock.skew() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_out_of_whole_and_partial_answers() {
        let all = b"0123456789".to_vec();
        assert_eq!(cut(all.clone(), false, &(2..5)), b"234");
        assert_eq!(cut(b"234".to_vec(), true, &(2..5)), b"234");
        assert_eq!(cut(b"2".to_vec(), true, &(2..2)), b"");
        assert_eq!(cut(all.clone(), false, &(8..99)), b"89");
        assert_eq!(cut(all, false, &(20..30)), b"");
    }
}
