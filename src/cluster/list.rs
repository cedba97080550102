//! Listing, page by page, without reparsing what was listed: the text of each object is cut out of the answer as it
//! stands.

use futures::stream::{Stream, TryStreamExt, try_unfold};
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Cluster;
use super::error::ClusterError;
use super::path::{collection, segment};
use super::request::Call;
use crate::model::ServedKind;

/// Objects asked for at once.
const PAGE: u32 = 500;
/// Asks for no more than the metadata of each object (Kubernetes 1.15; older servers answer with all of it).
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
/// How often a listing goes on where the API server forgot its place (410).
const MOST_RESTARTS: u32 = 3;

/// An object as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedText {
    /// Its namespace, `None` when cluster-scoped.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its JSON as the API server spells it for a single object.
    pub json: Box<str>,
}

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

/// What of an object is needed to name it.
#[derive(Deserialize)]
struct Named {
    kind: Option<String>,
    metadata: NamedMetadata,
}

#[derive(Deserialize)]
struct NamedMetadata {
    name: String,
    namespace: Option<String>,
}

impl Cluster {
    /// All objects of a kind, in one namespace or everywhere, with the labels or whichever. A kind that is no longer
    /// served has none.
    ///
    /// # Errors
    /// Any [`ClusterError`]; [`ClusterError::Forbidden`] names the resource.
    pub async fn list(
        &self,
        kind: &ServedKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> Result<Vec<CapturedText>, ClusterError> {
        self.list_as("application/json", kind, namespace, label_selector).await
    }

    /// The names of all objects of a cluster-scoped kind; their content stays at the API server.
    ///
    /// # Errors
    /// As for [`Cluster::list`].
    pub async fn list_names(&self, kind: &ServedKind) -> Result<Vec<String>, ClusterError> {
        let listed = self.list_as(METADATA_ONLY, kind, None, None).await?;
        Ok(listed.into_iter().map(|object| object.name).collect())
    }

    /// All objects of a kind, page by page: no more than a page of them is held here. A page that the API server forgot
    /// its place in goes on from there at a newer version.
    pub fn pages(
        &self,
        kind: &ServedKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> impl Stream<Item = Result<Vec<CapturedText>, ClusterError>> + Send + 'static {
        self.pages_as("application/json", kind, namespace, label_selector)
    }

    async fn list_as(
        &self,
        accept: &'static str,
        kind: &ServedKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> Result<Vec<CapturedText>, ClusterError> {
        self.pages_as(accept, kind, namespace, label_selector).try_concat().await
    }

    fn pages_as(
        &self,
        accept: &'static str,
        kind: &ServedKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> impl Stream<Item = Result<Vec<CapturedText>, ClusterError>> + Send + 'static {
        let resource =
            if kind.group.is_empty() { kind.plural.clone() } else { format!("{}.{}", kind.plural, kind.group) };
        let object = match namespace {
            Some(namespace) => format!("{resource} in namespace {namespace}"),
            None if kind.namespaced => format!("{resource} in all namespaces"),
            None => resource,
        };
        let mut first_page = format!("{}?limit={PAGE}", collection(&kind.api_version(), &kind.plural, namespace));
        if let Some(selector) = label_selector {
            first_page = format!("{first_page}&labelSelector={}", segment(selector));
        }
        let call = Call { accept, ..Call::get("list", object, first_page.clone()) };
        let listing = Listing { cluster: self.clone(), kind: kind.clone(), first_page, restarts: 0 };
        try_unfold((listing, Some(call)), async |(mut listing, call)| match call {
            None => Ok(None),
            Some(call) => {
                let (page, next) = listing.page(call).await?;
                Ok(Some((page, (listing, next))))
            }
        })
    }
}

/// A listing under way.
struct Listing {
    cluster: Cluster,
    kind: ServedKind,
    /// Path and query of the first page.
    first_page: String,
    /// How often the API server forgot its place.
    restarts: u32,
}

impl Listing {
    /// One page, and the call for the next one.
    async fn page(&mut self, mut call: Call) -> Result<(Vec<CapturedText>, Option<Call>), ClusterError> {
        loop {
            let answer = self.cluster.send(&call).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok((Vec::new(), None));
            }
            if answer.status == StatusCode::GONE && self.restarts < MOST_RESTARTS {
                self.restarts += 1;
                // With its 410 the API server gives a token to go on with, at a newer version
                // (apiserver `pkg/storage/continue.go`): what was listed already does not come twice.
                let Some(next) = next_page(&answer.body) else { return Err(self.cluster.refused(&call, &answer)) };
                call.uri = self.uri(&next);
                continue;
            }
            if !answer.status.is_success() {
                return Err(self.cluster.refused(&call, &answer));
            }
            let page: Page = call.parse(&answer.body)?;
            let items = page.items.unwrap_or_default().into_iter().map(|item| captured(&self.kind, item));
            let items = items.collect::<Result<_, _>>().map_err(|error| call.unreadable(&error))?;
            let next = page.metadata.next;
            if next.is_empty() {
                return Ok((items, None));
            }
            call.uri = self.uri(&next);
            return Ok((items, Some(call)));
        }
    }

    fn uri(&self, next: &str) -> String {
        format!("{}&continue={}", self.first_page, segment(next))
    }
}

/// The token in an answer, whether a page or a 410.
fn next_page(body: &[u8]) -> Option<String> {
    let page: Forgotten = serde_json::from_slice(body).ok()?;
    Some(page.metadata.next).filter(|next| !next.is_empty())
}

/// An item of a list. Lists of built-in kinds leave `kind` and `apiVersion` out; put back in front, where and in the
/// order in which the API server has them in a single object.
fn captured(kind: &ServedKind, item: &RawValue) -> Result<CapturedText, serde_json::Error> {
    let text = item.get();
    let named: Named = serde_json::from_str(text)?;
    let json = match (named.kind, text.strip_prefix('{')) {
        (None, Some(rest)) => {
            format!(r#"{{"kind":"{}","apiVersion":"{}",{rest}"#, kind.kind, kind.api_version()).into()
        }
        _ => text.into(),
    };
    Ok(CapturedText { namespace: named.metadata.namespace, name: named.metadata.name, json })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind() -> ServedKind {
        ServedKind {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
            namespaced: true,
            verbs: Vec::new(),
        }
    }

    fn text(item: &str) -> CapturedText {
        captured(&kind(), &RawValue::from_string(item.to_owned()).unwrap()).unwrap()
    }

    #[test]
    fn missing_kind_is_put_in_front_and_the_rest_stays() {
        let listed = text(r#"{"metadata":{"name":"a","namespace":"n"},"z":1e2,"a":"é"}"#);
        let json =
            r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"a","namespace":"n"},"z":1e2,"a":"é"}"#;
        assert_eq!(&*listed.json, json);
        assert_eq!((listed.namespace.as_deref(), listed.name.as_str()), (Some("n"), "a"));
    }

    #[test]
    fn item_with_a_kind_stays_as_it_is() {
        let json = r#"{"apiVersion":"x/v1","kind":"X","metadata":{"name":"a"}}"#;
        assert_eq!(&*text(json).json, json);
    }
}
