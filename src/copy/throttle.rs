//! Not more than so many bytes a second, whoever sends them.

use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Gives leave to send bytes, one after the other.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: NonZeroU64,
    /// When all bytes that leave was given for have been sent.
    free_at: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(None) }
    }

    /// Waits until so many bytes may be sent.
    pub(super) async fn take(&self, bytes: u64) {
        let begin = {
            let mut free_at = self.free_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let now = Instant::now();
            let begin = free_at.map_or(now, |free_at| free_at.max(now));
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
            *free_at = Some(begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
            begin
        };
        sleep_until(begin).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_are_given_leave_at_the_rate_and_idle_time_is_not_saved_up() {
        let throttle = Throttle::new(NonZeroU64::new(100).unwrap());
        let begun = Instant::now();
        let waited = async |bytes| {
            throttle.take(bytes).await;
            begun.elapsed().as_millis()
        };
        assert_eq!(waited(50).await, 0);
        assert_eq!(waited(100).await, 500);
        assert_eq!(waited(1).await, 1500);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(waited(100).await, 61_500);
        assert_eq!(waited(1).await, 62_500);
    }
}
