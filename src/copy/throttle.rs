//! Not more than so many bytes a second, whoever sends or fetches them.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Gives leave to move bytes, one after the other.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: NonZeroU64,
    /// When all bytes that leave was given for are through.
    free_at: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(None) }
    }

    /// Waits until so many bytes may be moved.
    pub(crate) async fn take(&self, bytes: u64) {
        sleep_until(self.begin(Instant::now(), bytes)).await;
    }

    /// When bytes that are ready now may be moved: when all that had leave before are through.
    fn begin(&self, now: Instant, bytes: u64) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = free_at.map_or(now, |free_at| free_at.max(now));
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        *free_at = Some(begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_leave_at_the_rate_and_idle_time_is_not_saved_up() {
        let throttle = Throttle::new(NonZeroU64::new(100).unwrap());
        let zero = Instant::now();
        let leave_ms = |at_ms, bytes| {
            let at = throttle.begin(zero + Duration::from_millis(at_ms), bytes);
            at.duration_since(zero).as_millis()
        };
        assert_eq!([leave_ms(0, 50), leave_ms(0, 100), leave_ms(100, 1)], [0, 500, 1500]);
        assert_eq!([leave_ms(60_000, 100), leave_ms(60_000, 1)], [60_000, 61_000]);
    }
}
