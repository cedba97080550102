//! How long promsafe waits for anything: the one home of every deadline.

use std::time::Duration;

/// Every deadline of the program. `Default` is what the binary uses unless a flag says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Opening a connection to the API server or the store.
    pub connect: Duration,
    /// One request until its answer is read, to the API server or the store.
    pub request: Duration,
    /// All attempts of one request together, waits between them included.
    pub attempts: Duration,
    /// A `VolumeSnapshot` from its creation until `readyToUse`.
    pub snapshot_ready: Duration,
    /// A CRD from its creation until its kind is served.
    pub established: Duration,
    /// A restored instance from its creation until it is reconciled, available and its claims are bound.
    pub instance_ready: Duration,
    /// A Prometheus from available until it has told all that the proof asks, the write-ahead log replayed.
    pub prometheus_answer: Duration,
    /// A Job from its creation until its pod runs: the volume is made and attached meanwhile.
    pub job_started: Duration,
    /// A pod from the first failure to get its image until it is given up.
    pub image_pulled: Duration,
    /// What a run made for a while from its deletion until it is gone.
    pub removed: Duration,
    /// The run lock without a sign of life from its holder: then the holder is dead. It is renewed three times as often.
    pub lease: Duration,
    /// The lock of a store without a sign of life from its holder: then the holder is dead. It gives one three times as often.
    pub store_lock: Duration,
    /// A `VolumeSnapshot` and its content from their deletion until they are gone.
    pub snapshot_gone: Duration,
    /// At most between two looks at something awaited.
    pub poll: Duration,
}

impl Timeouts {
    /// Those of a run that moves pieces of 8 MiB, eight at once: a slow line of half a megabyte a second is no failure.
    pub fn for_data() -> Self {
        Self { request: Duration::from_mins(2), attempts: Duration::from_mins(5), ..Self::default() }
    }

    /// Until the next look at something awaited for so long already: a quarter of that, at least 20 ms, at most `poll`.
    /// What is soon there is soon seen, and what takes long is not asked about all the time.
    pub fn pause(&self, waited: Duration) -> Duration {
        (waited / 4).max(Duration::from_millis(20)).min(self.poll)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(30),
            attempts: Duration::from_secs(45),
            snapshot_ready: Duration::from_mins(10),
            established: Duration::from_mins(1),
            instance_ready: Duration::from_mins(15),
            prometheus_answer: Duration::from_mins(2),
            job_started: Duration::from_mins(10),
            image_pulled: Duration::from_mins(1),
            removed: Duration::from_mins(1),
            lease: Duration::from_secs(30),
            store_lock: Duration::from_mins(1),
            snapshot_gone: Duration::from_mins(2),
            poll: Duration::from_millis(200),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_the_wait_up_to_the_poll() {
        let pauses = [0, 100, 400, 60_000].map(|ms| Timeouts::default().pause(Duration::from_millis(ms)).as_millis());
        assert_eq!(pauses, [20, 25, 100, 200]);
        let hasty = Timeouts { poll: Duration::from_millis(5), ..Timeouts::default() };
        assert_eq!(hasty.pause(Duration::ZERO), hasty.poll);
    }
}
