//! The run lock against a real API server: who holds it, who waits, who takes over, and who stops.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use promsafe::cluster::Cluster;
use promsafe::lock::{LockError, LockRequest, RunLock};
use promsafe::model::{Event, Reporter, Silent, Timeouts};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::Stack;
use crate::support::control_plane::{ControlPlane, User};
use crate::support::fault_proxy::{Fault, FaultProxy, When};
use crate::support::promsafe::Promsafe;

/// A run that asks for the lock.
struct Asking<'a> {
    control_plane: &'a ControlPlane,
    cluster: Cluster,
    namespace: String,
    timeouts: Timeouts,
}

impl<'a> Asking<'a> {
    /// A namespace of the test's own, and a lock that is short-lived.
    async fn on(control_plane: &'a ControlPlane, namespace: &str) -> Self {
        control_plane.kubectl(&["create", "namespace", namespace], "");
        let timeouts = Timeouts { lease: Duration::from_secs(3), ..Timeouts::default() };
        Self { control_plane, cluster: control_plane.cluster().await, namespace: namespace.to_owned(), timeouts }
    }

    async fn ask(&self, holder: &str, wait: Duration, reporter: &dyn Reporter) -> Result<RunLock, LockError> {
        self.ask_through(&self.cluster, holder, wait, reporter).await
    }

    async fn ask_through(
        &self,
        cluster: &Cluster,
        holder: &str,
        wait: Duration,
        reporter: &dyn Reporter,
    ) -> Result<RunLock, LockError> {
        let request = LockRequest { namespace: Some(self.namespace.clone()), holder: holder.to_owned(), wait };
        RunLock::acquire(cluster, &request, &self.timeouts, reporter).await
    }

    fn spec(&self) -> Value {
        spec(self.control_plane, &self.namespace)
    }

    /// Puts a lock there as another run would.
    fn held_by(&self, holder: &str, renewed: Timestamp) {
        let at = renewed.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "promsafe", "namespace": self.namespace},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 3, "acquireTime": at, "renewTime": at}});
        self.control_plane.apply(&lease.to_string());
    }
}

fn spec(control_plane: &ControlPlane, namespace: &str) -> Value {
    let get = ["get", "lease", "promsafe", "--ignore-not-found", "--output=json", "--namespace", namespace];
    let text = control_plane.kubectl(&get, "");
    serde_json::from_str::<Value>(&text).unwrap_or_default()["spec"].take()
}

/// Remembers the steps it is told.
#[derive(Default)]
struct Steps(Mutex<Vec<String>>);

impl Reporter for Steps {
    fn event(&self, event: &Event) {
        if let Event::Step { doing } = event {
            self.0.lock().unwrap().push(doing.clone());
        }
    }
}

#[tokio::test]
async fn second_run_is_refused_or_waits_and_gets_the_lock_when_it_is_given_back() {
    let asking = Asking::on(ControlPlane::shared().await, "lock-two").await;
    let mut first = asking.ask("host-a/1 backup one", Duration::ZERO, &Silent).await.unwrap();
    let renewed = asking.spec()["renewTime"].clone();
    let refused = asking.ask("host-b/2 backup two", Duration::ZERO, &Silent).await.unwrap_err();
    let words = refused.to_string();
    assert!(words.contains("another run holds Lease lock-two/promsafe: host-a/1 backup one, since 20"), "{words}");

    let waiting = asking.ask("host-b/2 backup two", Duration::from_secs(30), &Silent);
    // Longer than the lock lives without being renewed.
    let working = async {
        first.hold(sleep(Duration::from_secs(5))).await.unwrap();
        assert_ne!(asking.spec()["renewTime"], renewed, "it was never renewed");
        assert_eq!(first.release().await, None);
    };
    let (second, ()) = tokio::join!(waiting, working);
    let second = second.unwrap();
    assert_eq!((asking.spec()["holderIdentity"].as_str(), second.took_over()), (Some("host-b/2 backup two"), None));
    assert_eq!(second.release().await, None);
    assert_eq!(asking.spec()["holderIdentity"], "");
}

#[tokio::test]
async fn dead_holder_is_watched_and_then_taken_over_by_name() {
    let asking = Asking::on(ControlPlane::shared().await, "lock-dead").await;
    asking.held_by("host-a/1 backup one", Timestamp::now() - Duration::from_hours(1));
    let steps = Steps::default();
    let began = Instant::now();
    let lock = asking.ask("host-b/2 backup two", Duration::ZERO, &steps).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(3), "it was not watched");
    assert_eq!(lock.took_over(), Some("host-a/1 backup one"));
    let told = steps.0.lock().unwrap().join("\n");
    assert!(told.contains("taking over Lease lock-dead/promsafe") && told.contains("host-a/1 backup one"), "{told}");
}

#[tokio::test]
async fn holder_with_another_clock_is_alive_as_long_as_it_renews() {
    let asking = Asking::on(ControlPlane::shared().await, "lock-clock").await;
    let hour_ago = || Timestamp::now() - Duration::from_hours(1);
    asking.held_by("host-a/1 backup one", hour_ago());
    let renewing = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            asking.held_by("host-a/1 backup one", hour_ago());
        }
    };
    let refused = tokio::select! {
        asked = asking.ask("host-b/2 backup two", Duration::ZERO, &Silent) => asked.unwrap_err(),
        () = renewing => unreachable!(),
    };
    assert!(matches!(refused, LockError::Held { .. }), "{refused}");
}

#[tokio::test]
async fn run_whose_lock_is_taken_is_dropped_with_the_name_of_who_took_it() {
    let asking = Asking::on(ControlPlane::shared().await, "lock-lost").await;
    let mut lock = asking.ask("host-a/1 backup one", Duration::ZERO, &Silent).await.unwrap();
    asking.held_by("host-b/2 backup two", Timestamp::now());
    let lost = timeout(Duration::from_secs(10), lock.hold(std::future::pending::<()>())).await.unwrap().unwrap_err();
    let words = lost.to_string();
    assert!(words.contains("stopped before its next write: taken over by host-b/2 backup two"), "{words}");
    assert_eq!(lock.release().await, None);
    assert_eq!(asking.spec()["holderIdentity"], "host-b/2 backup two", "the lock of another was given back");
}

#[tokio::test]
async fn run_stands_still_while_its_lock_cannot_be_renewed_and_then_goes_on() {
    let control_plane = ControlPlane::shared().await;
    let asking = Asking::on(control_plane, "lock-still").await;
    let proxy = FaultProxy::start(control_plane).await;
    let cluster = proxy.cluster(&asking.timeouts).await;
    let mut lock = asking.ask_through(&cluster, "host-a/1 backup one", Duration::ZERO, &Silent).await.unwrap();
    proxy.spoil(Method::PATCH, "/leases/promsafe", When::Always, Fault::Stall);
    let beats = AtomicU32::new(0);
    let beating = async {
        loop {
            beats.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(50)).await;
        }
    };
    let watching = async {
        sleep(Duration::from_secs(5)).await;
        let still = beats.load(Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(beats.load(Ordering::Relaxed), still, "it went on without the lock");
        assert!(still > 20, "it stood still while the lock was ours: {still}");
        proxy.heal();
        while beats.load(Ordering::Relaxed) == still {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        ended = lock.hold(beating) => panic!("{ended:?}"),
        watched = timeout(Duration::from_secs(30), watching) => watched.unwrap(),
    }
}

#[tokio::test]
async fn lost_answers_to_the_locks_own_writes_do_no_harm() {
    let control_plane = ControlPlane::shared().await;
    let asking = Asking::on(control_plane, "lock-answers").await;
    let proxy = FaultProxy::start(control_plane).await;
    let cluster = proxy.cluster(&asking.timeouts).await;
    let created = proxy.spoil(Method::POST, "/leases", When::First(1), Fault::LoseAnswer);
    let patched = proxy.spoil(Method::PATCH, "/leases/promsafe", When::First(2), Fault::LoseAnswer);
    let mut lock = asking.ask_through(&cluster, "host-a/1 backup one", Duration::ZERO, &Silent).await.unwrap();
    lock.hold(sleep(Duration::from_secs(4))).await.unwrap();
    assert_eq!(lock.release().await, None);
    assert_eq!((created.spoilt(), patched.spoilt(), asking.spec()["holderIdentity"].as_str()), (1, 2, Some("")));
}

#[tokio::test]
async fn binary_is_refused_with_code_4_and_says_who_and_what_to_type() {
    let control_plane = ControlPlane::shared().await;
    let stack = Stack::on(control_plane, "locked");
    let asking = Asking::on(control_plane, "locked-home").await;
    let mut lock = asking.ask("host-a/1 backup one", Duration::ZERO, &Silent).await.unwrap();
    let promsafe = locking(&stack, "locked-home");
    let (backup, restore) = (stack.backup(), "restore latest -o json");
    let run = async {
        stack.back_up().await;
        for command in [backup.as_str(), restore] {
            let refused = promsafe.run(command).await;
            refused.failed(
                4,
                &["another run holds Lease locked-home/promsafe: host-a/1 backup one", "--lock-timeout 10m"],
            );
        }
        promsafe.run("restore latest --plan").await.with(0);
        promsafe.run(&format!("{backup} --no-lock")).await.with(0);
    };
    lock.hold(run).await.unwrap();
    let waiting = promsafe.start(&format!("{backup} --lock-timeout 1m"));
    assert_eq!(lock.release().await, None);
    let ended = waiting.ended().await.with(0);
    assert_eq!(ended.json()["housekeeping"], json!({"took_over": null, "swept": [], "problems": []}), "{ended:#?}");
    assert_eq!(asking.spec()["holderIdentity"], "");
}

#[tokio::test]
async fn binary_without_permission_for_leases_is_code_4_and_names_verb_and_resource() {
    let control_plane = ControlPlane::shared().await;
    let stack = Stack::on(control_plane, "unleased");
    let restricted = locking(&stack, "unleased-apps").with_kubeconfig(&control_plane.kubeconfig(User::Restricted));
    let refused = restricted.run(&stack.backup()).await;
    refused.failed(4, &["not allowed to get Lease unleased-apps/promsafe", "leases.coordination.k8s.io", "--no-lock"]);
    let refused = locking(&stack, "nowhere").run(&stack.backup()).await;
    refused.failed(4, &["Lease nowhere/promsafe", "--lock-namespace"]);
    assert_eq!(stack.files(), 0);
}

/// Starts a backup that stands before its reading of Secrets, with the lock held.
async fn standing(stack: &Stack<'_>, proxy: &FaultProxy, home: &str) -> crate::support::promsafe::Running {
    proxy.spoil(Method::GET, "/secrets", When::Always, Fault::Stall);
    let promsafe = locking(stack, home).with_kubeconfig(&proxy.kubeconfig(User::Admin));
    let running = promsafe.start(&stack.backup());
    let deadline = Instant::now() + Duration::from_secs(30);
    while !spec(stack.control_plane, home)["holderIdentity"].as_str().is_some_and(|holder| holder.contains("backup")) {
        assert!(Instant::now() < deadline, "it never took the lock");
        sleep(Duration::from_millis(100)).await;
    }
    running
}

fn signal(process: u32, signal: &str) {
    assert!(Command::new("kill").args(["-s", signal, &process.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn interrupted_run_gives_the_lock_back() {
    let control_plane = ControlPlane::shared().await;
    let stack = Stack::on(control_plane, "stopped");
    let proxy = FaultProxy::start(control_plane).await;
    let running = standing(&stack, &proxy, "stopped-apps").await;
    signal(running.id(), "TERM");
    running.ended().await.failed(130, &["interrupted"]);
    assert_eq!(spec(control_plane, "stopped-apps")["holderIdentity"], "");
}

#[tokio::test]
async fn suspended_run_ends_before_its_next_write_once_another_has_taken_over() {
    let control_plane = ControlPlane::shared().await;
    let stack = Stack::on(control_plane, "suspended");
    let proxy = FaultProxy::start(control_plane).await;
    let suspended = standing(&stack, &proxy, "suspended-apps").await;
    // It looks whether it can write to the store while it looks at the cluster, and shall have ended that.
    sleep(Duration::from_secs(2)).await;
    signal(suspended.id(), "STOP");
    let ended = locking(&stack, "suspended-apps").run(&format!("{} --lock-timeout 1m", stack.backup())).await.with(0);
    let took_over = ended.json()["housekeeping"]["took_over"].as_str().unwrap().to_owned();
    assert!(took_over.contains(&format!("/{} backup 20", suspended.id())), "{took_over}");
    let files = stack.files();
    proxy.heal();
    signal(suspended.id(), "CONT");
    suspended.ended().await.failed(1, &["is lost", "stopped before its next write", "run that has ended since"]);
    assert_eq!(stack.files(), files);
}

/// The binary with the lock in this namespace.
fn locking(stack: &Stack<'_>, home: &str) -> Promsafe {
    stack.promsafe.clone().with_lock_in(home)
}
