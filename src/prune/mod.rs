//! The prune pipeline: what no complete backup refers to is marked first, and removed by a later run when it is still not
//! referred to. Reads all, plans as a value, then writes under the lock of the store.

mod plan;

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;

use crate::list::list;
use crate::marks::Mark;
use crate::model::{BackupId, BackupRecord, Event, Problem, Reporter, Sha256};
use crate::store::{Store, StoreError, StoreLock, StoreLockError, StoreTime};
use crate::trees;
use crate::words;
pub use plan::{Found, MarkFound, PrunePlan, Total, plan};

/// Requests in flight at once.
const IN_FLIGHT: usize = 16;
/// Objects removed between two looks at the lock.
const BATCH: usize = 1000;
/// Lines of one mark: its bytes are held in memory.
const MARK_LINES: usize = 100_000;
/// Set in the size of an object that a backup refers to: no object is that large.
const REFERRED: u64 = 1 << 63;
/// Problems of one kind that are named; more of them have the same cause.
const NAMED: usize = 20;

/// Nothing was removed, or not all.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// What a backup refers to cannot be read, so anything might be.
    #[error("find out what the backups refer to: nothing was removed, because {} cannot be read", named(unreadable))]
    Unreadable {
        /// What cannot be read, and why.
        unreadable: Vec<Problem>,
    },
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lock of the store is lost.
    #[error(transparent)]
    Lock(#[from] StoreLockError),
    /// The mark could not be put into words.
    #[error("write the mark")]
    WriteMark(#[from] serde_json::Error),
}

fn named(unreadable: &[Problem]) -> String {
    unreadable.iter().map(|problem| problem.object.as_str()).collect::<Vec<_>>().join(", ")
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Objects removed.
    pub removed: Total,
    /// Unfinished backups removed.
    pub removed_backups: Vec<BackupId>,
    /// Marks removed, because nothing of what they list is left.
    pub removed_marks: u64,
    /// What killed runs had left and was removed.
    pub removed_leftovers: Total,
    /// What could not be done.
    pub problems: Vec<Problem>,
}

/// Reads the store and plans; with what cannot be read it is an error, since nothing may be removed then.
///
/// # Errors
/// [`PruneError::Unreadable`], or when the store cannot be read.
pub async fn look(store: &Store, grace: Duration, reporter: &dyn Reporter) -> Result<PrunePlan, PruneError> {
    reporter.event(&Event::Step { doing: format!("looking at what {} holds", store.url()) });
    // Listed before the backups are: what is sealed meanwhile refers to none of it that is not seen below.
    let mut data = store.data().await?;
    let total = Total::of(data.values());
    let listing = list(store).await?;
    let mut unreadable: Vec<Problem> = listing.unreadable.iter().map(|(id, error)| problem_of(id, error)).collect();
    let missing = refer(store, &listing.backups, &mut data, &mut unreadable).await?;
    if !unreadable.is_empty() {
        return Err(PruneError::Unreadable { unreadable });
    }
    let (marks, mut problems) = read_marks(store).await?;
    if missing > 0 {
        problems.push(Problem {
            object: store.url().to_string(),
            tried: "find what the backups refer to".to_owned(),
            cause: format!("{missing} pieces that complete backups refer to are missing"),
            hint: "promsafe verify --all --level list names them".to_owned(),
        });
    }
    let (unfinished, leftovers) = (listing.unfinished, store.leftovers().await?);
    let found = Found { total, unreferenced: data, unfinished, marks, leftovers };
    Ok(plan(found, grace, store.time(), problems))
}

fn problem_of(id: &BackupId, error: &StoreError) -> Problem {
    Problem {
        object: format!("backup {id}"),
        tried: "read".to_owned(),
        cause: words::chain(error),
        hint: format!(
            "a newer format needs a newer promsafe; give a damaged backup up with: promsafe delete {id} --force"
        ),
    }
}

/// Takes out of the listing what backups refer to. Returns how many objects that they refer to are missing.
async fn refer(
    store: &Store,
    backups: &[BackupRecord],
    data: &mut HashMap<Sha256, u64>,
    unreadable: &mut Vec<Problem>,
) -> Result<usize, StoreError> {
    let mut seen_trees: HashSet<Sha256> = HashSet::new();
    let mut missing: HashSet<Sha256> = HashSet::new();
    for backup in backups {
        for (_, copy) in trees::copies(backup) {
            if !seen_trees.insert(copy.tree) {
                continue;
            }
            let mut refer_to = |sha256: Sha256| match data.get_mut(&sha256) {
                Some(bytes) => *bytes |= REFERRED,
                None => drop(missing.insert(sha256)),
            };
            refer_to(copy.tree);
            match trees::walk(store, &copy.tree, |entry| entry.pieces.into_iter().for_each(&mut refer_to)).await {
                Ok(()) => {}
                Err(error @ StoreError::Damaged { .. }) => unreadable.push(problem_of(&backup.id, &error)),
                Err(error) => return Err(error),
            }
        }
    }
    data.retain(|_, bytes| *bytes & REFERRED == 0);
    Ok(missing.len())
}

/// All marks; one that cannot be read counts as none, and what it lists is marked again.
async fn read_marks(store: &Store) -> Result<(Vec<MarkFound>, Vec<Problem>), StoreError> {
    let (mut marks, mut problems) = (Vec::new(), Vec::new());
    for name in store.marks().await? {
        let read = match store.read_mark(&name).await {
            Ok(bytes) => Mark::from_lines(&bytes).map_err(|error| error.to_string()),
            Err(error @ StoreError::Damaged { .. }) => Err(words::chain(&error)),
            Err(error) => return Err(error),
        };
        let mark = read.unwrap_or_else(|cause| {
            problems.push(Problem {
                object: store.mark_path(&name),
                tried: "read".to_owned(),
                cause,
                hint: "nothing: the mark is removed, and what it lists is marked again".to_owned(),
            });
            Mark::default()
        });
        marks.push(MarkFound { name, mark });
    }
    Ok((marks, problems))
}

/// Does what is planned. To be run within [`StoreLock::hold`].
///
/// # Errors
/// When the lock is lost or marks cannot be written. What could not be removed is a problem.
pub async fn execute(
    store: &Store,
    plan: &PrunePlan,
    lock: &StoreLock<'_>,
    reporter: &dyn Reporter,
) -> Result<Pruned, PruneError> {
    let mut pruned = Pruned { problems: plan.problems.clone(), ..Pruned::default() };
    lock.still_held().await?;
    // First: one that is spoilt may have the name of the one that replaces it.
    for mark in &plan.empty_marks {
        store.delete_mark(mark).await?;
        pruned.removed_marks += 1;
    }
    write_marks(store, plan, plan.time).await?;
    if !plan.remove.is_empty() {
        let doing = format!("removing {} objects that no backup refers to", plan.remove.len());
        reporter.event(&Event::Step { doing });
    }
    let failed_before = pruned.problems.len();
    for batch in plan.remove.chunks(BATCH) {
        lock.still_held().await?;
        let removals = batch.iter().map(async |(sha256, bytes)| (sha256, bytes, store.delete_data(sha256).await));
        let mut removals = futures::stream::iter(removals).buffer_unordered(IN_FLIGHT);
        while let Some((sha256, bytes, removed)) = removals.next().await {
            match removed {
                Ok(()) => pruned.removed.add(*bytes),
                Err(error) => pruned.problem(store.data_path(sha256), &error),
            }
        }
    }
    for id in &plan.remove_backups {
        lock.still_held().await?;
        match store.remove_unfinished(id).await {
            Ok(true) => pruned.removed_backups.push(id.clone()),
            // Completed since it was looked at.
            Ok(false) => {}
            Err(error) => pruned.problem(format!("unfinished backup {id}"), &error),
        }
    }
    // A mark whose objects could not be removed is still needed.
    if pruned.problems.len() == failed_before {
        for mark in &plan.due_marks {
            store.delete_mark(mark).await?;
            pruned.removed_marks += 1;
        }
    }
    for leftover in &plan.leftovers {
        lock.still_held().await?;
        match store.remove_leftover(leftover).await {
            Ok(()) => pruned.removed_leftovers.add(leftover.bytes),
            Err(error) => pruned.problem(store.leftover_path(leftover), &error),
        }
    }
    Ok(pruned)
}

impl Pruned {
    fn problem(&mut self, object: String, error: &StoreError) {
        if self.problems.len() < NAMED {
            let (tried, cause) = ("remove".to_owned(), words::chain(error));
            let hint = "mend the cause and run promsafe prune again".to_owned();
            self.problems.push(Problem { object, tried, cause, hint });
        }
    }
}

async fn write_marks(store: &Store, plan: &PrunePlan, time: StoreTime) -> Result<(), PruneError> {
    let whole_second = Timestamp::from_second(time.now.as_second()).unwrap_or(time.now);
    let mut backups = plan.mark_backups.clone();
    let mut chunks = plan.mark.chunks(MARK_LINES);
    loop {
        let data = chunks.next().unwrap_or_default().iter().map(|(sha256, _)| *sha256).collect();
        let mark = Mark { data, backups: std::mem::take(&mut backups) };
        if mark.is_empty() {
            return Ok(());
        }
        store.write_mark(whole_second, mark.to_lines()?).await?;
    }
}
