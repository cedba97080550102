//! Numbered names: which files of a directory belong to a log, and whether one is missing.

use super::directory::{Entry, EntryKind};

/// A segment, a checkpoint or a file of head chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) number: i64,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// Files whose name is a number, by number. Prometheus takes any integer for one (`tsdb/wlog/wlog.go`, listSegments).
pub(super) fn segments(entries: &[Entry]) -> Vec<Numbered> {
    numbered(entries, EntryKind::File, "", |name| name.parse().ok())
}

/// Files of head chunks, by number: digits only (`tsdb/chunks/head_chunks.go`, listChunkFiles).
pub(super) fn chunk_files(entries: &[Entry]) -> Vec<Numbered> {
    let digits = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten();
    numbered(entries, EntryKind::File, "", digits)
}

/// Directories of checkpoints, by number.
pub(super) fn checkpoints(entries: &[Entry]) -> Vec<Numbered> {
    numbered(entries, EntryKind::Directory, CHECKPOINT, |name| name.parse().ok())
}

/// What names of checkpoints begin with.
pub(super) const CHECKPOINT: &str = "checkpoint.";

fn numbered(entries: &[Entry], kind: EntryKind, prefix: &str, parse: impl Fn(&str) -> Option<i64>) -> Vec<Numbered> {
    let matching = entries.iter().filter(|entry| entry.kind == kind);
    let mut found: Vec<_> = matching
        .filter_map(|entry| {
            let number = parse(entry.name.strip_prefix(prefix)?)?;
            Some(Numbered { number, name: entry.name.clone(), bytes: entry.bytes })
        })
        .collect();
    found.sort_by_key(|numbered| numbered.number);
    found
}

/// The first two neighbours that do not follow each other.
pub(super) fn gap(found: &[Numbered]) -> Option<(&Numbered, &Numbered)> {
    let pairs = found.iter().zip(found.iter().skip(1));
    pairs.into_iter().find(|(one, next)| one.number.checked_add(1) != Some(next.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &[&str]) -> Vec<Entry> {
        let entry = |name: &&str| {
            let kind = if name.starts_with(CHECKPOINT) { EntryKind::Directory } else { EntryKind::File };
            Entry { name: (*name).to_owned(), kind, bytes: 1 }
        };
        names.iter().map(entry).collect()
    }

    #[test]
    fn numbers_count_and_nothing_else() {
        let entries = entries(&["00000010", "00000009", "9.repair", "checkpoint.00000008", "checkpoint.9.tmp", "x"]);
        let numbers = |found: Vec<Numbered>| found.iter().map(|one| one.number).collect::<Vec<_>>();
        assert_eq!(numbers(segments(&entries)), [9, 10]);
        assert_eq!(numbers(checkpoints(&entries)), [8]);
    }

    #[test]
    fn a_missing_and_a_doubled_number_are_gaps() {
        let of = |names: &[&str]| gap(&segments(&entries(names))).map(|(one, next)| (one.number, next.number));
        assert_eq!(of(&["00000003", "00000004"]), None);
        assert_eq!(of(&["00000003", "00000005"]), Some((3, 5)));
        assert_eq!(of(&["00000003", "3"]), Some((3, 3)));
        assert_eq!(of(&[]), None);
    }
}
