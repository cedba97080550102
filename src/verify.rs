//! The verify pipeline: finds the data, reads its blocks on several threads, and concludes. Writes nothing.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use crate::files::LocalDirectory;
use crate::tsdb::{Below, BlockReport, Directory, Report, Subset, Survey, inspect_block, inspect_logs, locate};

/// How to look.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// Which blocks are read whole.
    pub subset: Subset,
    /// What time it is, in milliseconds since the epoch.
    pub now_ms: i64,
    /// Blocks that are read at once.
    pub threads: NonZeroUsize,
    /// Set when the run shall stop.
    pub stop: Arc<AtomicBool>,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The data directory.
    pub path: PathBuf,
    /// The verdict on it.
    pub report: Report,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is nothing that looks like data of Prometheus.
    #[error("find a Prometheus data directory in {}, or in prometheus-db or data below it: no block and no WAL is there", path.display())]
    NoData {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Something could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was asked to stop.
    #[error("stopped before all blocks were read")]
    Stopped,
}

/// Looks at a data directory of this machine, or at a volume that holds one.
///
/// # Errors
/// When there is no data, or it cannot be read, or the run was asked to stop.
pub fn verify_directory(path: &Path, request: &VerifyRequest) -> Result<Verified, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    let volume = LocalDirectory::new(path);
    let below = locate(&volume).map_err(read)?.ok_or_else(|| VerifyError::NoData { path: path.to_owned() })?;
    let found = if below.is_empty() { path.to_owned() } else { path.join(&below) };
    let report = verify(&Below::new(&volume, below), request).map_err(read)?;
    let report = report.ok_or(VerifyError::Stopped)?;
    Ok(Verified { path: found, report })
}

/// Looks at any data directory; `None` when it was asked to stop.
///
/// # Errors
/// When it cannot be read.
pub fn verify(directory: &dyn Directory, request: &VerifyRequest) -> io::Result<Option<Report>> {
    let survey = Survey::take(directory, Some(request.now_ms), request.subset)?;
    let chosen: Vec<_> = survey.chosen().collect();
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> io::Result<()> {
        while let Some(name) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            if request.stop.load(Ordering::Relaxed) {
                break;
            }
            let report = inspect_block(directory, name)?;
            reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
        }
        Ok(())
    };
    let logs = thread::scope(|scope| {
        let workers: Vec<_> = (0..request.threads.get().min(chosen.len())).map(|_| scope.spawn(work)).collect();
        let logs = inspect_logs(directory, survey.newest_block_end_ms());
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        logs
    })?;
    if request.stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let reports: Vec<BlockReport> = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    survey.conclude(reports, logs).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(stop: bool) -> VerifyRequest {
        VerifyRequest {
            subset: Subset::ALL,
            now_ms: 1_800_000_000_000,
            threads: NonZeroUsize::new(3).unwrap(),
            stop: Arc::new(AtomicBool::new(stop)),
        }
    }

    fn testdata() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tsdb/two-blocks")
    }

    #[test]
    fn threads_come_to_the_same_verdict_as_one() {
        let verified = verify_directory(&testdata(), &request(false)).unwrap();
        let alone =
            crate::tsdb::inspect(&LocalDirectory::new(testdata()), Some(1_800_000_000_000), Subset::ALL).unwrap();
        assert_eq!((verified.report, verified.path), (alone, testdata()));
    }

    #[test]
    fn a_run_that_is_stopped_gives_no_verdict() {
        assert!(matches!(verify_directory(&testdata(), &request(true)), Err(VerifyError::Stopped)));
    }

    #[test]
    fn a_directory_without_data_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let error = verify_directory(empty.path(), &request(false)).unwrap_err();
        assert!(error.to_string().contains(&empty.path().display().to_string()), "{error}");
        assert!(matches!(verify_directory(&empty.path().join("x"), &request(false)), Err(VerifyError::Read { .. })));
    }
}
