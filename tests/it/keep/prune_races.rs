//! Prune against copies that are written at the same time, and against being killed: nothing a backup holds is ever lost.
//! All by processes of the binary.
#![expect(clippy::print_stdout, reason = "how many were killed is worth knowing")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use promsafe::model::{Silent, StoreLockKind, Timeouts};
use promsafe::store::{Store, StoreLock, StoreLockRequest};
use tokio::time::Instant;

use super::backups::{data, directory_with, files, store_in};
use crate::support::promsafe::{Ended, Promsafe};
use crate::support::s3::with_credentials;
use crate::support::s3_servers::{Kind, Server};

/// Directories that are copied in turn, so that a copy needs pieces that just lost their last backup.
const CONTENTS: usize = 4;

/// How runs of these tests keep out of each other's way: one that was killed is soon known to be dead.
const LOCK: &str = "--store-lock-duration 1500ms --store-lock-timeout 60s";

/// Runs a command line to its end, or kills it after so long.
async fn run(promsafe: &Promsafe, command_line: &str, kill_after: Option<Duration>) -> Ended {
    let running = promsafe.start(&format!("{command_line} {LOCK}"));
    if let Some(after) = kill_after {
        tokio::time::sleep(after).await;
        kill_for_good(running.id());
    }
    running.ended().await
}

/// Keeps the two newest backups.
async fn retain(store: &Store, promsafe: &Promsafe) {
    let sealed: Vec<_> = store.list().await.unwrap().into_iter().filter(|listed| listed.sealed).collect();
    for old in sealed.iter().rev().skip(2) {
        promsafe.run(&format!("delete {} --yes --force", old.id)).await.with(0);
    }
}

/// How many runs ended by themselves, were killed, and lost the lock, which a slow machine makes happen.
#[derive(Debug, Default)]
struct Count {
    done: AtomicUsize,
    killed: AtomicUsize,
    lost: AtomicUsize,
}

impl Count {
    fn add(&self, ended: &Ended) {
        let count = match ended.code {
            Some(0) => &self.done,
            None => &self.killed,
            Some(1) if ended.stderr.contains("is lost, so the run was stopped") => &self.lost,
            _ => panic!("{ended:#?}"),
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_stay_whole_while_prunes_run_and_both_are_killed() {
    let root = tempfile::tempdir().unwrap();
    stay_whole(&store_in(root.path()).await, &Promsafe::default().with_directory(root.path())).await;
}

#[test]
fn copies_stay_whole_on_an_s3_server_while_prunes_run_and_both_are_killed() {
    let name = "keep::prune_races::copies_stay_whole_on_an_s3_server_while_prunes_run_and_both_are_killed";
    with_credentials(name, async {
        let server = Server::start(Kind::Versitygw).await;
        server.client().create_bucket().bucket("races").send().await.unwrap();
        let options = server.options("races", "prefix");
        let store = Store::open(&options).await.unwrap();
        let promsafe = Promsafe::default().with_store(options.url.to_string());
        stay_whole(&store, &promsafe.with_s3_endpoint(options.s3_endpoint.unwrap())).await;
    });
}

/// What is referred to is there at the end, and nothing else.
async fn stay_whole(store: &Store, promsafe: &Promsafe) {
    let contents: Vec<_> = (0..CONTENTS).map(|n| directory_with(&files(&format!("content {n}")))).collect();
    let seconds = std::env::var("PROMSAFE_RACE_SECONDS").ok().map_or(15, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let (copies, prunes, over) = (Count::default(), Count::default(), AtomicBool::new(false));
    let copying = async {
        let mut n = 0;
        while Instant::now() < end || copies.done.load(Ordering::SeqCst) < 3 {
            n += 1;
            let command_line = format!("copy {}", contents[n % CONTENTS].path().display());
            let kill_after = n.is_multiple_of(5).then(|| Duration::from_millis((n * 53 % 150) as u64));
            copies.add(&run(promsafe, &command_line, kill_after).await);
            retain(store, promsafe).await;
        }
        over.store(true, Ordering::SeqCst);
    };
    let pruning = async {
        let mut n: u64 = 0;
        while !over.load(Ordering::SeqCst) {
            n += 1;
            let kill_after = (!n.is_multiple_of(3)).then(|| Duration::from_millis(n * 37 % 190));
            prunes.add(&run(promsafe, "prune --grace 0s", kill_after).await);
        }
    };
    tokio::join!(copying, pruning);
    println!("copies: {copies:?}\nprunes: {prunes:?}");
    assert!(prunes.killed.load(Ordering::SeqCst) > 2 && prunes.done.load(Ordering::SeqCst) > 0);
    promsafe.run("verify --all").await.with(0).says(&["VERIFIED   2 backups"]);

    // What the killed ones left is no hindrance: two more runs mark and remove all that is not referred to.
    run(promsafe, "prune --grace 0s", None).await.with(0);
    let last = run(promsafe, "prune --grace 0s -o json", None).await.with(0).json();
    assert_eq!(last["referenced"]["objects"], data(store).await.len());
    for left in ["locks/", "marks/"] {
        assert_eq!(store.backend().list(left).await.unwrap(), [""; 0], "{left}");
    }
    assert_eq!(store.leftovers().await.unwrap(), []);
    promsafe.run("verify --all").await.with(0).says(&["VERIFIED   2 backups"]);
}

/// Kills one process, by its id, as nothing can be ignored.
fn kill_for_good(pid: u32) {
    // One that has ended already is not killed, which is as good.
    let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
}

#[tokio::test]
async fn prune_is_refused_by_name_while_a_backup_is_written() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    let wish = StoreLockRequest { kind: StoreLockKind::Use, holder: "machine/7 backup x".into(), wait: Duration::ZERO };
    let timeouts = Timeouts { store_lock: Duration::from_secs(3), ..Timeouts::default() };
    let lock = StoreLock::acquire(&store, &wish, &timeouts, &Silent).await.unwrap();
    let promsafe = Promsafe::default().with_directory(root.path());
    let refused = lock.hold(promsafe.run("prune --store-lock-duration 3s")).await.unwrap();
    refused.failed(4, &["another run holds the lock", "machine/7 backup x", "--store-lock-timeout"]);
    let refused = lock.hold(promsafe.run("prune --store-lock-duration 3s -o json")).await.unwrap();
    refused.failed(4, &["machine/7 backup x"]);
    lock.still_held().await.unwrap();
    drop(lock);
    let took_over = promsafe.run("prune --store-lock-duration 3s").await.with(0);
    took_over.says(&["TOOK OVER", "machine/7 backup x"]);
}

#[tokio::test]
async fn copy_is_refused_by_name_while_a_prune_runs_or_waits_for_it() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    let wish = StoreLockRequest { kind: StoreLockKind::Prune, holder: "machine/8 prune".into(), wait: Duration::ZERO };
    let timeouts = Timeouts { store_lock: Duration::from_secs(3), ..Timeouts::default() };
    let lock = StoreLock::acquire(&store, &wish, &timeouts, &Silent).await.unwrap();
    let promsafe = Promsafe::default().with_directory(root.path());
    let directory = directory_with(&files("content"));
    let copy = format!("copy {}", directory.path().display());
    let refused = lock.hold(promsafe.run(&copy)).await.unwrap();
    refused.failed(4, &["another run holds the lock", "machine/8 prune", "--store-lock-timeout"]);
    assert_eq!(data(&store).await, [""; 0], "nothing was written");
    let waiting = promsafe.start(&format!("{copy} --store-lock-timeout 1m"));
    lock.hold(tokio::time::sleep(Duration::from_secs(2))).await.unwrap();
    assert!(lock.release().await.is_none());
    waiting.ended().await.with(0).never_says(&["dead run"]);
    assert_eq!(data(&store).await.len(), 5);
}
