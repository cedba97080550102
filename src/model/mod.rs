//! The nouns of promsafe, and the [`Reporter`] trait. Plain values: no clock, no I/O, no client crate.

mod backup_id;
mod cluster;
mod collector;
mod event;
mod fingerprint;
mod housekeeping;
mod inventory;
mod key;
mod manifest;
mod origin;
mod problem;
mod record;
mod sha256;
mod snapshot;
mod store_lock;
mod timeouts;
mod tree;
mod worker;

pub use backup_id::{BackupId, BackupIdError};
pub use cluster::{ClusterIdentity, ServedKind, ServedKinds};
pub use collector::{Collector, Decisions};
pub use event::{Event, Reporter, Silent, VolumeProgress};
pub use fingerprint::{BlockMeta, Fingerprint, Head, Probe};
pub use housekeeping::Housekeeping;
pub use inventory::{DataVolume, Instance, InstanceKind, Inventory, MissingReference, Operator};
pub use key::{GroupKind, ObjectKey};
pub use manifest::CapturedManifest;
pub use origin::Origin;
pub use problem::{Problem, Refusal};
pub use record::{
    Affinity, BackupRecord, CopyRecord, DirectorySource, FORMAT, FORMAT_WITH_COPIES, FileRecord, Placement,
    VolumeRecord,
};
pub use sha256::{Hashing, Sha256, Sha256Error};
pub use snapshot::SnapshotRecord;
pub use store_lock::{StoreLockKind, StoreSign};
pub use timeouts::Timeouts;
pub use tree::{PIECE_BYTES, TreeEntry, TreeEntryKind};
pub use worker::{WorkerProgress, WorkerReport};
