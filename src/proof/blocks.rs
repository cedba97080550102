//! Which blocks came back, though Prometheus compacts freshly loaded ones within a minute into blocks of other names.
//! It knows ULIDs, sources and sample counts; it does not know where the lists came from.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Tally;
use crate::model::BlockMeta;

/// Blocks and samples of then and now, and what is missing, in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BlockComparison {
    pub(super) blocks: Tally,
    pub(super) samples: Tally,
    pub(super) differences: Vec<String>,
}

/// Compares two block lists.
///
/// A block is back when its ULID is there, or when all the level-1 blocks it was made of are among the sources of blocks that
/// are there. Samples are compared per group of blocks that share sources, then and now: a group counts what its blocks now
/// hold, at most what they held when a source from after the backup went in as well.
pub(super) fn compare_blocks(then: &[BlockMeta], now: &[BlockMeta]) -> BlockComparison {
    let ulids: BTreeSet<&str> = now.iter().map(|block| block.ulid.as_str()).collect();
    let sources: BTreeSet<&str> = now.iter().flat_map(sources_of).collect();
    let is_back = |block: &BlockMeta| {
        ulids.contains(block.ulid.as_str()) || sources_of(block).iter().all(|source| sources.contains(source))
    };
    let mut result = BlockComparison::default();
    for block in then {
        result.blocks.then += 1;
        if is_back(block) {
            result.blocks.now += 1;
        } else {
            result.differences.push(format!("block {} is missing", in_words(block)));
        }
    }
    for group in groups(then, now) {
        let held: u64 = group.then.iter().map(|block| block.samples).sum();
        let holds = group.samples_now();
        result.samples.then += held;
        result.samples.now += holds;
        if held != holds && group.then.iter().all(|block| is_back(block)) {
            let names: Vec<&str> = group.then.iter().map(|block| block.ulid.as_str()).collect();
            result.differences.push(format!("block {}: {held} samples then, {holds} now", names.join(" + ")));
        }
    }
    result
}

/// `01J… (2026-11-20T08:00:00Z .. 2026-11-20T10:00:00Z, 1200 samples)`.
fn in_words(block: &BlockMeta) -> String {
    let time = |ms| Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |at| at.to_string());
    let (from, to) = (time(block.min_time_ms), time(block.max_time_ms));
    format!("{} ({from} .. {to}, {} samples)", block.ulid, block.samples)
}

/// Its sources; a block that names none is its own.
fn sources_of(block: &BlockMeta) -> Vec<&str> {
    if block.sources.is_empty() {
        vec![block.ulid.as_str()]
    } else {
        block.sources.iter().map(String::as_str).collect()
    }
}

/// Blocks of then and now that share sources, directly or through others.
#[derive(Default)]
struct Group<'a> {
    then: Vec<&'a BlockMeta>,
    now: Vec<&'a BlockMeta>,
}

impl Group<'_> {
    fn samples_now(&self) -> u64 {
        let held: u64 = self.then.iter().map(|block| block.samples).sum();
        let holds: u64 = self.now.iter().map(|block| block.samples).sum();
        let known: BTreeSet<&str> = self.then.iter().flat_map(|block| sources_of(block)).collect();
        let has_newer = self.now.iter().flat_map(|block| sources_of(block)).any(|source| !known.contains(source));
        if has_newer { holds.min(held) } else { holds }
    }
}

/// The groups that hold at least one block of then, in the order of their first one.
fn groups<'a>(then: &'a [BlockMeta], now: &'a [BlockMeta]) -> Vec<Group<'a>> {
    // Each block begins as its own group; a source seen before joins the two groups.
    let mut root: Vec<usize> = (0..then.len() + now.len()).collect();
    let mut first_with: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, block) in then.iter().chain(now).enumerate() {
        for source in sources_of(block) {
            let other = *first_with.entry(source).or_insert(index);
            let (a, b) = (root_of(&mut root, index), root_of(&mut root, other));
            root[a.max(b)] = a.min(b);
        }
    }
    let mut groups: BTreeMap<usize, Group<'a>> = BTreeMap::new();
    for (index, block) in then.iter().enumerate() {
        groups.entry(root_of(&mut root, index)).or_default().then.push(block);
    }
    for (index, block) in now.iter().enumerate() {
        if let Some(group) = groups.get_mut(&root_of(&mut root, then.len() + index)) {
            group.now.push(block);
        }
    }
    groups.into_values().collect()
}

fn root_of(root: &mut [usize], mut index: usize) -> usize {
    while root[index] != index {
        root[index] = root[root[index]];
        index = root[index];
    }
    index
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(ulid: &str, samples: u64, sources: &[&str]) -> BlockMeta {
        BlockMeta {
            ulid: ulid.to_owned(),
            min_time_ms: 0,
            max_time_ms: 7_200_000,
            samples,
            series: 1,
            sources: sources.iter().map(|s| (*s).to_owned()).collect(),
        }
    }

    #[test]
    fn block_compacted_with_one_made_after_the_backup_counts_no_more_than_it_held() {
        let then = [block("a", 10, &["a"]), block("b", 20, &["b"])];
        let now = [block("abc", 100, &["a", "b", "c"])];
        let result = compare_blocks(&then, &now);
        assert_eq!(result.samples, Tally { then: 30, now: 30 });
        assert_eq!(result.differences, [""; 0]);
    }

    #[test]
    fn block_of_the_same_name_with_fewer_samples_is_a_difference() {
        let result = compare_blocks(&[block("a", 10, &["a"])], &[block("a", 9, &["a"])]);
        assert_eq!(result.blocks, Tally { then: 1, now: 1 });
        assert_eq!(result.differences, ["block a: 10 samples then, 9 now"]);
    }

    #[test]
    fn missing_block_is_named_with_its_time() {
        let result = compare_blocks(&[block("a", 10, &["a"])], &[block("z", 10, &["z"])]);
        assert_eq!(
            result.differences,
            ["block a (1970-01-01T00:00:00Z .. 1970-01-01T02:00:00Z, 10 samples) is missing"]
        );
        assert_eq!(result.samples, Tally { then: 10, now: 0 });
    }

    #[test]
    fn half_of_a_compacted_block_is_not_that_block() {
        let result = compare_blocks(&[block("ab", 30, &["a", "b"])], &[block("a", 10, &["a"])]);
        assert_eq!((result.blocks, result.samples), (Tally { then: 1, now: 0 }, Tally { then: 30, now: 10 }));
    }

    /// Blocks as a backup sees them, each made of one to three level-1 blocks, and a group for each to be compacted into.
    fn history() -> impl Strategy<Value = Vec<(BlockMeta, usize)>> {
        prop::collection::vec((1_usize..4, 1_u64..1000, 0_usize..6), 1..20).prop_map(|rows| {
            let made = |(index, (parts, samples, group)): (usize, (usize, u64, usize))| {
                let sources: Vec<String> = (0..parts).map(|part| format!("s{index}-{part}")).collect();
                let names: Vec<&str> = sources.iter().map(String::as_str).collect();
                (block(&format!("b{index}"), samples, &names), group)
            };
            rows.into_iter().enumerate().map(made).collect()
        })
    }

    /// What Prometheus makes of them: one block per group, groups of one left alone.
    fn compacted(history: &[(BlockMeta, usize)]) -> Vec<BlockMeta> {
        let mut groups: BTreeMap<usize, Vec<&BlockMeta>> = BTreeMap::new();
        for (block, group) in history {
            groups.entry(*group).or_default().push(block);
        }
        let merged = |(group, blocks): (usize, Vec<&BlockMeta>)| match blocks.as_slice() {
            [alone] => (*alone).clone(),
            many => BlockMeta {
                ulid: format!("merged{group}"),
                samples: many.iter().map(|b| b.samples).sum(),
                sources: many.iter().flat_map(|b| b.sources.clone()).collect(),
                ..(*many[0]).clone()
            },
        };
        groups.into_iter().map(merged).collect()
    }

    proptest! {
        #[test]
        fn any_compaction_still_holds(history in history()) {
            let then: Vec<BlockMeta> = history.iter().map(|(block, _)| block.clone()).collect();
            let result = compare_blocks(&then, &compacted(&history));
            prop_assert_eq!(&result.differences, &Vec::<String>::new());
            prop_assert!(result.blocks.is_equal() && result.samples.is_equal());
        }

        #[test]
        fn losing_any_block_never_holds(history in history(), lost: prop::sample::Index) {
            let then: Vec<BlockMeta> = history.iter().map(|(block, _)| block.clone()).collect();
            let mut rest = history.clone();
            let (gone, _) = rest.remove(lost.index(history.len()));
            let result = compare_blocks(&then, &compacted(&rest));
            prop_assert_eq!(result.blocks.now + 1, result.blocks.then);
            prop_assert!(!result.samples.is_equal());
            let named = format!("block {} ", gone.ulid);
            prop_assert!(result.differences.iter().any(|words| words.starts_with(&named)));
        }

        #[test]
        fn losing_samples_of_any_block_never_holds(history in history(), lost: prop::sample::Index) {
            let then: Vec<BlockMeta> = history.iter().map(|(block, _)| block.clone()).collect();
            let mut now = compacted(&history);
            let index = lost.index(now.len());
            now[index].samples -= 1;
            let result = compare_blocks(&then, &now);
            prop_assert_eq!(result.samples.now + 1, result.samples.then);
            prop_assert_eq!(result.differences.len(), 1);
        }
    }
}
