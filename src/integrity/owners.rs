//! Names the volumes and files that pieces belong to: read again out of the trees, because only few pieces are ever bad.

use std::collections::{BTreeMap, HashMap};

use super::{Flaw, Verification};
use crate::model::{BackupRecord, Sha256};
use crate::store::{Fault, Store, StoreError};
use crate::trees;

/// Files named for one piece; more of them hold the same bytes.
const NAMED: usize = 10;

/// Adds a flaw for each bad piece to every backup that holds it, with the files it is part of.
pub(super) async fn name(
    store: &Store,
    records: &[BackupRecord],
    bad: &HashMap<Sha256, Fault>,
    verification: &mut Verification,
) -> Result<(), StoreError> {
    if bad.is_empty() {
        return Ok(());
    }
    for record in records {
        let mut owners: BTreeMap<Sha256, Vec<String>> = BTreeMap::new();
        let mut flawed: HashMap<String, u64> = HashMap::new();
        for (volume, copy) in trees::copies(record) {
            let name = trees::name_of(record, volume);
            let walked = trees::walk(store, &copy.tree, |entry| {
                let mut of_file = entry.pieces.iter().filter(|piece| bad.contains_key(*piece)).peekable();
                if of_file.peek().is_some() {
                    *flawed.entry(name.clone()).or_default() += 1;
                }
                for piece in of_file {
                    let owners = owners.entry(*piece).or_default();
                    let owner = format!("{name}: {}", entry.path);
                    if owners.len() < NAMED && owners.last() != Some(&owner) {
                        owners.push(owner);
                    }
                }
            });
            match walked.await {
                // A tree that cannot be read is a flaw already.
                Ok(()) | Err(StoreError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(verdict) = verification.backups.iter_mut().find(|verdict| verdict.id == record.id) else { continue };
        for volume in &mut verdict.volumes {
            volume.flawed += flawed.get(&volume.name).copied().unwrap_or(0);
        }
        for (piece, belongs_to) in owners {
            let Some(fault) = bad.get(&piece) else { continue };
            verdict.flaws.push(Flaw { belongs_to, ..Flaw::of_fault(fault.clone(), store.data_path(&piece)) });
        }
    }
    Ok(())
}
