//! What to type next when a command did not end well.

use std::error::Error;
use std::io;

use super::exit::{Exit, Failure};
use crate::cluster::ClusterError;
use crate::lock::LockError;
use crate::prune::PruneError;
use crate::store::StoreLockError;
use crate::verify::VerifyError;

impl Failure {
    /// What to type or do next.
    pub fn hint(&self) -> &'static str {
        if let Self::Lock(error) = self {
            return hint_of_lock(error);
        }
        if let Self::StoreLock(error) | Self::Prune(PruneError::Lock(error)) = self {
            return hint_of_store_lock(error);
        }
        if let Self::Prune(PruneError::Unreadable { .. }) = self {
            return "a newer format needs a newer promsafe; bring back what is damaged from a copy of the store, or give the \
                    backup up: promsafe delete ID --force";
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
            Exit::NoSuchBackup => "promsafe list shows the complete backups of a store; --store names another",
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

/// Whether a disk, or what somebody may use of it, is full.
fn is_disk_full(failure: &Failure) -> bool {
    let chain = std::iter::successors(Some(failure as &(dyn Error + 'static)), |error| (*error).source());
    let mut kinds = chain.filter_map(|error| error.downcast_ref::<io::Error>().map(io::Error::kind));
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
