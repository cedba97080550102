//! Tells how far a copy is, at most once a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Event, Reporter};

/// How often it is told.
const EVERY: Duration = Duration::from_secs(1);

/// How far a copy is.
pub(crate) struct Progress<'a> {
    doing: &'a str,
    reporter: &'a dyn Reporter,
    begun: Instant,
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    /// Milliseconds after the beginning at which it is told next.
    next_ms: AtomicU64,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(doing: &'a str, reporter: &'a dyn Reporter) -> Self {
        Self {
            doing,
            reporter,
            begun: Instant::now(),
            done_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            next_ms: AtomicU64::new(millis(EVERY)),
        }
    }

    /// Says what begins.
    pub(crate) fn step(&self, step: &Event) {
        self.reporter.event(step);
    }

    /// Says how many bytes there are in all.
    pub(crate) fn total(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes are done, of which some went over the network.
    pub(crate) fn done(&self, bytes: u64, sent_bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sent_bytes.fetch_add(sent_bytes, Ordering::Relaxed);
        let (now, next) = (millis(self.begun.elapsed()), self.next_ms.load(Ordering::Relaxed));
        let later = now + millis(EVERY);
        // One of those who are done at the same time tells.
        let tells = self.next_ms.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if now >= next && tells {
            self.tell();
        }
    }

    /// Tells the end.
    pub(crate) fn end(&self) {
        self.tell();
    }

    fn tell(&self) {
        let done_bytes = self.done_bytes.load(Ordering::Relaxed);
        self.reporter.event(&Event::Progress {
            of: self.doing.to_owned(),
            done_bytes,
            total_bytes: self.total_bytes.load(Ordering::Relaxed).max(done_bytes),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            for_seconds: self.begun.elapsed().as_secs(),
        });
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
