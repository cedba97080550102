//! How long a Job may take.

use std::time::Duration;

use tokio::time::Instant;

use super::error::WorkerError;
use super::pod::State;
use crate::job::Work;
use crate::model::Timeouts;

/// Why a container does not begin that will hardly begin by itself (kubernetes `pkg/kubelet/images/types.go`,
/// `pkg/kubelet/kuberuntime`).
const STUCK: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
];

/// How long a Job may take to start and to end.
pub(super) struct Patience<'a> {
    timeouts: &'a Timeouts,
    timeout: Duration,
    pub(super) begun: Instant,
    stuck_since: Option<Instant>,
    started: bool,
}

/// What a Job is late with.
pub(super) enum Late {
    /// Its pod does not begin.
    Start(Duration),
    /// It does not end.
    End(Duration),
}

impl<'a> Patience<'a> {
    /// From now on.
    pub(super) fn new(timeouts: &'a Timeouts, timeout: Duration) -> Self {
        Self { timeouts, timeout, begun: Instant::now(), stuck_since: None, started: false }
    }

    /// Whether it is late, seen like this now.
    pub(super) fn ends(&mut self, state: Option<&State>, now: Instant) -> Option<Late> {
        self.started |= matches!(state, Some(State::Running | State::Failed { .. }));
        let is_stuck = matches!(state, Some(State::Waiting { reason, .. }) if STUCK.contains(&reason.as_str()));
        self.stuck_since = if is_stuck { self.stuck_since.or(Some(now)) } else { None };
        let elapsed = now.duration_since(self.begun);
        let stuck = self.stuck_since.is_some_and(|since| now.duration_since(since) >= self.timeouts.image_pulled);
        // The Job's own deadline comes first; this is for a Job that no controller looks after.
        if elapsed >= self.timeout + self.timeouts.established {
            Some(Late::End(elapsed))
        } else if stuck || !self.started && elapsed >= self.timeouts.job_started.min(self.timeout) {
            Some(Late::Start(elapsed))
        } else {
            None
        }
    }
}

impl Late {
    /// With what is known of it.
    pub(super) fn error(self, work: &Work, why: String) -> WorkerError {
        let (task, volume, job) = (work.task.name(), work.volume.clone(), work.job_key().qualified_name());
        match self {
            Self::Start(after) => WorkerError::Start { task, volume, job, after_seconds: after.as_secs(), why },
            Self::End(after) => WorkerError::End { task, volume, job, after_seconds: after.as_secs(), why },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pod_that_cannot_pull_its_image_is_given_up_soon_and_one_that_runs_only_at_the_end() {
        let timeouts = Timeouts::default();
        let waiting = |reason: &str| State::Waiting { reason: reason.to_owned(), why: String::new() };
        let six_hours = Duration::from_hours(6);
        let mut patience = Patience::new(&timeouts, six_hours);
        let begun = patience.begun;
        assert!(patience.ends(Some(&waiting("ImagePullBackOff")), begun).is_none());
        assert!(patience.ends(Some(&State::Running), begun + timeouts.image_pulled).is_none());
        let stuck = begun + timeouts.image_pulled;
        assert!(patience.ends(Some(&waiting("ErrImagePull")), stuck).is_none());
        assert!(matches!(
            patience.ends(Some(&waiting("ErrImagePull")), stuck + timeouts.image_pulled),
            Some(Late::Start(_))
        ));

        let mut patience = Patience::new(&timeouts, six_hours);
        let begun = patience.begun;
        let late = begun + timeouts.job_started;
        assert!(patience.ends(None, begun).is_none());
        assert!(matches!(patience.ends(Some(&waiting("Unschedulable")), late), Some(Late::Start(_))));
        assert!(patience.ends(Some(&State::Running), late).is_none());
        assert!(patience.ends(Some(&State::Running), begun + six_hours).is_none());
        let end = begun + six_hours + timeouts.established;
        assert!(matches!(patience.ends(Some(&State::Running), end), Some(Late::End(_))));
    }
}
