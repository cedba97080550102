//! A directory in the order in which it can be copied while it is in use; what vanishes meanwhile is looked for once
//! more.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::walk::{Fate, Item, Walked, walk};
use super::{CopyError, Copying, Tree};
use crate::files::{LocalDirectory, Stamp};
use crate::model::Event;

/// The orders of [`crate::data_directory::order_of_copying`].
const ORDERS: [u8; 3] = [0, 1, BLOCKS];
/// That of blocks.
const BLOCKS: u8 = 2;

const HINT_LIVE: &str = "the rest is copied; for an exact copy stop Prometheus, or copy what its snapshot API makes";
const HINT_READ: &str = "the rest is copied; mend its permissions or its disk and copy again";
const HINT_STRANGE: &str = "the rest is copied; remove or rename it if it matters";

impl Copying<'_> {
    /// Copies all files. `first` is what is there now.
    pub(super) async fn directory(&self, first: Walked) -> Result<Tree, CopyError> {
        self.progress_step();
        self.progress.total(first.items.iter().map(|item| item.entry.bytes).sum());
        let mut troubles: BTreeSet<_> = first.troubles.iter().cloned().collect();
        let mut tree = Tree::default();
        let has_data_directory = first.items.iter().any(|item| item.path_at_home().is_some());
        let mut items = first.items;
        for order in ORDERS {
            if order == BLOCKS && has_data_directory {
                let again = look(&self.source).await?;
                troubles.extend(again.troubles);
                items = again.items;
            }
            let (now, later) = items.into_iter().partition(|item| item.order() == order);
            items = later;
            self.class(order, now, &mut tree).await?;
        }
        for (path, why) in troubles {
            tree.problems.push(self.problem(&path, "copy", why, HINT_STRANGE));
        }
        Ok(tree)
    }

    fn progress_step(&self) {
        self.progress.step(&Event::Step { doing: format!("copying {} to {}", self.request.name, self.store.url()) });
    }

    /// Copies what comes at the same time. When something of it vanished or changed meanwhile it is looked at again, and
    /// what is new is read.
    async fn class(&self, order: u8, mut items: Vec<Item>, tree: &mut Tree) -> Result<(), CopyError> {
        tree.taken_over_bytes += self.take_over(&mut items).await?;
        self.read(&mut items).await?;
        if items.iter().any(|item| matches!(item.fate, Some(Fate::Gone(_) | Fate::Changed))) {
            let whole: HashMap<String, Item> = items
                .into_iter()
                .filter(|item| item.fate == Some(Fate::Whole))
                .map(|item| (item.entry.path.clone(), item))
                .collect();
            items = look(&self.source).await?.items.into_iter().filter(|item| item.order() == order).collect();
            for item in items.iter_mut().filter(|item| item.fate.is_none()) {
                let before = whole.get(&item.entry.path).filter(|before| is_same(item, before));
                if let Some(before) = before {
                    item.entry = before.entry.clone();
                    item.fate = Some(Fate::Whole);
                }
            }
            tree.taken_over_bytes += self.take_over(&mut items).await?;
            self.read(&mut items).await?;
        }
        self.settle(items, tree);
        Ok(())
    }

    /// Takes into the tree what is whole, without what is of no use because something is lost.
    fn settle(&self, items: Vec<Item>, tree: &mut Tree) {
        let lost: Vec<Item> = items
            .iter()
            .filter(|item| matches!(item.fate, Some(Fate::Gone(_) | Fate::Unreadable(_)) | None))
            .cloned()
            .collect();
        for item in &lost {
            tree.problems.push(match &item.fate {
                Some(Fate::Unreadable(why)) => self.problem(&item.entry.path, "read", why.clone(), HINT_READ),
                Some(Fate::Gone(why)) => self.problem(&item.entry.path, "read", why.clone(), HINT_LIVE),
                _ => self.problem(&item.entry.path, "read", "it was not read".to_owned(), HINT_LIVE),
            });
        }
        for item in items {
            if lost.iter().any(|lost| item.is_lost_with(lost)) {
                continue;
            }
            if item.fate == Some(Fate::Changed) {
                let why = "it was written to while it was read, twice; the copy may hold parts of different times";
                tree.problems.push(self.problem(&item.entry.path, "read", why.to_owned(), HINT_LIVE));
            }
            tree.entries.push(item.entry);
        }
    }
}

/// Walks the directory beside other work.
pub(super) async fn look(source: &Arc<LocalDirectory>) -> Result<Walked, CopyError> {
    let walked = {
        let source = source.clone();
        tokio::task::spawn_blocking(move || walk(&source)).await
    };
    let walked = walked.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let path = source.root().display().to_string();
    walked.map_err(|source| CopyError::ReadDirectory { path, source })
}

/// Whether what was read before is what is there now. What is only appended to was whole at any moment.
fn is_same(item: &Item, before: &Item) -> bool {
    Stamp::of(&item.entry) == Stamp::of(&before.entry) || (item.is_appended() && item.entry.bytes >= before.entry.bytes)
}
