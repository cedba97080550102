//! The lock of a store: many clusters and machines share one, and no cluster's Lease keeps them apart.
//!
//! A run first announces itself by a file below `locks/` and then looks who else is there; on a store that shows every
//! write to whoever lists after it, of two runs at least one sees the other. Nothing is overwritten: each sign of life is
//! a new file, and the former is deleted. Whoever waits compares what he has seen himself, never a clock with another's.
//! A run that was declared dead finds its sign gone: it was deleted before the other one looked for the last time.

mod waiting;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Store, StoreError, unique};
use crate::layout;
use crate::model::{Problem, Reporter, StoreLockKind, StoreSign, Timeouts};
use waiting::{Waiting, in_the_way, signs};

/// At most between two looks at those who are in the way.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two attempts while signs cannot be written.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long giving it back may take: after that the signs are those of a dead run.
const RELEASE_WITHIN: Duration = Duration::from_secs(10);

/// Who wants the lock, and for how long he waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLockRequest {
    /// What the run does.
    pub kind: StoreLockKind,
    /// The run in words: where it runs and what it does.
    pub holder: String,
    /// How long to wait for a run that lives.
    pub wait: Duration,
}

/// The lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum StoreLockError {
    /// Another run is alive.
    #[error("another run holds the lock of {store}: {holder}")]
    Held {
        /// The store.
        store: String,
        /// Who holds it and what for.
        holder: String,
    },
    /// The signs of life could not be read or written.
    #[error("{tried} the lock of the store")]
    Ask {
        /// `take`, `read` or `renew`.
        tried: &'static str,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Somebody took us for dead. The run was stopped before its next write.
    #[error("the lock of {store} is lost, so the run was stopped before its next write: its sign of life was removed")]
    Lost {
        /// The store.
        store: String,
    },
    /// No sign could be given for so long that somebody may take us for dead. The run was stopped before its next write.
    #[error(
        "no sign of life could be left in {store} for {for_seconds} s, so the run was stopped before its next write"
    )]
    Renew {
        /// The store.
        store: String,
        /// For how long.
        for_seconds: u64,
        /// Why; `None` when the store did not answer.
        #[source]
        source: Option<Box<StoreLockError>>,
    },
}

/// What stands in a sign of life.
#[derive(Debug, Serialize, Deserialize)]
struct SignFile {
    holder: String,
    dead_after_ms: u64,
}

/// The newest sign that is known to be in the store.
#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: u64,
    /// Greatest number used, whether or not the write was answered.
    tried: u64,
    /// When its write was sent, by the steady clock and by the other, which goes on while the machine sleeps.
    written: Instant,
    written_clock: Timestamp,
}

impl Newest {
    fn first(sequence: u64) -> Self {
        Self { sequence, tried: sequence, written: Instant::now(), written_clock: Timestamp::now() }
    }

    fn age(&self) -> Duration {
        let by_clock = Duration::try_from(Timestamp::now().duration_since(self.written_clock)).unwrap_or_default();
        self.written.elapsed().max(by_clock)
    }
}

/// The lock, held. [`StoreLock::hold`] renews it. Without [`StoreLock::release`] its signs stay and are those of a dead run.
#[derive(Debug)]
pub struct StoreLock<'a> {
    store: &'a Store,
    kind: StoreLockKind,
    run: String,
    holder: String,
    dead_after: Duration,
    give_up: Duration,
    took_over: Vec<String>,
    newest: Mutex<Newest>,
    /// Whether a sign is being written.
    renewing: AtomicBool,
}

impl<'a> StoreLock<'a> {
    /// Takes the lock. A run in the way that shows no sign of life for as long as it said is dead: what it left is removed.
    ///
    /// # Errors
    /// [`StoreLockError::Held`] when a run that lives is in the way for longer than we wait, or when the store cannot be
    /// used.
    pub async fn acquire(
        store: &'a Store,
        request: &StoreLockRequest,
        timeouts: &Timeouts,
        reporter: &dyn Reporter,
    ) -> Result<Self, StoreLockError> {
        let ask = |source| StoreLockError::Ask { tried: "take", source };
        let mut lock = Self {
            store,
            kind: request.kind,
            run: unique(),
            holder: request.holder.clone(),
            dead_after: timeouts.store_lock,
            give_up: timeouts.attempts.max(timeouts.store_lock),
            took_over: Vec::new(),
            newest: Mutex::new(Newest::first(1)),
            renewing: AtomicBool::new(false),
        };
        let mut waiting = Waiting { request, begun: Instant::now(), dead_after: timeouts.store_lock, reporter };
        for sequence in 1.. {
            lock.newest = Mutex::new(Newest::first(sequence));
            let looked = async {
                store.backend.put_new(&lock.path(sequence), lock.sign_file()).await?;
                in_the_way(store, lock.kind, &lock.run).await
            };
            match looked.await {
                Ok(others) if others.is_empty() => break,
                Ok(_) => store.backend.delete(&lock.path(sequence)).await.map_err(ask)?,
                Err(source) => {
                    // Whether the sign was written is unknown; left behind it would keep others waiting.
                    drop(store.backend.delete(&lock.path(sequence)).await);
                    return Err(ask(source));
                }
            }
            let dead = waiting.until_free(store).await?;
            lock.took_over.extend(dead);
            // Two that announced themselves at the same moment shall not do so for ever.
            tokio::time::sleep(LOOK_EVERY.min(timeouts.store_lock / 10).mul_f64(chance())).await;
        }
        Ok(lock)
    }

    /// Those that died with the lock, in words.
    pub fn took_over(&self) -> &[String] {
        &self.took_over
    }

    /// Runs this and gives signs of life meanwhile. When one is late, because the store or this process stood still, the
    /// run stands still too, until it is given or the lock known to be lost. What the run spawns is not held back.
    ///
    /// # Errors
    /// [`StoreLockError::Lost`] or [`StoreLockError::Renew`]; the run was dropped where it was.
    pub async fn hold<T>(&self, run: impl Future<Output = T>) -> Result<T, StoreLockError> {
        let (mut run, mut beating) = (pin!(run), pin!(self.beat()));
        let mut done = None;
        poll_fn(|context| {
            if let Poll::Ready(lost) = beating.as_mut().poll(context) {
                return Poll::Ready(done.take().ok_or(lost));
            }
            // A pause ends with the next sign, whose answer wakes this task.
            if done.is_none()
                && self.newest().age() < self.dead_after / 2
                && let Poll::Ready(result) = run.as_mut().poll(context)
            {
                done = Some(result);
            }
            // A sign under way would arrive after the lock was given back.
            match done.take_if(|_| !self.renewing.load(Ordering::SeqCst)) {
                Some(result) => Poll::Ready(Ok(result)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Gives a sign of life; [`StoreLock::hold`] does so by itself.
    ///
    /// # Errors
    /// [`StoreLockError::Lost`] when the former sign is gone, or when the store cannot be used.
    pub async fn heartbeat(&self) -> Result<(), StoreLockError> {
        let ask = |source| StoreLockError::Ask { tried: "renew", source };
        let (former, next) = {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            newest.tried += 1;
            (newest.sequence, Newest::first(newest.tried))
        };
        self.store.backend.put_new(&self.path(next.sequence), self.sign_file()).await.map_err(ask)?;
        let signs = self.own_signs().await.map_err(ask)?;
        if !signs.contains(&former) {
            self.remove(&signs).await.map_err(ask)?;
            return Err(self.lost());
        }
        {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            *newest = Newest { tried: newest.tried, ..next };
        }
        let old: Vec<u64> = signs.into_iter().filter(|sequence| *sequence < next.sequence).collect();
        self.remove(&old).await.map_err(ask)
    }

    /// Whether the lock is still ours, by what is in the store now. To be asked before a record is sealed and before
    /// anything is removed.
    ///
    /// # Errors
    /// [`StoreLockError::Lost`], or when the store cannot be read.
    pub async fn still_held(&self) -> Result<(), StoreLockError> {
        let before = self.newest().sequence;
        let signs = self.own_signs().await.map_err(|source| StoreLockError::Ask { tried: "read", source })?;
        let after = self.newest().sequence;
        if signs.contains(&before) || signs.contains(&after) { Ok(()) } else { Err(self.lost()) }
    }

    /// Gives the lock back. `Some` when that failed: then it is known to be dead after a while.
    pub async fn release(self) -> Option<Problem> {
        let given_back = async { self.remove(&self.own_signs().await?).await };
        let cause = match tokio::time::timeout(RELEASE_WITHIN, given_back).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => crate::words::chain(&error),
            Err(_) => format!("no answer within {} s", RELEASE_WITHIN.as_secs()),
        };
        Some(Problem {
            object: self.store.at(layout::LOCKS),
            tried: "give back the lock of the store".to_owned(),
            cause,
            hint: format!("nothing: who meets it watches it for {} s and removes it", self.dead_after.as_secs()),
        })
    }

    /// Gives signs until none can be given any more.
    async fn beat(&self) -> StoreLockError {
        let every = self.dead_after / 3;
        let mut pause = every;
        loop {
            tokio::time::sleep(pause).await;
            self.renewing.store(true, Ordering::SeqCst);
            let renewed = tokio::time::timeout(self.dead_after, self.heartbeat()).await;
            self.renewing.store(false, Ordering::SeqCst);
            let trouble = match renewed {
                Ok(Ok(())) => {
                    pause = every;
                    continue;
                }
                Ok(Err(lost @ StoreLockError::Lost { .. })) => return lost,
                Ok(Err(error)) => Some(Box::new(error)),
                Err(_) => None,
            };
            let late = self.newest().age();
            if late >= self.give_up {
                let store = self.store.url.to_string();
                return StoreLockError::Renew { store, for_seconds: late.as_secs(), source: trouble };
            }
            pause = AGAIN_AFTER.min(every);
        }
    }

    fn newest(&self) -> Newest {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, sequence: u64) -> String {
        layout::sign_path(&StoreSign { kind: self.kind, run: self.run.clone(), sequence })
    }

    fn sign_file(&self) -> Vec<u8> {
        let dead_after_ms = u64::try_from(self.dead_after.as_millis()).unwrap_or(u64::MAX);
        // A text and a number are always JSON; without them the sign is still a sign.
        serde_json::to_vec(&SignFile { holder: self.holder.clone(), dead_after_ms }).unwrap_or_default()
    }

    async fn own_signs(&self) -> Result<Vec<u64>, StoreError> {
        let signs = signs(self.store).await?;
        Ok(signs.into_iter().filter(|sign| sign.run == self.run).map(|sign| sign.sequence).collect())
    }

    async fn remove(&self, sequences: &[u64]) -> Result<(), StoreError> {
        for sequence in sequences {
            self.store.backend.delete(&self.path(*sequence)).await?;
        }
        Ok(())
    }

    fn lost(&self) -> StoreLockError {
        StoreLockError::Lost { store: self.store.url.to_string() }
    }
}

/// A number from 0 to 1 that two runs do not share.
fn chance() -> f64 {
    u8::from_str_radix(&unique()[..2], 16).map_or(0.5, |digits| f64::from(digits) / 255.0)
}
