//! Listing without reparsing what was listed: the text of each object is cut out of the answer as it stands.

use futures::stream::{Stream, TryStreamExt, try_unfold};
use serde::Deserialize;

use super::Cluster;
use super::error::ClusterError;
use super::listing::{JSON, Listing};
use super::path::{collection, segment};
use super::request::Call;
use crate::model::ServedKind;

/// Asks for no more than the metadata of each object (Kubernetes 1.15; older servers answer with all of it).
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

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
        self.list_as(JSON, kind, namespace, label_selector).await
    }

    /// The names of all objects of a cluster-scoped kind; their content stays at the API server.
    ///
    /// # Errors
    /// As for [`Cluster::list`].
    pub async fn list_names(&self, kind: &ServedKind) -> Result<Vec<String>, ClusterError> {
        let listed = self.list_as(METADATA_ONLY, kind, None, None).await?;
        Ok(listed.into_iter().map(|object| object.name).collect())
    }

    /// All objects of a kind as they come: no more than a page of them is held here. What changes meanwhile may be there
    /// as it was or as it is, and nothing is there twice.
    pub fn pages(
        &self,
        kind: &ServedKind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> impl Stream<Item = Result<Vec<CapturedText>, ClusterError>> + Send + 'static {
        self.pages_as(JSON, kind, namespace, label_selector)
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
        let mut path = collection(&kind.api_version(), &kind.plural, namespace);
        if let Some(selector) = label_selector {
            path = format!("{path}?labelSelector={}", segment(selector));
        }
        let listing = Listing::new(self, kind, Call { accept, ..Call::get("list", object, path) });
        try_unfold(listing, async |mut listing| Ok(listing.next().await?.map(|page| (page, listing))))
    }
}

/// An item of a list. Lists of built-in kinds leave `kind` and `apiVersion` out; put back in front, where and in the
/// order in which the API server has them in a single object.
pub(super) fn captured(kind: &ServedKind, text: &str) -> Result<CapturedText, serde_json::Error> {
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
        captured(&kind(), item).unwrap()
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
