//! Looking at a data directory on several threads: each block is read by itself, so nothing but time depends on it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{io, thread};

use crate::tsdb::{BlockReport, Directory, Report, Subset, Survey, inspect_block, inspect_logs};

/// Looks at a whole data directory, on so many threads.
///
/// # Errors
/// [`io::ErrorKind::Interrupted`] once `stop` is set; when bytes cannot be had for another reason than that a file is
/// missing.
pub fn inspect_on_threads(
    directory: &dyn Directory,
    now_ms: Option<i64>,
    subset: Subset,
    threads: NonZeroUsize,
    stop: &AtomicBool,
) -> io::Result<Report> {
    let survey = Survey::take(directory, now_ms, subset)?;
    let chosen: Vec<_> = survey.chosen().collect();
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> io::Result<()> {
        while let Some(name) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let report = inspect_block(directory, name)?;
            reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
        }
        Ok(())
    };
    let logs = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get().min(chosen.len())).map(|_| scope.spawn(work)).collect();
        let logs = inspect_logs(directory, survey.newest_block_end_ms());
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        logs
    })?;
    if stop.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let reports: Vec<BlockReport> = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    survey.conclude(reports, logs)
}
