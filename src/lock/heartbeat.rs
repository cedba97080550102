//! Renews the run lock in the background, and knows when it is lost.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{LockError, lease};
use crate::cluster::Cluster;
use crate::model::ObjectKey;

/// Between two attempts while renewing fails.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// When the lock was last known to be ours: when the request was sent, not when its answer came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renewed {
    at: Instant,
    pub(super) at_clock: Timestamp,
}

impl Renewed {
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), at_clock: Timestamp::now() }
    }

    /// How long ago, by the clock that tells more: the steady one stands still while the machine sleeps.
    pub(super) fn age(&self) -> Duration {
        let by_clock = Duration::try_from(Timestamp::now().duration_since(self.at_clock)).unwrap_or_default();
        self.at.elapsed().max(by_clock)
    }
}

/// What it takes to renew a lock.
pub(super) struct Heartbeat {
    pub(super) cluster: Cluster,
    pub(super) key: ObjectKey,
    pub(super) holder: String,
    /// Version of the Lease as we wrote it.
    pub(super) version: String,
    pub(super) every: Duration,
    /// For how long renewing may fail.
    pub(super) give_up: Duration,
    pub(super) tell: watch::Sender<Renewed>,
}

impl Heartbeat {
    /// Renews until it is lost.
    pub(super) async fn beat(mut self) -> LockError {
        let mut pause = self.every;
        loop {
            tokio::time::sleep(pause).await;
            let asked = Renewed::now();
            let trouble = match tokio::time::timeout(self.every, self.renew()).await {
                Ok(Ok(())) => {
                    let _ = self.tell.send_replace(asked);
                    pause = self.every;
                    continue;
                }
                Ok(Err(lost @ LockError::Lost { .. })) => return lost,
                Ok(Err(error)) => Some(Box::new(error)),
                Err(_) => None,
            };
            let late = self.tell.borrow().at.elapsed();
            if late >= self.give_up {
                return LockError::Renew { lease: self.key.to_string(), for_seconds: late.as_secs(), source: trouble };
            }
            pause = AGAIN_AFTER.min(self.every);
        }
    }

    async fn renew(&mut self) -> Result<(), LockError> {
        loop {
            if let Some(renewed) = lease::renew(&self.cluster, &self.key, &self.version, Timestamp::now()).await? {
                self.version = renewed.metadata.resource_version;
                return Ok(());
            }
            // Changed by somebody else, or by ourselves when the answer was lost.
            let lost = |how: String| LockError::Lost { lease: self.key.to_string(), how };
            let found =
                lease::read(&self.cluster, &self.key).await?.ok_or_else(|| lost("it was deleted".to_owned()))?;
            match found.spec.holder() {
                Some(holder) if holder == self.holder => self.version = found.metadata.resource_version,
                Some(holder) => return Err(lost(format!("taken over by {holder}"))),
                None => return Err(lost("taken over by a run that has ended since".to_owned())),
            }
        }
    }
}
