//! Executes a plan: per stage all objects in parallel, then its barrier. Creates only; what exists stays as it is.

use futures::StreamExt;
use tokio::time::Instant;

use crate::barrier::{BarrierError, Watch};
use crate::cluster::{Cluster, ClusterError, Creation};
use crate::model::{Event, Problem, Reporter, Timeouts};
use crate::order::Barrier;
use crate::plan::{Decision, RestorePlan, StagePlan, Step};

/// Writes in flight at once.
const WRITES_IN_FLIGHT: usize = 16;

/// The restore stopped. What is written so far stays; running it again goes on from there.
#[derive(Debug, thiserror::Error)]
#[error("stage {stage} of the restore")]
pub struct ApplyError {
    /// Name of the stage.
    pub stage: &'static str,
    /// Objects created before it stopped.
    pub created: u64,
    /// Why.
    #[source]
    pub source: BarrierError,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Applied {
    /// Objects created.
    pub created: u64,
    /// Objects that failed.
    pub problems: Vec<Problem>,
    /// When the last object was written; what follows is waiting for pods. `None` when nothing was written.
    pub last_write: Option<Instant>,
}

/// Executes a plan.
///
/// # Errors
/// When a barrier does not hold: what follows must not start on less.
pub async fn apply(
    cluster: &Cluster,
    plan: &RestorePlan,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> Result<Applied, ApplyError> {
    let watch = Watch { cluster, timeouts, reporter };
    let mut applied = Applied::default();
    for stage in &plan.stages {
        hold(&watch, stage.stage.before, plan, stage, applied.created).await?;
        let creates = stage.steps.iter().filter(|step| step.decision == Decision::Create).count();
        if creates > 0 {
            reporter.event(&Event::Step { doing: format!("{}: creating {creates}", stage.stage.name) });
        }
        let writes = stage.steps.iter().filter(|step| step.decision == Decision::Create);
        let mut writes =
            futures::stream::iter(writes.map(|step| write(&watch, step))).buffer_unordered(WRITES_IN_FLIGHT);
        while let Some(written) = writes.next().await {
            match written {
                Ok(()) => applied.created += 1,
                Err(problem) => {
                    reporter.event(&Event::Problem(problem.clone()));
                    applied.problems.push(problem);
                }
            }
        }
        if creates > 0 {
            applied.last_write = Some(Instant::now());
        }
        hold(&watch, stage.stage.barrier, plan, stage, applied.created).await?;
    }
    Ok(applied)
}

async fn hold(
    watch: &Watch<'_>,
    barrier: Barrier,
    plan: &RestorePlan,
    stage: &StagePlan,
    created: u64,
) -> Result<(), ApplyError> {
    watch.hold(barrier, plan).await.map_err(|source| ApplyError { stage: stage.stage.name, created, source })
}

/// Creates one object. A kind served a moment ago may still answer 404 on another connection (API server endpoints
/// learn of new definitions one after the other), so that is tried again for a while.
async fn write(watch: &Watch<'_>, step: &Step) -> Result<(), Problem> {
    let manifest = &step.manifest;
    let begun = Instant::now();
    loop {
        match watch.cluster.create(manifest.key(), manifest.api_version(), manifest.json()).await {
            Ok(Creation::Created(_)) => {
                watch.reporter.event(&Event::Wrote { object: manifest.key().to_string(), how: "created" });
                return Ok(());
            }
            Ok(Creation::AlreadyExists) => return Err(exists(step)),
            Err(error) if error.is_not_found() && begun.elapsed() < watch.timeouts.established => {
                tokio::time::sleep(watch.timeouts.pause(begun.elapsed())).await;
            }
            Err(error) => return Err(failed(step, &error)),
        }
    }
}

/// Somebody made the object between our look and our write.
fn exists(step: &Step) -> Problem {
    Problem {
        object: step.manifest.key().to_string(),
        tried: "create".to_owned(),
        cause: "somebody else created it meanwhile".to_owned(),
        hint: "run the same command again: it compares what is there now".to_owned(),
    }
}

fn failed(step: &Step, error: &ClusterError) -> Problem {
    let mut cause = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        cause = format!("{cause}: {inner}");
        source = inner.source();
    }
    Problem {
        object: step.manifest.key().to_string(),
        tried: "create".to_owned(),
        cause,
        hint: "mend the cause and run the same command again: what is there already is skipped".to_owned(),
    }
}
