//! Blocks that earlier copies hold: they are known, not read again.

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::walk::{Fate, Item};
use super::{CopyError, Copying};
use crate::data_directory::{Part, is_immutable_in_block, is_ulid, part};
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
    /// Gives the large files of known blocks the pieces they have there, and says how many bytes that are.
    pub(super) async fn take_over(&self, items: &mut [Item]) -> Result<u64, CopyError> {
        if self.known.is_empty() {
            return Ok(0);
        }
        let mut blocks: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            if let (TreeEntryKind::File, Some((home, ulid, _))) = (item.entry.kind, item.block()) {
                blocks.entry((home.to_owned(), ulid.to_owned())).or_default().push(at);
            }
        }
        let mut taken_over = 0;
        for ((_, ulid), block) in blocks {
            let Some(candidates) = self.known.get(&ulid) else { continue };
            let Some(meta) = self.meta_of(&block, items).await else { continue };
            let large: Vec<usize> = block.into_iter().filter(|at| is_large(&items[*at])).collect();
            let sizes = large.iter().map(|at| (path_in_block(&items[*at]), items[*at].entry.bytes)).collect();
            let fits = |known: &&KnownBlock| {
                known.files.get(META).is_some_and(|(_, pieces)| pieces[..] == [meta]) && known.has(&sizes)
            };
            let Some(known) = candidates.iter().find(fits) else { continue };
            if !self.holds(known)? {
                continue;
            }
            for at in large {
                let item = &mut items[at];
                if item.fate.is_some() {
                    continue;
                }
                let Some((_, pieces)) = known.files.get(path_in_block(item)) else { continue };
                item.entry.pieces.clone_from(pieces);
                item.fate = Some(Fate::Whole);
                taken_over += item.entry.bytes;
                self.progress.done(item.entry.bytes, 0);
            }
        }
        Ok(taken_over)
    }

    /// The hash of the block's `meta.json` as it is now; `None` when it cannot be told.
    async fn meta_of(&self, block: &[usize], items: &[Item]) -> Option<Sha256> {
        let meta = block.iter().map(|at| &items[*at]).find(|item| path_in_block(item) == META)?;
        let (path, bytes, source) = (meta.entry.path.clone(), meta.entry.bytes, self.source.clone());
        if bytes == 0 || bytes > PIECE_BYTES {
            return None;
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut content = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
            let read = source.open_source(&path)?.read(0, &mut content)?;
            Ok::<_, io::Error>(Sha256::of(&content[..read]))
        });
        read.await.ok()?.ok()
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

fn path_in_block(item: &Item) -> &str {
    item.block().map_or("", |(_, _, path)| path)
}

fn is_large(item: &Item) -> bool {
    is_immutable_in_block(path_in_block(item))
}
