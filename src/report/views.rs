//! Results as JSON values for programs.

use serde_json::{Value, json};

use crate::backup::BackupOutcome;
use crate::explain::Answer;
use crate::list::Listing;
use crate::model::{Decisions, Inventory};
use crate::plan::{Decision, RestorePlan};
use crate::restore::RestoreOutcome;
use crate::words;

pub(super) fn inventory(inventory: &Inventory, decisions: &Decisions) -> Value {
    let objects = decisions.kept.iter().map(|(object, reason)| json!({"object": object, "reason": reason}));
    json!({
        "operators": inventory.operators,
        "instances": inventory.instances,
        "namespaces": inventory.namespaces,
        "volumes": inventory.volumes,
        "objects": objects.collect::<Vec<_>>(),
        "left_out": inventory.left_out,
        "missing_references": inventory.missing_references,
        "failed_groups": inventory.failed_groups,
    })
}

pub(super) fn explanation(answers: &[Answer]) -> Value {
    let answers =
        answers.iter().map(|answer| json!({"object": answer.object, "in": answer.is_in, "because": answer.because}));
    json!({"result": "explain", "answers": answers.collect::<Vec<_>>()})
}

pub(super) fn backup(outcome: &BackupOutcome, store: &str) -> Value {
    json!({
        "result": "backup",
        "store": store,
        "took_ms": outcome.took.as_millis(),
        "snapshots_took_ms": outcome.snapshots_took.as_millis(),
        "copies_took_ms": outcome.copies_took.as_millis(),
        "problems": outcome.problems,
        "housekeeping": outcome.housekeeping,
        "backup": outcome.record,
    })
}

pub(super) fn listing(listing: &Listing, store: &str) -> Value {
    let unreadable = listing.unreadable.iter();
    json!({
        "store": store,
        "backups": listing.backups,
        "unreadable": unreadable.map(|(id, error)| json!({"id": id, "error": words::chain(error)})).collect::<Vec<_>>(),
        "unfinished": listing.unfinished,
    })
}

pub(super) fn plan(plan: &RestorePlan) -> Value {
    let stages = plan.stages.iter().map(|stage| {
        let steps = stage.steps.iter().map(|step| {
            let (decision, details) = match &step.decision {
                Decision::Create => ("create", json!(null)),
                Decision::Unchanged => ("unchanged", json!(null)),
                Decision::Kept(differences) => ("kept", json!(differences)),
                Decision::Impossible(why) => ("impossible", json!(why)),
            };
            json!({"object": step.manifest.key(), "decision": decision, "details": details})
        });
        json!({"stage": stage.stage.name, "steps": steps.collect::<Vec<_>>()})
    });
    json!({
        "result": "plan",
        "backup": plan.backup,
        "refusals": plan.refusals,
        "stages": stages.collect::<Vec<_>>(),
        "fills": plan.fills.iter().map(|fill| json!({
            "volume": fill.volume(), "tree": fill.copy.tree, "bytes": fill.copy.bytes, "done": fill.done,
        })).collect::<Vec<_>>(),
    })
}

pub(super) fn restore(outcome: &RestoreOutcome) -> Value {
    let kept = outcome.plan.steps().filter_map(|step| match &step.decision {
        Decision::Kept(differences) => Some(json!({"object": step.manifest.key(), "differs_in": differences})),
        _ => None,
    });
    let impossible = outcome.plan.steps().filter_map(|step| match &step.decision {
        Decision::Impossible(why) => Some(json!({"object": step.manifest.key(), "why": why})),
        _ => None,
    });
    json!({
        "result": "restore",
        "backup": outcome.plan.backup,
        "created": outcome.applied.created,
        "unchanged": outcome.plan.count(|decision| *decision == Decision::Unchanged),
        "kept": kept.collect::<Vec<_>>(),
        "impossible": impossible.collect::<Vec<_>>(),
        "problems": outcome.applied.problems,
        "filled": outcome.applied.filled.volumes.iter().map(|(volume, report)| json!({
            "volume": volume, "tree": report.tree, "files": report.files, "bytes": report.bytes,
            "written_bytes": report.sent_bytes, "notes": report.notes,
        })).collect::<Vec<_>>(),
        "fill_problems": outcome.applied.filled.problems,
        "housekeeping": outcome.housekeeping,
        "snapshot_objects_removed": outcome.released.removed,
        "snapshot_objects_left": outcome.released.left,
        "claims_waiting_for_a_pod": outcome.released.waiting_claims,
        "proof": outcome.confirmation,
        "proven": outcome.confirmation.as_ref().map(crate::proof::Confirmation::holds),
        "totals": outcome.confirmation.as_ref().map(|confirmation| json!({
            "blocks": confirmation.blocks(),
            "samples": confirmation.samples(),
            "probes": confirmation.probes(),
            "gap_seconds": confirmation.gap_seconds(),
        })),
        "writing_took_ms": outcome.applied.writing_took.as_millis(),
        "took_ms": outcome.took.as_millis(),
    })
}
