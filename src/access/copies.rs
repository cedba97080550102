//! The rows of the table for copies of volumes. They are in roles only when that is asked for.

use super::table::READ;
use super::{Need, Permission, Place, Run};

const COPIERS: &[Run] = &[Run::Backup, Run::Restore];
const BACKUP: &[Run] = &[Run::Backup];
const RESTORE: &[Run] = &[Run::Restore];

/// What most rows are.
const COPY: Permission = Permission { runs: COPIERS, need: Need::Copy, place: Place::Captured, ..READ };

/// What copies need besides.
pub(super) const ROWS: &[Permission] = &[
    Permission {
        group: "batch",
        resources: &["jobs"],
        verbs: &["create", "get", "list", "delete"],
        because: "only for copies: a Job beside each volume reads or writes its files",
        ..COPY
    },
    Permission {
        resources: &["secrets"],
        verbs: &["create", "patch", "list", "delete"],
        because: "only for copies: the credentials of the store for such a Job, renewed before they end, gone with it",
        ..COPY
    },
    Permission {
        resources: &["pods"],
        verbs: &["get", "list"],
        because: "only for copies: as which user the pods of a volume run, and how the pod of such a Job ended",
        ..COPY
    },
    Permission { resources: &["pods/log"], verbs: &["get"], because: "only for copies: how far such a Job is", ..COPY },
    Permission { resources: &["events"], because: "only for copies: why the pod of such a Job does not start", ..COPY },
    Permission {
        runs: BACKUP,
        resources: &["persistentvolumeclaims"],
        verbs: &["create", "get", "list", "delete"],
        because: "only for copies: a claim made of the snapshot, from which the Job reads, and which is deleted again",
        ..COPY
    },
    Permission {
        runs: BACKUP,
        place: Place::Cluster,
        resources: &["persistentvolumes"],
        verbs: &["get", "patch"],
        because: "only for copies: the volume of such a claim goes with it, also when its class would retain it",
        ..COPY
    },
    Permission {
        runs: RESTORE,
        resources: &["persistentvolumeclaims"],
        verbs: &["get", "list", "patch"],
        because: "only for copies: a claim that is filled and verified is marked, so that nothing fills it again",
        ..COPY
    },
];
