//! The verify pipeline: finds the data, and reads its blocks on several threads. Writes nothing.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::files::LocalDirectory;
use crate::inspect::inspect_on_threads;
use crate::tsdb::{Below, Report, Subset, locate};

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
    let data = Below::new(&volume, below);
    let report = inspect_on_threads(&data, Some(request.now_ms), request.subset, request.threads, &request.stop);
    match report {
        Ok(report) => Ok(Verified { path: found, report }),
        Err(_) if request.stop.load(Ordering::Relaxed) => Err(VerifyError::Stopped),
        Err(error) => Err(read(error)),
    }
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
