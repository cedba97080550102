//! Lists kinds: whole into memory where the objects are looked at together, page by page where they are many.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::{mpsc, oneshot};

use super::{DiscoverError, Scope};
use crate::cluster::{CapturedText, Cluster, ClusterError};
use crate::generated;
use crate::model::{CapturedManifest, GroupKind, ObjectKey, ServedKind, ServedKinds};
use crate::scope::{OPERATOR_GROUP, RULES};

/// Lists in flight at once. The API server's own default limit for one user is above 100, but each list in flight opens a
/// connection: on a small cluster more handshakes cost more than the waiting they save.
pub(super) const LISTS_IN_FLIGHT: usize = 16;
/// Pages fetched before they are asked for: enough to keep the API server busy, few enough to stay small.
const PAGES_AHEAD: usize = 2;

/// An object as listed.
pub(crate) struct Found {
    pub(super) key: ObjectKey,
    pub(super) text: Box<str>,
}

impl Found {
    pub(super) fn pick<T: serde::de::DeserializeOwned>(&self) -> Result<T, DiscoverError> {
        serde_json::from_str(&self.text).map_err(|source| DiscoverError::Read { object: self.key.to_string(), source })
    }

    pub(super) fn why_left_out(&self) -> Result<Option<&'static str>, DiscoverError> {
        Ok(generated::why_left_out(&self.key, &self.pick()?))
    }

    pub(super) fn captured(&self, reason: &str) -> CapturedManifest {
        CapturedManifest { key: self.key.clone(), reason: reason.to_owned(), json: self.text.clone() }
    }

    pub(super) fn into_captured(self, reason: String) -> CapturedManifest {
        CapturedManifest { key: self.key, reason, json: self.text }
    }
}

/// Lists kinds in parallel.
pub(crate) struct Lister<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) served: &'a ServedKinds,
    pub(super) scope: &'a Scope,
}

/// The pages of one kind, fetched ahead: the first at once, the others from when it is taken. A list that waits for long
/// in the middle of an answer would be ended by the API server, which gives each request a minute.
pub(super) struct Pages {
    kind: ServedKind,
    place: String,
    received: mpsc::Receiver<Result<Vec<CapturedText>, ClusterError>>,
    go_on: Option<oneshot::Sender<()>>,
}

impl Pages {
    /// The next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<impl Iterator<Item = Found>>, DiscoverError> {
        let Some(page) = self.received.recv().await else { return Ok(None) };
        // It may have ended with its first page.
        self.go_on.take().map(|go_on| go_on.send(()));
        let page = page.map_err(|source| {
            let what = format!("{}{}", self.kind.plural, self.place);
            DiscoverError::List { what, source }
        })?;
        let kind = self.kind.clone();
        Ok(Some(page.into_iter().map(move |text| found(&kind, text))))
    }
}

impl Lister<'_> {
    pub(super) async fn check_namespaces(&self) -> Result<(), DiscoverError> {
        for namespace in &self.scope.namespaces {
            let key = ObjectKey::cluster_scoped("", "Namespace", "namespaces", namespace);
            let found = self.get(&key, "v1").await?;
            found.ok_or_else(|| DiscoverError::NoSuchNamespace { namespace: namespace.clone() })?;
        }
        Ok(())
    }

    /// One object, if it exists.
    pub(super) async fn get(&self, key: &ObjectKey, api_version: &str) -> Result<Option<Found>, DiscoverError> {
        let text = self.cluster.get(key, api_version).await;
        let text = text.map_err(|source| DiscoverError::List { what: key.to_string(), source })?;
        Ok(text.map(|text| Found { key: key.clone(), text }))
    }

    /// All objects of these kinds, in the asked namespaces where they are namespaced.
    pub(super) async fn list_all(&self, kinds: &[GroupKind]) -> Result<Vec<Found>, DiscoverError> {
        let served = kinds.iter().filter_map(|kind| self.served.find(*kind));
        self.run(served.flat_map(|kind| self.places(kind)).collect()).await
    }

    /// The pages of a kind, one listing for each place, all begun at once.
    pub(super) fn pages(&self, kind: &ServedKind) -> Vec<Pages> {
        self.places(kind).into_iter().map(|(kind, namespace)| self.fetch_ahead(kind, namespace.as_deref())).collect()
    }

    fn fetch_ahead(&self, kind: &ServedKind, namespace: Option<&str>) -> Pages {
        let (send, received) = mpsc::channel(PAGES_AHEAD);
        let (go_on, begun) = oneshot::channel();
        let mut pages = Box::pin(self.cluster.pages(kind, namespace, None));
        tokio::spawn(async move {
            let mut begun = Some(begun);
            while let Some(page) = pages.next().await {
                let last = page.is_err();
                if send.send(page).await.is_err() || last {
                    return;
                }
                if let Some(begun) = begun.take()
                    && begun.await.is_err()
                {
                    return;
                }
            }
        });
        Pages { kind: kind.clone(), place: in_words(namespace), received, go_on: Some(go_on) }
    }

    /// All objects that the rules may choose.
    pub(super) async fn list_candidates(&self) -> Result<Vec<Found>, DiscoverError> {
        let unnamed: BTreeSet<GroupKind> =
            RULES.iter().filter(|rule| rule.named.is_none()).map(|rule| rule.kind).collect();
        let unnamed: Vec<GroupKind> = unnamed.into_iter().collect();
        let named = RULES.iter().filter_map(|rule| Some((self.served.find(rule.kind)?, rule.named?)));
        let named = try_join_all(named.map(|(kind, is_candidate)| self.get_named(kind, is_candidate)));
        let (mut all, named) = tokio::try_join!(self.list_all(&unnamed), named)?;
        all.extend(named.into_iter().flatten());
        Ok(all)
    }

    /// The cluster-scoped objects of a kind whose names say that they may be in.
    async fn get_named(&self, kind: &ServedKind, is_candidate: fn(&str) -> bool) -> Result<Vec<Found>, DiscoverError> {
        let failed = |source| DiscoverError::List { what: kind.plural.clone(), source };
        let names = self.cluster.list_names(kind).await.map_err(failed)?;
        let gets = names
            .into_iter()
            .filter(|name| is_candidate(name))
            .map(async |name| self.get(&kind.key(None, &name), &kind.api_version()).await);
        let gets = futures::stream::iter(gets).buffered(LISTS_IN_FLIGHT);
        gets.try_filter_map(async |found| Ok(found)).try_collect().await
    }

    /// All objects of these namespaces but the operator's custom resources, which come page by page.
    pub(super) async fn list_namespaces(&self, namespaces: &BTreeSet<String>) -> Result<Vec<Found>, DiscoverError> {
        let served = self.served.kinds.iter();
        let served = served.filter(|kind| kind.namespaced && kind.group != OPERATOR_GROUP && listable(kind));
        let places = served.flat_map(|kind| namespaces.iter().map(move |namespace| (kind, Some(namespace.clone()))));
        self.run(places.collect()).await
    }

    /// Objects of a kind with a label, in one namespace or in all.
    pub(super) async fn list_labelled(
        &self,
        kind: GroupKind,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Vec<Found>, DiscoverError> {
        let Some(kind) = self.served.find(kind) else { return Ok(Vec::new()) };
        let listed = self.cluster.list(kind, namespace, Some(selector)).await;
        let listed = listed.map_err(|source| {
            let what = format!("{} labelled {selector}{}", kind.plural, in_words(namespace));
            DiscoverError::List { what, source }
        })?;
        Ok(listed.into_iter().map(|text| found(kind, text)).collect())
    }

    async fn run(&self, places: Vec<(&ServedKind, Option<String>)>) -> Result<Vec<Found>, DiscoverError> {
        let lists = places.into_iter().map(async |(kind, namespace)| {
            let listed = self.cluster.list(kind, namespace.as_deref(), None).await;
            match listed {
                Ok(texts) => Ok(texts.into_iter().map(|text| found(kind, text)).collect::<Vec<_>>()),
                Err(source) => {
                    let what = format!("{}{}", kind.plural, in_words(namespace.as_deref()));
                    Err(DiscoverError::List { what, source })
                }
            }
        });
        let mut lists = futures::stream::iter(lists).buffered(LISTS_IN_FLIGHT);
        let mut all = Vec::new();
        while let Some(list) = lists.next().await {
            all.extend(list?);
        }
        Ok(all)
    }

    fn places<'k>(&self, kind: &'k ServedKind) -> Vec<(&'k ServedKind, Option<String>)> {
        if !kind.namespaced || self.scope.namespaces.is_empty() {
            vec![(kind, None)]
        } else {
            self.scope.namespaces.iter().map(|namespace| (kind, Some(namespace.clone()))).collect()
        }
    }
}

/// Whether a kind can be listed and made again: what cannot be created cannot be restored (metrics, reviews).
pub(super) fn listable(kind: &ServedKind) -> bool {
    kind.can("list") && kind.can("create")
}

fn in_words(namespace: Option<&str>) -> String {
    namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"))
}

fn found(kind: &ServedKind, text: CapturedText) -> Found {
    Found { key: kind.key(text.namespace.as_deref(), &text.name), text: text.json }
}
