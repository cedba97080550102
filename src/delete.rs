//! The delete pipeline: chooses and refuses first, then removes records, files and kept snapshots. Pieces stay: other
//! backups may hold them, and only `prune` knows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::cluster::{Cluster, ClusterError};
use crate::kept::{self, Left};
use crate::list::{Listing, list};
use crate::model::{
    BackupId, BackupRecord, Event, Problem, Refusal, Reporter, Sha256, SnapshotRecord, Timeouts, TreeEntry,
};
use crate::prune::Total;
use crate::store::{Store, StoreError};
use crate::{trees, words};

/// Trees that are read at most to tell how much a later prune frees.
const CHEAP_TREES: usize = 200;

/// Whether the newest backup of a source may be deleted, and one that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastGood {
    /// It is kept.
    Keep,
    /// It may go.
    Delete,
}

/// What is to become of the snapshots that the backups keep.
#[derive(Debug, Clone, Copy)]
pub enum KeptSnapshots<'a> {
    /// They stay.
    Keep,
    /// They are deleted with their data, as far as they are in this cluster.
    DeleteIn(&'a Cluster),
    /// They stay and are named, because no cluster can be reached.
    NoCluster(&'a str),
}

/// There was a reason not to delete, or nothing could be deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// Not to be deleted. Nothing was changed.
    #[error("refused: nothing was changed")]
    Refused(Vec<Refusal>),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to be deleted.
#[derive(Debug)]
pub struct Doomed {
    /// Backups with their records, as far as these can be read.
    backups: Vec<(BackupId, Option<BackupRecord>)>,
    /// What a later prune frees; `None` when telling it would take long.
    freed: Option<Total>,
}

/// What was deleted.
#[derive(Debug, Default)]
pub struct Deleted {
    /// These are backups no more.
    pub backups: Vec<BackupId>,
    /// Snapshots that are gone, with their data.
    pub snapshots_deleted: Vec<String>,
    /// Snapshots that stay.
    pub snapshots_left: Vec<Left>,
    /// Whether one of the backups had copied data.
    pub had_copies: bool,
    /// What no other backup refers to, if that was cheap to tell.
    pub freed: Option<Total>,
    /// What could not be done.
    pub problems: Vec<Problem>,
}

impl Doomed {
    /// Their names.
    pub fn ids(&self) -> impl Iterator<Item = &BackupId> {
        self.backups.iter().map(|(id, _)| id)
    }

    /// Snapshots they keep, with the cluster that each is in.
    pub fn snapshots(&self) -> impl Iterator<Item = (&BackupRecord, &SnapshotRecord)> {
        let records = self.backups.iter().filter_map(|(_, record)| record.as_ref());
        records.flat_map(|record| {
            record.volumes.iter().filter_map(move |volume| Some((record, volume.snapshot.as_ref()?)))
        })
    }
}

/// Reads the store and says what will be deleted.
///
/// # Errors
/// [`DeleteError::Refused`] when a source would be left without its newest backup, or when the store cannot be read.
pub async fn choose(store: &Store, ids: &[BackupId], last_good: LastGood) -> Result<Doomed, DeleteError> {
    let listing = list(store).await?;
    let ids: BTreeSet<&BackupId> = ids.iter().collect();
    let refusals = refusals(&listing, &ids);
    if last_good == LastGood::Keep && !refusals.is_empty() {
        return Err(DeleteError::Refused(refusals));
    }
    let freed = freed(store, &listing, &ids).await;
    let mut records: HashMap<BackupId, BackupRecord> =
        listing.backups.into_iter().map(|record| (record.id.clone(), record)).collect();
    let backups = ids.into_iter().map(|id| (id.clone(), records.remove(id))).collect();
    Ok(Doomed { backups, freed })
}

/// What a backup is of: a cluster, or a directory of a machine.
fn source_of(record: &BackupRecord) -> String {
    match &record.directory {
        Some(directory) => format!("{}:{}", directory.host, directory.path),
        None => format!("cluster {} ({})", record.cluster.uid, record.cluster.server),
    }
}

/// Reasons not to delete these.
fn refusals(listing: &Listing, ids: &BTreeSet<&BackupId>) -> Vec<Refusal> {
    // Oldest first: the last one of a source is its newest. The server's address may change; the cluster is the same.
    let key = |record: &BackupRecord| match &record.directory {
        Some(_) => source_of(record),
        None => record.cluster.uid.clone(),
    };
    let newest: BTreeMap<String, &BackupRecord> = listing.backups.iter().map(|record| (key(record), record)).collect();
    let force = |id: &BackupId| format!("promsafe delete {id} --force (--yes without a terminal)");
    let refusal = |id: &BackupId, why: String| Refusal {
        object: format!("backup {id}"),
        why,
        fix: format!("take a newer one first, or: {}", force(id)),
    };
    let last = newest.into_values().filter(|record| ids.contains(&record.id));
    let mut refusals: Vec<Refusal> = last
        .map(|record| refusal(&record.id, format!("is the newest complete backup of {}", source_of(record))))
        .collect();
    for (id, error) in listing.unreadable.iter().filter(|(id, _)| ids.contains(id)) {
        let why = format!("cannot be read, so what it holds is not known: {}", words::chain(error));
        refusals.push(Refusal { fix: force(id), ..refusal(id, why) });
    }
    refusals
}

/// What these backups refer to and no other one. Best effort: `None` when there is much to read or not all can be read.
async fn freed(store: &Store, listing: &Listing, ids: &BTreeSet<&BackupId>) -> Option<Total> {
    let (mut own, mut other) = (BTreeMap::new(), BTreeSet::new());
    for record in &listing.backups {
        for (_, copy) in trees::copies(record) {
            if ids.contains(&record.id) {
                own.insert(copy.tree, copy.tree_bytes);
            } else {
                other.insert(copy.tree);
            }
        }
    }
    own.retain(|tree, _| !other.contains(tree));
    if own.is_empty() {
        return Some(Total::default());
    }
    if own.len() + other.len() > CHEAP_TREES || !listing.unreadable.is_empty() {
        return None;
    }
    let mut freed: HashMap<Sha256, u64> = HashMap::new();
    for (tree, bytes) in &own {
        freed.insert(*tree, *bytes);
        let add = |entry: TreeEntry| freed.extend(entry.sized_pieces().map(|(piece, bytes)| (*piece, bytes)));
        trees::walk(store, tree, add).await.ok()?;
    }
    for tree in &other {
        let mut theirs = HashSet::new();
        trees::walk(store, tree, |entry| theirs.extend(entry.pieces)).await.ok()?;
        freed.retain(|piece, _| !theirs.contains(piece));
    }
    Some(Total::of(freed.values()))
}

/// Deletes: all that is in the store, and then the snapshots.
///
/// # Errors
/// When not one could be deleted. What comes after the first is a problem.
pub async fn delete(
    store: &Store,
    doomed: &Doomed,
    snapshots: KeptSnapshots<'_>,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> Result<Deleted, DeleteError> {
    let mut deleted = Deleted { freed: doomed.freed, ..Deleted::default() };
    for (id, record) in &doomed.backups {
        reporter.event(&Event::Step { doing: format!("deleting backup {id} from {}", store.url()) });
        match store.remove_backup(id).await {
            Ok(_) => {
                deleted.backups.push(id.clone());
                deleted.had_copies |= record.as_ref().is_some_and(|record| trees::copies(record).next().is_some());
            }
            Err(error) if deleted.backups.is_empty() => return Err(error.into()),
            Err(error) => deleted.problems.push(Problem {
                object: format!("backup {id}"),
                tried: "delete".to_owned(),
                cause: words::chain(&error),
                hint: format!("promsafe delete {id}"),
            }),
        }
        if record.is_none() {
            deleted.problems.push(Problem {
                object: format!("backup {id}"),
                tried: "find the VolumeSnapshots of".to_owned(),
                cause: "its record could not be read".to_owned(),
                hint: format!("kubectl get volumesnapshots,volumesnapshotcontents -A -l promsafe/backup={id}"),
            });
        }
    }
    let gone: BTreeSet<&BackupId> = deleted.backups.iter().collect();
    let kept: Vec<_> = doomed.snapshots().filter(|(record, _)| gone.contains(&record.id)).collect();
    let removed = remove_snapshots(&kept, snapshots, timeouts, reporter).await;
    (deleted.snapshots_deleted, deleted.snapshots_left) = (removed.deleted, removed.left);
    Ok(deleted)
}

async fn remove_snapshots(
    kept: &[(&BackupRecord, &SnapshotRecord)],
    snapshots: KeptSnapshots<'_>,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> kept::Removed {
    let all_left = |why: &str| kept::Removed {
        left: kept.iter().map(|(_, snapshot)| Left::new(snapshot, why.to_owned())).collect(),
        ..kept::Removed::default()
    };
    let cluster = match snapshots {
        _ if kept.is_empty() => return kept::Removed::default(),
        KeptSnapshots::Keep => return all_left("it was asked to stay"),
        KeptSnapshots::NoCluster(why) => return all_left(&format!("no cluster can be asked: {why}")),
        KeptSnapshots::DeleteIn(cluster) => cluster,
    };
    let identity = match cluster.identity().await {
        Ok(identity) => identity,
        Err(error) => return all_left(&no_identity(&error)),
    };
    let (here, elsewhere): (Vec<_>, Vec<_>) = kept.iter().partition(|(record, _)| record.cluster.uid == identity.uid);
    let here: Vec<&SnapshotRecord> = here.into_iter().map(|(_, snapshot)| snapshot).collect();
    let mut removed = kept::remove(cluster, &here, timeouts, reporter).await;
    removed.left.extend(elsewhere.into_iter().map(|(record, snapshot)| {
        let why =
            format!("it is in cluster {} ({}), not in {}", record.cluster.uid, record.cluster.server, identity.server);
        Left::new(snapshot, why)
    }));
    removed
}

fn no_identity(error: &ClusterError) -> String {
    format!("the cluster cannot be asked which one it is: {}", words::chain(error))
}
