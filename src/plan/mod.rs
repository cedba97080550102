//! backup + target + request → [`RestorePlan`], a value: a dry run prints it, the run executes the same.
//!
//! Pure: no cluster, no clock.

mod choose;
mod copies;
mod volumes;

use std::collections::BTreeMap;

pub use copies::{Fill, rename_classes};
pub use volumes::is_this_claim;

use crate::model::{BackupId, BackupRecord, CapturedManifest, GroupKind, ObjectKey, Refusal, ServedKinds};
use crate::order::{STAGES, Stage, stage_of};
use crate::sanitise::{RestorableManifest, SanitiseError, differing_fields};

/// Whether cluster-scoped objects are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterScoped {
    /// Missing ones are created.
    Include,
    /// Missing ones are a reason to refuse.
    Leave,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Whether cluster-scoped objects are restored.
    pub cluster_scoped: ClusterScoped,
    /// Namespaces to restore; empty means all of the backup.
    pub namespaces: Vec<String>,
    /// Short text that no earlier run had: names of snapshot objects and Jobs carry it.
    pub run: String,
    /// Where the data of volumes comes from.
    pub from: VolumeSource,
    /// New names of storage classes by their old ones.
    pub storage_classes: BTreeMap<String, String>,
}

/// Where the data of volumes comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VolumeSource {
    /// The snapshot when there is one and its driver is in the cluster, else the copy.
    #[default]
    Auto,
    /// Snapshots.
    Snapshot,
    /// Copies in the store.
    Copy,
}

/// What the target cluster holds of what the backup holds.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Kinds it serves.
    pub served: ServedKinds,
    /// Objects of the backup that exist there, as served in the backup's API version.
    pub existing: BTreeMap<ObjectKey, CapturedManifest>,
    /// CSI drivers it has (`CSIDriver` objects), of those the backup needs.
    pub drivers: Vec<String>,
    /// Storage classes it has, of those the request names.
    pub storage_classes: Vec<String>,
    /// Namespaces being deleted, with what their conditions say.
    pub terminating: BTreeMap<String, String>,
}

/// What happens to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is missing and will be created.
    Create,
    /// It is there and equal.
    Unchanged,
    /// It is there, differs in these fields, and stays as it is.
    Kept(Vec<String>),
    /// It cannot be created here, for this reason; the rest goes on.
    Impossible(String),
}

/// One object of the plan.
#[derive(Debug, Clone)]
pub struct Step {
    /// What is written.
    pub manifest: RestorableManifest,
    /// What happens to it.
    pub decision: Decision,
}

/// One stage with its objects.
#[derive(Debug, Clone)]
pub struct StagePlan {
    /// The row of the order.
    pub stage: &'static Stage,
    /// Its objects.
    pub steps: Vec<Step>,
}

/// Everything a restore will do.
#[derive(Debug, Clone)]
pub struct RestorePlan {
    /// The backup.
    pub backup: BackupId,
    /// Short text that no earlier run had.
    pub run: String,
    /// Stages in order; empty ones are left out.
    pub stages: Vec<StagePlan>,
    /// Why it must not be executed; empty when it may.
    pub refusals: Vec<Refusal>,
    /// Namespaces whose objects are restored.
    pub namespaces: Vec<String>,
    /// Claims that come back from snapshots: `(namespace, claim)`.
    pub restored_claims: Vec<(String, String)>,
    /// Claims that come back from copies.
    pub fills: Vec<Fill>,
    /// Snapshot objects it creates for a while, removed once the claims are bound.
    pub transient: Vec<ObjectKey>,
}

impl RestorePlan {
    /// All steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages.iter().flat_map(|stage| &stage.steps)
    }

    /// Keys of the objects to be created, in order.
    pub fn creates(&self) -> impl Iterator<Item = &ObjectKey> {
        self.steps().filter(|step| step.decision == Decision::Create).map(|step| step.manifest.key())
    }

    /// How many steps have a decision like this.
    pub fn count(&self, like: fn(&Decision) -> bool) -> usize {
        self.steps().filter(|step| like(&step.decision)).count()
    }
}

/// Computes the plan.
///
/// # Errors
/// When an object of the backup or of the target is no JSON object.
pub fn plan(
    record: &BackupRecord,
    manifests: &[CapturedManifest],
    target: &Target,
    request: &RestoreRequest,
) -> Result<RestorePlan, SanitiseError> {
    let chosen = choose::choose(record, manifests, target, request);
    let mut refusals = choose::refusals(record, target, request, &chosen);
    let mut steps = Vec::new();
    for manifest in &chosen.objects {
        let step = decide(manifest, target, &chosen)?;
        match missing_cluster_scoped(&step, request) {
            Some(refusal) => refusals.push(refusal),
            None => steps.push(step),
        }
    }
    let from_snapshots = volumes::plan(record, &chosen, target, request)?;
    refusals.extend(from_snapshots.refusals);
    steps.extend(from_snapshots.steps);
    let from_copies = copies::plan(record, &chosen, target, request)?;
    refusals.extend(from_copies.refusals);
    steps.extend(from_copies.steps);
    Ok(RestorePlan {
        backup: record.id.clone(),
        run: request.run.clone(),
        stages: staged(steps),
        refusals,
        namespaces: chosen.namespaces,
        restored_claims: from_snapshots.claims,
        fills: from_copies.fills,
        transient: from_snapshots.transient,
    })
}

fn decide(manifest: &CapturedManifest, target: &Target, chosen: &choose::Chosen) -> Result<Step, SanitiseError> {
    let wanted = RestorableManifest::from_captured(manifest)?;
    let decision = match target.existing.get(&manifest.key) {
        Some(existing) => {
            let there = RestorableManifest::from_captured(existing)?;
            if there.json() == wanted.json() {
                Decision::Unchanged
            } else {
                Decision::Kept(differing_fields(&wanted, &there))
            }
        }
        None if target.served.of(&manifest.key).is_some() || chosen.defines(&manifest.key) => Decision::Create,
        None => Decision::Impossible(format!(
            "the cluster does not serve {}, and the backup does not hold its definition",
            wanted.api_version()
        )),
    };
    Ok(Step { manifest: wanted, decision })
}

/// Cluster-scoped kinds that are made when missing in any case: namespaced objects can be nowhere else.
const MADE_IN_ANY_CASE: &[GroupKind] = &[GroupKind("", "Namespace")];

fn missing_cluster_scoped(step: &Step, request: &RestoreRequest) -> Option<Refusal> {
    let key = step.manifest.key();
    let missing = step.decision == Decision::Create && key.is_cluster_scoped();
    let missing = missing && !MADE_IN_ANY_CASE.iter().any(|kind| key.is(*kind));
    (missing && request.cluster_scoped == ClusterScoped::Leave).then(|| Refusal {
        object: key.to_string(),
        why: "is missing and cluster-scoped".to_owned(),
        fix: "add --include-cluster-scoped".to_owned(),
    })
}

fn staged(steps: Vec<Step>) -> Vec<StagePlan> {
    let mut stages: Vec<StagePlan> = STAGES.iter().map(|stage| StagePlan { stage, steps: Vec::new() }).collect();
    for step in steps {
        stages[stage_of(step.manifest.key())].steps.push(step);
    }
    stages.retain(|stage| !stage.steps.is_empty());
    stages
}
