//! The backup pipeline: reads, then snapshots, then the bundle, and the record last.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::Future;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::bundle::{BundleError, Packer};
use crate::cluster::{Cluster, ClusterError};
use crate::copies::{self, Copied, CopyError};
use crate::discover::{DiscoverError, Scope, discover};
use crate::fingerprints;
use crate::layout;
use crate::model::{
    BackupId, BackupRecord, ClusterIdentity, Event, Housekeeping, Inventory, Origin, Problem, Refusal, Reporter,
    ServedKinds, SnapshotRecord, Timeouts, VolumeRecord,
};
use crate::names;
use crate::preflight::{self, PreflightError, VolumeMode};
use crate::snapshots::{self, GivenUp, MadeFor, SnapshotError, Snapshots, Wanted};
use crate::store::{CreateOnly, Store, StoreError, StoreLock, StoreLockError};
use crate::sweep::{self, SweepRequest};
use crate::worker::{self, WorkerSettings, Workers};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// Name of the backup.
    pub id: BackupId,
    /// When it began.
    pub started_at: Timestamp,
    /// What to look at.
    pub scope: Scope,
    /// What is saved of volumes.
    pub mode: VolumeMode,
    /// How they are copied, if they are.
    pub workers: WorkerSettings,
    /// What happens when something that is needed is not there.
    pub missing: MissingReferences,
    /// Since when this run holds the run lock: with it, what dead runs left is swept. `None` without a lock.
    pub locked_since: Option<Timestamp>,
}

/// What happens when an object that is in needs another that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingReferences {
    /// The backup is refused: what it would bring back would not work.
    Refuse,
    /// The backup is taken, and says what is missing.
    Allow,
}

/// A backup that is in the store.
#[derive(Debug)]
pub struct BackupOutcome {
    /// Its record, as sealed.
    pub record: BackupRecord,
    /// What could not be saved or asked while the rest went on.
    pub problems: Vec<Problem>,
    /// What it did beside.
    pub housekeeping: Housekeeping,
    /// The whole run.
    pub took: Duration,
    /// Of it, waiting until the snapshots were ready.
    pub snapshots_took: Duration,
    /// Of it, copying.
    pub copies_took: Duration,
}

/// There is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The cluster could not be read.
    #[error("look at the cluster")]
    LookAt(#[source] ClusterError),
    /// What belongs to the backup could not be found out.
    #[error("find what belongs to the backup")]
    Discover(#[source] DiscoverError),
    /// Whether it can be taken could not be found out.
    #[error("check whether the backup can be taken")]
    Preflight(#[source] PreflightError),
    /// It cannot be taken. Nothing was changed.
    #[error("refused: nothing was changed")]
    Refused(Vec<Refusal>),
    /// Snapshots could not be taken.
    #[error("take the snapshots")]
    Snapshot(#[source] SnapshotError),
    /// A volume could not be copied.
    #[error("copy the volumes")]
    Copy(#[source] CopyError),
    /// The manifests could not be bundled.
    #[error("bundle the manifests")]
    Bundle(#[source] BundleError),
    /// The store did not take it.
    #[error("write to the store")]
    Store(#[source] StoreError),
    /// The store did not say whether it took the record.
    #[error("seal the backup {id}: whether it is sealed is unknown")]
    Seal {
        /// The backup.
        id: BackupId,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The lock of the store was lost: what the record would refer to may be pruned.
    #[error(transparent)]
    UseStore(#[from] StoreLockError),
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// It failed after snapshots had been asked for.
    #[error("no backup was made")]
    GaveUp {
        /// What became of the snapshots.
        given_up: GivenUp,
        /// Why.
        #[source]
        source: Box<BackupError>,
    },
}

/// Takes a backup.
///
/// # Errors
/// When there is no backup in the store at the end; what was made on the way is given up again and named.
pub async fn backup(
    cluster: &Cluster,
    store: &Store,
    request: &BackupRequest,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
    use_of_store: Option<&StoreLock<'_>>,
    interrupted: impl Future<Output = ()>,
) -> Result<BackupOutcome, BackupError> {
    let begun = Instant::now();
    tokio::pin!(interrupted);
    let checked = tokio::select! {
        checked = check(cluster, store, request, reporter) => checked?,
        () = &mut interrupted => return Err(BackupError::Interrupted),
    };
    let Checked { identity, inventory, packer, served, wanted } = checked;
    let namespaces = inventory.namespaces.clone();
    let sealing = Cell::new(false);
    let writing = Writing { cluster, served: &served, store, request, timeouts, reporter, use_of_store, sealing };
    let run = writing.run(identity, inventory, packer, &wanted);
    tokio::pin!(run);
    let written = tokio::select! {
        written = &mut run => written,
        // A record that is on its way may arrive: only the store's answer tells what there is to clean.
        () = &mut interrupted => if writing.sealing.get() { run.await } else { Err(BackupError::Interrupted) },
    };
    match written {
        Ok(outcome) => Ok(BackupOutcome { took: begun.elapsed(), ..outcome }),
        Err(error) if wanted.is_empty() || writing.sealing.get() => Err(error),
        Err(error) => {
            let mut given_up = GivenUp::default();
            if request.mode.copies() {
                let selector = names::backup_selector(&request.id);
                let removed = worker::remove_all(cluster, &namespaces, &selector, timeouts.removed).await;
                given_up.add(GivenUp { deleted: removed.deleted, left: removed.left });
            }
            given_up.add(snapshots::give_up(cluster, &request.id, &served, &namespaces).await);
            Err(BackupError::GaveUp { given_up, source: Box::new(error) })
        }
    }
}

/// All that was read before anything is written.
struct Checked {
    identity: ClusterIdentity,
    inventory: Inventory,
    packer: Packer,
    served: ServedKinds,
    wanted: Vec<Wanted>,
}

/// Reads all and decides whether the backup can be taken.
async fn check(
    cluster: &Cluster,
    store: &Store,
    request: &BackupRequest,
    reporter: &dyn Reporter,
) -> Result<Checked, BackupError> {
    let mut packer = Packer::default();
    let (identity, (inventory, served), create_only) = tokio::try_join!(
        async { cluster.identity().await.map_err(BackupError::LookAt) },
        async { discover(cluster, &request.scope, &mut packer, reporter).await.map_err(BackupError::Discover) },
        async { store.check_writable().await.map_err(BackupError::Store) },
    )?;
    if create_only == CreateOnly::Ignored {
        let doing = format!("{} does not refuse to overwrite (If-None-Match): only unique names protect", store.url());
        reporter.event(&Event::Step { doing });
    }
    let wanted = preflight::backup(cluster, store, &inventory, &served, request.mode).await;
    let wanted = with_references(wanted.map_err(BackupError::Preflight)?, &inventory, request.missing);
    let wanted = wanted.map_err(BackupError::Refused)?;
    Ok(Checked { identity, inventory, packer, served, wanted })
}

/// Adds the refusals for what is needed and not there.
fn with_references(
    wanted: Result<Vec<Wanted>, Vec<Refusal>>,
    inventory: &Inventory,
    missing: MissingReferences,
) -> Result<Vec<Wanted>, Vec<Refusal>> {
    if missing == MissingReferences::Allow || inventory.missing_references.is_empty() {
        return wanted;
    }
    let mut refusals = wanted.err().unwrap_or_default();
    refusals.extend(inventory.missing_references.iter().map(|reference| Refusal {
        object: reference.object.clone(),
        why: format!("{}, and {} needs it", reference.why, reference.needed_by()),
        fix: format!("{}; promsafe backup --allow-missing goes on without it", reference.fix),
    }));
    Err(refusals)
}

/// The part that writes.
struct Writing<'a> {
    cluster: &'a Cluster,
    served: &'a ServedKinds,
    store: &'a Store,
    request: &'a BackupRequest,
    timeouts: &'a Timeouts,
    reporter: &'a dyn Reporter,
    /// The lock of the store, which a backup that copies holds.
    use_of_store: Option<&'a StoreLock<'a>>,
    /// Whether the record may be in the store already: from then on snapshots must stay.
    sealing: Cell<bool>,
}

impl Writing<'_> {
    async fn run(
        &self,
        identity: ClusterIdentity,
        inventory: Inventory,
        packer: Packer,
        wanted: &[Wanted],
    ) -> Result<BackupOutcome, BackupError> {
        let (origin, housekeeping, (fingerprints, without_fingerprint)) =
            tokio::try_join!(self.origin(wanted), async { Ok(self.sweep().await) }, async {
                Ok(fingerprints::of_all(self.cluster, &inventory.instances, self.reporter).await)
            },)?;
        let begun = Instant::now();
        let keeps = if self.request.mode == VolumeMode::Copy { Snapshots::Delete } else { Snapshots::Keep };
        let made_for = origin.as_ref().map(|origin| MadeFor { id: &self.request.id, origin, snapshots: keeps });
        let snapshots = async {
            let Some(made_for) = &made_for else { return Ok((Vec::new(), Duration::ZERO)) };
            let taken = snapshots::take(self.cluster, made_for, wanted, self.timeouts, self.reporter).await;
            Ok((taken.map_err(BackupError::Snapshot)?, begun.elapsed()))
        };
        let ((snapshots, snapshots_took), bytes) = tokio::try_join!(snapshots, packed(packer))?;
        let begun = Instant::now();
        let copies = self.copies(made_for.as_ref(), wanted, &snapshots).await?;
        let copies_took = begun.elapsed();

        self.reporter
            .event(&Event::Step { doing: format!("writing backup {} to {}", self.request.id, self.store.url()) });
        let mut draft = self.store.begin(&self.request.id).await.map_err(BackupError::Store)?;
        draft.put(layout::BUNDLE, bytes).await.map_err(BackupError::Store)?;
        if let Some(made_for) = made_for.as_ref().filter(|made_for| made_for.snapshots == Snapshots::Keep) {
            snapshots::keep(self.cluster, made_for, &snapshots).await.map_err(BackupError::Snapshot)?;
        }
        let mut problems = problems(&inventory, &without_fingerprint);
        problems.extend(copies.iter().flat_map(|copied| copied.problems.clone()));
        let snapshots = if keeps == Snapshots::Keep { snapshots } else { Vec::new() };
        let mut record = self.record(identity, inventory, snapshots, copies);
        record.fingerprints = fingerprints;
        record.without_fingerprint = without_fingerprint;
        record.files = draft.files().to_vec();
        if let Some(lock) = self.use_of_store {
            lock.still_held().await?;
        }
        self.sealing.set(true);
        match draft.seal(&record).await {
            Ok(()) => {}
            Err(source) => self.after_failed_seal(source).await?,
        }
        Ok(BackupOutcome { record, problems, housekeeping, took: Duration::ZERO, snapshots_took, copies_took })
    }

    /// Copies the volumes, if that is asked for.
    async fn copies(
        &self,
        made_for: Option<&MadeFor<'_>>,
        wanted: &[Wanted],
        snapshots: &[SnapshotRecord],
    ) -> Result<Vec<Copied>, BackupError> {
        let Some(made_for) = made_for.filter(|_| self.request.mode.copies()) else { return Ok(Vec::new()) };
        let workers = Workers::new(self.cluster, self.store, &self.request.workers, self.timeouts, self.reporter);
        copies::take(&workers, made_for, wanted, snapshots).await.map_err(BackupError::Copy)
    }

    /// What is written on the snapshots to tell where they belong.
    async fn origin(&self, wanted: &[Wanted]) -> Result<Option<Origin>, BackupError> {
        if wanted.is_empty() {
            return Ok(None);
        }
        self.store.mark().await.map(Some).map_err(BackupError::Store)
    }

    /// Without the lock another run may be alive, and what it made no debris.
    async fn sweep(&self) -> Housekeeping {
        let Some(locked_since) = self.request.locked_since else { return Housekeeping::default() };
        let sweep = SweepRequest { namespaces: &self.request.scope.namespaces, own: &self.request.id, locked_since };
        sweep::sweep(self.cluster, self.store, self.served, &sweep, self.reporter).await
    }

    /// An answer can be lost after the record was taken: the store knows.
    async fn after_failed_seal(&self, source: StoreError) -> Result<(), BackupError> {
        match self.store.open_backup(&self.request.id).await {
            Ok(_) => Ok(()),
            Err(StoreError::NoSuchBackup { .. }) => {
                self.sealing.set(false);
                Err(BackupError::Store(source))
            }
            Err(_) => Err(BackupError::Seal { id: self.request.id.clone(), source }),
        }
    }

    fn record(
        &self,
        cluster: ClusterIdentity,
        inventory: Inventory,
        snapshots: Vec<SnapshotRecord>,
        copies: Vec<Copied>,
    ) -> BackupRecord {
        let (mut snapshots, mut copies) = (snapshots.into_iter(), copies.into_iter().map(|copied| copied.copy));
        let volumes = inventory.volumes.into_iter();
        BackupRecord {
            finished_at: Timestamp::now(),
            asked_namespaces: self.request.scope.namespaces.clone(),
            namespaces: inventory.namespaces,
            operators: inventory.operators,
            instances: inventory.instances,
            objects: inventory.objects,
            cluster_scoped_objects: inventory.cluster_scoped_objects,
            left_out: inventory.left_out,
            missing_references: inventory.missing_references,
            volumes: volumes
                .map(|volume| VolumeRecord { volume, snapshot: snapshots.next(), copy: copies.next() })
                .collect(),
            ..BackupRecord::empty(self.request.id.clone(), cluster, self.request.started_at)
        }
    }
}

/// The last of packing takes the processor for a while: not on a thread that waits for snapshots.
async fn packed(packer: Packer) -> Result<Vec<u8>, BackupError> {
    let bytes = tokio::task::spawn_blocking(move || packer.finish()).await;
    bytes.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())).map_err(BackupError::Bundle)
}

fn problems(inventory: &Inventory, without_fingerprint: &BTreeMap<String, String>) -> Vec<Problem> {
    let unproven = without_fingerprint.iter().map(|(pod, cause)| Problem {
        object: pod.clone(),
        tried: "ask for its fingerprint".to_owned(),
        cause: cause.clone(),
        hint: "its data is in the backup, but a restore of it cannot be proven; make it answer and back up again"
            .to_owned(),
    });
    let groups = inventory.failed_groups.iter().map(|group| Problem {
        object: format!("API group {group}"),
        tried: "discover".to_owned(),
        cause: "its server does not answer, so objects of this group are not in the backup".to_owned(),
        hint: format!("kubectl get apiservice | grep {group}, mend or delete it, and back up again"),
    });
    let missing = inventory.missing_references.iter().map(|reference| Problem {
        object: reference.object.clone(),
        tried: "find".to_owned(),
        cause: format!("{}, and {} needs it", reference.why, reference.needed_by()),
        hint: reference.fix.clone(),
    });
    unproven.chain(groups).chain(missing).collect()
}
