//! Options of the metrics a run leaves behind, and leaving them: in a file, at a Pushgateway.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Exit, Failure};
use crate::metrics::{self, RunEnd, Sample};
use crate::model::{Event, Problem, Reporter};
use crate::pushgateway::{self, Before, PushgatewayUrl};
use crate::words;

/// How long the Pushgateway may take: the run is over.
const PUSH_WITHIN: Duration = Duration::from_secs(10);

/// Where metrics of the run go.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Metrics")]
pub(super) struct MetricsArgs {
    /// Write metrics of the run to this file, for node-exporter's textfile collector: DIRECTORY/promsafe.prom
    #[arg(long, env = "PROMSAFE_METRICS_FILE", value_name = "FILE")]
    metrics_file: Option<PathBuf>,
    /// Push metrics of the run to this Pushgateway, such as http://pushgateway:9091; https trusts --ca-file too
    #[arg(long, env = "PROMSAFE_PUSHGATEWAY", value_name = "URL")]
    pushgateway: Option<String>,
}

/// The metrics of a run that has begun.
pub(super) struct Telemetry<'a> {
    command: &'static str,
    file: Option<&'a Path>,
    pushgateway: Option<PushgatewayUrl>,
    ca_file: Option<&'a Path>,
    begun: Instant,
}

impl MetricsArgs {
    /// Begins to measure a command.
    ///
    /// # Errors
    /// [`Failure::Option`] when the address of the Pushgateway is none.
    pub(super) fn begin<'a>(
        &'a self,
        command: &'static str,
        ca_file: Option<&'a Path>,
    ) -> Result<Telemetry<'a>, Failure> {
        let pushgateway = self.pushgateway.as_deref().map(pushgateway_url).transpose()?;
        let file = self.metrics_file.as_deref();
        Ok(Telemetry { command, file, pushgateway, ca_file, begun: Instant::now() })
    }
}

/// The address of a Pushgateway. One that is none is not repeated, as clap would: it may hold a password.
pub(super) fn pushgateway_url(text: &str) -> Result<PushgatewayUrl, Failure> {
    text.parse().map_err(|error: pushgateway::PushgatewayUrlError| {
        Failure::Option(format!("cannot use the address given with --pushgateway: {error}"))
    })
}

impl Telemetry<'_> {
    /// Leaves the metrics of the run that ended so. What of it failed is told to the reporter and given back: it changes
    /// nothing of what the run did.
    pub(super) async fn end(&self, exit: Exit, measured: Vec<Sample>, reporter: &dyn Reporter) -> Vec<Problem> {
        let end = RunEnd {
            command: self.command,
            version: env!("CARGO_PKG_VERSION"),
            at: Timestamp::now(),
            took: self.begun.elapsed(),
            exit_code: exit as u8,
            success: matches!(exit, Exit::Done | Exit::Problems),
            measured,
        };
        let mut problems = Vec::new();
        if let Some(path) = self.file {
            problems.extend(write(path, &end).err().map(|error| {
                Problem {
                    object: path.display().to_string(),
                    tried: "write the metrics of the run".to_owned(),
                    cause: error.to_string(),
                    hint:
                        "the run itself is not affected; give --metrics-file a file in a directory that can be written"
                            .to_owned(),
                }
            }));
        }
        if let Some(url) = &self.pushgateway {
            // After a failure the last success is still true, and a PUT would take it away.
            let before = if end.success { Before::Replace } else { Before::Keep };
            let text = metrics::text(&end);
            let pushed = pushgateway::push(url, self.ca_file, self.command, text, before, PUSH_WITHIN).await;
            problems.extend(pushed.err().map(|error| Problem {
                object: url.to_string(),
                tried: "push the metrics of the run".to_owned(),
                cause: words::chain(&error),
                hint: "the run itself is not affected; check --pushgateway, --ca-file and the network".to_owned(),
            }));
        }
        for problem in &problems {
            reporter.event(&Event::Problem(problem.clone()));
        }
        problems
    }
}

/// Writes the file anew, beside it first: whoever reads it finds the old one or the new one. A reader of another user may
/// read it.
fn write(path: &Path, end: &RunEnd) -> std::io::Result<()> {
    let before = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The collector reads files whose names end with .prom.
    let mut file = tempfile::Builder::new().prefix(".promsafe-").suffix(".unfinished").tempfile_in(directory)?;
    file.write_all(metrics::text_after(&before, end).as_bytes())?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
