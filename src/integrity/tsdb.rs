//! Whether Prometheus would start on a copied data directory and find all its samples, read where it lies in the store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use super::{TsdbVerdict, Verification};
use crate::data_directory::is_data_directory;
use crate::inspect::inspect_on_threads;
use crate::model::{Event, Reporter, Sha256};
use crate::store::{Store, StoreError};
use crate::stored::StoredDirectory;
use crate::tsdb::{Directory, EntryKind, Subset};
use crate::words;

/// Blocks that are read at once: while one waits for the store, the other is looked at.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Adds a verdict to each copied volume that is a data directory; each tree is looked at once. Returns the pieces that were
/// read meanwhile and are what was written.
pub(super) async fn inspect(
    store: &Store,
    now_ms: i64,
    verification: &mut Verification,
    reporter: &dyn Reporter,
) -> Result<HashSet<Sha256>, StoreError> {
    let mut sound = HashSet::new();
    let mut seen: HashMap<Sha256, Option<TsdbVerdict>> = HashMap::new();
    for backup in &mut verification.backups {
        for volume in &mut backup.volumes {
            let verdict = if let Some(verdict) = seen.get(&volume.tree) {
                verdict.clone()
            } else {
                reporter.event(&Event::Step { doing: format!("reading the TSDB of {}", volume.name) });
                look(store, &volume.tree, now_ms, &mut sound).await?
            };
            seen.insert(volume.tree, verdict.clone());
            volume.tsdb = verdict;
        }
    }
    Ok(sound)
}

/// `None` for what is no data directory, and for a tree that cannot be read, which is a flaw of its own.
async fn look(
    store: &Store,
    tree: &Sha256,
    now_ms: i64,
    sound: &mut HashSet<Sha256>,
) -> Result<Option<TsdbVerdict>, StoreError> {
    let directory = match StoredDirectory::open(store, tree).await {
        Ok(directory) => directory,
        Err(StoreError::Damaged { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if !is_tsdb(&directory) {
        return Ok(None);
    }
    // Reading is synchronous and waits for the store; other tasks go on meanwhile.
    let inspected = tokio::task::block_in_place(|| {
        inspect_on_threads(&directory, Some(now_ms), Subset::ALL, AT_ONCE, &AtomicBool::new(false))
    });
    sound.extend(directory.into_sound());
    Ok(Some(match inspected {
        Ok(report) => TsdbVerdict::Inspected(Box::new(report)),
        Err(error) => TsdbVerdict::Unreadable(words::chain(&error)),
    }))
}

fn is_tsdb(directory: &dyn Directory) -> bool {
    let names = |path: &str| directory.list(path).unwrap_or_default();
    let directories: BTreeSet<String> =
        names("").into_iter().filter(|entry| entry.kind == EntryKind::Directory).map(|entry| entry.name).collect();
    is_data_directory(directories.iter().map(String::as_str), |name| {
        names(name).iter().any(|entry| entry.name == "meta.json")
    })
}
