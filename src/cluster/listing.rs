//! A listing under way: the first page; then all of the list in one answer where the API server can write one without
//! holding it, else page by page. An answer that breaks off is gone on with page by page.

use std::collections::HashSet;

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Cluster;
use super::error::ClusterError;
use super::list::{CapturedText, captured};
use super::path::segment;
use super::request::Call;
use super::whole::Whole;
use crate::model::{ServedKind, Sha256};

/// The media type of whole objects.
pub(super) const JSON: &str = "application/json";
/// Objects on a page.
const PAGE: u32 = 500;
/// How often a listing goes on where the API server forgot its place (410).
const MOST_RESTARTS: u32 = 3;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// A 410 as far as going on needs it.
#[derive(Deserialize)]
struct Forgotten {
    #[serde(default)]
    metadata: PageMetadata,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

/// A listing under way.
pub(super) struct Listing {
    cluster: Cluster,
    kind: ServedKind,
    /// The call for all of it.
    all: Call,
    /// How often the API server forgot its place.
    restarts: u32,
    place: Place,
    /// Beginnings of hashes of what was given on, once something could come twice.
    given: Option<HashSet<[u8; 16]>>,
}

/// Where it is.
enum Place {
    /// Before a page.
    Page(Call),
    /// In the one answer with all of it.
    Whole(Box<Whole>),
    End,
}

impl Listing {
    /// From a call for all of it.
    pub(super) fn new(cluster: &Cluster, kind: &ServedKind, all: Call) -> Self {
        let place = Place::Page(page_of(&all, ""));
        Self { cluster: cluster.clone(), kind: kind.clone(), all, restarts: 0, place, given: None }
    }

    /// The next objects; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<CapturedText>>, ClusterError> {
        loop {
            let listed = match &mut self.place {
                Place::End => return Ok(None),
                Place::Page(call) => {
                    let call = call.clone();
                    self.page(call).await?
                }
                Place::Whole(whole) => match whole.next().await {
                    Ok(Some(batch)) => batch,
                    Ok(None) => {
                        self.place = Place::End;
                        continue;
                    }
                    Err(_) => {
                        self.place = Place::Page(page_of(&self.all, ""));
                        continue;
                    }
                },
            };
            return Ok(Some(self.new_ones(listed)));
        }
    }

    /// What was not given on yet.
    fn new_ones(&mut self, mut listed: Vec<CapturedText>) -> Vec<CapturedText> {
        if let Some(given) = &mut self.given {
            listed.retain(|object| given.insert(beginning(object)));
        }
        listed
    }

    /// One page; then comes what is to be had next.
    async fn page(&mut self, mut call: Call) -> Result<Vec<CapturedText>, ClusterError> {
        loop {
            let answer = self.cluster.send(&call).await?;
            if answer.status == StatusCode::NOT_FOUND {
                self.place = Place::End;
                return Ok(Vec::new());
            }
            if answer.status == StatusCode::GONE && self.restarts < MOST_RESTARTS {
                self.restarts += 1;
                // With its 410 the API server gives a token to go on with, at a newer version
                // (apiserver `pkg/storage/continue.go`): what was listed already does not come twice.
                let Some(next) = next_page(&answer.body) else { return Err(self.cluster.refused(&call, &answer)) };
                call = page_of(&self.all, &next);
                continue;
            }
            if !answer.status.is_success() {
                return Err(self.cluster.refused(&call, &answer));
            }
            let page: Page = call.parse(&answer.body)?;
            let items = page.items.unwrap_or_default().into_iter().map(|item| captured(&self.kind, item.get()));
            let items = items.collect::<Result<Vec<_>, _>>().map_err(|error| call.unreadable(&error))?;
            self.place = self.after(&page.metadata.next).await;
            return Ok(items);
        }
    }

    /// Where it goes on after a page.
    async fn after(&mut self, next: &str) -> Place {
        if next.is_empty() {
            return Place::End;
        }
        // Only once: when the answer breaks off, pages are what is left.
        if self.given.is_none() && self.all.accept == JSON && self.cluster.streams_lists().await {
            self.given = Some(HashSet::new());
            if let Ok(whole) = self.cluster.whole(&self.all, &self.kind).await {
                return Place::Whole(Box::new(whole));
            }
        }
        Place::Page(page_of(&self.all, next))
    }
}

/// The call for a page.
fn page_of(all: &Call, next: &str) -> Call {
    let mut uri = format!("{}{}limit={PAGE}", all.uri, if all.uri.contains('?') { '&' } else { '?' });
    if !next.is_empty() {
        uri = format!("{uri}&continue={}", segment(next));
    }
    Call { uri, ..all.clone() }
}

/// The token in an answer, whether a page or a 410.
fn next_page(body: &[u8]) -> Option<String> {
    let page: Forgotten = serde_json::from_slice(body).ok()?;
    Some(page.metadata.next).filter(|next| !next.is_empty())
}

fn beginning(object: &CapturedText) -> [u8; 16] {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let hash = Sha256::of(format!("{namespace}/{}", object.name).as_bytes());
    std::array::from_fn(|at| hash.as_bytes()[at])
}
