//! The lock of a store: who is kept out, who is taken for dead, and what becomes of one who was.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use promsafe::model::StoreLockKind::{self, Prune, Use};
use promsafe::model::{Event, Reporter, Silent, Timeouts};
use promsafe::store::{Store, StoreLock, StoreLockError, StoreLockRequest};
use tokio::time::Instant;

use super::open;
use crate::support::s3::{S3Server, options, with_credentials};

/// After so long without a sign a run is dead, in these tests.
const DEAD_AFTER: Duration = Duration::from_secs(3);

fn timeouts() -> Timeouts {
    Timeouts { store_lock: DEAD_AFTER, ..Timeouts::default() }
}

fn request(kind: StoreLockKind, holder: &str, wait: Duration) -> StoreLockRequest {
    StoreLockRequest { kind, holder: holder.to_owned(), wait }
}

async fn take<'a>(store: &'a Store, kind: StoreLockKind, holder: &str) -> Result<StoreLock<'a>, StoreLockError> {
    StoreLock::acquire(store, &request(kind, holder, Duration::ZERO), &timeouts(), &Silent).await
}

async fn directory() -> (tempfile::TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(&options(&root.path().display().to_string(), None)).await.unwrap();
    (root, store)
}

async fn signs(store: &Store) -> Vec<String> {
    store.backend().list("locks/").await.unwrap()
}

/// All of it on one store.
async fn lock_keeps_runs_apart(store: &Store) {
    let one = take(store, Use, "one").await.unwrap();
    let two = take(store, Use, "two").await.unwrap();
    let refused = one.hold(take(store, Prune, "prune")).await.unwrap().unwrap_err();
    assert!(matches!(&refused, StoreLockError::Held { holder, .. } if holder == "one"), "{refused:?}");
    drop(two);
    one.still_held().await.unwrap();
    assert!(one.release().await.is_none());

    let begun = Instant::now();
    let prune = take(store, Prune, "prune").await.unwrap();
    assert_eq!(prune.took_over(), ["two"]);
    assert!(begun.elapsed() >= DEAD_AFTER, "{:?}", begun.elapsed());
    let refused = prune.hold(take(store, Use, "late")).await.unwrap().unwrap_err();
    assert!(matches!(&refused, StoreLockError::Held { holder, .. } if holder == "prune"), "{refused:?}");
    let refused = prune.hold(take(store, Prune, "later")).await.unwrap().unwrap_err();
    assert!(matches!(&refused, StoreLockError::Held { holder, .. } if holder == "prune"), "{refused:?}");
    assert!(prune.release().await.is_none());
    assert_eq!(signs(store).await, [""; 0]);
}

#[tokio::test]
async fn lock_keeps_runs_apart_in_a_directory() {
    let (_root, store) = directory().await;
    lock_keeps_runs_apart(&store).await;
}

#[test]
fn lock_keeps_runs_apart_on_s3() {
    with_credentials("store::lock::lock_keeps_runs_apart_on_s3", async {
        let server = S3Server::start().await;
        lock_keeps_runs_apart(&open(&server, "prefix").await).await;
    });
}

#[tokio::test]
async fn holder_gives_signs_and_leaves_no_old_ones() {
    let (_root, store) = directory().await;
    let lock = take(&store, Use, "one").await.unwrap();
    let first = signs(&store).await;
    lock.hold(tokio::time::sleep(DEAD_AFTER * 2)).await.unwrap();
    let later = signs(&store).await;
    assert_eq!((first.len(), later.len()), (1, 1));
    assert_ne!(first, later);
    assert!(lock.release().await.is_none());
    assert_eq!(signs(&store).await, [""; 0]);
}

#[tokio::test]
async fn run_that_was_taken_for_dead_is_stopped_before_its_next_write() {
    let (_root, store) = directory().await;
    let dead = take(&store, Use, "stood still").await.unwrap();
    let prune = take(&store, Prune, "prune").await.unwrap();
    assert_eq!(prune.took_over(), ["stood still"]);
    assert!(matches!(dead.still_held().await, Err(StoreLockError::Lost { .. })));
    let written = AtomicUsize::new(0);
    let run = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        written.fetch_add(1, Ordering::SeqCst);
    };
    // It stood still for longer than half of the time already: nothing of it goes on before the next sign.
    let ended = dead.hold(run).await;
    assert!(matches!(ended, Err(StoreLockError::Lost { .. })), "{ended:?}");
    assert_eq!(written.load(Ordering::SeqCst), 0);
    prune.still_held().await.unwrap();
    assert_eq!(signs(&store).await.len(), 1, "what the dead one wrote is gone again");
}

#[tokio::test]
async fn sign_of_one_declared_dead_between_two_signs_is_not_renewed() {
    let (_root, store) = directory().await;
    let lock = take(&store, Use, "one").await.unwrap();
    for sign in signs(&store).await {
        store.backend().delete(&sign).await.unwrap();
    }
    assert!(matches!(lock.heartbeat().await, Err(StoreLockError::Lost { .. })));
    assert_eq!(signs(&store).await, [""; 0]);
}

#[tokio::test]
async fn who_waits_gets_the_lock_when_it_is_given_back() {
    let (_root, store) = directory().await;
    let prune = take(&store, Prune, "prune").await.unwrap();
    let wish = request(Use, "patient", Duration::from_secs(30));
    let times = timeouts();
    let waiting = StoreLock::acquire(&store, &wish, &times, &Silent);
    let releasing = async {
        prune.hold(tokio::time::sleep(DEAD_AFTER * 2)).await.unwrap();
        let released = Instant::now();
        assert!(prune.release().await.is_none());
        released
    };
    let (lock, released) = tokio::join!(async { (waiting.await.unwrap(), Instant::now()) }, releasing);
    assert!(lock.1 >= released);
    assert_eq!(lock.0.took_over(), [""; 0]);
}

#[tokio::test]
async fn strangers_and_spoilt_signs_are_no_hindrance_for_ever() {
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);
    impl Reporter for Told {
        fn event(&self, event: &Event) {
            if let Event::Step { doing } = event {
                self.0.lock().unwrap().push(doing.clone());
            }
        }
    }
    let (_root, store) = directory().await;
    store.backend().put_new("locks/README", b"hello".to_vec()).await.unwrap();
    store.backend().put_new("locks/use-spoilt-3", b"{".to_vec()).await.unwrap();
    let told = Told::default();
    let wish = request(Prune, "prune", Duration::ZERO);
    let lock = StoreLock::acquire(&store, &wish, &timeouts(), &told).await.unwrap();
    assert_eq!(lock.took_over(), ["run spoilt"]);
    assert!(told.0.lock().unwrap()[0].contains("run spoilt"), "{:?}", told.0);
}

/// Many runs of both kinds at once: whenever a prune holds the lock, nobody else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prune_is_alone_whatever_happens() {
    let (_root, store) = directory().await;
    let (using, pruning, prunes) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + Duration::from_secs(4);
    let runs = (0..6).map(|n| {
        let (store, using, pruning, prunes) = (&store, &using, &pruning, &prunes);
        async move {
            let kind = if n < 4 { Use } else { Prune };
            let wish = request(kind, &format!("run {n}"), Duration::from_mins(1));
            while Instant::now() < end {
                let lock = StoreLock::acquire(store, &wish, &timeouts(), &Silent).await.unwrap();
                let held = lock.hold(async {
                    let own = if kind == Use { using } else { pruning };
                    own.fetch_add(1, Ordering::SeqCst);
                    for _ in 0..5 {
                        let seen = (using.load(Ordering::SeqCst), pruning.load(Ordering::SeqCst));
                        assert!(seen.1 == 0 || seen == (0, 1), "using, pruning: {seen:?}");
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    lock.still_held().await.unwrap();
                    own.fetch_sub(1, Ordering::SeqCst);
                });
                held.await.unwrap();
                prunes.fetch_add(usize::from(kind == Prune), Ordering::SeqCst);
                assert!(lock.release().await.is_none());
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }
    });
    join_all(runs).await;
    assert!(prunes.load(Ordering::SeqCst) > 0, "no prune got the lock");
    assert_eq!(signs(&store).await, [""; 0]);
}
