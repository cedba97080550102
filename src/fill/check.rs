//! What is in the directory before anything is written: nothing, or what an earlier run wrote of the same tree.

use std::collections::HashMap;
use std::io;

use crate::data_directory::LOST_AND_FOUND;
use crate::files::{LocalDirectory, UNFINISHED};
use crate::model::{Refusal, TreeEntry, TreeEntryKind};

/// Refusals that are named; there may be thousands.
const NAMED: usize = 3;

/// The coarsest times that file systems keep: FAT's.
const COARSEST_NS: u64 = 2_000_000_000;

const DIFFERS: &str = "it is not as the backup has it, and may be newer";

/// What is there already.
#[derive(Debug, Default)]
pub(super) struct There {
    /// Sizes of files of the tree that are there, by path.
    pub(super) files: HashMap<String, u64>,
    /// Unfinished files of an earlier run.
    pub(super) unfinished: Vec<String>,
}

/// Looks into the directory.
///
/// # Errors
/// When it cannot be read.
pub(super) fn check(directory: &LocalDirectory, entries: &[TreeEntry]) -> io::Result<Result<There, Vec<Refusal>>> {
    let mut there = There::default();
    match directory.look_at_root() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(there)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Ok(Err(vec![refusal(directory, "", "it is no directory")]));
        }
        root => drop(root?),
    }
    let wanted: HashMap<&str, &TreeEntry> = entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    let mut strangers = Vec::new();
    let mut open = vec![String::new()];
    while let Some(path) = open.pop() {
        let looked = directory.look(&path)?;
        strangers.extend(
            looked
                .strange
                .into_iter()
                .map(|(name, why)| (format!("{path}/{name}").trim_start_matches('/').to_owned(), why)),
        );
        for found in looked.entries {
            let name = found.path.rsplit('/').next().unwrap_or_default();
            match (found.kind, wanted.get(found.path.as_str())) {
                (TreeEntryKind::Directory, _) if found.path == LOST_AND_FOUND => {}
                (TreeEntryKind::File | TreeEntryKind::Link, None) if name.starts_with(UNFINISHED) => {
                    there.unfinished.push(found.path);
                }
                (TreeEntryKind::Directory, Some(wanted)) if wanted.kind == found.kind => open.push(found.path),
                (TreeEntryKind::File, Some(wanted)) if is_it(&found, wanted) => {
                    there.files.insert(found.path, found.bytes);
                }
                (TreeEntryKind::Link, Some(wanted)) if found.target == wanted.target => {}
                (kind, Some(wanted)) if kind == wanted.kind => strangers.push((found.path, DIFFERS.to_owned())),
                (_, Some(_)) => strangers.push((found.path, "it is of another kind in the backup".to_owned())),
                (_, None) => strangers.push((found.path, "it is not in what is brought back".to_owned())),
            }
        }
    }
    if strangers.is_empty() {
        return Ok(Ok(there));
    }
    let more = strangers.len().saturating_sub(NAMED);
    let mut refusals: Vec<_> = strangers.iter().take(NAMED).map(|(path, why)| refusal(directory, path, why)).collect();
    if more > 0 {
        refusals.push(refusal(directory, "", &format!("it holds {more} more that do not belong there")));
    }
    Ok(Err(refusals))
}

/// Whether a file is what an earlier run wrote: it gets its time before its name. Some file systems keep even seconds alone.
fn is_it(found: &TreeEntry, wanted: &TreeEntry) -> bool {
    found.kind == wanted.kind
        && found.bytes == wanted.bytes
        && found.modified_ns.abs_diff(wanted.modified_ns) <= COARSEST_NS
}

fn refusal(directory: &LocalDirectory, path: &str, why: &str) -> Refusal {
    Refusal {
        object: if path.is_empty() { directory.root().to_path_buf() } else { directory.root().join(path) }
            .display()
            .to_string(),
        why: why.to_owned(),
        fix: "name an empty directory, or the one an interrupted run of the same backup filled".to_owned(),
    }
}
