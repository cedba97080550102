//! Removes what a snapshot test made, storage included, and names what stays.

use std::time::Duration;

use tokio::time::Instant;

use super::Place;
use super::objects::Scratch;
use crate::cluster::{Cluster, Deletion};
use crate::doctor::Check;
use crate::doctor::check::Group;
use crate::model::{Event, ObjectKey, Timeouts};
use crate::names::{SNAPSHOT_API, content_key, doctor_selector};
use crate::snapshots;
use crate::words;
use crate::worker::let_go;

/// What has to go, and what could not even be asked to.
#[derive(Default)]
struct Going {
    asked: Vec<(ObjectKey, &'static str)>,
    left: Vec<String>,
}

/// Deletes all objects of the run, with the storage behind them, and waits until they are gone.
pub(super) async fn remove(place: &Place<'_>, scratch: &Scratch, within: Duration) -> Check {
    place.reporter.event(&Event::Step { doing: "removing what the snapshot test made".to_owned() });
    let began = Instant::now();
    let mut going = Going::default();
    for key in [scratch.writer_key(), scratch.reader_key()] {
        going.delete(place.cluster, key, "v1").await;
    }
    for key in [scratch.clone_key(), scratch.source_key()] {
        going.delete_claim(place.cluster, key).await;
    }
    going.delete_snapshot(place.cluster, scratch.snapshot_key()).await;
    let made = going.asked.len();
    let left = going.wait(place.cluster, within).await;
    if left.is_empty() {
        let took = began.elapsed().as_secs_f64();
        return Group::SnapshotTest
            .ok(format!("{made} scratch objects and their storage were removed after {took:.1}s"));
    }
    let request = &scratch.request;
    Group::SnapshotTest.warning(
        format!("could not be removed: {}", left.join("; ")),
        format!(
            "kubectl -n {} delete pods,persistentvolumeclaims,volumesnapshots -l {}",
            request.namespace,
            doctor_selector(&request.run)
        ),
    )
}

impl Going {
    async fn delete(&mut self, cluster: &Cluster, key: ObjectKey, api_version: &'static str) {
        match cluster.delete(&key, api_version).await {
            Ok(Deletion::Asked) => self.asked.push((key, api_version)),
            Ok(Deletion::Absent) => {}
            Err(error) => self.left.push(words::chain(&error)),
        }
    }

    /// With its volume, also when the class would retain it.
    async fn delete_claim(&mut self, cluster: &Cluster, key: ObjectKey) {
        match let_go(cluster, &key).await {
            Ok(volume) => self.asked.extend(volume.map(|volume| (volume, "v1"))),
            Err(error) => self.left.push(words::chain(&error)),
        }
        self.delete(cluster, key, "v1").await;
    }

    async fn delete_snapshot(&mut self, cluster: &Cluster, key: ObjectKey) {
        match snapshots::delete_by_key(cluster, &key).await {
            Ok(None) => {}
            Ok(Some(content)) => {
                self.asked.push((key, SNAPSHOT_API));
                self.asked.extend((!content.is_empty()).then(|| (content_key(&content), SNAPSHOT_API)));
            }
            Err(error) => self.left.push(words::chain(&error)),
        }
    }

    /// Waits until everything is gone; names what is not at the deadline.
    async fn wait(mut self, cluster: &Cluster, within: Duration) -> Vec<String> {
        let began = Instant::now();
        while let Some((key, api_version)) = self.asked.last() {
            match cluster.get(key, api_version).await {
                Ok(None) => drop(self.asked.pop()),
                // A volume that may not be read is deleted by its claim's deletion.
                Err(error) if error.is_forbidden() => drop(self.asked.pop()),
                Ok(Some(_)) | Err(_) if began.elapsed() >= within => break,
                Ok(Some(_)) | Err(_) => tokio::time::sleep(Timeouts::default().pause(began.elapsed())).await,
            }
        }
        let late = self.asked.iter().map(|(key, _)| format!("{key}: not gone after {} s", within.as_secs()));
        self.left.extend(late);
        self.left
    }
}
