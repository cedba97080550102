//! The restore pipeline: open, survey, plan, check, apply, prove.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::apply::{self, Applied, ApplyError};
use crate::barrier::{BarrierError, Watch};
use crate::bundle::{self, BundleError};
use crate::cluster::Cluster;
use crate::confirm;
use crate::fills;
use crate::layout;
use crate::model::{
    BackupId, BackupRecord, CapturedManifest, DataVolume, Event, Fingerprint, Housekeeping, Problem, Refusal, Reporter,
    Timeouts,
};
use crate::plan::{self, RestorePlan, RestoreRequest};
use crate::preflight::{self, PreflightError};
use crate::proof::{Confirmation, PodProof};
use crate::reach;
use crate::release::{self, Released};
use crate::sanitise::SanitiseError;
use crate::store::{Store, StoreError};
use crate::successor;
use crate::survey::{self, SurveyError};
use crate::words;
use crate::worker::Workers;

/// Whether the plan is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Computed and returned, nothing else.
    PlanOnly,
    /// Executed.
    Execute,
}

/// How a restore ended.
#[derive(Debug)]
pub enum RestoreEnd {
    /// Only planned; refusals are those that an execution would meet.
    Planned(Box<RestorePlan>),
    /// Refused; nothing was changed.
    Refused(Box<RestorePlan>),
    /// Executed.
    Done(Box<RestoreOutcome>),
}

/// What an executed restore did and proved.
#[derive(Debug)]
pub struct RestoreOutcome {
    /// The plan it executed.
    pub plan: RestorePlan,
    /// What was written.
    pub applied: Applied,
    /// What became of its snapshot objects.
    pub released: Released,
    /// The proof; `None` when the backup holds no volumes to prove.
    pub confirmation: Option<Confirmation>,
    /// The whole run.
    pub took: Duration,
    /// What it did beside.
    pub housekeeping: Housekeeping,
}

/// The restore stopped.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup could not be read.
    #[error("open the backup")]
    Open(#[source] StoreError),
    /// It holds no objects: it was taken of a directory, without a cluster. Nothing was changed.
    #[error("refused: nothing was changed")]
    Refused(Vec<Refusal>),
    /// The bundle could not be unpacked.
    #[error("unpack {file} of backup {id}")]
    Unpack {
        /// The backup.
        id: BackupId,
        /// The file.
        file: &'static str,
        /// Why.
        #[source]
        source: BundleError,
    },
    /// Storage classes could not be renamed in an object.
    #[error("rename storage classes in the manifests of backup {id}")]
    Rename {
        /// The backup.
        id: BackupId,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The target could not be read.
    #[error("look at the target cluster")]
    Survey(#[source] SurveyError),
    /// An object could not be read.
    #[error("plan the restore")]
    Plan(#[source] SanitiseError),
    /// Whether it can be done could not be found out.
    #[error("check whether the restore can be done")]
    Preflight(#[source] PreflightError),
    /// A stage failed. Running it again goes on.
    #[error("execute the plan")]
    Apply(#[source] ApplyError),
    /// The snapshot objects could not be removed.
    #[error("remove the restore's own snapshot objects")]
    Release(#[source] BarrierError),
    /// Asked to stop. Running it again goes on.
    #[error("interrupted")]
    Interrupted,
}

/// A backup, whole and understood.
#[derive(Debug)]
pub struct Opened {
    record: BackupRecord,
    manifests: Vec<CapturedManifest>,
}

/// Opens a backup: nothing needs to be known of any cluster.
///
/// # Errors
/// When it is not complete, damaged, or of a newer format.
pub async fn open(store: &Store, id: &BackupId, reporter: &dyn Reporter) -> Result<Opened, RestoreError> {
    reporter.event(&Event::Step { doing: format!("reading backup {id} from {}", store.url()) });
    let backup = store.open_backup(id).await.map_err(RestoreError::Open)?;
    if let Some(source) = &backup.record().directory {
        return Err(RestoreError::Refused(vec![Refusal {
            object: format!("backup {id}"),
            why: format!("is a copy of directory {} of {}: it holds files and no objects", source.path, source.host),
            fix: format!("promsafe extract {id} --to DIRECTORY"),
        }]));
    }
    let bytes = backup.read(layout::BUNDLE).await.map_err(RestoreError::Open)?;
    let unpack = |source| RestoreError::Unpack { id: id.clone(), file: layout::BUNDLE, source };
    Ok(Opened { record: backup.record().clone(), manifests: bundle::unpack(&bytes).map_err(unpack)? })
}

/// Restores a backup, or plans it.
///
/// # Errors
/// When it stopped before its end; running it again goes on from there.
pub async fn restore(
    workers: &Workers<'_>,
    opened: Opened,
    request: &RestoreRequest,
    run: Run,
    interrupted: impl Future<Output = ()>,
) -> Result<RestoreEnd, RestoreError> {
    let (id, namespaces) = (opened.record.id.clone(), copied_namespaces(&opened.record, request));
    tokio::select! {
        ended = bring_back(workers, opened, request, run) => ended,
        () = interrupted => {
            // What cannot be removed now the next run removes before it fills.
            if run == Run::Execute && !namespaces.is_empty() {
                drop(fills::give_up(workers.cluster, &id, &namespaces, workers.timeouts.removed).await);
            }
            Err(RestoreError::Interrupted)
        }
    }
}

/// The namespaces in which Jobs may be that fill claims.
fn copied_namespaces(record: &BackupRecord, request: &RestoreRequest) -> Vec<String> {
    let copied = record.volumes.iter().filter(|volume| volume.copy.is_some()).map(|volume| &volume.volume.namespace);
    let asked = copied.filter(|one| request.namespaces.is_empty() || request.namespaces.contains(one));
    asked.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

async fn bring_back(
    workers: &Workers<'_>,
    Opened { record, manifests }: Opened,
    request: &RestoreRequest,
    run: Run,
) -> Result<RestoreEnd, RestoreError> {
    let Workers { cluster, store, timeouts, reporter, .. } = *workers;
    let begun = Instant::now();
    reporter.event(&Event::Step { doing: "looking at the target cluster".to_owned() });
    let renamed = plan::rename_classes(manifests, &request.storage_classes);
    let manifests = renamed.map_err(|source| RestoreError::Rename { id: record.id.clone(), source })?;
    let classes = request.storage_classes.values();
    let target = survey::survey(cluster, &record, &manifests, &request.namespaces, classes).await;
    let target = target.map_err(RestoreError::Survey)?;
    let mut plan = plan::plan(&record, &manifests, &target, request).map_err(RestoreError::Plan)?;
    drop((manifests, target));
    plan.refusals.extend(preflight::restore(cluster, store, &plan).await.map_err(RestoreError::Preflight)?);
    if run == Run::PlanOnly {
        return Ok(RestoreEnd::Planned(Box::new(plan)));
    }
    if !plan.refusals.is_empty() {
        return Ok(RestoreEnd::Refused(Box::new(plan)));
    }
    let applied = apply::apply(workers, &plan).await.map_err(RestoreError::Apply)?;
    let watch = Watch { cluster, timeouts, reporter };
    let released = release::release(&watch, &plan, &record.volumes).await.map_err(RestoreError::Release)?;
    let confirmation = prove(cluster, &record, &plan, timeouts, reporter).await;
    Ok(RestoreEnd::Done(Box::new(RestoreOutcome {
        plan,
        applied,
        released,
        confirmation,
        took: begun.elapsed(),
        housekeeping: Housekeeping::default(),
    })))
}

/// Asks every restored Prometheus what it answered at backup time.
async fn prove(
    cluster: &Cluster,
    record: &BackupRecord,
    plan: &RestorePlan,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> Option<Confirmation> {
    let proofs: Vec<(&Fingerprint, &DataVolume, Timestamp)> = record
        .fingerprints
        .iter()
        .filter(|fingerprint| plan.namespaces.contains(&fingerprint.namespace))
        .filter(|fingerprint| keeps_its_data(record, fingerprint))
        .filter_map(|fingerprint| {
            let (volume, cut_at) = behind(record, fingerprint)?;
            Some((fingerprint, volume, cut_at))
        })
        .collect();
    if proofs.is_empty() {
        return None;
    }
    reporter
        .event(&Event::Step { doing: format!("asking {} Prometheus pods what they answered before", proofs.len()) });
    let watch = Watch { cluster, timeouts, reporter };
    let asked = join_all(proofs.iter().map(async |(then, volume, cut_at)| {
        let instance = successor::instance_of(record, then)?;
        Some(match successor::pod(&watch, instance, then, &volume.claim).await {
            Ok(pod) => {
                let api = reach::prometheus(cluster, instance, &pod);
                let then = Fingerprint { pod, ..(*then).clone() };
                confirm::pod(&api, &then, Some(*cut_at), timeouts, reporter).await
            }
            Err(error) => PodProof::unanswered(then, words::chain(&error)),
        })
    }))
    .await;
    let unproven = record.without_fingerprint.iter().map(|(pod, cause)| Problem {
        object: pod.clone(),
        tried: "prove its history".to_owned(),
        cause: format!("it did not answer when the backup was taken ({cause})"),
        hint: "look at its history yourself".to_owned(),
    });
    Some(Confirmation::new(asked.into_iter().flatten().collect(), unproven.collect()))
}

/// Whether a Prometheus keeps its data on a claim. What lies on an emptyDir does not come back, whatever else its pod mounts.
fn keeps_its_data(record: &BackupRecord, fingerprint: &Fingerprint) -> bool {
    successor::instance_of(record, fingerprint).is_some_and(|instance| instance.volatile.is_none())
}

/// The volume behind a Prometheus pod, and when what was saved of it was cut.
fn behind<'a>(record: &'a BackupRecord, fingerprint: &Fingerprint) -> Option<(&'a DataVolume, Timestamp)> {
    let is_its =
        |namespace: &str, pod: Option<&String>| namespace == fingerprint.namespace && pod == Some(&fingerprint.pod);
    let volume = record.volumes.iter().find(|volume| is_its(&volume.volume.namespace, volume.volume.pod.as_ref()))?;
    Some((&volume.volume, volume.cut_at()?))
}
