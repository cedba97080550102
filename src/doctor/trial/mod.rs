//! The snapshot test: a scratch volume is written, snapshotted, cloned and read back, and all of it removed again, however
//! the test ends. It is the one check that tells for certain whether the snapshot machinery works.

mod cleanup;
mod objects;
mod pod;

use std::future::Future;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::Check;
use super::check::Group;
use crate::cluster::{Cluster, ClusterError};
use crate::model::{DataVolume, Event, Inventory, ObjectKey, Reporter, ServedKinds, Timeouts};
use crate::preflight::{class_for, snapshot_api, snapshot_classes};
use crate::quantity;
use crate::snapshots;
use crate::words;
use crate::worker::pod::{State, last_warning, look};
use objects::Scratch;

/// What to test with.
#[derive(Debug, Clone)]
pub struct TrialRequest {
    /// Namespace of the scratch objects.
    pub namespace: String,
    /// Class of the scratch claim; that of the first captured claim when `None`.
    pub storage_class: Option<String>,
    /// Image with `sh`, `sync` and `cat`; that of a pod that mounts a captured claim when `None`.
    pub image: Option<String>,
    /// Name of this run: its objects carry it.
    pub run: String,
    /// What is written and read back.
    pub token: String,
    /// Longest wait for each step, the removal included.
    pub timeout: Duration,
}

/// A cluster and what is known of it.
pub(super) struct Place<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) served: &'a ServedKinds,
    pub(super) inventory: &'a Inventory,
    pub(super) reporter: &'a dyn Reporter,
}

/// How a test ended.
#[derive(Default)]
pub(super) struct Tested {
    pub(super) checks: Vec<Check>,
    /// Whether it was asked to stop.
    pub(super) interrupted: bool,
    /// The driver whose snapshots are shown to work.
    pub(super) proven_driver: Option<String>,
}

/// Runs the test. What it made is removed in any case.
pub(super) async fn run(place: &Place<'_>, request: &TrialRequest, interrupted: impl Future<Output = ()>) -> Tested {
    let scratch = match prepare(place, request).await {
        Ok(scratch) => scratch,
        Err(check) => return Tested { checks: vec![check], ..Tested::default() },
    };
    let doing = format!("testing snapshots of class {} in namespace {}", scratch.storage_class, request.namespace);
    place.reporter.event(&Event::Step { doing });
    let trial = Trial { cluster: place.cluster, reporter: place.reporter, scratch: &scratch, request };
    let mut tested = Tested::default();
    tokio::select! {
        ended = trial.steps(&mut tested.checks) => match ended {
            Ok(()) => tested.proven_driver = Some(scratch.driver.clone()),
            Err(check) => tested.checks.push(check),
        },
        () = interrupted => tested.interrupted = true,
    }
    tested.checks.push(cleanup::remove(place, &scratch, request.timeout).await);
    tested
}

/// Chooses class, snapshot class and image; nothing is made yet.
async fn prepare(place: &Place<'_>, request: &TrialRequest) -> Result<Scratch, Check> {
    let failed = |why: String, fix: &str| Group::SnapshotTest.failed(why, fix);
    if let Some(missing) = snapshot_api(place.served).pop() {
        return Err(failed(missing.why, &missing.fix));
    }
    let of_a_claim = || place.inventory.volumes.iter().find_map(|volume| volume.storage_class.clone());
    let storage_class = request.storage_class.clone().or_else(of_a_claim).ok_or_else(|| {
        failed("there is no captured claim whose class could be tested".to_owned(), "name a class: --storage-class")
    })?;
    let driver = provisioner(place.cluster, &storage_class).await?;
    let classes = snapshot_classes(place.cluster, place.served).await;
    let classes = classes.map_err(|error| failed(words::chain(&error), "grant list on volumesnapshotclasses"))?;
    let volume = DataVolume { driver: Some(driver.clone()), ..objects::volume(&request.namespace, &storage_class) };
    let snapshot_class = class_for(&volume, &classes)
        .map_err(|refusal| failed(format!("StorageClass {storage_class}: {}", refusal.why), &refusal.fix))?;
    let image = match &request.image {
        Some(image) => image.clone(),
        None => pod::image_beside_a_claim(place.cluster, &place.inventory.volumes).await.ok_or_else(|| {
            failed("no pod mounts a captured claim, so no image is known".to_owned(), "name one with sh: --test-image")
        })?,
    };
    Ok(Scratch { driver, storage_class, snapshot_class, image, request: request.clone() })
}

#[derive(Deserialize)]
struct StorageClass {
    provisioner: String,
}

async fn provisioner(cluster: &Cluster, name: &str) -> Result<String, Check> {
    let key = ObjectKey::cluster_scoped("storage.k8s.io", "StorageClass", "storageclasses", name);
    let why = match cluster.get(&key, "storage.k8s.io/v1").await {
        Ok(Some(text)) => match serde_json::from_str::<StorageClass>(&text) {
            Ok(class) => return Ok(class.provisioner),
            Err(error) => format!("{key} cannot be read: {error}"),
        },
        Ok(None) => format!("{key} does not exist"),
        Err(error) => words::chain(&error),
    };
    Err(Group::SnapshotTest.failed(why, "kubectl get storageclass shows what there is; name one: --storage-class"))
}

/// A test under way.
struct Trial<'a> {
    cluster: &'a Cluster,
    reporter: &'a dyn Reporter,
    scratch: &'a Scratch,
    request: &'a TrialRequest,
}

impl Trial<'_> {
    async fn steps(&self, checks: &mut Vec<Check>) -> Result<(), Check> {
        let (scratch, token) = (self.scratch, &self.request.token);
        let began = Instant::now();
        self.create(&scratch.claim()).await?;
        self.create(&scratch.writer()).await?;
        self.finished(&scratch.writer_key()).await?;
        checks.push(self.after(began, &format!("a pod wrote to a new claim of class {}", scratch.storage_class)));

        let began = Instant::now();
        self.create(&scratch.snapshot()).await?;
        let restore_size_bytes = self.snapshot_ready().await?;
        checks.push(self.after(began, &format!("its snapshot of class {} was ready", scratch.snapshot_class)));

        let began = Instant::now();
        self.create(&scratch.clone_of(restore_size_bytes)).await?;
        self.create(&scratch.reader()).await?;
        let read = self.finished(&scratch.reader_key()).await?;
        if &read != token {
            let hint =
                "the driver's snapshots do not hold what was written: do not rely on them; ask who made the driver";
            let seen = format!("what came back from the snapshot is not what was written: {read:?}, not {token:?}");
            return Err(Group::SnapshotTest.failed(seen, hint));
        }
        checks.push(self.after(began, "a pod read the same from a claim made of the snapshot"));
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "reads as a step of the trial")]
    fn after(&self, began: Instant, what: &str) -> Check {
        Group::SnapshotTest.ok(format!("{what} after {:.1}s", began.elapsed().as_secs_f64()))
    }

    async fn create(&self, (key, api_version, body): &objects::Object) -> Result<(), Check> {
        match self.cluster.create(key, api_version, &body.to_string()).await {
            Ok(_) => {
                self.reporter.event(&Event::Wrote { object: key.to_string(), how: "created" });
                Ok(())
            }
            Err(error) => Err(self.refused(&error)),
        }
    }

    fn refused(&self, error: &ClusterError) -> Check {
        let hint = format!(
            "grant create, get and delete on pods, persistentvolumeclaims and volumesnapshots in namespace {}, or name another: \
             --test-namespace",
            self.request.namespace
        );
        Group::SnapshotTest.failed(words::chain(error), hint)
    }

    /// Waits for a pod's end and returns its last words.
    async fn finished(&self, key: &ObjectKey) -> Result<String, Check> {
        let began = Instant::now();
        let mut told = Duration::ZERO;
        loop {
            let state = match look(self.cluster, key).await.map_err(|error| self.refused(&error))? {
                State::Succeeded(said) => return Ok(said),
                State::Failed { why, .. } => {
                    let hint = "the image needs sh, sync and cat: --test-image; see also --test-namespace";
                    return Err(Group::SnapshotTest.failed(format!("{key} failed: {why}"), hint));
                }
                State::Waiting { why, .. } => why,
                State::Running => "it is Running".to_owned(),
            };
            if began.elapsed() >= self.request.timeout {
                return Err(self.late(&key.to_string(), &state).await);
            }
            if began.elapsed() >= told + Duration::from_secs(5) {
                told = began.elapsed();
                self.reporter.event(&Event::Waiting { on: key.to_string(), state, for_seconds: told.as_secs() });
            }
            tokio::time::sleep(self.timeouts().pause(began.elapsed())).await;
        }
    }

    async fn late(&self, what: &str, state: &str) -> Check {
        let warning = last_warning(self.cluster, &self.request.namespace, &self.request.run).await;
        let warning = warning.map_or_else(String::new, |warning| format!("; {warning}"));
        let seen = format!("{what} was not done after {} s: {state}{warning}", self.request.timeout.as_secs());
        let hint = "mend what it says; a slow storage needs a longer --test-timeout";
        Group::SnapshotTest.failed(seen, hint)
    }

    /// Bytes that a claim made of the snapshot has to ask for, at least.
    async fn snapshot_ready(&self) -> Result<u64, Check> {
        let key = self.scratch.snapshot_key();
        match snapshots::ready(self.cluster, &key, &self.timeouts(), self.reporter).await {
            Ok(status) => Ok(status.restore_size.as_deref().and_then(quantity::bytes).unwrap_or(0)),
            Err(error) => {
                let hint = "see the logs of snapshot-controller and of the driver's csi-snapshotter; a backup would wait like this";
                Err(Group::SnapshotTest.failed(words::chain(&error), hint))
            }
        }
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts { snapshot_ready: self.request.timeout, ..Timeouts::default() }
    }
}
