//! Walking a directory: what there is to copy, and what cannot be.

use std::io;
use std::sync::Arc;

use crate::data_directory::{self, LOST_AND_FOUND, Part, is_data_directory, not_copied, place_in};
use crate::files::LocalDirectory;
use crate::model::{TreeEntry, TreeEntryKind};
use crate::tree_format::in_order;

/// One directory, file or link that is to be copied.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) entry: TreeEntry,
    /// The data directory it is in or is, if any.
    home: Option<Arc<str>>,
    /// What became of it; `None` before it was read.
    pub(super) fate: Option<Fate>,
}

/// What became of a file that was to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its pieces are those of its whole length.
    Whole,
    /// So are they, but it was written to meanwhile.
    Changed,
    /// It vanished, or became shorter.
    Gone(String),
    /// It cannot be read.
    Unreadable(String),
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// All that is to be copied, parents before what is in them.
    pub(super) items: Vec<Item>,
    /// Paths of what cannot be copied, with the reason.
    pub(super) troubles: Vec<(String, String)>,
}

impl Item {
    /// Its path in the data directory it is in.
    pub(super) fn path_at_home(&self) -> Option<&str> {
        let home = self.home.as_deref()?;
        let below = self.entry.path.strip_prefix(home)?;
        Some(below.strip_prefix('/').unwrap_or(below))
    }

    /// The block it is in: its data directory, its ULID, and the path in it.
    pub(super) fn block(&self) -> Option<(&str, &str, &str)> {
        let path = self.path_at_home()?;
        match data_directory::part(path) {
            Part::Block(ulid) => Some((self.home.as_deref()?, ulid, path[ulid.len()..].trim_start_matches('/'))),
            _ => None,
        }
    }

    /// When it is copied; lower is earlier.
    pub(super) fn order(&self) -> u8 {
        self.path_at_home().map_or(0, data_directory::order_of_copying)
    }

    /// Whether Prometheus only appends to it.
    pub(super) fn is_appended(&self) -> bool {
        self.path_at_home().is_some_and(data_directory::is_appended)
    }

    /// Whether it is of no use once another item is lost.
    pub(super) fn is_lost_with(&self, lost: &Self) -> bool {
        let (Some(path), Some(other)) = (self.path_at_home(), lost.path_at_home()) else {
            return self.entry.path == lost.entry.path;
        };
        if self.home != lost.home {
            return false;
        }
        match (data_directory::part(path), data_directory::part(other)) {
            (Part::Numbered { sequence, number }, Part::Numbered { sequence: other, number: lost_number }) => {
                // Truncation removes the oldest; behind what cannot be read nothing can be replayed.
                let beyond = match lost.fate {
                    Some(Fate::Unreadable(_)) => number >= lost_number,
                    _ => number <= lost_number,
                };
                sequence == other && beyond
            }
            (Part::Other, Part::Other) => path == other,
            (part, other) => part == other && part != Part::Other,
        }
    }
}

/// Walks a directory.
///
/// # Errors
/// When its root cannot be read. What is below and cannot be read is a trouble.
pub(super) fn walk(source: &LocalDirectory) -> io::Result<Walked> {
    let mut walked = Walked::default();
    walked.items.push(Item { entry: source.look_at_root()?, home: None, fate: Some(Fate::Whole) });
    let mut open: Vec<(String, Option<Arc<str>>)> = vec![(String::new(), None)];
    while let Some((path, home)) = open.pop() {
        let looked = match source.look(&path) {
            Err(error) if path.is_empty() => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                walked.troubles.push((path, error.to_string()));
                continue;
            }
            Ok(looked) => looked,
        };
        let directories = looked.entries.iter().filter(|entry| entry.kind == TreeEntryKind::Directory);
        let has_meta = |name: &str| source.has_file(&join(&join(&path, name), "meta.json"));
        let home = match home {
            None if is_data_directory(directories.map(name_of), has_meta) => Some(Arc::from(path.as_str())),
            home => home,
        };
        let place =
            home.as_deref().map(|home| place_in(path.strip_prefix(home).unwrap_or(&path).trim_start_matches('/')));
        let is_left = |name: &str| {
            (path.is_empty() && name == LOST_AND_FOUND) || place.is_some_and(|place| not_copied(place, name).is_some())
        };
        for (name, why) in looked.strange.into_iter().filter(|(name, _)| !is_left(name)) {
            walked.troubles.push((join(&path, &name), why));
        }
        for entry in looked.entries.into_iter().filter(|entry| !is_left(name_of(entry))) {
            let fate = (entry.kind != TreeEntryKind::File).then_some(Fate::Whole);
            if entry.kind == TreeEntryKind::Directory {
                open.push((entry.path.clone(), home.clone()));
            }
            walked.items.push(Item { entry, home: home.clone(), fate });
        }
    }
    // The oldest first: what goes, goes from there.
    walked.items.sort_by(|a, b| in_order(&a.entry.path, &b.entry.path));
    Ok(walked)
}

fn name_of(entry: &TreeEntry) -> &str {
    entry.path.rsplit('/').next().unwrap_or_default()
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ULID: &str = "01JD0BZ8AVD1KZ3A7ERYFSE0X2";

    fn walked(paths: &[&str]) -> Walked {
        let root = tempfile::tempdir().unwrap();
        for path in paths {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        walk(&LocalDirectory::new(root.path())).unwrap()
    }

    fn files(walked: &Walked) -> Vec<&str> {
        let files = walked.items.iter().filter(|item| item.entry.kind == TreeEntryKind::File);
        let mut paths: Vec<_> = files.map(|item| item.entry.path.as_str()).collect();
        paths.sort_unstable();
        paths
    }

    #[test]
    fn leftovers_are_known_in_data_directories_alone() {
        for home in ["", "prometheus-db/", "a/b/"] {
            let at = |name: &str| format!("{home}{name}");
            let meta = at(&format!("{ULID}/meta.json"));
            let paths =
                [at("lock"), meta.clone(), at(&format!("{ULID}/meta.json.tmp")), at("x/lock"), "y/lock".to_owned()];
            let walked = walked(&paths.iter().map(String::as_str).collect::<Vec<_>>());
            let mut expected = [meta, at("x/lock"), "y/lock".to_owned()];
            expected.sort();
            assert_eq!(files(&walked), expected, "{home}");
        }
        assert_eq!(files(&walked(&["lock", "a.tmp", "grafana.db"])), ["a.tmp", "grafana.db", "lock"]);
    }

    #[test]
    fn what_is_lost_takes_along_what_is_of_no_use_without_it() {
        let meta = format!("{ULID}/meta.json");
        let index = format!("{ULID}/index");
        let checkpoint = "wal/checkpoint.00000001/00000000";
        let paths = [&meta, &index, "wal/00000002", "wal/00000003", "wal/00000004", checkpoint, "chunks_head/000003"];
        let walked = walked(&paths);
        let lost_with = |path: &str, fate: Fate| {
            let lost = walked.items.iter().find(|item| item.entry.path == path).cloned().unwrap();
            let lost = Item { fate: Some(fate), ..lost };
            let items = walked.items.iter().filter(|item| item.is_lost_with(&lost));
            let mut paths: Vec<_> = items.map(|item| item.entry.path.clone()).collect();
            paths.sort();
            paths
        };
        let gone = || Fate::Gone(String::new());
        assert_eq!(lost_with(&index, gone()), [ULID, &index, &meta]);
        assert_eq!(lost_with("wal/00000003", gone()), ["wal/00000002", "wal/00000003"]);
        assert_eq!(lost_with("wal/00000003", Fate::Unreadable(String::new())), ["wal/00000003", "wal/00000004"]);
        assert_eq!(lost_with(checkpoint, gone()), ["wal/checkpoint.00000001", checkpoint]);
        assert_eq!(lost_with("chunks_head/000003", gone()), ["chunks_head/000003"]);
    }
}
