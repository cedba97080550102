//! Blocks that earlier copies hold: they are known, not read again.

use std::collections::{BTreeMap, HashMap};

use super::walk::{Fate, Item};
use super::{CopyError, Copying};
use crate::data_directory::{Part, is_immutable_in_block, is_ulid, part};
use crate::files::{LocalDirectory, Stamp};
use crate::model::{PIECE_BYTES, Problem, Sha256, TreeEntry, TreeEntryKind};
use crate::store::{Store, StoreError};
use crate::tree_format::TreeReader;

/// The file that tells one block from another.
const META: &str = "meta.json";

/// Blocks by ULID.
pub(super) type KnownBlocks = HashMap<String, Vec<KnownBlock>>;

/// A block as an earlier tree has it: sizes and pieces of its files by their path in it.
#[derive(Debug, Default)]
pub(super) struct KnownBlock {
    files: BTreeMap<String, (u64, Vec<Sha256>)>,
}

/// A block that is here: where its files are among the items.
struct Block {
    ulid: String,
    files: Vec<usize>,
}

/// Reads the blocks of earlier trees. A tree that is damaged is a problem: its blocks are read again.
pub(super) async fn read(
    store: &Store,
    trees: &[Sha256],
    problems: &mut Vec<Problem>,
) -> Result<KnownBlocks, StoreError> {
    let mut known = KnownBlocks::default();
    for tree in trees {
        let spoilt = match store.get_data(tree).await {
            Ok(bytes) => match blocks(&bytes) {
                Ok(blocks) => {
                    for (ulid, block) in blocks {
                        known.entry(ulid).or_default().push(block);
                    }
                    continue;
                }
                Err(error) => crate::words::chain(&error),
            },
            Err(error @ StoreError::Damaged { .. }) => crate::words::chain(&error),
            Err(error) => return Err(error),
        };
        problems.push(Problem {
            object: format!("tree {tree}"),
            tried: "look for known blocks in an earlier copy".to_owned(),
            cause: spoilt,
            hint: "this copy is not affected; promsafe verify shows which backups are damaged".to_owned(),
        });
    }
    Ok(known)
}

fn blocks(bytes: &[u8]) -> Result<HashMap<String, KnownBlock>, crate::tree_format::TreeError> {
    let mut blocks: HashMap<String, KnownBlock> = HashMap::new();
    for entry in TreeReader::new(bytes) {
        let entry = entry?;
        let Some((ulid, path)) = in_block(&entry) else { continue };
        let (ulid, path) = (ulid.to_owned(), path.to_owned());
        blocks.entry(ulid).or_default().files.insert(path, (entry.bytes, entry.pieces));
    }
    Ok(blocks)
}

/// The block a file is in, wherever the data directory is, and its path in it.
fn in_block(entry: &TreeEntry) -> Option<(&str, &str)> {
    let begins = std::iter::once(0).chain(entry.path.match_indices('/').map(|(at, _)| at + 1));
    let path = begins.map(|at| &entry.path[at..]).find(|path| matches!(part(path), Part::Block(_)))?;
    let (ulid, below) = path.split_once('/')?;
    (entry.kind == TreeEntryKind::File && is_ulid(ulid)).then_some((ulid, below))
}

impl KnownBlock {
    /// Whether files of these names and sizes are those of the block.
    fn has(&self, files: &BTreeMap<&str, u64>) -> bool {
        let own = self.files.iter().filter(|(path, _)| is_immutable_in_block(path));
        own.map(|(path, (bytes, _))| (path.as_str(), *bytes)).eq(files.iter().map(|(path, bytes)| (*path, *bytes)))
    }
}

impl Copying<'_> {
    /// Gives the files of known blocks the pieces they have there, and says how many bytes were not read for that: those
    /// of the large files. The small ones, which may change, are read.
    pub(super) async fn take_over(&self, items: &mut [Item]) -> Result<u64, CopyError> {
        let blocks = self.blocks_known_by_name(items);
        if blocks.is_empty() {
            return Ok(0);
        }
        let small = self.hashes_of_small(&blocks, items).await;
        let mut taken_over = 0;
        for Block { ulid, files } in blocks {
            let meta = files.iter().find(|at| path_in_block(&items[**at]) == META).and_then(|at| small.get(at));
            let (Some(candidates), Some(meta)) = (self.known.get(&ulid), meta) else { continue };
            let large = files.iter().map(|at| &items[*at]).filter(|item| is_large(item));
            let sizes = large.map(|item| (path_in_block(item), item.entry.bytes)).collect();
            let fits = |known: &&KnownBlock| {
                known.files.get(META).is_some_and(|(_, pieces)| pieces[..] == [*meta]) && known.has(&sizes)
            };
            let Some(known) = candidates.iter().find(fits) else { continue };
            if !self.holds(known)? {
                continue;
            }
            for at in files {
                let item = &mut items[at];
                let Some((_, pieces)) = known.files.get(path_in_block(item)) else { continue };
                if item.fate.is_some() || !(is_large(item) || self.is_same_and_there(item, pieces, small.get(&at))?) {
                    continue;
                }
                item.entry.pieces.clone_from(pieces);
                item.fate = Some(Fate::Whole);
                taken_over += if is_large(item) { item.entry.bytes } else { 0 };
                self.progress.done(item.entry.bytes, 0);
            }
        }
        Ok(taken_over)
    }

    /// The blocks here of which an earlier copy has one of the same ULID.
    fn blocks_known_by_name(&self, items: &[Item]) -> Vec<Block> {
        let mut blocks: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (at, item) in items.iter().enumerate().filter(|(_, item)| item.entry.kind == TreeEntryKind::File) {
            if let Some((home, ulid, _)) = item.block().filter(|(_, ulid, _)| self.known.contains_key(*ulid)) {
                blocks.entry((home, ulid)).or_default().push(at);
            }
        }
        blocks.into_iter().map(|((_, ulid), files)| Block { ulid: ulid.to_owned(), files }).collect()
    }

    /// The hashes of the small files of blocks as they are now, by where they are among the items; without those that
    /// cannot be told.
    async fn hashes_of_small(&self, blocks: &[Block], items: &[Item]) -> HashMap<usize, Sha256> {
        let files = blocks.iter().flat_map(|block| &block.files).map(|at| (*at, &items[*at]));
        let small: Vec<_> = files
            .filter(|(_, item)| !is_large(item))
            .map(|(at, item)| (at, item.entry.path.clone(), Stamp::of(&item.entry)))
            .collect();
        let source = self.source.clone();
        // All in one task: to change threads for each takes longer than to read it.
        let read = tokio::task::spawn_blocking(move || {
            small.into_iter().filter_map(|(at, path, stamp)| Some((at, hash_of(&source, &path, stamp)?))).collect()
        });
        read.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Whether a small file is the one of this piece, and the store still holds that.
    fn is_same_and_there(&self, item: &Item, pieces: &[Sha256], now: Option<&Sha256>) -> Result<bool, StoreError> {
        match (pieces, now) {
            ([piece], Some(now)) if piece == now => self.is_there(piece, item.entry.bytes),
            _ => Ok(false),
        }
    }

    /// Whether the store still holds all pieces of the block's large files.
    fn holds(&self, known: &KnownBlock) -> Result<bool, StoreError> {
        for (_, (bytes, pieces)) in known.files.iter().filter(|(path, _)| is_immutable_in_block(path)) {
            let sizes = (0..).map(|at| bytes.saturating_sub(at * PIECE_BYTES).min(PIECE_BYTES));
            for (piece, size) in pieces.iter().zip(sizes) {
                if !self.is_there(piece, size)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// The hash of a file that has this stamp before it is read and after.
fn hash_of(source: &LocalDirectory, path: &str, stamp: Stamp) -> Option<Sha256> {
    if stamp.bytes == 0 || stamp.bytes > PIECE_BYTES {
        return None;
    }
    let mut content = vec![0; usize::try_from(stamp.bytes).ok()?];
    let file = source.open_source(path).ok()?;
    let read = file.read(0, &mut content).ok()?;
    (read == content.len() && file.stamp().ok()? == stamp).then(|| Sha256::of(&content))
}

fn path_in_block(item: &Item) -> &str {
    item.block().map_or("", |(_, _, path)| path)
}

fn is_large(item: &Item) -> bool {
    is_immutable_in_block(path_in_block(item))
}
