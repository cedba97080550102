//! Results as people read them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::copies::{copies, copy_problems, data_size, source};
use super::table::table;
use super::volumes;
use crate::backup::BackupOutcome;
use crate::explain::Answer;
use crate::list::Listing;
use crate::model::{
    BackupRecord, DataVolume, Decisions, Housekeeping, Instance, Inventory, MissingReference, ObjectKey, Operator,
    Problem, VolumeRecord,
};
use crate::order::Barrier;
use crate::plan::{Decision, RestorePlan};
use crate::proof::{Confirmation, gap_in_words};
use crate::quantity::human;
use crate::restore::RestoreOutcome;
use crate::words;

pub(super) fn inventory(inventory: &Inventory, decisions: &Decisions) -> String {
    let mut lines = found(&inventory.instances, &inventory.operators);
    if lines.is_empty() {
        lines.push(
            "FOUND      nothing: no operator, no Prometheus, Alertmanager, ThanosRuler or agent resource".to_owned(),
        );
    }
    let volumes = inventory.volumes.iter().map(|volume| {
        vec![
            volume.qualified_name(),
            volume.phase.clone(),
            human(volume.capacity_bytes),
            volume.storage_class.clone().unwrap_or_default(),
            volume.driver.clone().unwrap_or_else(|| "no CSI driver".to_owned()),
            used_by(volume),
        ]
    });
    lines.push(String::new());
    lines.push(table(&["CLAIM", "PHASE", "SIZE", "CLASS", "DRIVER", "USED BY"], volumes));
    lines.push(String::new());
    let objects = decisions.kept.iter().map(|(object, reason)| vec![object.to_string(), reason.clone()]);
    lines.push(table(&["OBJECT", "WHY IT IS IN"], objects));
    lines.push(String::new());
    lines.push(table(&["LEFT OUT", "WHY"], left_out(&inventory.left_out)));
    lines.extend(missing(&inventory.missing_references));
    for group in &inventory.failed_groups {
        lines.push(format!("NOT SEEN   API group {group}: its server does not answer, so what is in it is unknown"));
    }
    lines.join("\n")
}

pub(super) fn explanation(answers: &[Answer]) -> String {
    let lines = answers.iter().map(|answer| {
        let verdict = if answer.is_in { "IN        " } else { "OUT       " };
        format!("{verdict} {}: {}", answer.object, answer.because)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn used_by(volume: &DataVolume) -> String {
    match (&volume.used_by, &volume.leftover_of) {
        (Some(instance), _) => instance.clone(),
        (None, Some(instance)) => format!("leftover of {instance}: no pod mounts it"),
        (None, None) => volume.pod.as_ref().map_or_else(|| "nobody mounts it".to_owned(), |pod| format!("Pod {pod}")),
    }
}

fn missing(references: &[MissingReference]) -> Vec<String> {
    let lines = references.iter().flat_map(|reference| {
        [
            format!("MISSING    {} {}; {} needs it", reference.object, reference.why, reference.needed_by()),
            format!("           fix: {}", reference.fix),
        ]
    });
    lines.collect()
}

fn left_out(left_out: &BTreeMap<String, u64>) -> impl Iterator<Item = Vec<String>> {
    left_out.iter().map(|(reason, count)| vec![count.to_string(), reason.clone()])
}

fn found(all: &[Instance], operators: &[Operator]) -> Vec<String> {
    let found = all.iter().map(|instance| {
        let version = instance.version.as_deref().unwrap_or("version not named");
        let size = match (instance.replicas, instance.shards) {
            (1, 1) => "1 replica".to_owned(),
            (replicas, 1) => format!("{replicas} replicas"),
            (replicas, shards) => format!("{replicas} replicas x {shards} shards"),
        };
        format!("FOUND      {} ({version}, {size})", instance.key)
    });
    let operators = operators.iter().map(|operator| {
        let version = operator.version.as_deref().unwrap_or("version not named");
        let scope = if operator.scope.is_empty() { String::new() } else { format!("; {}", operator.scope) };
        format!("FOUND      Operator {} ({version}{scope})", operator.key.qualified_name())
    });
    let volatile = instances_on(all).map(|(instance, lies_on)| {
        format!("VOLATILE   {instance}: its data lies on {lies_on}, not on a claim; no snapshot can save its history")
    });
    found.chain(operators).chain(volatile).collect()
}

/// Instances whose data lies on no claim, with what it lies on.
fn instances_on(instances: &[Instance]) -> impl Iterator<Item = (&ObjectKey, &String)> {
    instances.iter().filter_map(|instance| Some((&instance.key, instance.volatile.as_ref()?)))
}

pub(super) fn backup(outcome: &BackupOutcome, store: &str) -> String {
    let record = &outcome.record;
    let mut lines = contents(record);
    lines.extend(problems(&outcome.problems));
    lines.extend(housekeeping(&outcome.housekeeping));
    let bytes = record.files.iter().map(|file| file.bytes).sum();
    let copied = record.volumes.iter().any(|volume| volume.copy.is_some());
    let copying = if copied { format!(", {:.1}s copying", outcome.copies_took.as_secs_f64()) } else { String::new() };
    lines.push(format!(
        "SAVED      {}  {}  in {:.1}s (of which {:.1}s waiting for snapshots{copying})  {store}",
        record.id,
        human(bytes),
        outcome.took.as_secs_f64(),
        outcome.snapshots_took.as_secs_f64(),
    ));
    lines.join("\n")
}

/// What a backup holds, as `backup` and `show` print it.
fn contents(record: &BackupRecord) -> Vec<String> {
    let mut lines = found(&record.instances, &record.operators);
    lines.extend(volumes::lines(record));
    lines.extend(copies(record));
    let left_out: u64 = record.left_out.values().sum();
    lines.push(format!(
        "OBJECTS    {} saved ({} cluster-scoped, {} in namespaces), {left_out} left out that controllers make again, \
         {} missing references",
        record.objects,
        record.cluster_scoped_objects,
        record.objects - record.cluster_scoped_objects,
        record.missing_references.len(),
    ));
    lines.extend(history(record));
    lines
}

/// Blocks, span and skew of the replicas.
fn history(record: &BackupRecord) -> Option<String> {
    let blocks: usize = record.fingerprints.iter().map(|fingerprint| fingerprint.blocks.len()).sum();
    let samples: u64 = record.fingerprints.iter().flat_map(|f| &f.blocks).map(|block| block.samples).sum();
    let newest = record.fingerprints.iter().map(|f| f.head.max_time_ms).max()?;
    let oldest = record.fingerprints.iter().flat_map(|f| &f.blocks).map(|b| b.min_time_ms).min().unwrap_or(newest);
    let cuts = || record.volumes.iter().filter_map(VolumeRecord::cut_at);
    let skew = match (cuts().min(), cuts().max()) {
        (Some(first), Some(last)) => format!(", volumes cut {:.1}s apart", last.duration_since(first).as_secs_f64()),
        _ => String::new(),
    };
    Some(format!("TSDB       {blocks} blocks, {samples} samples in them, {} .. {}{skew}", day(oldest), time(newest)))
}

pub(super) fn problems(problems: &[Problem]) -> Vec<String> {
    let lines = problems.iter().flat_map(|problem| {
        [
            format!("PROBLEM    {} {}: {}", problem.tried, problem.object, problem.cause),
            format!("           fix: {}", problem.hint),
        ]
    });
    lines.collect()
}

/// What a run did beside its own work.
fn housekeeping(housekeeping: &Housekeeping) -> Vec<String> {
    let mut lines = Vec::new();
    lines
        .extend(housekeeping.took_over.iter().map(|holder| format!("LOCK       taken over from a dead run: {holder}")));
    if !housekeeping.swept.is_empty() {
        let count = housekeeping.swept.len();
        lines.push(format!("SWEPT      {count} objects that dead runs left, deletion asked for:"));
        lines.extend(housekeeping.swept.iter().map(|object| format!("           {object}")));
    }
    lines.extend(problems(&housekeeping.problems));
    lines
}

pub(super) fn listing(listing: &Listing, store: &str, now: Timestamp) -> String {
    let mut lines = Vec::new();
    if listing.backups.is_empty() {
        lines.push(format!("no complete backup in {store}; make one: promsafe backup"));
    } else {
        let rows = listing.backups.iter().map(|record| {
            let snapshots = record.volumes.iter().filter(|volume| volume.snapshot.is_some()).count();
            vec![
                record.id.to_string(),
                age(now.duration_since(record.started_at).as_secs()),
                sources(record),
                format!("{snapshots}/{}", record.volumes.len()),
                data_size(record),
                record.objects.to_string(),
                human(record.files.iter().map(|file| file.bytes).sum()),
                record.cluster.version.clone(),
            ]
        });
        lines.push(table(&["ID", "AGE", "INSTANCES", "SNAPSHOTS", "DATA", "OBJECTS", "SIZE", "KUBERNETES"], rows));
    }
    for (id, error) in &listing.unreadable {
        lines.push(format!("UNREADABLE {id}: {}", words::chain(error)));
    }
    if !listing.unfinished.is_empty() {
        let ids: Vec<String> = listing.unfinished.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "UNFINISHED {} (left by runs that did not end; not backups): {}",
            ids.len(),
            ids.join(", ")
        ));
    }
    lines.join("\n")
}

/// What a backup is of, in a row of a listing.
fn sources(record: &BackupRecord) -> String {
    match &record.directory {
        Some(source) => format!("{}:{}", source.host, source.path),
        None => record.instances.iter().map(|i| i.key.qualified_name()).collect::<Vec<_>>().join(","),
    }
}

pub(super) fn record(record: &BackupRecord) -> String {
    let mut lines = vec![
        format!("BACKUP     {}, written by promsafe {}", record.id, record.tool_version),
        format!("TAKEN      {} .. {}", utc(record.started_at), utc(record.finished_at)),
    ];
    lines.extend(source(record));
    if record.directory.is_some() {
        lines.extend(copies(record));
        lines.extend(copy_problems(record));
        return lines.join("\n");
    }
    let cluster = &record.cluster;
    lines.push(format!("CLUSTER    {} ({}, uid {})", cluster.server, cluster.version, cluster.uid));
    lines.push(format!("NAMESPACES {}", record.namespaces.join(", ")));
    lines.extend(contents(record));
    lines.extend(copy_problems(record));
    lines.extend(missing(&record.missing_references));
    for (pod, cause) in &record.without_fingerprint {
        lines.push(format!("UNPROVEN   {pod} did not answer: {cause}"));
    }
    lines.push(table(&["LEFT OUT", "WHY"], left_out(&record.left_out)));
    let files = record.files.iter().map(|file| vec![file.name.clone(), human(file.bytes), file.sha256.clone()]);
    lines.push(table(&["FILE", "SIZE", "SHA-256"], files));
    lines.join("\n")
}

pub(super) fn plan(plan: &RestorePlan) -> String {
    let mut lines = Vec::new();
    for stage in &plan.stages {
        let creates: Vec<String> = stage
            .steps
            .iter()
            .filter(|step| step.decision == Decision::Create)
            .map(|step| step.manifest.key().to_string())
            .collect();
        if !creates.is_empty() {
            lines.push(format!("{}:", stage.stage.name));
            lines.extend(creates.iter().map(|object| format!("  create {object}")));
        }
        if stage.stage.barrier == Barrier::ClaimsUsable {
            lines.extend(plan.fills.iter().filter(|fill| !fill.done).map(|fill| {
                format!("  fill   PersistentVolumeClaim {} from its copy, {}", fill.volume(), human(fill.copy.bytes))
            }));
        }
    }
    lines.extend(not_as_saved(plan));
    lines.push(format!(
        "CREATE {}   IDENTICAL {}   DIFFERS {} (kept)   IMPOSSIBLE {}   BLOCKED {}",
        plan.count(|decision| *decision == Decision::Create),
        plan.count(|decision| *decision == Decision::Unchanged),
        plan.count(|decision| matches!(decision, Decision::Kept(_))),
        plan.count(|decision| matches!(decision, Decision::Impossible(_))),
        plan.refusals.len(),
    ));
    let mut fixes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for refusal in &plan.refusals {
        fixes.entry(&refusal.fix).or_default().push(format!("BLOCKED    {} {}", refusal.object, refusal.why));
    }
    for (fix, blocked) in fixes {
        lines.extend(blocked);
        lines.push(format!("           fix: {fix}"));
    }
    if !plan.refusals.is_empty() {
        lines.push("nothing was changed".to_owned());
    }
    lines.join("\n")
}

fn not_as_saved(plan: &RestorePlan) -> Vec<String> {
    let lines = plan.steps().filter_map(|step| match &step.decision {
        Decision::Kept(fields) => {
            Some(format!("DIFFERS    {} in {} (kept as it is)", step.manifest.key(), fields.join(", ")))
        }
        Decision::Impossible(why) => Some(format!("IMPOSSIBLE {}: {why}", step.manifest.key())),
        Decision::Create | Decision::Unchanged => None,
    });
    lines.collect()
}

pub(super) fn restore(outcome: &RestoreOutcome) -> String {
    let plan = &outcome.plan;
    let mut lines = not_as_saved(plan);
    lines.extend(problems(&outcome.applied.problems));
    lines.extend(problems(&outcome.applied.filled.problems));
    lines.extend(housekeeping(&outcome.housekeeping));
    let filled = outcome.applied.filled.volumes.iter();
    lines.extend(filled.map(|(volume, report)| {
        let notes = report.notes.iter().fold(String::new(), |notes, note| notes + "; " + note);
        format!("FILLED     {volume}: {} files, {} verified{notes}", report.files, human(report.bytes))
    }));
    for claim in &outcome.released.waiting_claims {
        lines.push(format!(
            "WAITING    claim {claim} is not bound until a pod mounts it; its snapshot objects stay until then \
             (run the same restore again to remove them)"
        ));
    }
    lines.extend(outcome.released.left.iter().map(|object| format!("LEFT       {object}")));
    lines.push(format!(
        "RESTORED   {}: {} created, {} there already, {} differ and were kept, {} failed",
        plan.backup,
        outcome.applied.created,
        plan.count(|decision| *decision == Decision::Unchanged),
        plan.count(|decision| matches!(decision, Decision::Kept(_))),
        outcome.applied.problems.len() + plan.count(|decision| matches!(decision, Decision::Impossible(_))),
    ));
    lines.push(format!(
        "TIME       {:.1}s to write all of it, {:.1}s with waiting for pods and proof",
        outcome.applied.writing_took.as_secs_f64(),
        outcome.took.as_secs_f64()
    ));
    match &outcome.confirmation {
        Some(confirmation) => lines.extend(proof(confirmation)),
        None => lines.push("NO PROOF   nothing to prove: no Prometheus came back with its data".to_owned()),
    }
    lines.join("\n")
}

fn proof(confirmation: &Confirmation) -> Vec<String> {
    let rows = confirmation.pods.iter().map(|pod| {
        vec![
            format!("{}/{}", pod.namespace, pod.pod),
            pod.blocks.to_string(),
            pod.samples.to_string(),
            pod.probes.to_string(),
            pod.rule_groups.to_string(),
            pod.scrape_pools.to_string(),
            gap_in_words(pod.gap_seconds),
        ]
    });
    let header = ["PROMETHEUS", "BLOCKS", "SAMPLES", "QUERIES", "RULE GROUPS", "SCRAPE POOLS", "GAP"];
    let mut lines = vec![table(&header, rows)];
    lines.extend(problems(&confirmation.problems));
    let (word, equal) = if confirmation.holds() { ("PROVEN    ", "equal") } else { ("NOT PROVEN", "not all equal") };
    lines.push(format!(
        "{word} blocks {}, samples {}, {} queries at past times {equal}, gap {}",
        confirmation.blocks(),
        confirmation.samples(),
        confirmation.probes(),
        gap_in_words(confirmation.gap_seconds()),
    ));
    lines
}

pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| "unknown".to_owned(), utc)
}

fn day(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms);
    at.map_or_else(|_| "unknown".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

fn age(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}
