//! Verifying backups in a store: is every object there that records and trees name, and is it what was written. Reads only.
//! Every object is read once, however many backups and files hold it, and a few at a time.

mod owners;
mod tsdb;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::StreamExt;

use crate::layout;
use crate::marks::Mark;
use crate::model::{BackupId, BackupRecord, Event, Reporter, Sha256, TreeEntryKind};
use crate::store::{Fault, Store, StoreError};
use crate::{trees, words};
pub use verdict::{BackupVerdict, Flaw, Trouble, TsdbVerdict, Verification, VolumeVerdict};

/// Objects that are read and hashed at once: they bound the memory.
const IN_FLIGHT: usize = 8;

/// How closely objects are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Whether they are there and have the right size; records and trees are read and hashed.
    List,
    /// Their bytes are hashed.
    Hash,
    /// Besides, copied data directories are read as Prometheus reads them.
    Tsdb,
}

/// What is verified.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// The backups.
    pub backups: Vec<BackupId>,
    /// How closely.
    pub level: Level,
    /// So many percent of the pieces are hashed; all at 100.
    pub percent: u8,
    /// Chooses which; another number, other pieces.
    pub seed: u64,
    /// What time it is, in milliseconds since the epoch: blocks of the future are told by it.
    pub now_ms: i64,
}

/// Looks at backups.
///
/// # Errors
/// When the store cannot be read; what is damaged or missing is a [`Flaw`].
pub async fn verify(
    store: &Store,
    request: &VerifyRequest,
    reporter: &dyn Reporter,
) -> Result<Verification, StoreError> {
    let mut verification = Verification { level: request.level, percent: request.percent, ..Verification::default() };
    about_store(store, &mut verification).await?;
    let mut looking = Looking { store, request, there: None, pieces: HashMap::new(), trees: BTreeMap::new() };
    let mut records = Vec::new();
    for id in &request.backups {
        reporter.event(&Event::Step { doing: format!("looking at backup {id}") });
        let mut verdict = BackupVerdict::new(id.clone());
        match store.open_backup(id).await {
            Ok(opened) => {
                let record = opened.record().clone();
                looking.backup(&record, &mut verdict).await?;
                records.push(record);
            }
            Err(StoreError::Damaged { why, .. } | StoreError::NoSuchBackup { there: why, .. }) => {
                verdict.flaws.push(Flaw::new(Trouble::Damaged, store.path_in(id, layout::RECORD), why));
            }
            Err(error @ StoreError::NewerFormat { .. }) => {
                let why = words::chain(&error);
                verdict.flaws.push(Flaw::new(Trouble::Damaged, store.path_in(id, layout::RECORD), why));
            }
            Err(error) => return Err(error),
        }
        verification.backups.push(verdict);
    }
    let sound = match request.level {
        Level::Tsdb => tsdb::inspect(store, request.now_ms, &mut verification, reporter).await?,
        Level::List | Level::Hash => HashSet::new(),
    };
    let bad = looking.hash_pieces(&sound, &mut verification, reporter).await?;
    owners::name(store, &records, &bad, &mut verification).await?;
    Ok(verification)
}

/// What concerns the store as a whole: its identity, and its marks.
async fn about_store(store: &Store, verification: &mut Verification) -> Result<(), StoreError> {
    match store.origin().await {
        Ok(_) => {}
        Err(StoreError::Damaged { why, .. }) => {
            verification.flaws.push(Flaw::new(Trouble::Damaged, store.origin_path(), why));
        }
        Err(error) => return Err(error),
    }
    for mark in store.marks().await? {
        let why = match store.read_mark(&mark).await {
            Ok(bytes) => Mark::from_lines(&bytes).err().map(|error| error.to_string()),
            Err(StoreError::Damaged { why, .. }) => Some(why),
            Err(error) => return Err(error),
        };
        let flaw = why.map(|why| Flaw::new(Trouble::Damaged, store.mark_path(&mark), why));
        verification.flaws.extend(flaw);
    }
    Ok(())
}

/// What is known while several backups are looked at.
struct Looking<'a> {
    store: &'a Store,
    request: &'a VerifyRequest,
    /// Pieces and trees that are there, once somebody asked.
    there: Option<HashMap<Sha256, u64>>,
    /// Pieces that are to be there, with their sizes.
    pieces: HashMap<Sha256, u64>,
    /// What was found of each tree: nothing when it is sound.
    trees: BTreeMap<Sha256, TreeSeen>,
}

/// What was found of a tree.
#[derive(Debug, Clone, Default)]
struct TreeSeen {
    files: u64,
    bytes: u64,
    trouble: Option<(Trouble, String)>,
}

impl Looking<'_> {
    /// Looks at all of a backup but the bytes of its pieces.
    async fn backup(&mut self, record: &BackupRecord, verdict: &mut BackupVerdict) -> Result<(), StoreError> {
        self.files(record, verdict).await?;
        for (volume, copy) in trees::copies(record) {
            let seen = self.tree(&copy.tree, copy.tree_bytes).await?;
            let name = trees::name_of(record, volume);
            let mut volume = VolumeVerdict {
                name: name.clone(),
                tree: copy.tree,
                files: copy.files,
                bytes: copy.bytes,
                flawed: 0,
                tsdb: None,
            };
            let counted = (seen.files, seen.bytes);
            let trouble = seen.trouble.or_else(|| {
                (counted != (copy.files, copy.bytes)).then(|| {
                    let (files, bytes) = counted;
                    let why = format!("it lists {files} files of {bytes} bytes, not {} of {}", copy.files, copy.bytes);
                    (Trouble::Damaged, why)
                })
            });
            if let Some((trouble, why)) = trouble {
                let mut flaw = Flaw::new(trouble, self.store.data_path(&copy.tree), why);
                flaw.belongs_to.push(format!("{name}: the list of all its files"));
                verdict.flaws.push(flaw);
                volume.flawed = copy.files;
            }
            verdict.volumes.push(volume);
        }
        Ok(())
    }

    /// The files beside the record: missing, changed, and those that nobody listed.
    async fn files(&self, record: &BackupRecord, verdict: &mut BackupVerdict) -> Result<(), StoreError> {
        let id = &record.id;
        let there: BTreeMap<String, u64> = self.store.files_of(id).await?.into_iter().collect();
        for file in &record.files {
            let fault = match there.get(&file.name) {
                None => Some(Fault::Missing),
                Some(bytes) if *bytes != file.bytes => {
                    Some(Fault::Damaged(format!("it has {bytes} bytes, not {}", file.bytes)))
                }
                Some(_) if self.request.level < Level::Hash => None,
                Some(_) => self.store.check_file(id, file).await?,
            };
            verdict.objects += 1;
            verdict.bytes += file.bytes;
            if let Some(fault) = fault {
                let mut flaw = Flaw::of_fault(fault, self.store.path_in(id, &file.name));
                let what = if file.name == layout::BUNDLE { "all captured objects" } else { "a file of the backup" };
                flaw.belongs_to.push(format!("{what} of backup {id}"));
                verdict.flaws.push(flaw);
            }
        }
        let listed: BTreeSet<&str> =
            record.files.iter().map(|file| file.name.as_str()).chain([layout::RECORD]).collect();
        for name in there.keys().filter(|name| !listed.contains(name.as_str())) {
            let why = "its record does not list it".to_owned();
            verdict.flaws.push(Flaw::new(Trouble::Extra, self.store.path_in(id, name), why));
        }
        Ok(())
    }

    /// Reads a tree and notes its pieces.
    async fn tree(&mut self, tree: &Sha256, tree_bytes: u64) -> Result<TreeSeen, StoreError> {
        if let Some(seen) = self.trees.get(tree) {
            return Ok(seen.clone());
        }
        if self.there.is_none() {
            self.there = Some(self.store.data().await?);
        }
        let mut seen = TreeSeen::default();
        let pieces = &mut self.pieces;
        let walked = trees::walk(self.store, tree, |entry| {
            if entry.kind == TreeEntryKind::File {
                seen.files += 1;
                seen.bytes += entry.bytes;
                pieces.extend(entry.sized_pieces().map(|(piece, bytes)| (*piece, bytes)));
            }
        })
        .await;
        let listed = self.there.as_ref().and_then(|there| there.get(tree)).copied();
        seen.trouble = match (walked, listed) {
            (Err(StoreError::Damaged { .. }), None) => Some((Trouble::Missing, "it is missing".to_owned())),
            (Err(StoreError::Damaged { why, .. }), Some(_)) => Some((Trouble::Damaged, why)),
            (Err(error), _) => return Err(error),
            (Ok(()), Some(bytes)) if bytes != tree_bytes => {
                Some((Trouble::Damaged, format!("it has {bytes} bytes, not {tree_bytes}")))
            }
            (Ok(()), _) => None,
        };
        self.trees.insert(*tree, seen.clone());
        Ok(seen)
    }

    /// Holds every piece to its size and, at that level, to its hash, unless it is known to be sound. Returns those that are
    /// not as they should be.
    async fn hash_pieces(
        &self,
        sound: &HashSet<Sha256>,
        verification: &mut Verification,
        reporter: &dyn Reporter,
    ) -> Result<HashMap<Sha256, Fault>, StoreError> {
        let none = HashMap::new();
        let there = self.there.as_ref().unwrap_or(&none);
        let mut bad = HashMap::new();
        let mut to_hash = Vec::new();
        for (piece, bytes) in &self.pieces {
            verification.pieces += 1;
            verification.piece_bytes += bytes;
            match there.get(piece) {
                None => drop(bad.insert(*piece, Fault::Missing)),
                Some(found) if found != bytes => {
                    bad.insert(*piece, Fault::Damaged(format!("it has {found} bytes, not {bytes}")));
                }
                Some(_) if self.is_chosen(piece) && sound.contains(piece) => {
                    verification.hashed += 1;
                    verification.hashed_bytes += bytes;
                }
                Some(_) if self.is_chosen(piece) => to_hash.push((*piece, *bytes)),
                Some(_) => {}
            }
        }
        if to_hash.is_empty() {
            return Ok(bad);
        }
        reporter.event(&Event::Step { doing: format!("hashing {} pieces", to_hash.len()) });
        let checks = to_hash
            .into_iter()
            .map(async |(piece, bytes)| self.store.check_data(piece, bytes).await.map(|fault| (piece, bytes, fault)));
        let mut checks = futures::stream::iter(checks).buffer_unordered(IN_FLIGHT);
        while let Some(checked) = checks.next().await {
            let (piece, bytes, fault) = checked?;
            verification.hashed += 1;
            verification.hashed_bytes += bytes;
            bad.extend(fault.map(|fault| (piece, fault)));
        }
        Ok(bad)
    }

    fn is_chosen(&self, piece: &Sha256) -> bool {
        let first = piece.as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
        let number = first ^ self.request.seed;
        // Multiplication spreads what the seed changes over all bits.
        let share = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.request.level >= Level::Hash && share * 100 < u64::from(self.request.percent) << 32
    }
}
