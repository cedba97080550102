//! A long list in one answer, read while it comes in. Since Kubernetes 1.33 the API server writes such an answer object by
//! object (KEP-5116), from its cache; the later pages of a list it reads from etcd again once the version they belong to is
//! no longer the newest it remembers, which takes about four times as long.

use std::pin::Pin;
use std::time::Duration;

use futures::stream::{Stream, StreamExt};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::items::Items;
use super::list::{CapturedText, captured};
use super::request::Call;
use super::{Cluster, Version};
use crate::model::ServedKind;

/// Bytes of objects that are given on together.
const BATCH_BYTES: usize = 1 << 20;
/// Minor version of Kubernetes 1 from which on lists are written object by object.
const STREAMS_SINCE: u32 = 33;

type Chunks = Pin<Box<dyn Stream<Item = Result<Vec<u8>, kube::Error>> + Send>>;

/// A list that comes in.
pub(super) struct Whole {
    chunks: Chunks,
    kind: ServedKind,
    items: Items,
    /// Longest silence.
    patience: Duration,
}

/// It broke off, or is not what was expected. Pages are still to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BrokenOff;

impl Cluster {
    /// Whether the API server writes a long list object by object, instead of holding all of it at once.
    pub(super) async fn streams_lists(&self) -> bool {
        let ask = async || {
            let call = Call::get("get", "the API server's version", "/version");
            self.send_json::<Version>(&call).await.is_ok_and(|version| streams(&version.git_version))
        };
        *self.streams_lists.get_or_init(ask).await
    }

    /// Begins to read a list in one answer.
    pub(super) async fn whole(&self, call: &Call, kind: &ServedKind) -> Result<Whole, BrokenOff> {
        let request = call.build().map_err(|_| BrokenOff)?;
        let response = timeout(self.timeouts.request, self.client.send(request)).await;
        let response = response.map_err(|_| BrokenOff)?.map_err(|_| BrokenOff)?;
        if !response.status().is_success() {
            return Err(BrokenOff);
        }
        let chunks = response.into_body().into_data_stream().map(|chunk| chunk.map(Into::into));
        let (kind, patience) = (kind.clone(), self.timeouts.request);
        Ok(Whole { chunks: Box::pin(chunks), kind, items: Items::default(), patience })
    }
}

impl Whole {
    /// The next objects; `None` when all came.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<CapturedText>>, BrokenOff> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES {
            let chunk = timeout(self.patience, self.chunks.next()).await.map_err(|_| BrokenOff)?;
            let Some(chunk) = chunk else {
                self.items.end().map_err(|_| BrokenOff)?;
                return Ok(Some(batch).filter(|batch| !batch.is_empty()));
            };
            bytes += self.take(&chunk.map_err(|_| BrokenOff)?, &mut batch)?;
        }
        Ok(Some(batch))
    }

    /// Adds the objects that end in these bytes; how large they are.
    fn take(&mut self, chunk: &[u8], batch: &mut Vec<CapturedText>) -> Result<usize, BrokenOff> {
        let (mut bytes, mut unreadable) = (0, false);
        let taken = self.items.take(chunk, |item| match captured(&self.kind, item) {
            Ok(captured) => {
                bytes += captured.json.len();
                batch.push(captured);
            }
            Err(_) => unreadable = true,
        });
        if taken.is_err() || unreadable { Err(BrokenOff) } else { Ok(bytes) }
    }
}

/// Whether an API server of this version, such as `v1.36.0-gke.1`, writes lists object by object.
fn streams(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next(), numbers.next());
    let minor = minor.and_then(|minor| minor.trim_end_matches('+').parse::<u32>().ok());
    major == Some("1") && minor.is_some_and(|minor| minor >= STREAMS_SINCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_known_to_stream_are_asked_for_long_lists_at_once() {
        for (version, expected) in [
            ("v1.33.0", true),
            ("v1.36.1+k3s1", true),
            ("v1.34.2-eks-1a2b3c", true),
            ("v1.32.9", false),
            ("v1.9.0", false),
            ("v1", false),
            ("", false),
            ("v2.40.0", false),
        ] {
            assert_eq!(streams(version), expected, "{version}");
        }
    }
}
