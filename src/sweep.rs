//! Removes what dead runs left: snapshots of backups of this very store that were never sealed, and what was made for a
//! while: snapshots to copy from, claims made of them, Jobs and their Secrets.
//! To be called with the run lock held, since then no other run is alive.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;

use crate::cluster::{CapturedText, Cluster, ClusterError};
use crate::model::{
    BackupId, Event, GroupKind, Housekeeping, ObjectKey, Origin, Problem, Reporter, ServedKind, ServedKinds,
};
use crate::names::{self, BACKUP_LABEL, SNAPSHOT_API, STORE_ANNOTATION, STORE_ID_ANNOTATION, TEMPORARY_LABEL};
use crate::scope::SNAPSHOT_GROUP;
use crate::snapshots;
use crate::store::Store;
use crate::words;
use crate::worker;

/// Where to look, and what to leave alone.
#[derive(Debug, Clone, Copy)]
pub struct SweepRequest<'a> {
    /// Namespaces to look into; empty means all, and then contents without a snapshot are looked for too.
    pub namespaces: &'a [String],
    /// The backup of this run.
    pub own: &'a BackupId,
    /// When this run got the lock: what is younger is not debris of an earlier one.
    pub locked_since: Timestamp,
}

/// An object made by some backup.
struct Made {
    key: ObjectKey,
    api_version: &'static str,
    json: Box<str>,
    marks: Marks,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Marks {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    labels: std::collections::BTreeMap<String, String>,
    annotations: std::collections::BTreeMap<String, String>,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    volume_snapshot_ref: Reference,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    namespace: String,
    name: String,
}

impl Made {
    fn of(kind: &ServedKind, api_version: &'static str, text: CapturedText) -> Self {
        let marks = serde_json::from_str(&text.json).unwrap_or_default();
        Self { key: kind.key(text.namespace.as_deref(), &text.name), api_version, json: text.json, marks }
    }

    fn is_temporary(&self) -> bool {
        self.marks.metadata.labels.contains_key(TEMPORARY_LABEL)
    }
}

impl Marks {
    /// The backup it was made for, when it may be debris: not of this run, made for this store before the lock was ours.
    fn suspect(&self, origin: &Origin, request: &SweepRequest<'_>) -> Option<BackupId> {
        let metadata = &self.metadata;
        let is = |annotation: &str, value: &str| metadata.annotations.get(annotation).is_some_and(|is| is == value);
        let of_this_store = is(STORE_ANNOTATION, &origin.url) && is(STORE_ID_ANNOTATION, &origin.id);
        let older = metadata.creation_timestamp.is_some_and(|made| made < request.locked_since);
        let id: BackupId = metadata.labels.get(BACKUP_LABEL)?.parse().ok()?;
        (of_this_store && older && metadata.deletion_timestamp.is_none() && id != *request.own).then_some(id)
    }
}

/// Deletes the debris, data included. Best effort: what could not be looked at or deleted is a problem of the outcome.
pub async fn sweep(
    cluster: &Cluster,
    store: &Store,
    served: &ServedKinds,
    request: &SweepRequest<'_>,
    reporter: &dyn Reporter,
) -> Housekeeping {
    match find(cluster, store, served, request).await {
        Ok(debris) => remove(cluster, debris, reporter).await,
        Err(problem) => Housekeeping { problems: vec![problem], ..Housekeeping::default() },
    }
}

/// Everything that is debris: snapshots first, then contents whose snapshot is gone.
async fn find(
    cluster: &Cluster,
    store: &Store,
    served: &ServedKinds,
    request: &SweepRequest<'_>,
) -> Result<Vec<Made>, Problem> {
    let in_store = |error| problem(store.url().to_string(), "read", &error);
    // Without an identity no backup with snapshots was ever begun here.
    let Some(origin) = store.origin().await.map_err(in_store)? else { return Ok(Vec::new()) };
    let in_cluster = |error: ClusterError| problem("what backups made".to_owned(), "list", &error);
    let made = made(cluster, served, request).await.map_err(in_cluster)?;
    let mut suspects = Vec::new();
    for made in made {
        if let Some(id) = made.marks.suspect(&origin, request) {
            suspects.push((id, made));
        }
    }
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let listed = store.list().await.map_err(in_store)?;
    let sealed: BTreeSet<BackupId> =
        listed.into_iter().filter(|backup| backup.sealed).map(|backup| backup.id).collect();
    suspects.retain(|(id, made)| made.is_temporary() || !sealed.contains(id));
    let mut debris = Vec::new();
    for (_, made) in suspects {
        if made.key.is_cluster_scoped() && snapshot_of(cluster, &made).await.map_err(in_cluster)? {
            continue;
        }
        debris.push(made);
    }
    Ok(debris)
}

/// Whether the snapshot of a content is there: then the content goes with it.
async fn snapshot_of(cluster: &Cluster, content: &Made) -> Result<bool, ClusterError> {
    let Reference { namespace, name } = &content.marks.spec.volume_snapshot_ref;
    let key = names::snapshot_key(namespace, name);
    Ok(cluster.get(&key, SNAPSHOT_API).await?.is_some())
}

async fn made(cluster: &Cluster, served: &ServedKinds, request: &SweepRequest<'_>) -> Result<Vec<Made>, ClusterError> {
    let mut places: Vec<(&str, Option<&str>)> = Vec::new();
    if request.namespaces.is_empty() {
        places.extend([("VolumeSnapshot", None), ("VolumeSnapshotContent", None)]);
    } else {
        // Whoever is limited to namespaces may not list contents.
        places.extend(request.namespaces.iter().map(|namespace| ("VolumeSnapshot", Some(namespace.as_str()))));
    }
    let mut found = Vec::new();
    for (name, namespace) in places {
        let Some(kind) = served.kinds.iter().find(|kind| kind.is(GroupKind(SNAPSHOT_GROUP, name))) else { continue };
        for text in cluster.list(kind, namespace, Some(BACKUP_LABEL)).await? {
            found.push(Made::of(kind, SNAPSHOT_API, text));
        }
    }
    // Jobs first, whose pods hold the claims.
    let mut all = temporary(cluster, request).await?;
    all.append(&mut found);
    Ok(all)
}

/// What copies are made with.
async fn temporary(cluster: &Cluster, request: &SweepRequest<'_>) -> Result<Vec<Made>, ClusterError> {
    let everywhere = [None];
    let named: Vec<Option<&str>> = request.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect();
    let places = if named.is_empty() { &everywhere[..] } else { &named[..] };
    let selector = format!("{BACKUP_LABEL},{TEMPORARY_LABEL}");
    let mut found = Vec::new();
    for (kind, api_version) in worker::kinds() {
        for place in places {
            let listed = cluster.list(&kind, *place, Some(&selector)).await?;
            found.extend(listed.into_iter().map(|text| Made::of(&kind, api_version, text)));
        }
    }
    Ok(found)
}

async fn remove(cluster: &Cluster, debris: Vec<Made>, reporter: &dyn Reporter) -> Housekeeping {
    let mut done = Housekeeping::default();
    if !debris.is_empty() {
        reporter.event(&Event::Step { doing: format!("sweeping {} objects that dead runs left", debris.len()) });
    }
    for made in debris {
        match delete(cluster, &made).await {
            Ok(()) => {
                reporter.event(&Event::Wrote { object: made.key.to_string(), how: "deleted" });
                done.swept.push(made.key.to_string());
            }
            Err(problem) => done.problems.push(problem),
        }
    }
    done
}

async fn delete(cluster: &Cluster, made: &Made) -> Result<(), Problem> {
    let failed = |error: &dyn std::error::Error| problem(made.key.to_string(), "delete", error);
    if made.api_version == SNAPSHOT_API {
        let deleted = snapshots::delete_with_data(cluster, &made.key, &made.json).await;
        return deleted.map_err(|error| failed(&error));
    }
    worker::delete(cluster, &made.key, made.api_version).await.map(drop).map_err(|error| failed(&error))
}

fn problem(object: String, tried: &str, error: &dyn std::error::Error) -> Problem {
    Problem {
        object,
        tried: format!("sweep what dead runs left: {tried}"),
        cause: words::chain(error),
        hint: "mend the cause, and the next backup sweeps again; or delete by hand what is named".to_owned(),
    }
}
