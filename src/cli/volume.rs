//! `promsafe volume`: what runs in the Jobs beside volumes. Progress goes to stdout as JSON lines, where the log of the pod
//! is read; the report into the termination message.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Subcommand;
use jiff::Timestamp;

use super::options::{StoreArgs, bandwidth};
use super::termination::TerminationLog;
use super::{Exit, Failure, until_interrupted};
use crate::copy::{CopyRequest, PIECES_IN_FLIGHT, Reading, copy};
use crate::fill::{FillRequest, Head, OnDamage, fill};
use crate::model::{Event, Problem, Reporter, Sha256, Timeouts, WorkerProgress, WorkerReport};
use crate::quarantine::quarantine;
use crate::report::OutputFormat;
use crate::tsdb::{Grade, Subset};
use crate::verify::{Verified, VerifyError, VerifyRequest, verify_directory};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Read the files of a volume into the store
    Save(SaveArgs),
    /// Write the files of a copy into a volume, verified
    Fill(FillArgs),
}

#[derive(Debug, clap::Args)]
struct SaveArgs {
    /// Where the volume is mounted
    #[arg(long, value_name = "DIRECTORY")]
    root: PathBuf,
    /// Tree of an earlier copy; may be repeated
    #[arg(long, value_name = "SHA256")]
    known: Vec<Sha256>,
    /// Read what earlier copies hold, too
    #[arg(long)]
    reread: bool,
    /// Bytes per second to send at most
    #[arg(long, value_parser = bandwidth, value_name = "BYTES")]
    bandwidth: Option<NonZeroU64>,
    #[command(flatten)]
    termination: TerminationLog,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, clap::Args)]
struct FillArgs {
    /// Where the volume is mounted
    #[arg(long, value_name = "DIRECTORY")]
    root: PathBuf,
    /// The tree
    #[arg(long, value_name = "SHA256")]
    tree: Sha256,
    /// Leave the head out
    #[arg(long)]
    blocks_only: bool,
    /// Leave out what is damaged
    #[arg(long)]
    skip_damaged: bool,
    /// Bytes per second to fetch at most
    #[arg(long, value_parser = bandwidth, value_name = "BYTES")]
    bandwidth: Option<NonZeroU64>,
    #[command(flatten)]
    termination: TerminationLog,
    #[command(flatten)]
    store: StoreArgs,
}

impl Args {
    pub(super) fn termination(&self) -> &TerminationLog {
        match &self.task {
            Task::Save(args) => &args.termination,
            Task::Fill(args) => &args.termination,
        }
    }
}

/// Progress as the driver reads it.
struct Lines;

impl Reporter for Lines {
    fn event(&self, event: &Event) {
        match event {
            Event::Progress { done_bytes, total_bytes, .. } => {
                let progress = WorkerProgress { done_bytes: *done_bytes, total_bytes: *total_bytes };
                // Nobody needs it to go on.
                drop(super::print(&serde_json::to_string(&progress).unwrap_or_default()));
            }
            other => OutputFormat::Json.reporter().event(other),
        }
    }
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let report = match &args.task {
        Task::Save(args) => save(args).await?,
        Task::Fill(args) => bring_back(args).await?,
    };
    let line = report.line();
    args.termination().tell(Exit::Done, &line, OutputFormat::Json);
    super::print(&line)?;
    Ok(Exit::Done)
}

async fn save(args: &SaveArgs) -> Result<WorkerReport, Failure> {
    let store = args.store.open(&Timeouts::for_data()).await?;
    let request = CopyRequest {
        known_trees: args.known.clone(),
        reading: if args.reread { Reading::Everything } else { Reading::OnlyNew },
        bytes_per_second: args.bandwidth,
        ..CopyRequest::new(&args.root, "volume")
    };
    let copied = until_interrupted(copy(&store, &request, &Lines)).await?;
    Ok(WorkerReport {
        tree: copied.tree,
        tree_bytes: copied.tree_bytes,
        files: copied.files,
        bytes: copied.bytes,
        sent_bytes: copied.sent_bytes,
        problems: copied.problems.iter().map(Problem::in_words).collect(),
        notes: Vec::new(),
        more_problems: 0,
    })
}

async fn bring_back(args: &FillArgs) -> Result<WorkerReport, Failure> {
    let store = args.store.open(&Timeouts::for_data()).await?;
    let request = FillRequest {
        tree: args.tree,
        directory: args.root.clone(),
        name: "volume".to_owned(),
        head: if args.blocks_only { Head::LeaveOut } else { Head::Include },
        on_damage: if args.skip_damaged { OnDamage::Skip } else { OnDamage::Stop },
        pieces_in_flight: PIECES_IN_FLIGHT,
        bytes_per_second: args.bandwidth,
    };
    let filled = until_interrupted(fill(&store, &request, &Lines)).await?;
    let mut problems: Vec<String> = filled.left_out.iter().map(Problem::in_words).collect();
    let mut notes: Vec<String> = filled.problems.iter().map(Problem::in_words).collect();
    let (root, on_damage) = (args.root.clone(), request.on_damage);
    let judged = tokio::task::spawn_blocking(move || judge(&root, on_damage)).await;
    let (left_out, worth_knowing) = judged.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    problems.extend(left_out);
    notes.extend(worth_knowing);
    Ok(WorkerReport {
        tree: args.tree,
        tree_bytes: 0,
        files: filled.files,
        bytes: filled.bytes,
        sent_bytes: filled.written_bytes,
        problems,
        notes,
        more_problems: 0,
    })
}

/// What of a data directory is left out since Prometheus would not start on it, and what else is to be known of it.
/// Volumes of others have neither.
///
/// # Errors
/// When Prometheus would not start on it.
fn judge(root: &Path, on_damage: OnDamage) -> Result<(Vec<String>, Vec<String>), Failure> {
    let Some(mut verified) = verdict(root)? else { return Ok((Vec::new(), Vec::new())) };
    let mut left_out = Vec::new();
    if verified.report.grade == Grade::Fatal && on_damage == OnDamage::Skip {
        left_out = quarantine(&verified)?;
        let Some(rest) = verdict(root)? else { return Ok((left_out, Vec::new())) };
        verified = rest;
    }
    let worse = verified.report.all_findings().filter(|finding| finding.grade >= Grade::Degraded);
    let told: Vec<String> = worse.map(|finding| format!("{}: {}", finding.path, finding.what)).collect();
    if verified.report.grade == Grade::Fatal {
        Err(Failure::Unstartable(told.join("; ")))
    } else {
        Ok((left_out, told))
    }
}

fn verdict(root: &Path) -> Result<Option<Verified>, Failure> {
    let request = VerifyRequest {
        subset: Subset::ALL,
        now_ms: Timestamp::now().as_millisecond(),
        threads: NonZeroUsize::MIN,
        stop: Arc::new(AtomicBool::new(false)),
    };
    match verify_directory(root, &request) {
        Err(VerifyError::NoData { .. }) => Ok(None),
        verified => Ok(Some(verified?)),
    }
}
