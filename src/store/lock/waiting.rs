//! Waiting for those who are in the way: who lives gives signs before our eyes, who does not is dead.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{LOOK_EVERY, SignFile, StoreLockError, StoreLockRequest};
use crate::layout;
use crate::model::{Event, Reporter, StoreLockKind, StoreSign};
use crate::store::{Store, StoreError};

/// Whatever a sign says, its run is dead after so long.
const LONGEST: Duration = Duration::from_hours(1);

/// All signs.
pub(super) async fn signs(store: &Store) -> Result<Vec<StoreSign>, StoreError> {
    let listed = store.backend.list(layout::LOCKS).await?;
    Ok(listed.iter().filter_map(|path| layout::parse_sign_path(path)).collect())
}

/// The signs of others that keep this one out, by run.
pub(super) async fn in_the_way(
    store: &Store,
    kind: StoreLockKind,
    own: &str,
) -> Result<BTreeMap<String, Vec<StoreSign>>, StoreError> {
    let mut by_run: BTreeMap<String, Vec<StoreSign>> = BTreeMap::new();
    for sign in signs(store).await? {
        if sign.run != own && sign.kind.conflicts_with(kind) {
            by_run.entry(sign.run.clone()).or_default().push(sign);
        }
    }
    Ok(by_run)
}

/// What we have seen of a run that is in the way.
struct Watched {
    newest: u64,
    since: Instant,
    /// Whether it gave a sign before our eyes.
    alive: bool,
    holder: String,
    dead_after: Duration,
}

/// Waiting for others.
pub(super) struct Waiting<'a> {
    pub(super) request: &'a StoreLockRequest,
    pub(super) begun: Instant,
    pub(super) dead_after: Duration,
    pub(super) reporter: &'a dyn Reporter,
}

impl Waiting<'_> {
    /// Returns when nobody is in the way any more, with those who were dead.
    pub(super) async fn until_free(&mut self, store: &Store) -> Result<Vec<String>, StoreLockError> {
        let ask = |source| StoreLockError::Ask { tried: "read", source };
        let mut watched: BTreeMap<String, Watched> = BTreeMap::new();
        let mut dead = Vec::new();
        loop {
            let others = in_the_way(store, self.request.kind, "").await.map_err(ask)?;
            watched.retain(|run, _| others.contains_key(run));
            if others.is_empty() {
                return Ok(dead);
            }
            for (run, signs) in others {
                let Some(newest) = signs.iter().max_by_key(|sign| sign.sequence) else { continue };
                let seen = match watched.remove(&run) {
                    Some(seen) if seen.newest == newest.sequence => seen,
                    Some(seen) => Watched { newest: newest.sequence, since: Instant::now(), alive: true, ..seen },
                    None => self.first_look(store, newest).await.map_err(ask)?,
                };
                if seen.since.elapsed() < seen.dead_after {
                    watched.insert(run, seen);
                    continue;
                }
                let doing = format!("removing what a dead run left in {}locks: {}", store.at(""), seen.holder);
                self.reporter.event(&Event::Step { doing });
                for sign in &signs {
                    store.backend.delete(&layout::sign_path(sign)).await.map_err(ask)?;
                }
                dead.push(seen.holder);
            }
            self.wait_on(store, &watched)?;
            tokio::time::sleep(LOOK_EVERY.min(self.dead_after / 10)).await;
        }
    }

    async fn first_look(&self, store: &Store, sign: &StoreSign) -> Result<Watched, StoreError> {
        let bytes = store.backend.get(&layout::sign_path(sign)).await?.unwrap_or_default();
        let file = serde_json::from_slice(&bytes).unwrap_or_else(|_| SignFile {
            holder: format!("run {}", sign.run),
            dead_after_ms: u64::try_from(self.dead_after.as_millis()).unwrap_or(u64::MAX),
        });
        Ok(Watched {
            newest: sign.sequence,
            since: Instant::now(),
            alive: false,
            holder: file.holder,
            dead_after: Duration::from_millis(file.dead_after_ms).min(LONGEST),
        })
    }

    /// Whether to wait on: as long as we are told to, and for those of whom it is not known whether they live.
    fn wait_on(&self, store: &Store, watched: &BTreeMap<String, Watched>) -> Result<(), StoreLockError> {
        let names = |alive: bool| {
            let those = watched.values().filter(|seen| seen.alive == alive);
            those.map(|seen| seen.holder.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (living, unknown) = (names(true), names(false));
        if !living.is_empty() && self.begun.elapsed() >= self.request.wait {
            return Err(StoreLockError::Held { store: store.url.to_string(), holder: living });
        }
        let for_seconds = self.begun.elapsed().as_secs();
        if for_seconds.is_multiple_of(5) && !watched.is_empty() {
            let state = match (living.as_str(), unknown.as_str()) {
                (living, "") => format!("held by {living}"),
                (_, unknown) => format!("whether {unknown} lives is seen by its next sign"),
            };
            self.reporter.event(&Event::Waiting { on: format!("the lock of {}", store.url), state, for_seconds });
        }
        Ok(())
    }
}
