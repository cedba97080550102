//! Options of the run lock, and running under it.

use std::time::Duration;

use super::options::duration;
use super::{Failure, until_interrupted};
use crate::cluster::Cluster;
use crate::lock::{LockRequest, RunLock};
use crate::model::{Event, Housekeeping, Reporter, Timeouts};

/// Where the kubelet tells a pod its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Where Linux tells the name of the host, in a pod that of the pod.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// How runs that write keep out of each other's way.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Run lock")]
pub(super) struct LockArgs {
    /// How long to wait for another run that is under way, such as 90s or 10m; with 0s it is refused at once
    #[arg(long, env = "PROMSAFE_LOCK_TIMEOUT", value_parser = duration, default_value = "0s", value_name = "TIME")]
    lock_timeout: Duration,
    /// Namespace of the Lease promsafe, the lock [default: that of promsafe's own pod; or promsafe where it exists, else default]
    #[arg(long, env = "PROMSAFE_LOCK_NAMESPACE", value_name = "NAME")]
    lock_namespace: Option<String>,
    /// Go on without the lock and sweep nothing; safe only when no other run can be under way
    #[arg(long, env = "PROMSAFE_NO_LOCK")]
    no_lock: bool,
}

impl LockArgs {
    /// Takes the lock for what is to be done, such as `backup 20261121T090000Z-7f3c`; `None` when none is wanted.
    pub(super) async fn acquire(
        &self,
        cluster: &Cluster,
        doing: &str,
        timeouts: &Timeouts,
        reporter: &dyn Reporter,
    ) -> Result<Option<RunLock>, Failure> {
        if self.no_lock {
            return Ok(None);
        }
        let request = LockRequest {
            namespace: self.lock_namespace.clone().or_else(|| read(NAMESPACE_FILE)).filter(|name| !name.is_empty()),
            holder: holder(doing),
            wait: self.lock_timeout,
        };
        until_interrupted(RunLock::acquire(cluster, &request, timeouts, reporter)).await.map(Some)
    }
}

fn read(file: &str) -> Option<String> {
    std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

/// This process and what it does, in words.
pub(super) fn holder(doing: &str) -> String {
    let host = read(HOST_NAME_FILE).or_else(|| std::env::var("HOSTNAME").ok());
    format!("{}/{} {doing}", host.as_deref().unwrap_or("unknown host"), std::process::id())
}

/// Runs this under the lock and gives the lock back, however it ends; with what there is to tell of the lock.
pub(super) async fn under<T>(
    lock: Option<RunLock>,
    reporter: &dyn Reporter,
    run: impl Future<Output = Result<T, Failure>>,
) -> Result<(T, Housekeeping), Failure> {
    let Some(mut lock) = lock else { return run.await.map(|done| (done, Housekeeping::default())) };
    let ended = lock.hold(run).await?;
    let took_over = lock.took_over().map(str::to_owned);
    let problems: Vec<_> = lock.release().await.into_iter().collect();
    for problem in &problems {
        reporter.event(&Event::Problem(problem.clone()));
    }
    ended.map(|done| (done, Housekeeping { took_over, problems, ..Housekeeping::default() }))
}
