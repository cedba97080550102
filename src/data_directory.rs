//! Names in a Prometheus data directory, as far as a copy has to know them: THE table of what is not copied, and what
//! belongs together when a part of it is damaged; and the flags that say where one lies. Facts: prometheus `tsdb/db.go`, `tsdb/wlog`, `tsdb/tsdbutil`.

/// The flag that tells Prometheus where its data is (prometheus `cmd/prometheus/main.go`).
pub const TSDB_FLAG: &str = "storage.tsdb.path";
/// The same for an agent.
pub const AGENT_FLAG: &str = "storage.agent.path";
/// The same for Thanos Ruler (thanos `cmd/thanos/rule.go`).
pub const RULER_FLAG: &str = "data-dir";

/// Where in a data directory a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the data directory itself.
    Root,
    /// In `wal` or `wbl`.
    Log,
    /// In a block.
    Block,
    /// Deeper, or in anything else.
    Elsewhere,
}

/// Which names a row of the table means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Exactly(&'static str),
    EndingWith(&'static str),
}

/// One row: what is not copied, and why.
#[derive(Debug, Clone, Copy)]
struct Row {
    place: Place,
    names: Names,
    because: &'static str,
}

const NOT_COPIED: &[Row] = &[
    Row {
        place: Place::Root,
        names: Names::Exactly("lock"),
        because: "it belongs to the running Prometheus; one left by another only makes a start look unclean",
    },
    Row {
        place: Place::Root,
        names: Names::Exactly("queries.active"),
        because: "it holds the queries that are running, and is made anew at every start",
    },
    Row {
        place: Place::Root,
        names: Names::EndingWith(".tmp-for-creation"),
        because: "a block not yet finished; Prometheus removes it at the next start",
    },
    Row {
        place: Place::Root,
        names: Names::EndingWith(".tmp-for-deletion"),
        because: "a block being deleted; Prometheus removes it at the next start",
    },
    Row {
        place: Place::Root,
        names: Names::EndingWith(".tmp"),
        because: "a block or a memory snapshot not yet finished; Prometheus removes it at the next start",
    },
    Row {
        place: Place::Log,
        names: Names::EndingWith(".tmp"),
        because: "a checkpoint or a file not yet finished; Prometheus removes it, or writes it anew",
    },
    Row {
        place: Place::Log,
        names: Names::EndingWith(".repair"),
        because: "a segment before its repair, which Prometheus has gone through with or begins anew",
    },
    Row {
        place: Place::Block,
        names: Names::EndingWith(".tmp"),
        because: "a file not yet finished; the one it was to replace is there",
    },
    Row {
        place: Place::Block,
        names: Names::Exactly("index.repaired"),
        because: "an index of the oldest format not yet repaired; the one it was to replace is there",
    },
];

/// What the root of a file system holds for its own repair.
pub const LOST_AND_FOUND: &str = "lost+found";

/// Why what is called so in a data directory is not copied; `None` when it is.
pub fn not_copied(place: Place, name: &str) -> Option<&'static str> {
    let means = |row: &&Row| {
        row.place == place
            && match row.names {
                Names::Exactly(whole) => name == whole,
                Names::EndingWith(end) => name.ends_with(end),
            }
    };
    NOT_COPIED.iter().find(means).map(|row| row.because)
}

/// Whether a directory with these names is a data directory. Of the names only those of directories count; whether a
/// block's name leads to a `meta.json` is asked of `has_meta`.
pub fn is_data_directory<'a>(
    directories: impl IntoIterator<Item = &'a str>,
    mut has_meta: impl FnMut(&str) -> bool,
) -> bool {
    directories.into_iter().any(|name| matches!(name, WAL | CHUNKS_HEAD) || (is_ulid(name) && has_meta(name)))
}

/// The write-ahead log.
const WAL: &str = "wal";
/// The log of samples that came out of order.
const WBL: &str = "wbl";
/// Chunks of the head.
const CHUNKS_HEAD: &str = "chunks_head";
/// What a checkpoint's name begins with.
const CHECKPOINT: &str = "checkpoint.";
/// What a memory snapshot's name begins with.
const CHUNK_SNAPSHOT: &str = "chunk_snapshot.";

/// Whether a name is that of a block: 26 characters of Crockford's base 32 without I, L, O and U.
pub fn is_ulid(name: &str) -> bool {
    let digit =
        |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z');
    name.len() == 26 && name.as_bytes()[0] <= b'7' && name.bytes().all(digit)
}

/// The place of what is in a directory, by that directory's path relative to the data directory.
pub fn place_in(directory: &str) -> Place {
    match directory {
        "" => Place::Root,
        WAL | WBL => Place::Log,
        name if is_ulid(name) => Place::Block,
        _ => Place::Elsewhere,
    }
}

/// What a file of a data directory belongs to, by its path relative to the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    /// A block, by its name.
    Block(&'a str),
    /// A numbered file of a sequence without gaps: of `wal`, `wbl` or `chunks_head`.
    Numbered {
        /// The directory.
        sequence: &'a str,
        /// Its number.
        number: u64,
    },
    /// A checkpoint or a memory snapshot, which is of use only whole; by its path.
    Whole(&'a str),
    /// Anything else.
    Other,
}

/// What a file belongs to.
pub fn part(path: &str) -> Part<'_> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let below = rest.split('/').next().unwrap_or_default();
    match first {
        name if is_ulid(name) => Part::Block(name),
        WAL if below.starts_with(CHECKPOINT) => Part::Whole(&path[..WAL.len() + 1 + below.len()]),
        name if name.starts_with(CHUNK_SNAPSHOT) => Part::Whole(name),
        WAL | WBL | CHUNKS_HEAD => match rest.parse() {
            Ok(number) => Part::Numbered { sequence: first, number },
            Err(_) => Part::Other,
        },
        _ => Part::Other,
    }
}

/// Whether a file is part of the head: what a restore of blocks alone leaves out.
pub fn is_head(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    matches!(first, WAL | WBL | CHUNKS_HEAD) || first.starts_with(CHUNK_SNAPSHOT)
}

/// Whether a running Prometheus only appends to a file, so that what it had at any moment is a whole beginning of it.
pub fn is_appended(path: &str) -> bool {
    matches!(part(path), Part::Numbered { .. })
}

/// Whether a file of a block cannot change as long as its `meta.json` and its size do not: all but the small ones, which
/// deletions rewrite.
pub fn is_immutable_in_block(path_in_block: &str) -> bool {
    path_in_block == "index" || path_in_block.starts_with("chunks/")
}

/// The order in which parts of a data directory in use are copied: lower first.
///
/// A sample moves from the logs (`wal`, `wbl`) to chunks of the head and at last into a block, and is removed from where
/// it was only when it is safe where it went. Whoever reads in the same direction cannot miss it:
///
/// 1. The logs first. What they no longer hold when they are read is in a block already, and blocks are listed later.
/// 2. The chunks of the head next: the log of samples out of order names chunks that are there then, or in a block.
///    Chunks younger than the copied log only add samples; the log holds all others that a truncation takes away.
/// 3. Blocks last, listed only then. A block cut meanwhile holds samples that the copied log holds too; Prometheus drops
///    these when it replays the log. A block that went meanwhile went for one that holds all of it: listing again finds
///    that one; parents beside their child are what a crash leaves, too, and are removed at the next start.
///
/// In the other direction a head cut after the blocks were listed, and before the log was read, would be in neither.
pub fn order_of_copying(path: &str) -> u8 {
    match part(path) {
        Part::Block(_) => 2,
        Part::Numbered { sequence: CHUNKS_HEAD, .. } => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ULID: &str = "01JD0BZ8AVD1KZ3A7ERYFSE0X2";

    #[test]
    fn what_belongs_to_a_running_or_a_dead_prometheus_is_not_copied() {
        for (place, name) in [
            (Place::Root, "lock"),
            (Place::Root, "queries.active"),
            (Place::Root, "01JD0BZ8AVD1KZ3A7ERYFSE0X2.tmp-for-creation"),
            (Place::Root, "01JD0BZ8AVD1KZ3A7ERYFSE0X2.tmp-for-deletion"),
            (Place::Root, "01JD0BZ8AVD1KZ3A7ERYFSE0X2.tmp"),
            (Place::Root, "chunk_snapshot.000012.0000000032.tmp"),
            (Place::Log, "checkpoint.00000012.tmp"),
            (Place::Log, "00000013.repair"),
            (Place::Log, "series_state.json.tmp"),
            (Place::Block, "meta.json.tmp"),
        ] {
            assert!(not_copied(place, name).is_some_and(|because| because.len() > 20), "{place:?} {name}");
        }
        for (place, name) in [
            (Place::Root, ULID),
            (Place::Root, "wal"),
            (Place::Root, "thanos.shipper.json"),
            (Place::Root, "snapshots"),
            (Place::Log, "00000013"),
            (Place::Log, "checkpoint.00000012"),
            (Place::Log, "lock"),
            (Place::Block, "tombstones"),
            (Place::Elsewhere, "a.tmp"),
            (Place::Elsewhere, "lock"),
        ] {
            assert_eq!(not_copied(place, name), None, "{place:?} {name}");
        }
    }

    #[test]
    fn data_directories_are_known_by_their_logs_or_by_a_block() {
        let is = |names: &[&str], meta| is_data_directory(names.iter().copied(), |_| meta);
        assert!(is(&["x", "wal"], false) && is(&["chunks_head"], false) && is(&[ULID], true));
        assert!(!is(&[ULID], false) && !is(&["plugins", "png"], true) && !is(&[], true));
    }

    #[test]
    fn names_of_blocks_are_ulids() {
        assert!(is_ulid(ULID));
        for name in ["", "01JD0BZ8AVD1KZ3A7ERYFSE0X", "01jd0bz8avd1kz3a7eryfse0x2", "01JD0BZ8AVD1KZ3A7ERYFSE0XI"] {
            assert!(!is_ulid(name), "{name}");
        }
        assert!(!is_ulid("81JD0BZ8AVD1KZ3A7ERYFSE0X2"), "more than 128 bits");
    }

    #[test]
    fn files_belong_to_what_would_be_broken_without_them() {
        let block = format!("{ULID}/chunks/000001");
        for (path, expected) in [
            (block.as_str(), Part::Block(ULID)),
            ("wal/00000012", Part::Numbered { sequence: "wal", number: 12 }),
            ("wbl/00000000", Part::Numbered { sequence: "wbl", number: 0 }),
            ("chunks_head/000003", Part::Numbered { sequence: "chunks_head", number: 3 }),
            ("wal/checkpoint.00000011/00000000", Part::Whole("wal/checkpoint.00000011")),
            ("chunk_snapshot.000012.0000000032/00000000", Part::Whole("chunk_snapshot.000012.0000000032")),
            ("wal/series_state.json", Part::Other),
            ("wal", Part::Other),
            ("thanos.shipper.json", Part::Other),
            ("", Part::Other),
        ] {
            assert_eq!(part(path), expected, "{path}");
        }
        assert!(is_head("wal/00000012") && is_head("wbl") && is_head("chunks_head/000003") && !is_head(&block));
        assert!(
            is_appended("wal/00000012") && !is_appended("wal/checkpoint.00000011/00000000") && !is_appended(&block)
        );
    }

    #[test]
    fn logs_are_copied_before_chunks_of_the_head_and_blocks_last() {
        let block = format!("{ULID}/index");
        let mut paths = [block.as_str(), "chunks_head/000001", "wal/00000000", "wal/checkpoint.00000011/00000000"];
        paths.sort_by_key(|path| order_of_copying(path));
        assert_eq!(paths, ["wal/00000000", "wal/checkpoint.00000011/00000000", "chunks_head/000001", &block]);
    }
}
