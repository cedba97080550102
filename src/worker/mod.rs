//! Runs promsafe in Jobs beside volumes: gives them what they need of the store, watches them, shows how far they are, and
//! takes them away again. What is in a manifest stands in `job`.

mod board;
mod cleanup;
mod error;
mod patience;
pub(crate) mod pod;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::time::Instant;

pub use cleanup::Removed;
pub(crate) use cleanup::{delete, kinds, let_go, remove_all};
pub use error::WorkerError;

use crate::cluster::{Cluster, ClusterError, Creation};
use crate::copy::Reading;
use crate::fill::{Head, OnDamage};
use crate::job::{self, AUTHORITIES_KEY, CREDENTIALS_KEY, STORE_PATH, Work};
use crate::model::{Event, ObjectKey, Reporter, Timeouts, WorkerProgress, WorkerReport};
use crate::names::JOB_API;
use crate::store::{Store, StoreAccess};
use board::Board;
use patience::Patience;
use pod::State;

/// Credentials are renewed so long before they end: the kubelet takes up to two minutes to show a changed Secret.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_mins(15);
/// At most between two looks at a Job.
const LOOK: Duration = Duration::from_secs(2);
/// How volumes are copied by Jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Image of the Jobs: promsafe's own.
    pub image: String,
    /// How long one Job may take.
    pub timeout: Duration,
    /// Jobs at once.
    pub parallel: usize,
    /// Bytes per second that each Job may send; `None` is no limit.
    pub bandwidth: Option<NonZeroU64>,
    /// Whether blocks that an earlier copy holds are read again.
    pub reading: Reading,
    /// Whether what is not in a block yet is brought back.
    pub head: Head,
    /// What happens when a copy is damaged.
    pub on_damage: OnDamage,
}

/// Runs workers, shown in one display.
pub struct Workers<'a> {
    /// Where they run.
    pub cluster: &'a Cluster,
    /// What they read and write.
    pub store: &'a Store,
    /// How.
    pub settings: &'a WorkerSettings,
    /// How long anything is waited for.
    pub timeouts: &'a Timeouts,
    /// Who is told.
    pub reporter: &'a dyn Reporter,
    board: Board,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Job {
    metadata: Metadata,
    status: JobStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobStatus {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

impl Job {
    /// Why it failed for good, if it did: reason and message.
    fn failed(self) -> Option<(String, String)> {
        let failed = |one: &Condition| one.r#type == "Failed" && one.status == "True";
        self.status.conditions.into_iter().find(failed).map(|one| (one.reason, one.message))
    }
}

impl<'a> Workers<'a> {
    /// Workers that nobody waits for yet.
    pub fn new(
        cluster: &'a Cluster,
        store: &'a Store,
        settings: &'a WorkerSettings,
        timeouts: &'a Timeouts,
        reporter: &'a dyn Reporter,
    ) -> Self {
        Self { cluster, store, settings, timeouts, reporter, board: Board::default() }
    }

    /// Shows all volumes in one display while this runs: `copying` or `filling`.
    pub(crate) async fn shown<T>(
        &self,
        doing: &'static str,
        volumes: impl IntoIterator<Item = String>,
        run: impl Future<Output = T>,
    ) -> T {
        self.board.begin(volumes);
        tokio::select! {
            done = run => done,
            never = self.board.show(doing, self.reporter) => match never {},
        }
    }

    /// Runs one Job to its end and gives its report. What it made stays when it fails, until [`remove_all`].
    ///
    /// # Errors
    /// When it does not start, fails or is late.
    pub(crate) async fn run(&self, work: &Work) -> Result<WorkerReport, WorkerError> {
        let access = self.access(work).await?;
        let options = store_options(&access).into_iter().chain(work.options.iter().cloned()).collect();
        let work = Work { options, ..work.clone() };
        self.create(&work, &access).await?;
        let report = self.watch(&work, access).await?;
        self.board.done(&work.volume, report.bytes);
        Ok(report)
    }

    /// Removes the Job with its pods and its Secret, and the claims given, with their volumes.
    pub(crate) async fn remove(&self, work: &Work, claims: &[ObjectKey]) -> Removed {
        let mut removed = Removed::default();
        let objects = [(work.job_key(), JOB_API), (work.secret_key(), "v1")].into_iter();
        let objects = objects.chain(claims.iter().map(|claim| (claim.clone(), "v1"))).collect();
        removed.all(self.cluster, objects, self.timeouts.removed).await;
        removed
    }

    async fn access(&self, work: &Work) -> Result<StoreAccess, WorkerError> {
        let job = work.job_key().to_string();
        match self.store.access().await {
            Ok(Some(access)) => Ok(access),
            Ok(None) => Err(WorkerError::Unreachable { job }),
            Err(source) => Err(WorkerError::HandOver { job, source }),
        }
    }

    /// The Secret first, since the pod wants it; then the Job, which becomes its owner.
    async fn create(&self, work: &Work, access: &StoreAccess) -> Result<(), WorkerError> {
        let (job, secret) = (work.job_key(), work.secret_key());
        self.put(&secret, "v1", &work.secret(&files(access)).to_string()).await?;
        let manifest = work.job(&self.settings.image, self.settings.timeout.as_secs());
        let stored = self.put(&job, JOB_API, &manifest.to_string()).await?;
        let uid = serde_json::from_str::<Job>(&stored).unwrap_or_default().metadata.uid;
        let patched = self.cluster.merge_patch(&secret, "v1", &job::owned_by(&job, &uid)).await;
        patched.map(drop).map_err(|source| talk("give to its Job", &secret, source))
    }

    /// Creates an object that is this run's own by its name: one that is there is ours, from an attempt whose answer was lost.
    async fn put(&self, key: &ObjectKey, api_version: &str, json: &str) -> Result<Box<str>, WorkerError> {
        let created = self.cluster.create(key, api_version, json).await;
        let stored = match created.map_err(|source| talk("create", key, source))? {
            Creation::Created(stored) => stored,
            Creation::AlreadyExists => {
                let there = self.cluster.get(key, api_version).await;
                there.map_err(|source| talk("read", key, source))?.unwrap_or_default()
            }
        };
        self.reporter.event(&Event::Wrote { object: key.to_string(), how: "created" });
        Ok(stored)
    }

    async fn watch(&self, work: &Work, mut access: StoreAccess) -> Result<WorkerReport, WorkerError> {
        let selector = format!("job-name={}", work.name);
        let job = work.job_key();
        let mut patience = Patience::new(self.timeouts, self.settings.timeout);
        loop {
            self.renew(work, &mut access).await?;
            let seen = pod::newest(self.cluster, &work.namespace, &selector).await;
            let seen = seen.map_err(|source| talk("read the pods of", &job, source))?;
            let (name, state) = seen.map_or((None, None), |seen| (Some(seen.name), Some(seen.state)));
            let why = match &state {
                Some(State::Succeeded(said)) => return report(work, said),
                Some(State::Running) => self.progress(work, name.as_deref().unwrap_or_default()).await,
                Some(State::Waiting { why, .. }) => why.clone(),
                Some(State::Failed { why, .. }) => format!("tried again after: {}", last_words(why)),
                None => "its pod is not there yet".to_owned(),
            };
            if matches!(state, None | Some(State::Failed { .. })) {
                self.not_over(work, state.as_ref()).await?;
            }
            self.board.state(&work.volume, &why);
            if let Some(late) = patience.ends(state.as_ref(), Instant::now()) {
                let warning = pod::last_warning(self.cluster, &work.namespace, &work.name).await;
                let why = warning.map_or(why.clone(), |warning| format!("{why}; {warning}"));
                return Err(late.error(work, why));
            }
            tokio::time::sleep((patience.begun.elapsed() / 4).clamp(Duration::from_millis(100), LOOK)).await;
        }
    }

    /// Renews the credentials in the Secret before they end. A source that fails is asked again at the next look, and the
    /// worker says so if it comes to that.
    async fn renew(&self, work: &Work, access: &mut StoreAccess) -> Result<(), WorkerError> {
        let soon = |at: Timestamp| Timestamp::now().duration_until(at) < RENEWED_BEFORE;
        if !access.expires_at.is_some_and(soon) {
            return Ok(());
        }
        let Ok(renewed) = self.access(work).await else { return Ok(()) };
        if renewed.credentials != access.credentials {
            let secret = work.secret_key();
            let patched = self.cluster.merge_patch(&secret, "v1", &job::refreshed(&files(&renewed))).await;
            patched.map_err(|source| talk("renew", &secret, source))?;
        }
        *access = renewed;
        Ok(())
    }

    /// Reads the last line that the worker printed.
    async fn progress(&self, work: &Work, pod: &str) -> String {
        let log = self.cluster.pod_log(&work.namespace, pod, 1).await.unwrap_or_default();
        if let Some(progress) = log.lines().next_back().and_then(|line| serde_json::from_str(line).ok()) {
            let WorkerProgress { done_bytes, total_bytes } = progress;
            self.board.progress(&work.volume, done_bytes, total_bytes);
        }
        "running".to_owned()
    }

    /// Whether the Job goes on: it may make another pod.
    async fn not_over(&self, work: &Work, last: Option<&State>) -> Result<(), WorkerError> {
        let key = work.job_key();
        let text = self.cluster.get(&key, JOB_API).await.map_err(|source| talk("read", &key, source))?;
        let failed = match text {
            Some(text) => serde_json::from_str::<Job>(&text).unwrap_or_default().failed(),
            None => Some(("Deleted".to_owned(), "somebody deleted it".to_owned())),
        };
        let Some((reason, message)) = failed else { return Ok(()) };
        let (task, volume, job) = (work.task.name(), work.volume.clone(), key.qualified_name());
        if reason == "DeadlineExceeded" {
            let after_seconds = self.settings.timeout.as_secs();
            let why = self.board.describe(&work.volume);
            return Err(WorkerError::End { task, volume, job, after_seconds, why });
        }
        let (exit_code, why) = match last {
            Some(State::Failed { exit_code, why }) => (*exit_code, last_words(why)),
            _ => (None, format!("{reason}: {message}")),
        };
        Err(WorkerError::Work { task, volume, job, exit_code, why })
    }
}

fn talk(tried: &'static str, key: &ObjectKey, source: ClusterError) -> WorkerError {
    WorkerError::Talk { tried, object: key.to_string(), source }
}

fn report(work: &Work, said: &str) -> Result<WorkerReport, WorkerError> {
    WorkerReport::read(said).ok_or_else(|| WorkerError::Work {
        task: work.task.name(),
        volume: work.volume.clone(),
        job: work.job_key().qualified_name(),
        exit_code: None,
        why: format!(
            "it ended well without a report; its image may hold another version of promsafe: {}",
            last_words(said)
        ),
    })
}

/// The lines of a message in one; of a worker's own, what it says of its error.
fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let own = lines.iter().position(|line| line.starts_with("error: ")).unwrap_or(0);
    lines[own..].iter().filter(|line| !line.starts_with("hint: ")).copied().collect::<Vec<_>>().join("; ")
}

/// What of the store goes into the Secret.
fn files(access: &StoreAccess) -> BTreeMap<&'static str, String> {
    let authorities = access.authorities.clone().map(|pem| (AUTHORITIES_KEY, pem));
    [(CREDENTIALS_KEY, access.credentials.clone())].into_iter().chain(authorities).collect()
}

/// What of the store stands in the Job: nothing secret.
fn store_options(access: &StoreAccess) -> Vec<String> {
    let mut options = vec![
        format!("--store={}", access.url),
        format!("--s3-region={}", access.s3_region),
        format!("--s3-path-style={}", access.s3_path_style),
        format!("--credentials-file={STORE_PATH}/{CREDENTIALS_KEY}"),
    ];
    options.extend(access.s3_endpoint.iter().map(|url| format!("--s3-endpoint={url}")));
    options.extend(access.authorities.iter().map(|_| format!("--ca-file={STORE_PATH}/{AUTHORITIES_KEY}")));
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(authorities: Option<&str>) -> StoreAccess {
        StoreAccess {
            url: "s3://bucket/x".to_owned(),
            s3_endpoint: Some("http://10.0.0.1:7070".to_owned()),
            s3_region: "us-east-1".to_owned(),
            s3_path_style: "always",
            authorities: authorities.map(str::to_owned),
            credentials: "[default]\naws_secret_access_key=xyzzy\n".to_owned(),
            expires_at: None,
        }
    }

    #[test]
    fn worker_that_fails_is_quoted_with_its_error_and_any_other_with_all_it_said() {
        let own = "Error, exit code 6 exit code 6: damaged\nerror: fill the volume: a is damaged\nhint: promsafe list";
        assert_eq!(last_words(own), "error: fill the volume: a is damaged");
        assert_eq!(last_words("OOMKilled, exit code 137 \n"), "OOMKilled, exit code 137");
    }

    #[test]
    fn nothing_secret_stands_in_the_job() {
        let access = access(Some("PEM"));
        let options = store_options(&access).join(" ");
        assert!(!options.contains("xyzzy") && !format!("{access:?}").contains("xyzzy"));
        assert!(
            options.contains("--ca-file=/etc/promsafe/ca.crt")
                && options.contains("--s3-endpoint=http://10.0.0.1:7070")
        );
        assert_eq!(files(&access).keys().copied().collect::<Vec<_>>(), ["ca.crt", "credentials"]);
    }
}
