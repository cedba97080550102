//! Executes a plan: per stage all objects in parallel, then its barrier. Creates only; what exists stays as it is.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use crate::barrier::{BarrierError, Watch};
use crate::cluster::{ClusterError, Creation};
use crate::fills::{self, FillError, Filled};
use crate::model::{CapturedManifest, Event, Problem, Reporter};
use crate::order::Barrier;
use crate::plan::{Decision, RestorePlan, StagePlan, Step, is_this_claim};
use crate::sanitise::{RestorableManifest, differing_fields};
use crate::words;
use crate::worker::Workers;

/// Writes in flight at once.
const WRITES_IN_FLIGHT: usize = 16;

/// The restore stopped. What is written so far stays; running it again goes on from there.
#[derive(Debug, thiserror::Error)]
#[error("stage {stage} of the restore")]
pub struct ApplyError {
    /// Name of the stage.
    pub stage: &'static str,
    /// What was done before it stopped.
    pub applied: Applied,
    /// Why.
    #[source]
    pub source: StageError,
}

/// Why a stage ends the restore.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Objects are missing that the next stages stand on.
    #[error("{failed} of its objects could not be created, and what follows stands on them")]
    Incomplete {
        /// How many.
        failed: usize,
    },
    /// Its barrier does not hold.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// A claim could not be filled: nothing may start on it.
    #[error(transparent)]
    Fill(#[from] FillError),
}

/// What was done.
#[derive(Debug, Default)]
pub struct Applied {
    /// Objects created.
    pub created: u64,
    /// Objects that failed.
    pub problems: Vec<Problem>,
    /// Time spent writing: all stages together, without their barriers.
    pub writing_took: Duration,
    /// Claims filled from copies.
    pub filled: Filled,
}

/// Executes a plan.
///
/// # Errors
/// When a barrier does not hold: what follows must not start on less.
pub async fn apply(workers: &Workers<'_>, plan: &RestorePlan) -> Result<Applied, ApplyError> {
    let Workers { cluster, timeouts, reporter, .. } = *workers;
    let watch = Watch { cluster, timeouts, reporter };
    let mut applied = Applied::default();
    for stage in &plan.stages {
        let mut done = run(&watch, plan, stage, &mut applied).await;
        if done.is_ok() && stage.stage.barrier == Barrier::ClaimsUsable {
            done = fill(workers, plan, &mut applied).await;
        }
        if let Err(source) = done {
            return Err(ApplyError { stage: stage.stage.name, applied, source });
        }
    }
    Ok(applied)
}

async fn run(
    watch: &Watch<'_>,
    plan: &RestorePlan,
    stage: &StagePlan,
    applied: &mut Applied,
) -> Result<(), StageError> {
    watch.hold(stage.stage.before, plan).await?;
    let creates: Vec<&Step> = stage.steps.iter().filter(|step| step.decision == Decision::Create).collect();
    if !creates.is_empty() {
        let doing = format!("{}: creating {}", stage.stage.name, creates.len());
        watch.reporter.event(&Event::Step { doing });
        let begun = Instant::now();
        let writes = futures::stream::iter(creates.into_iter().map(|step| write(watch, plan, step)));
        let written: Vec<Result<(), Problem>> = writes.buffer_unordered(WRITES_IN_FLIGHT).collect().await;
        applied.writing_took += begun.elapsed();
        let failed = applied.take(written, watch.reporter);
        if failed > 0 && stage.stage.barrier != Barrier::None {
            return Err(StageError::Incomplete { failed });
        }
    }
    Ok(watch.hold(stage.stage.barrier, plan).await?)
}

async fn fill(workers: &Workers<'_>, plan: &RestorePlan, applied: &mut Applied) -> Result<(), StageError> {
    applied.filled = fills::run(workers, plan).await?;
    applied.filled.problems.iter().for_each(|problem| workers.reporter.event(&Event::Problem(problem.clone())));
    Ok(())
}

impl Applied {
    /// Counts what was written and keeps what failed; says how many did.
    fn take(&mut self, written: Vec<Result<(), Problem>>, reporter: &dyn Reporter) -> usize {
        let before = self.problems.len();
        for result in written {
            match result {
                Ok(()) => self.created += 1,
                Err(problem) => {
                    reporter.event(&Event::Problem(problem.clone()));
                    self.problems.push(problem);
                }
            }
        }
        self.problems.len() - before
    }
}

/// Creates one object. A kind served a moment ago may still answer 404 on another connection (API server endpoints
/// learn of new definitions one after the other), so that is tried again for a while.
async fn write(watch: &Watch<'_>, plan: &RestorePlan, step: &Step) -> Result<(), Problem> {
    let manifest = &step.manifest;
    let begun = Instant::now();
    loop {
        match watch.cluster.create(manifest.key(), manifest.api_version(), manifest.json()).await {
            Ok(Creation::Created(_)) => break,
            // No other run makes objects of these names.
            Ok(Creation::AlreadyExists) if plan.transient.contains(manifest.key()) => break,
            Ok(Creation::AlreadyExists) => {
                hold_equal(watch, step).await?;
                break;
            }
            Err(error) if error.is_not_found() && begun.elapsed() < watch.timeouts.established => {
                tokio::time::sleep(watch.timeouts.pause(begun.elapsed())).await;
            }
            Err(error) => return Err(failed(step, &error)),
        }
    }
    watch.reporter.event(&Event::Wrote { object: manifest.key().to_string(), how: "created" });
    Ok(())
}

/// An object of this name came between our look and our write. It is what we came for when it is equal: most often our
/// own, from an attempt whose answer was lost.
async fn hold_equal(watch: &Watch<'_>, step: &Step) -> Result<(), Problem> {
    let wanted = &step.manifest;
    let found = watch.cluster.get(wanted.key(), wanted.api_version()).await.map_err(|error| failed(step, &error))?;
    if found.as_ref().is_some_and(|json| is_this_claim(wanted, json)) {
        return Ok(());
    }
    let differing = found.and_then(|json| {
        let captured = CapturedManifest { key: wanted.key().clone(), reason: String::new(), json };
        RestorableManifest::from_captured(&captured).ok().map(|there| differing_fields(wanted, &there))
    });
    let cause = match differing {
        Some(fields) if fields.is_empty() => return Ok(()),
        Some(fields) => format!("somebody else created it meanwhile, and theirs differs in {}", fields.join(", ")),
        None => "somebody else created it meanwhile, and it is gone again".to_owned(),
    };
    let hint = "run the same command again: it compares what is there now".to_owned();
    Err(Problem { object: wanted.key().to_string(), tried: "create".to_owned(), cause, hint })
}

fn failed(step: &Step, error: &ClusterError) -> Problem {
    Problem {
        object: step.manifest.key().to_string(),
        tried: "create".to_owned(),
        cause: words::chain(error),
        hint: "mend the cause and run the same command again: what is there already is skipped".to_owned(),
    }
}
