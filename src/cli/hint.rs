//! What to type next when a command did not end well.

use std::error::Error;
use std::io;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};

use super::exit::{Exit, Failure};
use crate::cluster::ClusterError;
use crate::copy::CopyError;
use crate::copy_directory::CopyDirectoryError;
use crate::delete::DeleteError;
use crate::explain::ExplainError;
use crate::extract::ExtractError;
use crate::fill::FillError;
use crate::lock::LockError;
use crate::prune::PruneError;
use crate::store::{StoreError, StoreLockError, StoreUrl};
use crate::verify::VerifyError;

const OF_NO_SUCH_BACKUP: &str = "promsafe list shows the complete backups of a store; --store names another";

impl Failure {
    /// What to type or do next.
    pub fn hint(&self) -> String {
        self.hint_of_its_own().unwrap_or_else(|| self.usual_hint().to_owned())
    }

    /// Of a failure that one thing is to be done about, whatever its exit code.
    fn hint_of_its_own(&self) -> Option<String> {
        let hint = match self {
            Self::Store(StoreError::NoBackups { .. }) => {
                "does --store name the right place, and is its disk mounted? make one with: promsafe backup, or promsafe \
                 copy DIRECTORY"
            }
            Self::Store(StoreError::NoSuchBackup { wanted, .. })
                if wanted != "latest" && Told::is_command("verify") =>
            {
                return Some(format!("{OF_NO_SUCH_BACKUP}; for a directory write ./{wanted}"));
            }
            Self::Explain(ExplainError::Unknown { .. }) if Told::option("backup").is_some() => {
                "promsafe show ID tells what is in it; are kind, name and -n right?"
            }
            Self::Explain(ExplainError::Unknown { .. }) => {
                "promsafe discover lists what is in a backup that is taken now; are kind, name and -n right?"
            }
            Self::Verify(VerifyError::Read { path, source }) => return hint_of_directory(path, source),
            Self::Copy(CopyDirectoryError::Copy { source: CopyError::ReadDirectory { path, source }, .. }) => {
                return hint_of_directory(Path::new(path), source);
            }
            // Without the list of all files nothing can be brought back.
            Self::Extract(ExtractError::Fill {
                volume,
                source: FillError::Read { object, source: StoreError::Damaged { .. } },
                ..
            }) if *object != format!("tree of {volume}") => {
                "--skip-damaged brings back all else; promsafe list shows other backups"
            }
            failure => return hint_of_denied_store(store_error(failure)?),
        };
        Some(hint.to_owned())
    }

    fn usual_hint(&self) -> &'static str {
        if let Self::Lock(error) = self {
            return hint_of_lock(error);
        }
        if let Self::StoreLock(error) | Self::Prune(PruneError::Lock(error)) = self {
            return hint_of_store_lock(error);
        }
        if let Self::Prune(PruneError::Unreadable { .. }) = self {
            return "a newer format needs a newer promsafe; bring back what is damaged from a copy of the store, or give the \
                    backup up: promsafe delete ID --force (--yes without a terminal)";
        }
        if let Self::Verify(VerifyError::NoData { .. }) = self {
            return "name the directory that holds Prometheus' blocks and wal; a backup is named by its id: promsafe list";
        }
        if is_disk_full(self) {
            return "make room on that disk and run the same command again";
        }
        match self.exit() {
            Exit::Usage => "promsafe --help shows every option",
            Exit::Refused => match self {
                Self::Copy(_) | Self::Extract(_) | Self::Delete(_) | Self::Prune(_) | Self::SaveVolume(_) => {
                    "nothing was changed; mend what was refused and run it again"
                }
                _ => {
                    "nothing was changed; mend what was refused (promsafe rbac prints the permissions that a run needs) and \
                     run it again"
                }
            },
            Exit::NoSuchBackup => OF_NO_SUCH_BACKUP,
            Exit::Damaged => "promsafe list shows other backups; a newer format needs a newer promsafe",
            Exit::Unreachable => {
                "check the address, the credentials and the network: --kubeconfig and --context for the cluster, \
                 --store, --s3-endpoint, --ca-file and the AWS_ variables for the store"
            }
            Exit::TimedOut => "mend what was waited for and run the same command again; what is done is not done twice",
            Exit::Interrupted => "run the same command again",
            Exit::Failed | Exit::Problems | Exit::Done => "mend the cause and run the same command again",
        }
    }
}

/// What this run was told by options and variables. A failure does not carry it.
struct Told;

impl Told {
    /// The command with its options, read once more.
    fn command() -> Option<(String, ArgMatches)> {
        super::Args::command().try_get_matches().ok()?.remove_subcommand()
    }

    fn is_command(name: &str) -> bool {
        Self::command().is_some_and(|(command, _)| command == name)
    }

    fn option(name: &str) -> Option<String> {
        let (_, options) = Self::command()?;
        options.try_get_one::<String>(name).ok().flatten().cloned()
    }
}

/// How commands that are to be typed next find the store of this run, when only an option told it.
pub(super) fn for_this_store() -> Option<String> {
    let url: StoreUrl = Told::option("store")?.parse().ok()?;
    let (_, options) = Told::command()?;
    let is_typed = options.value_source("store") == Some(ValueSource::CommandLine);
    is_typed.then(|| format!("      for the store of this run: export PROMSAFE_STORE='{url}'"))
}

/// What the store said, of whichever step.
fn store_error(failure: &Failure) -> Option<&StoreError> {
    match failure {
        // Passed over by the chain below: they speak in the words of the store's error.
        Failure::Store(error)
        | Failure::Delete(DeleteError::Store(error))
        | Failure::Prune(PruneError::Store(error))
        | Failure::Explain(ExplainError::Store(error)) => Some(error),
        failure => chain(failure).find_map(|error| error.downcast_ref()),
    }
}

/// Of a store in a directory that this user may not use.
fn hint_of_denied_store(error: &StoreError) -> Option<String> {
    let StoreError::AccessDenied { doing, object, source, .. } = error else { return None };
    let kind = source.downcast_ref::<io::Error>()?.kind();
    // What lies below a directory that may not be searched cannot even be seen.
    let is_here = |path: &&Path| path.as_os_str().is_empty();
    let seen = Path::new(object).ancestors().find(|path| is_here(path) || path.exists())?;
    let seen = if is_here(&seen) { Path::new(".") } else { seen }.display();
    match (kind, *doing) {
        (io::ErrorKind::ReadOnlyFilesystem, _) => {
            Some(format!("{seen} is mounted read-only: mount it for writing, or name another store with --store"))
        }
        (io::ErrorKind::PermissionDenied, "write") => {
            Some(format!("run as the owner of {seen}, or change its owner, or name another store with --store"))
        }
        (io::ErrorKind::PermissionDenied, _) => {
            Some(format!("run as the owner of {seen} (files have mode 0600), or change its owner"))
        }
        _ => None,
    }
}

/// Of a directory on this machine that cannot be read.
fn hint_of_directory(path: &Path, error: &io::Error) -> Option<String> {
    let named = path.display();
    match error.kind() {
        io::ErrorKind::NotFound if !path.exists() => Some(format!(
            "{named} is not there: is its disk mounted? name the directory that holds Prometheus' blocks and wal"
        )),
        io::ErrorKind::NotADirectory if !path.is_dir() => {
            Some(format!("{named} is no directory: name the one that holds Prometheus' blocks and wal"))
        }
        io::ErrorKind::PermissionDenied => Some(format!(
            "this user lacks the permission to read {named}, or what is in it: run as the owner of its files"
        )),
        _ => None,
    }
}

/// A failure and its causes.
fn chain(failure: &Failure) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(failure as &(dyn Error + 'static)), |error| (*error).source())
}

/// Whether a disk, or what somebody may use of it, is full.
fn is_disk_full(failure: &Failure) -> bool {
    let mut kinds = chain(failure).filter_map(|error| error.downcast_ref::<io::Error>().map(io::Error::kind));
    kinds.any(|kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

fn hint_of_lock(error: &LockError) -> &'static str {
    match error {
        LockError::Held { .. } => {
            "nothing was changed; wait for the other run with --lock-timeout 10m; one that died is taken over as soon as it \
             has shown no sign of life for 30 s"
        }
        LockError::Ask { source: ClusterError::Forbidden { .. } | ClusterError::NotFound { .. }, .. } => {
            "nothing was changed; grant the permissions to get, create and patch leases.coordination.k8s.io in the \
             namespace of the lock, name another namespace with --lock-namespace, or go on without the lock: --no-lock"
        }
        LockError::Ask { .. } | LockError::Understand { .. } | LockError::Renew { .. } => {
            "mend the cause (--kubeconfig and --context name the cluster) and run the same command again"
        }
        LockError::Lost { .. } => {
            "it stood still for too long, so another run went on; wait for that one and run the same command again: \
             --lock-timeout 10m"
        }
    }
}

fn hint_of_store_lock(error: &StoreLockError) -> &'static str {
    match error {
        StoreLockError::Held { .. } => {
            "nothing was changed; wait for the other run with --store-lock-timeout 1h; what one that died left is removed as \
             soon as it has shown no sign of life for a minute"
        }
        StoreLockError::Ask { .. } | StoreLockError::Renew { .. } => {
            "mend the cause (--store names the store; locks/ in it has to be readable and writable) and run the same command \
             again"
        }
        StoreLockError::Lost { .. } => {
            "it stood still for too long, so another run went on; run the same command again: --store-lock-timeout 1h"
        }
    }
}
