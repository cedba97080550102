//! When a failed attempt is worth another, and after which wait. Pure but for the die; sends nothing.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use http::StatusCode;

use crate::model::Timeouts;

/// Attempts of one request, the first included.
const MOST_ATTEMPTS: u32 = 6;
/// Attempts while the API server was never reached: a wrong address should be told soon.
const MOST_FIRST_CONTACTS: u32 = 3;
/// Upper bound of the first wait; each further one is [`GROWTH`] times as long. All together at most 12 s.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How much longer each wait is than the one before.
const GROWTH: u32 = 3;

/// Which answers of a request are worth asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Overload, server errors and broken connections.
    Server,
    /// These, and conflicts with another writer.
    ServerAndConflict,
    /// Overload and broken connections only: a server error may be a pod's own answer, through the proxy.
    Proxy,
    /// None: one attempt.
    None,
}

impl Patience {
    /// Whether an answer with this status is worth asking again.
    pub(super) fn asks_again(self, status: StatusCode) -> bool {
        let overloaded = status == StatusCode::TOO_MANY_REQUESTS;
        let server_error = matches!(status.as_u16(), 500 | 502 | 503 | 504);
        match self {
            Self::Server => overloaded || server_error,
            Self::ServerAndConflict => overloaded || server_error || status == StatusCode::CONFLICT,
            Self::Proxy => overloaded,
            Self::None => false,
        }
    }
}

/// How an attempt ended, as far as the next one depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// In a way no further attempt would change.
    Final,
    /// The API server answered; it may have said when to come back.
    Answer {
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// A connection broke or the answer took too long, though the API server was reached before.
    Broken,
    /// No connection, and there never was one.
    NeverReached,
}

/// The attempts of one request.
#[derive(Debug)]
pub(super) struct Attempts {
    /// How many were made.
    pub(super) made: u32,
    /// How many may be made.
    most: u32,
    /// All attempts and waits together.
    within: Duration,
    /// The same while the API server was never reached: two connections are enough to say that nobody is there.
    first_contact: Duration,
}

impl Attempts {
    /// No attempt made yet.
    pub(super) fn new(patience: Patience, timeouts: &Timeouts) -> Self {
        Self {
            made: 0,
            most: if patience == Patience::None { 1 } else { MOST_ATTEMPTS },
            within: timeouts.attempts,
            first_contact: timeouts.attempts.min(2 * timeouts.connect),
        }
    }

    /// What is left for an attempt that begins after `elapsed`.
    pub(super) fn left(&self, elapsed: Duration) -> Duration {
        self.within.saturating_sub(elapsed)
    }

    /// How long to wait before the next attempt; `None` when there is none. `die` is in 0..=1.
    pub(super) fn wait(&self, failure: Failure, elapsed: Duration, die: f64) -> Option<Duration> {
        let (most, within, asked) = match failure {
            Failure::Final => return None,
            Failure::NeverReached => (self.most.min(MOST_FIRST_CONTACTS), self.first_contact, None),
            Failure::Broken => (self.most, self.within, None),
            Failure::Answer { retry_after } => (self.most, self.within, retry_after),
        };
        if self.made >= most {
            return None;
        }
        let longest = FIRST_WAIT * GROWTH.pow(self.made.saturating_sub(1));
        let wait = asked.unwrap_or_default() + longest.mul_f64(die.clamp(0.0, 1.0));
        (elapsed + wait < within).then_some(wait)
    }
}

/// A number in 0..=1. Std's hasher keys are random enough to keep clients from coming back in step.
#[expect(clippy::cast_precision_loss, reason = "a die needs no 64 bits")]
pub(super) fn die() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: Failure = Failure::Answer { retry_after: None };

    fn attempts(made: u32) -> Attempts {
        Attempts { made, ..Attempts::new(Patience::Server, &Timeouts::default()) }
    }

    #[test]
    fn waits_grow_and_end_after_six_attempts() {
        let waits: Vec<_> = (1..=6).map(|made| attempts(made).wait(ANSWER, Duration::ZERO, 1.0)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(waits, [ms(100), ms(300), ms(900), ms(2700), ms(8100), None]);
    }

    #[test]
    fn retry_after_is_honoured_unless_it_outlasts_the_budget() {
        let told = |seconds| Failure::Answer { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(attempts(1).wait(told(7), Duration::ZERO, 0.0), Some(Duration::from_secs(7)));
        assert_eq!(attempts(1).wait(told(7), Duration::from_secs(40), 0.0), None);
    }

    #[test]
    fn never_reached_server_is_given_up_soon() {
        assert!(attempts(2).wait(Failure::NeverReached, Duration::from_secs(1), 1.0).is_some());
        assert_eq!(attempts(3).wait(Failure::NeverReached, Duration::from_secs(1), 1.0), None);
        assert_eq!(attempts(2).wait(Failure::NeverReached, Duration::from_secs(10), 1.0), None);
        assert!(attempts(3).wait(Failure::Broken, Duration::from_secs(10), 1.0).is_some());
    }

    #[test]
    fn die_stays_in_range_and_varies() {
        let thrown: Vec<f64> = (0..20).map(|_| die()).collect();
        assert!(thrown.iter().all(|number| (0.0..=1.0).contains(number)));
        assert!(thrown.iter().any(|number| (number - thrown[0]).abs() > f64::EPSILON));
    }

    #[test]
    fn answers_of_a_pod_are_final() {
        assert!(!Patience::Proxy.asks_again(StatusCode::SERVICE_UNAVAILABLE));
        assert!(Patience::Server.asks_again(StatusCode::SERVICE_UNAVAILABLE));
        assert!(!Patience::Server.asks_again(StatusCode::CONFLICT));
    }
}
