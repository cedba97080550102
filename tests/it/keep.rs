//! What keeps a store with copied data sound: delete, prune and verify, on directories and on S3.

mod backups;
mod delete;
mod delete_snapshots;
mod flips;
mod prune;
mod prune_races;
mod stored;
mod verify;
