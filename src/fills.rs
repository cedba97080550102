//! Fills claims from copies: a Job beside each writes the files and verifies them, before anything may start on them. A
//! claim that is filled says so itself: that is how a later run knows.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use crate::cluster::{Cluster, ClusterError};
use crate::fill::{Head, OnDamage};
use crate::job::{Identity, Task, Work};
use crate::model::{BackupId, Event, Problem, WorkerReport};
use crate::names::{self, FILLED_ANNOTATION};
use crate::plan::{Fill, RestorePlan};
use crate::worker::{Removed, WorkerError, Workers, remove_all};

/// A claim could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// Jobs of an earlier run could not be removed: they may still write.
    #[error("remove the Jobs of earlier runs: {left}")]
    Remove {
        /// What is left.
        left: String,
    },
    /// Its Job did not do its work.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// That it is filled could not be written on it.
    #[error("mark {object} as filled")]
    Mark {
        /// The claim.
        object: String,
        /// Why.
        #[source]
        source: ClusterError,
    },
}

/// What was filled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// Each claim with its report.
    pub volumes: Vec<(String, WorkerReport)>,
    /// What could not be brought back, and what could not be removed.
    pub problems: Vec<Problem>,
}

/// Fills all claims of a plan that are not filled yet, some at once. A claim that is filled and verified is marked.
///
/// # Errors
/// The first that failed; the others are given up. Running it again goes on with what is there.
pub(crate) async fn run(workers: &Workers<'_>, plan: &RestorePlan) -> Result<Filled, FillError> {
    let pending: Vec<&Fill> = plan.fills.iter().filter(|fill| !fill.done).collect();
    let mut filled = Filled::default();
    if pending.is_empty() {
        return Ok(filled);
    }
    // Two Jobs that write to one volume would undo each other's work.
    let removed = give_up(workers.cluster, &plan.backup, &plan.namespaces, workers.timeouts.removed).await;
    if !removed.left.is_empty() {
        return Err(FillError::Remove { left: removed.left.join("; ") });
    }
    let doing = format!("filling {} claims from {}", pending.len(), workers.store.url());
    workers.reporter.event(&Event::Step { doing });
    let each = pending.iter().map(|fill| one(workers, plan, fill));
    let all = futures::stream::iter(each).buffered(workers.settings.parallel.max(1)).try_collect::<Vec<_>>();
    let done = match workers.shown("filling", pending.iter().map(|fill| fill.volume()), all).await {
        Ok(done) => done,
        Err(error) => {
            // What of the others cannot be removed now the next run removes before it fills.
            drop(give_up(workers.cluster, &plan.backup, &plan.namespaces, workers.timeouts.removed).await);
            return Err(error);
        }
    };
    for (fill, (report, left)) in pending.iter().zip(done) {
        let object = || format!("PersistentVolumeClaim {}", fill.volume());
        filled.problems.extend(report.problems().into_iter().map(|cause| Problem {
            object: object(),
            tried: "fill".to_owned(),
            cause,
            hint: "look at what is named; another backup may hold it: promsafe list".to_owned(),
        }));
        filled.problems.extend(left.into_iter().map(|cause| Problem {
            object: object(),
            tried: "remove what filled it".to_owned(),
            cause,
            hint: "delete by hand what is named".to_owned(),
        }));
        filled.volumes.push((fill.volume(), report));
    }
    Ok(filled)
}

/// Removes the Jobs of restores of a backup.
pub(crate) async fn give_up(cluster: &Cluster, id: &BackupId, namespaces: &[String], within: Duration) -> Removed {
    let selector = format!("{},{}", names::restore_selector(id), names::TEMPORARY_LABEL);
    remove_all(cluster, namespaces, &selector, within).await
}

async fn one(workers: &Workers<'_>, plan: &RestorePlan, fill: &Fill) -> Result<(WorkerReport, Vec<String>), FillError> {
    let settings = workers.settings;
    let mut options = vec![format!("--tree={}", fill.copy.tree)];
    options.extend((settings.head == Head::LeaveOut).then(|| "--blocks-only".to_owned()));
    options.extend((settings.on_damage == OnDamage::Skip).then(|| "--skip-damaged".to_owned()));
    options.extend(settings.bandwidth.map(|bytes| format!("--bandwidth={bytes}")));
    let work = Work {
        task: Task::Fill,
        name: names::filling(&plan.backup, &plan.run, &fill.claim),
        namespace: fill.namespace.clone(),
        labels: names::filling_labels(&plan.backup),
        annotations: std::collections::BTreeMap::new(),
        claim: fill.claim.clone(),
        volume: fill.volume(),
        identity: Identity::of_copy(&fill.copy),
        options,
    };
    let report = workers.run(&work).await?;
    let claim = names::claim_key(&fill.namespace, &fill.claim);
    let patch = json!({"metadata": {"annotations": {FILLED_ANNOTATION: fill.copy.tree.to_string()}}});
    let marked = workers.cluster.merge_patch(&claim, "v1", &patch).await;
    marked.map_err(|source| FillError::Mark { object: claim.to_string(), source })?;
    let left = workers.remove(&work, &[]).await.left;
    Ok((report, left))
}
