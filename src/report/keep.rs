//! What `prune` and `delete` did, as text and as values.

use serde_json::{Value, json};

use crate::delete::Deleted;
use crate::model::{BackupId, Problem, Sha256};
use crate::prune::{PrunePlan, Pruned, Total};
use crate::quantity;
use crate::store::StoreClock;

fn told(total: &Total) -> String {
    format!("{} objects ({})", total.objects, quantity::human(total.bytes))
}

fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn ids(ids: &[BackupId]) -> String {
    ids.iter().map(BackupId::as_str).collect::<Vec<_>>().join(", ")
}

fn sizes(objects: &[(Sha256, u64)]) -> Total {
    Total::of(objects.iter().map(|(_, bytes)| bytes))
}

fn leftovers(plan: &PrunePlan) -> Total {
    Total::of(plan.leftovers.iter().map(|leftover| &leftover.bytes))
}

fn clock_of(plan: &PrunePlan) -> &'static str {
    match plan.time.clock {
        StoreClock::Server => "the server's clock",
        StoreClock::Machine => "this machine's clock",
        StoreClock::MachineForServer => "this machine's clock, because the server does not tell its own",
    }
}

/// What went wrong, a line each and one for what to do.
fn told_problems(problems: &[Problem]) -> impl Iterator<Item = String> {
    problems.iter().map(|problem| {
        let Problem { object, tried, cause, hint } = problem;
        format!("PROBLEM    {tried} {object}: {cause}\n           {hint}")
    })
}

/// What waits, what stays and by which clock: the end of both tables.
fn rest(plan: &PrunePlan) -> Vec<String> {
    let mut rows = Vec::new();
    if plan.waiting.objects > 0 || !plan.waiting_backups.is_empty() {
        let next = plan.next_at.map(|at| format!("; the first may go at {}", time(at))).unwrap_or_default();
        rows.push(format!("WAITING    {}{next}", told(&plan.waiting)));
    }
    if !plan.waiting_backups.is_empty() {
        rows.push(format!("WAITING    unfinished backups {}", ids(&plan.waiting_backups)));
    }
    rows.push(format!("KEPT       {}, which backups refer to", told(&plan.referenced)));
    let hours = plan.grace.as_secs() / 3600;
    let grace = if hours > 0 { format!("{hours} h") } else { format!("{} s", plan.grace.as_secs()) };
    rows.push(format!("GRACE      {grace}, by {}: {}", clock_of(plan), time(plan.time.now)));
    rows
}

pub(super) fn plan_text(plan: &PrunePlan, store: &str) -> String {
    let mut rows = vec![format!("WOULD REMOVE  {}, from {store}", told(&sizes(&plan.remove)))];
    if !plan.remove_backups.is_empty() {
        rows.push(format!("WOULD REMOVE  unfinished backups {}", ids(&plan.remove_backups)));
    }
    if !plan.leftovers.is_empty() {
        rows.push(format!("WOULD REMOVE  {} that killed runs left", told(&leftovers(plan))));
    }
    rows.push(format!("WOULD MARK    {}", told(&sizes(&plan.mark))));
    if !plan.mark_backups.is_empty() {
        rows.push(format!("WOULD MARK    unfinished backups {}", ids(&plan.mark_backups)));
    }
    rows.extend(rest(plan));
    rows.extend(told_problems(&plan.problems));
    rows.join("\n")
}

pub(super) fn pruned_text(plan: &PrunePlan, done: &Pruned, took_over: Option<&str>, store: &str) -> String {
    let mut rows: Vec<String> =
        took_over.map(|dead| format!("TOOK OVER  the lock of the store from a dead run: {dead}")).into_iter().collect();
    rows.push(format!("REMOVED    {}, from {store}", told(&done.removed)));
    if !done.removed_backups.is_empty() {
        rows.push(format!("REMOVED    unfinished backups {}", ids(&done.removed_backups)));
    }
    if done.removed_leftovers.objects > 0 {
        rows.push(format!("REMOVED    {} that killed runs left", told(&done.removed_leftovers)));
    }
    let later = if plan.mark.is_empty() { "" } else { "; a later prune removes what is still not referred to then" };
    rows.push(format!("MARKED     {}{later}", told(&sizes(&plan.mark))));
    if !plan.mark_backups.is_empty() {
        rows.push(format!("MARKED     unfinished backups {}", ids(&plan.mark_backups)));
    }
    rows.extend(rest(plan));
    rows.extend(told_problems(&done.problems));
    rows.join("\n")
}

pub(super) fn plan_value(plan: &PrunePlan, store: &str) -> Value {
    json!({
        "result": "plan",
        "store": store,
        "remove": sizes(&plan.remove),
        "remove_backups": plan.remove_backups,
        "remove_leftovers": leftovers(plan),
        "mark": sizes(&plan.mark),
        "mark_backups": plan.mark_backups,
        "waiting": plan.waiting,
        "waiting_backups": plan.waiting_backups,
        "next_at": plan.next_at,
        "referenced": plan.referenced,
        "grace_seconds": plan.grace.as_secs(),
        "now": plan.time.now,
        "clock": clock_of(plan),
        "problems": plan.problems,
    })
}

pub(super) fn pruned_value(plan: &PrunePlan, done: &Pruned, took_over: Option<&str>, store: &str) -> Value {
    json!({
        "result": "prune",
        "store": store,
        "removed": done.removed,
        "removed_backups": done.removed_backups,
        "removed_marks": done.removed_marks,
        "removed_leftovers": done.removed_leftovers,
        "marked": sizes(&plan.mark),
        "marked_backups": plan.mark_backups,
        "waiting": plan.waiting,
        "waiting_backups": plan.waiting_backups,
        "next_at": plan.next_at,
        "referenced": plan.referenced,
        "grace_seconds": plan.grace.as_secs(),
        "now": plan.time.now,
        "clock": clock_of(plan),
        "took_over": took_over,
        "problems": done.problems,
    })
}

pub(super) fn deleted_text(deleted: &Deleted, store: &str) -> String {
    let mut rows: Vec<String> = Vec::new();
    for id in &deleted.backups {
        rows.push(format!("DELETED    {id}  from {store}"));
    }
    rows.extend(deleted.snapshots_deleted.iter().map(|object| format!("DELETED    {object}, with its data")));
    for left in &deleted.snapshots_left {
        rows.push(format!("LEFT       {}: {}", left.snapshot, left.why));
        rows.push(format!("           {}", left.by_hand));
    }
    if deleted.had_copies {
        let freed = deleted.freed.map(|freed| format!("{} that no other backup refers to; ", told(&freed)));
        rows.push(format!("DATA       {}promsafe prune frees them", freed.unwrap_or_default()));
    }
    rows.extend(told_problems(&deleted.problems));
    rows.join("\n")
}

pub(super) fn deleted_value(deleted: &Deleted, store: &str) -> Value {
    json!({
        "result": "delete",
        "store": store,
        "deleted": deleted.backups,
        "snapshots_deleted": deleted.snapshots_deleted,
        "snapshots_left": deleted.snapshots_left,
        "freed_by_prune": deleted.freed,
        "problems": deleted.problems,
    })
}
