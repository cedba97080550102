//! What a tree holds, and what of it is of no use once something is damaged.

use std::collections::HashMap;
use std::io::BufRead;

use crate::data_directory::{self, Part, is_data_directory};
use crate::model::{TreeEntry, TreeEntryKind};
use crate::tree_format::{TreeError, TreeReader};

use super::Head;

/// The entries of a tree, and where in it data directories are.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) entries: Vec<TreeEntry>,
    /// Paths of data directories; none is in another.
    homes: Vec<String>,
}

/// What is left out because something in it is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unit {
    /// All in this directory: a block, a checkpoint, a memory snapshot.
    Directory(String),
    /// The files of this directory from this number on.
    From { directory: String, number: u64 },
    /// A file.
    File(String),
}

impl Contents {
    pub(super) fn read(bytes: impl BufRead, head: Head) -> Result<Self, TreeError> {
        let mut entries = TreeReader::new(bytes).collect::<Result<Vec<_>, _>>()?;
        let homes = homes(&entries);
        let mut contents = Self { entries: Vec::new(), homes };
        if head == Head::LeaveOut {
            entries
                .retain(|entry| !contents.at_home(&entry.path).is_some_and(|(_, path)| data_directory::is_head(path)));
        }
        contents.entries = entries;
        Ok(contents)
    }

    /// The data directory a path is in, and its path there.
    fn at_home<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a str)> {
        self.homes.iter().find_map(|home| Some((home.as_str(), below(path, home)?)))
    }

    /// What is of no use without this file.
    pub(super) fn unit(&self, path: &str) -> Unit {
        let Some((home, inside)) = self.at_home(path) else { return Unit::File(path.to_owned()) };
        let join = |name: &str| if home.is_empty() { name.to_owned() } else { format!("{home}/{name}") };
        match data_directory::part(inside) {
            Part::Block(name) | Part::Whole(name) => Unit::Directory(join(name)),
            Part::Numbered { sequence, number } => Unit::From { directory: join(sequence), number },
            Part::Other => Unit::File(path.to_owned()),
        }
    }
}

impl Unit {
    /// Whether a path is left out with it.
    pub(super) fn holds(&self, path: &str) -> bool {
        match self {
            Self::Directory(directory) => below(path, directory).is_some(),
            Self::File(file) => path == file,
            Self::From { directory, number } => {
                let name = below(path, directory).and_then(|name| name.parse::<u64>().ok());
                name.is_some_and(|name| name >= *number)
            }
        }
    }

    /// It in words, such as `prometheus-db/01…`.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Directory(path) | Self::File(path) => path.clone(),
            Self::From { directory, number } => format!("{directory}, file {number} and all later ones"),
        }
    }
}

fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    if directory.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(directory)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

fn homes(entries: &[TreeEntry]) -> Vec<String> {
    let mut directories: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut metas = std::collections::HashSet::new();
    for entry in entries.iter().filter(|entry| !entry.path.is_empty()) {
        let (parent, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        match entry.kind {
            TreeEntryKind::Directory => directories.entry(parent).or_default().push(name),
            TreeEntryKind::File if name == "meta.json" => drop(metas.insert(parent)),
            TreeEntryKind::File | TreeEntryKind::Link => {}
        }
    }
    let mut homes: Vec<String> = Vec::new();
    let mut parents: Vec<_> = directories.into_iter().collect();
    parents.sort();
    for (parent, names) in parents {
        let has_meta = |name: &str| {
            if parent.is_empty() { metas.contains(name) } else { metas.contains(format!("{parent}/{name}").as_str()) }
        };
        if homes.iter().all(|home| below(parent, home).is_none()) && is_data_directory(names, has_meta) {
            homes.push(parent.to_owned());
        }
    }
    homes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree_format::{TreeWriter, in_order};

    const ULID: &str = "01JD0BZ8AVD1KZ3A7ERYFSE0X2";

    fn contents(paths: &[&str], head: Head) -> Contents {
        let mut entries: std::collections::BTreeMap<String, TreeEntryKind> = std::collections::BTreeMap::new();
        for path in paths {
            let above = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
            entries.extend(above.chain([String::new()]).map(|path| (path, TreeEntryKind::Directory)));
            entries.insert((*path).to_owned(), TreeEntryKind::File);
        }
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|a, b| in_order(&a.0, &b.0));
        let mut writer = TreeWriter::default();
        for (path, kind) in entries {
            let entry = TreeEntry {
                path,
                kind,
                mode: 0,
                uid: 0,
                gid: 0,
                modified_ns: 0,
                bytes: 0,
                pieces: Vec::new(),
                target: None,
            };
            writer.entry(&entry).unwrap();
        }
        Contents::read(&writer.finish().unwrap()[..], head).unwrap()
    }

    #[test]
    fn what_is_left_out_is_what_is_of_no_use() {
        let meta = format!("db/{ULID}/meta.json");
        let contents =
            contents(&[&meta, "db/wal/00000001", "db/wal/checkpoint.00000000/00000000", "notes"], Head::Include);
        let block = contents.unit(&meta);
        assert_eq!(block, Unit::Directory(format!("db/{ULID}")));
        assert!(block.holds(&format!("db/{ULID}")) && block.holds(&format!("db/{ULID}/chunks/000001")));
        assert!(!block.holds(&format!("db/{ULID}X")) && !block.holds("db"));
        let segment = contents.unit("db/wal/00000001");
        assert!(
            segment.holds("db/wal/00000001") && segment.holds("db/wal/00000012") && !segment.holds("db/wal/00000000")
        );
        assert!(!segment.holds("db/wal") && !segment.holds("db/wal/checkpoint.00000000/00000002"));
        let checkpoint = contents.unit("db/wal/checkpoint.00000000/00000000");
        assert_eq!(checkpoint, Unit::Directory("db/wal/checkpoint.00000000".to_owned()));
        assert_eq!(contents.unit("notes"), Unit::File("notes".to_owned()));
    }

    #[test]
    fn head_is_left_out_of_data_directories_alone() {
        let meta = format!("{ULID}/meta.json");
        let paths = [meta.as_str(), "wal/00000000", "chunks_head/000001", "wbl/00000000", "x/wal/1"];
        let left: Vec<_> = contents(&paths, Head::LeaveOut).entries.into_iter().map(|entry| entry.path).collect();
        assert_eq!(left, ["", ULID, &meta, "x", "x/wal", "x/wal/1"]);
        let elsewhere: Vec<_> = contents(&["x/wbl/1"], Head::LeaveOut).entries.into_iter().map(|e| e.path).collect();
        assert_eq!(elsewhere, ["", "x", "x/wbl", "x/wbl/1"]);
    }
}
