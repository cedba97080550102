//! The run lock: one Lease in promsafe's own namespace keeps runs that write apart. Knows nothing of what they do.
//!
//! Facts: client-go `tools/leaderelection/leaderelection.go`. A holder renews its Lease; whoever waits compares what he has
//! seen himself, never the holder's clock with his own. An empty holder is nobody.

mod heartbeat;
mod lease;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError, Creation};
use crate::model::{Event, ObjectKey, Problem, Reporter, Timeouts};
use crate::names::{LEASE_API, run_lock_key};
use crate::words;
use heartbeat::{Heartbeat, Renewed};
use lease::{Lease, utc};

/// Where the lock is when nobody says so, if that namespace exists.
const OWN_NAMESPACE: &str = "promsafe";
/// Where it is otherwise.
const DEFAULT_NAMESPACE: &str = "default";
/// At most between two looks at a lock that somebody else holds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long giving it back may take: after that it runs out by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(10);

/// Who wants the lock, and for how long he waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockRequest {
    /// Namespace of the Lease; `None` is `promsafe` where it exists, else `default`.
    pub namespace: Option<String>,
    /// This run, different from all others: where it runs and what it does.
    pub holder: String,
    /// How long to wait for a run that lives.
    pub wait: Duration,
}

/// The lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run is alive.
    #[error("another run holds {lease}: {holder}, since {since}, last sign of life {renewed}")]
    Held {
        /// The Lease.
        lease: String,
        /// Who holds it and what for.
        holder: String,
        /// Since when.
        since: String,
        /// When it was last renewed, by the holder's clock.
        renewed: String,
    },
    /// The Lease could not be read or written.
    #[error("{tried} the run lock")]
    Ask {
        /// `take`, `read` or `renew`.
        tried: &'static str,
        /// Why.
        #[source]
        source: ClusterError,
    },
    /// What the API server gave is no Lease.
    #[error("understand {lease}")]
    Understand {
        /// The Lease.
        lease: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is somebody else's now. The run was stopped before its next write.
    #[error("the run lock {lease} is lost, so the run was stopped before its next write: {how}")]
    Lost {
        /// The Lease.
        lease: String,
        /// What became of it.
        how: String,
    },
    /// It could not be renewed for so long that it may be somebody else's. The run was stopped before its next write.
    #[error(
        "the run lock {lease} could not be renewed for {for_seconds} s, so the run was stopped before its next write"
    )]
    Renew {
        /// The Lease.
        lease: String,
        /// For how long.
        for_seconds: u64,
        /// Why; `None` when the API server did not answer.
        #[source]
        source: Option<Box<LockError>>,
    },
}

/// The lock, held and renewed. Dropped without [`RunLock::release`] it runs out by itself.
#[derive(Debug)]
pub struct RunLock {
    cluster: Cluster,
    key: ObjectKey,
    holder: String,
    duration: Duration,
    held_since: Timestamp,
    took_over: Option<String>,
    renewed: watch::Receiver<Renewed>,
    /// `None` once it has ended.
    heartbeat: Option<JoinHandle<LockError>>,
}

impl RunLock {
    /// Takes the lock. A holder that shows no sign of life for as long as the Lease says is dead: the lock is taken over.
    ///
    /// # Errors
    /// [`LockError::Held`] when a run that lives holds it for longer than we wait, or when the cluster cannot be asked.
    pub async fn acquire(
        cluster: &Cluster,
        request: &LockRequest,
        timeouts: &Timeouts,
        reporter: &dyn Reporter,
    ) -> Result<Self, LockError> {
        let key = run_lock_key(&namespace(cluster, request).await?);
        let begun = Instant::now();
        let mut watched: Option<Watched> = None;
        loop {
            let asked = Renewed::now();
            let Some(found) = lease::read(cluster, &key).await? else {
                let new = Lease::new(&request.holder, timeouts.lease, asked.at_clock);
                if let Some(taken) = create(cluster, &key, &new).await? {
                    return Ok(Self::held(cluster, key, &taken, None, asked, timeouts));
                }
                continue;
            };
            let theirs = found.spec.holder().filter(|holder| *holder != request.holder).map(str::to_owned);
            let dead = match &theirs {
                None => true,
                Some(_) => Watched::look(&mut watched, &found) >= found.spec.duration(timeouts.lease),
            };
            if dead {
                if let Some(holder) = &theirs {
                    let doing = format!("taking over {key}: its holder shows no sign of life any more ({holder})");
                    reporter.event(&Event::Step { doing });
                }
                let mine = Lease::new(&request.holder, timeouts.lease, asked.at_clock);
                if let Some(taken) = lease::replace(cluster, &key, &found, &mine).await? {
                    return Ok(Self::held(cluster, key, &taken, theirs, asked, timeouts));
                }
                continue;
            }
            wait_on(&key, &found, watched.as_mut(), request, begun, timeouts, reporter)?;
            tokio::time::sleep(LOOK_EVERY.min(timeouts.lease / 10)).await;
        }
    }

    fn held(
        cluster: &Cluster,
        key: ObjectKey,
        lease: &Lease,
        took_over: Option<String>,
        asked: Renewed,
        timeouts: &Timeouts,
    ) -> Self {
        let (tell, renewed) = watch::channel(asked);
        let holder = lease.spec.holder().unwrap_or_default().to_owned();
        let heartbeat = Heartbeat {
            cluster: cluster.clone(),
            key: key.clone(),
            holder: holder.clone(),
            version: lease.metadata.resource_version.clone(),
            every: timeouts.lease / 3,
            give_up: timeouts.attempts.max(timeouts.lease),
            tell,
        };
        Self {
            cluster: cluster.clone(),
            key,
            holder,
            duration: timeouts.lease,
            held_since: asked.at_clock,
            took_over,
            renewed,
            heartbeat: Some(tokio::spawn(heartbeat.beat())),
        }
    }

    /// Since when, by our own clock.
    pub fn held_since(&self) -> Timestamp {
        self.held_since
    }

    /// The holder that died with it, if it was taken over.
    pub fn took_over(&self) -> Option<&str> {
        self.took_over.as_deref()
    }

    /// Runs this as long as the lock is ours. When its renewal is late, because the API server or this process stood still,
    /// the run stands still too, until it is renewed or known to be lost: nothing is written without the lock.
    ///
    /// # Errors
    /// [`LockError::Lost`] or [`LockError::Renew`]; the run was dropped where it was.
    pub async fn hold<T>(&mut self, run: impl Future<Output = T>) -> Result<T, LockError> {
        let mut run = pin!(run);
        loop {
            let (watching, duration) = (self.renewed.clone(), self.duration);
            let while_ours = poll_fn(|context| {
                // A pause ends with the next renewal, which wakes the branch above this one.
                if watching.borrow().age() < duration { run.as_mut().poll(context) } else { Poll::Pending }
            });
            tokio::select! {
                biased;
                lost = end_of(&mut self.heartbeat) => return Err(self.lost(lost)),
                changed = self.renewed.changed() => drop(changed),
                done = while_ours => return Ok(done),
            }
        }
    }

    fn lost(&self, why: Option<LockError>) -> LockError {
        let unknown = || LockError::Lost { lease: self.key.to_string(), how: "it is not renewed any more".to_owned() };
        why.unwrap_or_else(unknown)
    }

    fn stop(&self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.abort();
        }
    }

    /// Gives the lock back. `Some` when that failed: then it runs out by itself.
    pub async fn release(mut self) -> Option<Problem> {
        self.stop();
        // A renewal under way is over then; what it wrote is read anew.
        drop(end_of(&mut self.heartbeat).await);
        let tried =
            tokio::time::timeout(RELEASE_WITHIN, lease::give_back(&self.cluster, &self.key, &self.holder)).await;
        let cause = match tried {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => words::chain(&error),
            Err(_) => format!("no answer within {} s", RELEASE_WITHIN.as_secs()),
        };
        Some(Problem {
            object: self.key.to_string(),
            tried: "give back the run lock".to_owned(),
            cause,
            hint: format!("nothing: it runs out after {} s, and the next run takes it over", self.duration.as_secs()),
        })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until it is not renewed any more, and says why as far as that is known.
async fn end_of(heartbeat: &mut Option<JoinHandle<LockError>>) -> Option<LockError> {
    let why = heartbeat.as_mut()?.await.ok();
    *heartbeat = None;
    why
}

/// What we have seen of a lock that somebody else holds.
struct Watched {
    lease: Lease,
    since: Instant,
    /// Whether it was renewed before our eyes.
    alive: bool,
}

impl Watched {
    /// For how long we have seen it as it is.
    fn look(watched: &mut Option<Self>, found: &Lease) -> Duration {
        match watched {
            Some(seen) if seen.lease == *found => seen.since.elapsed(),
            seen => {
                *seen = Some(Self { lease: found.clone(), since: Instant::now(), alive: seen.is_some() });
                Duration::ZERO
            }
        }
    }
}

/// Whether to wait on: as long as we are told to, and for a holder whose last sign of life looks old until it is known to be
/// dead. It may just have another clock.
fn wait_on(
    key: &ObjectKey,
    found: &Lease,
    watched: Option<&mut Watched>,
    request: &LockRequest,
    begun: Instant,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> Result<(), LockError> {
    let spec = &found.spec;
    let alive = watched.is_some_and(|watched| watched.alive) || !spec.looks_old(Timestamp::now(), timeouts.lease);
    let holder = spec.holder().unwrap_or_default().to_owned();
    if alive && begun.elapsed() >= request.wait {
        let (since, renewed) = (utc(spec.acquire_time), utc(spec.renew_time));
        return Err(LockError::Held { lease: key.to_string(), holder, since, renewed });
    }
    let state = if alive {
        format!("held by {holder}")
    } else {
        format!("{holder} looks dead since {}; to be sure it is watched for {} s", utc(spec.renew_time), {
            spec.duration(timeouts.lease).as_secs()
        })
    };
    let for_seconds = begun.elapsed().as_secs();
    if for_seconds.is_multiple_of(5) {
        reporter.event(&Event::Waiting { on: key.to_string(), state, for_seconds });
    }
    Ok(())
}

async fn namespace(cluster: &Cluster, request: &LockRequest) -> Result<String, LockError> {
    if let Some(namespace) = &request.namespace {
        return Ok(namespace.clone());
    }
    let key = ObjectKey::cluster_scoped("", "Namespace", "namespaces", OWN_NAMESPACE);
    match cluster.get(&key, "v1").await {
        Ok(Some(_)) => Ok(OWN_NAMESPACE.to_owned()),
        Ok(None) => Ok(DEFAULT_NAMESPACE.to_owned()),
        // Who may not look has no namespace of his own there either.
        Err(error) if error.is_forbidden() => Ok(DEFAULT_NAMESPACE.to_owned()),
        Err(source) => Err(LockError::Ask { tried: "find the namespace of", source }),
    }
}

/// `None` when somebody was faster, or when it was ourselves and the answer was lost: the next look tells.
async fn create(cluster: &Cluster, key: &ObjectKey, lease: &Lease) -> Result<Option<Lease>, LockError> {
    let created = cluster.create(key, LEASE_API, &lease.to_json(key)).await;
    match created.map_err(|source| LockError::Ask { tried: "take", source })? {
        Creation::Created(json) => lease::understand(key, &json).map(Some),
        Creation::AlreadyExists => Ok(None),
    }
}
