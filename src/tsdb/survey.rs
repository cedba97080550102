//! The data directory as a whole: which blocks Prometheus loads, which it deletes or passes over, and how they lie in time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::block::{about_meta, bytes};
use super::meta::{self, Meta};
use super::ulid::is_ulid;
use super::verdict::{BlockReport, Finding, Grade, LogReport, Looked, Loss, Report};
use super::{Directory, Entry, EntryKind, Subset, timeline};

/// Endings of directories that Prometheus removes when it starts.
const TEMPORARY: [&str; 3] = [".tmp-for-creation", ".tmp-for-deletion", ".tmp"];
/// Names in the directory of a block (prometheus `tsdb/docs/format/README.md`).
const FILES_OF_A_BLOCK: [&str; 4] = ["meta.json", "index", "chunks", "tombstones"];
/// Where a volume of the operator, or one mounted above the data directory, keeps the data.
const BELOW_A_VOLUME: [&str; 2] = ["prometheus-db", "data"];

/// Finds the data directory of a volume: itself, or one of the places where it usually is. The path is relative.
///
/// # Errors
/// When it cannot be listed.
pub fn locate(volume: &dyn Directory) -> io::Result<Option<String>> {
    if holds_data(&volume.list("")?) {
        return Ok(Some(String::new()));
    }
    for path in BELOW_A_VOLUME {
        match volume.list(path) {
            Ok(entries) if holds_data(&entries) => return Ok(Some(path.to_owned())),
            Ok(_) => {}
            Err(error) => drop(super::absent(error)?),
        }
    }
    Ok(None)
}

fn holds_data(entries: &[Entry]) -> bool {
    let directories = entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
    directories.into_iter().any(|entry| is_ulid(&entry.name) || ["wal", "chunks_head"].contains(&entry.name.as_str()))
}

/// A block and its `meta.json`, or why Prometheus cannot read it.
struct Known {
    name: String,
    meta: Result<Meta, String>,
}

/// What names and `meta.json` files say of a data directory.
pub struct Survey<'a> {
    directory: &'a dyn Directory,
    now_ms: Option<i64>,
    blocks: Vec<Known>,
    chosen: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl<'a> Survey<'a> {
    /// Reads the names and every `meta.json`, and chooses the blocks to be looked at whole.
    ///
    /// # Errors
    /// When bytes cannot be had for another reason than that a file is missing.
    pub fn take(directory: &'a dyn Directory, now_ms: Option<i64>, subset: Subset) -> io::Result<Self> {
        let (mut blocks, mut strangers, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        for entry in directory.list("")? {
            if is_ulid(&entry.name) && entry.kind == EntryKind::Directory {
                let meta = meta::read(directory, &entry.name)?;
                let mut files = directory.list(&entry.name)?.into_iter();
                if files.any(|file| FILES_OF_A_BLOCK.contains(&file.name.as_str())) {
                    blocks.push(Known { meta, name: entry.name });
                } else {
                    let what = "holds no file of a block; Prometheus passes over it";
                    findings.push(Finding::new(Grade::Ok, entry.name, what));
                }
            } else if is_leftover(&entry) {
                let what = "was left behind by an interrupted run; Prometheus removes it when it starts";
                findings.push(Finding::new(Grade::Ok, entry.name, what));
            } else if entry.kind != EntryKind::File {
                strangers.push(entry.name);
            }
        }
        findings.extend(passed_over(directory, &blocks, strangers)?);
        let names = blocks.iter().map(|block| block.name.as_str()).collect();
        let chosen = subset.of(names).into_iter().map(str::to_owned).collect();
        Ok(Self { directory, now_ms, blocks, chosen, findings })
    }

    /// Names of the blocks to be looked at whole, by [`inspect_block`](super::inspect_block), in any order.
    pub fn chosen(&self) -> impl Iterator<Item = &str> {
        self.chosen.iter().map(String::as_str)
    }

    /// Where the newest block of in-order samples ends: Prometheus drops what the WAL has before that.
    pub fn newest_block_end_ms(&self) -> Option<i64> {
        let metas = self.blocks.iter().filter_map(|block| block.meta.as_ref().ok());
        metas.filter(|meta| !meta.is_apart()).map(|meta| meta.max_time).max()
    }

    /// The verdict on the directory, from those on its parts.
    ///
    /// # Errors
    /// When bytes cannot be had for another reason than that a file is missing.
    pub fn conclude(self, inspected: Vec<BlockReport>, logs: Vec<LogReport>) -> io::Result<Report> {
        let mut inspected: BTreeMap<_, _> = inspected.into_iter().map(|block| (block.name.clone(), block)).collect();
        let mut report = Report { logs, findings: self.findings, ..Report::default() };
        for known in &self.blocks {
            let block = match inspected.remove(&known.name) {
                Some(block) => block,
                None => by_meta(self.directory, known)?,
            };
            report.blocks.push(block);
        }
        let replaced = replace_parents(&self.blocks, &mut report.blocks);
        let loaded = self.blocks.iter().filter(|known| !replaced.contains(&known.name));
        let mut metas: Vec<_> =
            loaded.filter_map(|known| known.meta.as_ref().ok().map(|meta| (known.name.as_str(), meta))).collect();
        metas.sort_by_key(|(_, meta)| meta.min_time);
        report.findings.extend(timeline::findings(&metas, self.now_ms));
        report.blocks.sort_by(|one, other| {
            (one.min_time_ms, one.max_time_ms, &one.name).cmp(&(other.min_time_ms, other.max_time_ms, &other.name))
        });
        let grades = report.all_findings().map(|finding| finding.grade);
        let grades = grades.chain(report.blocks.iter().map(|block| block.grade));
        report.grade = grades.chain(report.logs.iter().map(|log| log.grade)).max().unwrap_or_default();
        Ok(report)
    }
}

fn is_leftover(entry: &Entry) -> bool {
    let stem = TEMPORARY.iter().find_map(|ending| entry.name.strip_suffix(ending));
    let ours = |stem: &str| is_ulid(stem) || entry.name.starts_with("chunk_snapshot.");
    entry.kind == EntryKind::Directory && stem.is_some_and(ours)
}

/// Blocks under names that Prometheus does not look at, unless the same block is there under its own.
fn passed_over(directory: &dyn Directory, blocks: &[Known], strangers: Vec<String>) -> io::Result<Vec<Finding>> {
    let mut known: BTreeSet<_> = blocks.iter().map(|block| block.name.as_str()).collect();
    for meta in blocks.iter().filter_map(|block| block.meta.as_ref().ok()) {
        known.insert(&meta.ulid);
        known.extend(meta.parents.iter().map(String::as_str));
    }
    let mut findings = Vec::new();
    for name in strangers {
        let meta = match meta::read(directory, &name) {
            Ok(Ok(meta)) => meta,
            Ok(Err(_)) => continue,
            // Such as lost+found of a volume, which is the root user's.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(error),
        };
        if known.contains(meta.ulid.as_str()) {
            let what = format!("holds a copy of block {}; Prometheus does not look at it", meta.ulid);
            findings.push(Finding::new(Grade::Ok, name, what));
            continue;
        }
        let loss = Loss {
            series: Some(meta.stats.series),
            samples: Some(meta.stats.samples),
            from_ms: Some(meta.min_time),
            to_ms: Some(meta.max_time.saturating_sub(1)),
        };
        let what = format!(
            "holds block {} under a name that Prometheus does not look at; nothing in it can be queried",
            meta.ulid
        );
        findings.push(Finding::new(Grade::Degraded, name, what).losing(loss));
    }
    Ok(findings)
}

/// A block that was not looked at.
fn by_meta(directory: &dyn Directory, known: &Known) -> io::Result<BlockReport> {
    let mut report = BlockReport { name: known.name.clone(), looked: Looked::Meta, ..BlockReport::default() };
    report.bytes = bytes(directory, &known.name)?;
    match &known.meta {
        Ok(meta) => {
            about_meta(meta, &mut report);
            (report.series, report.chunks) = (meta.stats.series, meta.stats.chunks);
            report.samples = meta.stats.samples;
        }
        Err(why) => {
            let what = format!("{why}; Prometheus starts without the block, and nothing in it can be queried");
            let path = format!("{}/meta.json", known.name);
            report.take(Finding::new(Grade::Degraded, path, what).losing(Loss::default()));
        }
    }
    Ok(report)
}

/// Blocks that a block which can be loaded replaces are deleted when Prometheus starts, whatever is wrong with them. Gives
/// their names.
fn replace_parents(known: &[Known], reports: &mut [BlockReport]) -> BTreeSet<String> {
    let opened = known.iter().zip(reports.iter()).filter(|(_, report)| report.grade < Grade::Fatal);
    let metas = opened.filter_map(|(known, _)| known.meta.as_ref().ok().map(|meta| (known.name.as_str(), meta)));
    let mut replaced_by = BTreeMap::new();
    for (name, meta) in metas {
        replaced_by.extend(meta.parents.iter().filter(|parent| *parent != name).map(|parent| (parent.clone(), name)));
    }
    let mut replaced = BTreeSet::new();
    for (known, report) in known.iter().zip(reports) {
        // Prometheus goes by what meta.json says where it can read it.
        let own = known.meta.as_ref().map_or(&known.name, |meta| &meta.ulid);
        let Some(child) = replaced_by.get(own) else { continue };
        for finding in &mut report.findings {
            finding.grade = Grade::Ok;
        }
        report.grade = Grade::Ok;
        let what = format!("is replaced by block {child}; Prometheus deletes it when it starts");
        report.take(Finding::new(Grade::Ok, &known.name, what));
        replaced.insert(known.name.clone());
    }
    replaced
}
