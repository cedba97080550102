//! Options of the lock of a store, and running under it.

use std::time::Duration;

use super::options::duration;
use super::run_lock::holder;
use super::{Failure, until_interrupted};
use crate::model::{Event, Housekeeping, Reporter, StoreLockKind, Timeouts};
use crate::store::{Store, StoreLock, StoreLockRequest};

/// How runs that use a store keep out of the way of one that prunes it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Lock of the store")]
pub(super) struct StoreLockArgs {
    /// How long to wait for another run that uses the store, such as 90s or 10m; with 0s it is refused once it is seen to live
    #[arg(long, env = "PROMSAFE_STORE_LOCK_TIMEOUT", value_parser = duration, default_value = "0s", value_name = "TIME")]
    store_lock_timeout: Duration,
    /// How long this run may give no sign of life before others take it for dead
    #[arg(long, env = "PROMSAFE_STORE_LOCK_DURATION", value_parser = duration, default_value = "1m", value_name = "TIME")]
    store_lock_duration: Duration,
}

/// Runs this with the lock of the store and gives the lock back, however it ends; with what there is to tell of the lock.
///
/// What is run asks [`StoreLock::still_held`] right before it seals a record or removes anything.
pub(super) async fn under_store_lock<T>(
    args: &StoreLockArgs,
    store: &Store,
    kind: StoreLockKind,
    doing: &str,
    reporter: &dyn Reporter,
    run: impl AsyncFnOnce(&StoreLock<'_>) -> Result<T, Failure>,
) -> Result<(T, Housekeeping), Failure> {
    let timeouts = Timeouts { store_lock: args.store_lock_duration, ..Timeouts::default() };
    let request = StoreLockRequest { kind, holder: holder(doing), wait: args.store_lock_timeout };
    let lock = until_interrupted(StoreLock::acquire(store, &request, &timeouts, reporter)).await?;
    let ended = lock.hold(run(&lock)).await;
    let took_over = (!lock.took_over().is_empty()).then(|| lock.took_over().join(", "));
    let problems: Vec<_> = lock.release().await.into_iter().collect();
    for problem in &problems {
        reporter.event(&Event::Problem(problem.clone()));
    }
    ended?.map(|done| (done, Housekeeping { took_over, problems, ..Housekeeping::default() }))
}
