//! What a run tells while it runs. Events only show; decisions are returned.

use super::Problem;

/// Something worth showing while a run goes on.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step of the pipeline begins.
    Step {
        /// What is being done, such as `taking 3 VolumeSnapshots`.
        doing: String,
    },
    /// Still waiting for something; repeated.
    Waiting {
        /// What for, such as `VolumeSnapshot monitoring/promsafe-…`.
        on: String,
        /// What is known about it, such as its `status.error`.
        state: String,
        /// For how long already, in seconds.
        for_seconds: u64,
    },
    /// How far something is that takes its time; repeated.
    Progress {
        /// Of what, such as the copy of `monitoring/prometheus-db`.
        of: String,
        /// Bytes that are done.
        done_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
        /// Of those done, bytes that had to be sent or written.
        sent_bytes: u64,
        /// For how long already, in seconds.
        for_seconds: u64,
    },
    /// An object was written.
    Wrote {
        /// The object, as `Kind namespace/name`.
        object: String,
        /// `created` or `deleted`.
        how: &'static str,
    },
    /// How far the Jobs are that copy or fill volumes; repeated.
    Volumes {
        /// `copying` or `filling`.
        doing: &'static str,
        /// For how long already, in seconds.
        for_seconds: u64,
        /// All of them, those that wait and those that are done too.
        volumes: Vec<VolumeProgress>,
    },
    /// Something failed and the run goes on.
    Problem(Problem),
}

/// How far the Job of one volume is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VolumeProgress {
    /// `namespace/claim`.
    pub volume: String,
    /// What is known of it: `waiting`, `running`, `done`, or why its pod does not start.
    pub state: String,
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes there are, as far as that is known.
    pub total_bytes: u64,
}

/// Who shows events: text on stderr, JSON lines, or nobody.
pub trait Reporter: Send + Sync {
    /// Takes one event. Must not block for long.
    fn event(&self, event: &Event);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: &Event) {}
}
