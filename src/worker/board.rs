//! How far all workers are: written by each, shown as one.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Event, Reporter, VolumeProgress};
use crate::quantity::human;

/// How often it is shown.
const SHOWN_EVERY: Duration = Duration::from_secs(5);

/// Rows in the order in which they were asked for.
#[derive(Default)]
pub(super) struct Board(Mutex<Vec<VolumeProgress>>);

impl Board {
    fn rows(&self) -> MutexGuard<'_, Vec<VolumeProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, volumes: impl IntoIterator<Item = String>) {
        let waiting = |volume| VolumeProgress { volume, state: "waiting".to_owned(), done_bytes: 0, total_bytes: 0 };
        *self.rows() = volumes.into_iter().map(waiting).collect();
    }

    fn change(&self, volume: &str, change: impl FnOnce(&mut VolumeProgress)) {
        self.rows().iter_mut().find(|row| row.volume == volume).map(change);
    }

    pub(super) fn state(&self, volume: &str, state: &str) {
        self.change(volume, |row| state.clone_into(&mut row.state));
    }

    pub(super) fn progress(&self, volume: &str, done_bytes: u64, total_bytes: u64) {
        self.change(volume, |row| (row.done_bytes, row.total_bytes) = (done_bytes, total_bytes));
    }

    pub(super) fn done(&self, volume: &str, bytes: u64) {
        self.change(volume, |row| {
            (row.done_bytes, row.total_bytes) = (bytes, bytes);
            "done".clone_into(&mut row.state);
        });
    }

    /// How far one is, in words.
    pub(super) fn describe(&self, volume: &str) -> String {
        let rows = self.rows();
        let row = rows.iter().find(|row| row.volume == volume);
        row.map_or_else(String::new, |row| {
            format!("it was {}, {} of {} done", row.state, human(row.done_bytes), human(row.total_bytes))
        })
    }

    /// Shows it again and again.
    pub(super) async fn show(&self, doing: &'static str, reporter: &dyn Reporter) -> Infallible {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(SHOWN_EVERY).await;
            let volumes = self.rows().clone();
            reporter.event(&Event::Volumes { doing, for_seconds: begun.elapsed().as_secs(), volumes });
        }
    }
}
