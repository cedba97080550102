//! What can go wrong with a worker, in the terms the exit codes need.

use crate::cluster::ClusterError;
use crate::store::StoreError;

/// A volume's Job did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// What it needs of the store is not to be had.
    #[error("hand the store over to Job {job}")]
    HandOver {
        /// The Job.
        job: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The store is a directory of this machine.
    #[error("hand the store over to Job {job}: a directory cannot be reached from there")]
    Unreachable {
        /// The Job.
        job: String,
    },
    /// An object could not be written or read.
    #[error("{tried} {object}")]
    Talk {
        /// `create`, `read`, `renew` or `delete`.
        tried: &'static str,
        /// The object.
        object: String,
        /// Why.
        #[source]
        source: ClusterError,
    },
    /// Its pod did not begin.
    #[error("{task} volume {volume}: the pod of Job {job} did not start within {after_seconds} s: {why}")]
    Start {
        /// `save` or `fill`.
        task: &'static str,
        /// The volume.
        volume: String,
        /// The Job.
        job: String,
        /// How long it was waited for, in seconds.
        after_seconds: u64,
        /// What is known of it.
        why: String,
    },
    /// It failed.
    #[error("{task} volume {volume}: Job {job} failed: {why}")]
    Work {
        /// `save` or `fill`.
        task: &'static str,
        /// The volume.
        volume: String,
        /// The Job.
        job: String,
        /// Exit code of the worker, if it ended by itself.
        exit_code: Option<i32>,
        /// Its last words.
        why: String,
    },
    /// It did not end in time.
    #[error("{task} volume {volume}: Job {job} was not done after {after_seconds} s; {why}")]
    End {
        /// `save` or `fill`.
        task: &'static str,
        /// The volume.
        volume: String,
        /// The Job.
        job: String,
        /// The deadline in seconds.
        after_seconds: u64,
        /// How far it was.
        why: String,
    },
}
