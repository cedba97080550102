//! What is marked, what waits, and what is removed: decided by what nothing refers to, by the marks there are and by their
//! age. Pure.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::marks::Mark;
use crate::model::{BackupId, Problem, Sha256};
use crate::store::{Leftover, MarkName, StoreTime};

/// So many objects of so many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// Objects.
    pub objects: u64,
    /// All together, in bytes.
    pub bytes: u64,
}

impl Total {
    /// Of objects of these sizes.
    pub fn of<'a>(sizes: impl IntoIterator<Item = &'a u64>) -> Self {
        let mut total = Self::default();
        sizes.into_iter().for_each(|bytes| total.add(*bytes));
        total
    }

    /// One more object.
    pub fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// A mark and what it lists; nothing when it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkFound {
    /// Its name.
    pub name: MarkName,
    /// What it lists.
    pub mark: Mark,
}

/// What was found in a store.
#[derive(Debug, Default)]
pub struct Found {
    /// All pieces and trees.
    pub total: Total,
    /// Those that no complete backup refers to, with their sizes.
    pub unreferenced: HashMap<Sha256, u64>,
    /// Backups without a record.
    pub unfinished: Vec<BackupId>,
    /// Marks, oldest first.
    pub marks: Vec<MarkFound>,
    /// What killed runs left, or others are just using.
    pub leftovers: Vec<Leftover>,
}

/// What a run will do; `--plan` prints it.
#[derive(Debug, Clone)]
pub struct PrunePlan {
    /// By which clock the ages were told.
    pub time: StoreTime,
    /// How long something has to be marked.
    pub grace: Duration,
    /// What backups refer to.
    pub referenced: Total,
    /// Objects to be removed, with their sizes.
    pub remove: Vec<(Sha256, u64)>,
    /// Unfinished backups to be removed.
    pub remove_backups: Vec<BackupId>,
    /// Objects to be marked, with their sizes.
    pub mark: Vec<(Sha256, u64)>,
    /// Unfinished backups to be marked.
    pub mark_backups: Vec<BackupId>,
    /// Objects that are marked and not for long enough yet.
    pub waiting: Total,
    /// Unfinished backups that are marked and not for long enough yet.
    pub waiting_backups: Vec<BackupId>,
    /// When the first of what waits may be removed.
    pub next_at: Option<Timestamp>,
    /// Marks of which nothing is left, or that cannot be read: removed before others are written.
    pub empty_marks: Vec<MarkName>,
    /// Marks all of whose objects are to be removed: removed after these.
    pub due_marks: Vec<MarkName>,
    /// What killed runs left and is to be removed: it is older than the grace time.
    pub leftovers: Vec<Leftover>,
    /// What could not be read and does not keep anything from being removed.
    pub problems: Vec<Problem>,
}

/// Decides. What is in a mark of the grace time's age and still not referred to is removed; what is in no mark is marked.
pub fn plan(found: Found, grace: Duration, time: StoreTime, problems: Vec<Problem>) -> PrunePlan {
    let Found { total, mut unreferenced, unfinished, marks, leftovers } = found;
    let all = Total::of(unreferenced.values());
    let mut plan = PrunePlan {
        time,
        grace,
        referenced: Total { objects: total.objects - all.objects, bytes: total.bytes - all.bytes },
        remove: Vec::new(),
        remove_backups: Vec::new(),
        mark: Vec::new(),
        mark_backups: Vec::new(),
        waiting: Total::default(),
        waiting_backups: Vec::new(),
        next_at: None,
        empty_marks: Vec::new(),
        due_marks: Vec::new(),
        leftovers: leftovers.into_iter().filter(|leftover| is_due(leftover.at, grace, time.now)).collect(),
        problems,
    };
    let mut unfinished: HashSet<BackupId> = unfinished.into_iter().collect();
    // Oldest first: of several marks the oldest counts.
    for MarkFound { name, mark } in marks {
        let data: Vec<_> = mark.data.iter().filter_map(|sha256| unreferenced.remove_entry(sha256)).collect();
        let backups: Vec<_> = mark.backups.iter().filter_map(|id| unfinished.take(id)).collect();
        let due = is_due(name.at, grace, time.now);
        if data.is_empty() && backups.is_empty() {
            plan.empty_marks.push(name);
            continue;
        }
        if due {
            plan.due_marks.push(name);
            plan.remove.extend(data);
            plan.remove_backups.extend(backups);
            continue;
        }
        plan.next_at = [plan.next_at, name.at.checked_add(grace).ok()].into_iter().flatten().min();
        for (_, bytes) in &data {
            plan.waiting.add(*bytes);
        }
        plan.waiting_backups.extend(backups);
    }
    plan.mark = unreferenced.into_iter().collect();
    plan.mark_backups = unfinished.into_iter().collect();
    plan.mark.sort_unstable();
    plan.mark_backups.sort();
    plan
}

/// Whether something marked or written at this time was for long enough. What is of the future was not.
fn is_due(at: Timestamp, grace: Duration, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(at)).is_ok_and(|age| age >= grace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreClock;

    fn sha256(name: &str) -> Sha256 {
        Sha256::of(name.as_bytes())
    }

    fn id(second: u8) -> BackupId {
        format!("20261121T0900{second:02}Z-7f3c").parse().unwrap()
    }

    fn mark(at: &str, names: &[&str], backups: &[BackupId]) -> MarkFound {
        let mark = Mark { data: names.iter().map(|name| sha256(name)).collect(), backups: backups.to_vec() };
        let name = MarkName { at: at.parse().unwrap(), sha256: sha256(at) };
        MarkFound { name, mark }
    }

    fn decide(unreferenced: &[&str], unfinished: &[BackupId], marks: Vec<MarkFound>) -> PrunePlan {
        let unreferenced: HashMap<_, _> = unreferenced.iter().map(|name| (sha256(name), 10)).collect();
        let total = Total { objects: 10, bytes: 100 };
        let leftover = |at: &str| Leftover { path: at.to_owned(), bytes: 1, at: at.parse().unwrap() };
        let leftovers = ["2026-11-21T11:00:00Z", "2026-11-21T11:00:01Z", "2026-11-21T13:00:00Z"].map(leftover).to_vec();
        let found = Found { total, unreferenced, unfinished: unfinished.to_vec(), marks, leftovers };
        let time = StoreTime { now: "2026-11-21T12:00:00Z".parse().unwrap(), clock: StoreClock::Server };
        plan(found, Duration::from_hours(1), time, Vec::new())
    }

    #[test]
    fn what_is_in_no_mark_is_only_marked() {
        let plan = decide(&["a", "b"], &[id(1)], vec![]);
        assert_eq!(plan.mark.len(), 2);
        assert_eq!((plan.remove.len(), plan.mark_backups, plan.remove_backups), (0, vec![id(1)], vec![]));
        assert_eq!(plan.referenced, Total { objects: 8, bytes: 80 });
    }

    #[test]
    fn what_is_marked_for_long_enough_and_still_not_referred_to_is_removed() {
        let old = mark("2026-11-21T11:00:00Z", &["a", "referred to again"], &[id(1), id(2)]);
        let plan = decide(&["a", "b"], &[id(1)], vec![old.clone()]);
        assert_eq!(plan.remove, [(sha256("a"), 10)]);
        assert_eq!(plan.remove_backups, [id(1)]);
        assert_eq!(plan.mark, [(sha256("b"), 10)]);
        assert_eq!((plan.due_marks, plan.empty_marks), (vec![old.name], vec![]));
        let leftovers: Vec<_> = plan.leftovers.iter().map(|leftover| leftover.path.as_str()).collect();
        assert_eq!(leftovers, ["2026-11-21T11:00:00Z"]);
    }

    #[test]
    fn what_is_marked_for_too_short_or_in_the_future_waits() {
        for at in ["2026-11-21T11:00:01Z", "2026-11-21T12:00:00Z", "2027-01-01T00:00:00Z"] {
            let plan = decide(&["a"], &[id(1)], vec![mark(at, &["a"], &[id(1)])]);
            assert_eq!((plan.remove.len(), plan.mark.len(), plan.waiting.objects), (0, 0, 1), "{at}");
            assert_eq!((plan.waiting_backups, plan.due_marks, plan.empty_marks), (vec![id(1)], vec![], vec![]), "{at}");
        }
        let marks = vec![mark("2026-11-21T11:30:00Z", &["a"], &[]), mark("2026-11-21T11:40:00Z", &["b"], &[])];
        assert_eq!(decide(&["a", "b"], &[], marks).next_at, Some("2026-11-21T12:30:00Z".parse().unwrap()));
    }

    #[test]
    fn oldest_of_several_marks_counts_and_those_of_which_nothing_is_left_go() {
        let old = mark("2026-11-21T10:00:00Z", &["a"], &[]);
        let young = mark("2026-11-21T11:59:00Z", &["a"], &[]);
        let empty = mark("2026-11-21T11:59:01Z", &[], &[]);
        let plan = decide(&["a"], &[], vec![old.clone(), young.clone(), empty.clone()]);
        assert_eq!(plan.remove, [(sha256("a"), 10)]);
        assert_eq!((plan.due_marks, plan.empty_marks), (vec![old.name], vec![young.name, empty.name]));
    }
}
