//! Copies the volumes of a backup: from each snapshot a claim is made for a while, and a Job beside it reads the files into
//! the store. All but the copies is removed again.

use std::fmt::Write as _;

use futures::{StreamExt, TryStreamExt};

use crate::cluster::{Cluster, ClusterError, Creation};
use crate::copy::{CopyOf, Reading, earlier_trees};
use crate::job::{Identity, Task, Work, temporary_claim};
use crate::model::{CopyRecord, DataVolume, Event, ObjectKey, Problem, Sha256, SnapshotRecord};
use crate::mounting::keeps_data_on_another_claim;
use crate::names::{self, snapshot_key};
use crate::snapshots::{self, MadeFor, Snapshots, Wanted};
use crate::store::StoreError;
use crate::words;
use crate::worker::{WorkerError, Workers};

/// The copy of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What goes into the record.
    pub copy: CopyRecord,
    /// What could not be saved, and what could not be removed.
    pub problems: Vec<Problem>,
}

/// A volume could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// An object could not be written or read.
    #[error("{tried} {object}")]
    Talk {
        /// `create` or `read`.
        tried: &'static str,
        /// The object.
        object: String,
        /// Why.
        #[source]
        source: ClusterError,
    },
    /// Earlier copies could not be looked for.
    #[error("look for earlier copies")]
    Earlier(#[source] StoreError),
    /// Its Job did not do its work.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// Copies all volumes, some at once. The result has their order.
///
/// # Errors
/// The first that failed; the others are given up. What was made stays until [`crate::worker::remove_all`].
pub async fn take(
    workers: &Workers<'_>,
    made_for: &MadeFor<'_>,
    wanted: &[Wanted],
    taken: &[SnapshotRecord],
) -> Result<Vec<Copied>, CopyError> {
    let doing = format!("copying {} volumes to {}", wanted.len(), workers.store.url());
    workers.reporter.event(&Event::Step { doing });
    let copying = Copying { workers, made_for, wanted };
    let each = wanted.iter().zip(taken).map(|(wanted, snapshot)| copying.one(&wanted.volume, snapshot));
    let all = futures::stream::iter(each).buffered(workers.settings.parallel.max(1)).try_collect();
    workers.shown("copying", wanted.iter().map(|wanted| wanted.volume.qualified_name()), all).await
}

/// What all volumes have in common.
struct Copying<'a> {
    workers: &'a Workers<'a>,
    made_for: &'a MadeFor<'a>,
    wanted: &'a [Wanted],
}

impl Copying<'_> {
    async fn one(&self, volume: &DataVolume, snapshot: &SnapshotRecord) -> Result<Copied, CopyError> {
        let Workers { cluster, .. } = self.workers;
        let Mounted { identity, data_on_another } = mounted(cluster, volume, self.wanted).await?;
        let copy_of = CopyOf::Claim { namespace: volume.namespace.clone(), claim: volume.claim.clone() };
        let known = earlier_trees(self.workers.store, &copy_of).await.map_err(CopyError::Earlier)?;
        let work = self.work(volume, identity, &known);
        let claim = names::claim_key(&volume.namespace, &work.name);
        let (labels, annotations) = (&work.labels, &work.annotations);
        let restore_size = snapshot.restore_size_bytes;
        let body = temporary_claim(volume, &snapshot.name, restore_size, &claim, labels, annotations);
        match cluster.create(&claim, "v1", &body.to_string()).await {
            Ok(Creation::Created(_) | Creation::AlreadyExists) => {}
            Err(source) => return Err(CopyError::Talk { tried: "create", object: claim.to_string(), source }),
        }
        self.workers.reporter.event(&Event::Wrote { object: claim.to_string(), how: "created" });
        let report = self.workers.run(&work).await?;
        let told = report.problems();
        let mut problems: Vec<Problem> = told.iter().map(|why| unsaved(volume, why, &work.identity)).collect();
        let suspicious = report.files == 0 && holds_tsdb(volume) && !data_on_another;
        problems.extend(suspicious.then(|| empty(volume)));
        problems.extend(self.remove(&work, claim, snapshot).await);
        let copy = CopyRecord {
            tree: report.tree,
            tree_bytes: report.tree_bytes,
            files: report.files,
            bytes: report.bytes,
            sent_bytes: report.sent_bytes,
            cut_at: snapshot.cut_at,
            volume_mode: "Filesystem".to_owned(),
            run_as_user: work.identity.run_as_user,
            run_as_group: work.identity.run_as_group,
            fs_group: work.identity.fs_group,
            placement: work.identity.placement,
            problems: CopyRecord::told(told),
        };
        Ok(Copied { copy, problems })
    }

    fn work(&self, volume: &DataVolume, identity: Identity, known: &[Sha256]) -> Work {
        let settings = self.workers.settings;
        let mut options: Vec<String> = known.iter().map(|tree| format!("--known={tree}")).collect();
        options.extend((settings.reading == Reading::Everything).then(|| "--reread".to_owned()));
        options.extend(settings.bandwidth.map(|bytes| format!("--bandwidth={bytes}")));
        let annotations = names::origin_annotations(self.made_for.origin).into_iter();
        Work {
            task: Task::Save,
            name: names::copying(self.made_for.id, &volume.claim),
            namespace: volume.namespace.clone(),
            labels: names::temporary_labels(self.made_for.id),
            annotations: annotations.map(|(name, value)| (name, value.to_owned())).collect(),
            // The claim that is made of the snapshot has the name of the Job.
            claim: names::copying(self.made_for.id, &volume.claim),
            volume: volume.qualified_name(),
            identity,
            options,
        }
    }

    /// Removes Job, Secret and claim, then the snapshot, which the claim's volume may hang on until it is gone.
    async fn remove(&self, work: &Work, claim: ObjectKey, snapshot: &SnapshotRecord) -> Vec<Problem> {
        let cluster = self.workers.cluster;
        let mut left = self.workers.remove(work, &[claim]).await.left;
        if self.made_for.snapshots == Snapshots::Delete {
            let key = snapshot_key(&snapshot.namespace, &snapshot.name);
            if let Err(error) = snapshots::delete_by_key(cluster, &key).await {
                left.push(format!("{key}: {}", words::chain(&error)));
            }
        }
        left.into_iter().map(|left| unremoved(&work.volume, left)).collect()
    }
}

fn unsaved(volume: &DataVolume, why: &str, identity: &Identity) -> Problem {
    let mut cause = why.to_owned();
    if let Some(stand_in) = identity.stand_in() {
        let _ = write!(cause, " ({stand_in})");
    }
    Problem {
        object: format!("PersistentVolumeClaim {}", volume.qualified_name()),
        tried: "copy".to_owned(),
        cause,
        hint: "let the pods of the volume run as a user that owns its files: securityContext.runAsUser and fsGroup"
            .to_owned(),
    }
}

/// Whether a volume may be the data of an instance that writes files as soon as it runs: all do but Alertmanager. Other pods
/// are no instance, and not known as users.
fn holds_tsdb(volume: &DataVolume) -> bool {
    let mut users = volume.used_by.iter().chain(&volume.leftover_of);
    users.any(|user| !user.starts_with("Alertmanager "))
}

fn empty(volume: &DataVolume) -> Problem {
    Problem {
        object: format!("PersistentVolumeClaim {}", volume.qualified_name()),
        tried: "copy".to_owned(),
        cause: "the copy is empty: there is no file on the volume, where Prometheus writes some as soon as it runs"
            .to_owned(),
        hint: "look whether its pod writes to this volume: the mount of its data directory, spec.storage".to_owned(),
    }
}

fn unremoved(volume: &str, left: String) -> Problem {
    Problem {
        object: format!("PersistentVolumeClaim {volume}"),
        tried: "remove what its copy was made with".to_owned(),
        cause: left,
        hint: "the next backup sweeps it; or delete by hand what is named".to_owned(),
    }
}

/// What the pod tells that mounts a volume.
#[derive(Default)]
struct Mounted {
    /// As whom it is read.
    identity: Identity,
    /// Whether the pod keeps its data on another claim.
    data_on_another: bool,
}

/// What the pod tells that mounts a volume; of a leftover, what the pods tell of the instance that it belonged to.
async fn mounted(cluster: &Cluster, volume: &DataVolume, all: &[Wanted]) -> Result<Mounted, CopyError> {
    let mounts = |one: &&DataVolume| {
        let related = volume.leftover_of.is_some() && one.used_by == volume.leftover_of;
        one.namespace == volume.namespace && one.pod.is_some() && (one.claim == volume.claim || related)
    };
    let Some(mounted) = all.iter().map(|wanted| &wanted.volume).find(mounts) else { return Ok(Mounted::default()) };
    let pod = mounted.pod.as_deref().unwrap_or_default();
    let key = ObjectKey::namespaced("", "Pod", "pods", &mounted.namespace, pod);
    let text = cluster.get(&key, "v1").await;
    let text = text.map_err(|source| CopyError::Talk { tried: "read", object: key.to_string(), source })?;
    Ok(text.map_or_else(Mounted::default, |text| Mounted {
        identity: Identity::of_pod(&text, &mounted.claim),
        data_on_another: keeps_data_on_another_claim(&text, &mounted.claim),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_volumes_of_instances_are_suspicious_but_for_those_of_alertmanager() {
        let user = |user: &str| Some(user.to_owned());
        let used_by = |used_by| DataVolume { used_by, ..DataVolume::default() };
        let left_by = |leftover_of| DataVolume { leftover_of, ..DataVolume::default() };
        for (volume, suspicious) in [
            (used_by(user("Prometheus monitoring/k8s")), true),
            (used_by(user("Deployment legacy/prometheus")), true),
            (left_by(user("ThanosRuler monitoring/rules")), true),
            (used_by(user("Alertmanager monitoring/main")), false),
            (used_by(None), false),
        ] {
            assert_eq!(holds_tsdb(&volume), suspicious, "{volume:?}");
        }
    }
}
