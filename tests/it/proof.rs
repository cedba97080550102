//! The proof against a real Prometheus: a crash-consistent copy holds, and whatever is lost or another does not.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use promsafe::model::{Event, Fingerprint, Reporter, Silent, Timeouts};
use promsafe::prometheus_api::PrometheusApi;
use promsafe::proof::{Confirmation, PodProof, Tally, gap_in_words};
use promsafe::{confirm, fingerprint};

use crate::support::prometheus::{Compaction, Prometheus, copy_directory, seed};

/// A Prometheus that was asked and then killed, and a copy of what it left on its disk.
struct Killed {
    copy: PathBuf,
    cut_at: Timestamp,
    then: Fingerprint,
    _directory: tempfile::TempDir,
}

async fn killed() -> Killed {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    seed(&data, 0);
    let prometheus = Prometheus::start(&data, Compaction::Off).await;
    prometheus
        .until("recording its rule", async |api| {
            api.query_value("job:up:sum", Timestamp::now()).await.unwrap().as_deref() == Some("1")
        })
        .await;
    let then =
        fingerprint::take(&prometheus.api(), "monitoring/k8s", "monitoring", "prometheus-k8s-0", Timestamp::now())
            .await
            .unwrap();
    let cut_at = Timestamp::now();
    drop(prometheus);
    let copy = directory.path().join("copy");
    copy_directory(&data, &copy);
    Killed { copy, cut_at, then, _directory: directory }
}

async fn confirmed(killed: &Killed, data: &Path) -> PodProof {
    let restored = Prometheus::start(data, Compaction::On).await;
    asked(killed, &restored, BRIEF).await
}

async fn asked(killed: &Killed, restored: &Prometheus, within: Duration) -> PodProof {
    let timeouts = Timeouts { prometheus_answer: within, poll: Duration::from_millis(50), ..Timeouts::default() };
    confirm::pod(&restored.api(), &killed.then, Some(killed.cut_at), &timeouts, &Silent).await
}

/// Long enough for what is to come, and for what never will.
const PATIENT: Duration = Duration::from_secs(30);
const BRIEF: Duration = Duration::from_secs(3);

fn blocks_in(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let mut blocks: Vec<PathBuf> = entries.filter(|path| path.join("meta.json").exists()).collect();
    blocks.sort();
    blocks
}

#[tokio::test]
async fn crash_consistent_copy_holds_with_a_small_gap() {
    let killed = killed().await;
    assert_eq!(killed.then.blocks.len(), 6);
    assert_eq!(killed.then.blocks.iter().map(|block| block.samples).sum::<u64>(), 12 * 3 * 720);
    assert_eq!(killed.then.probes.len(), 3 * 8 * 3, "three blocks, eight names, three questions");
    assert_eq!(killed.then.rule_groups, ["recording: job:up:sum"]);
    assert_eq!(killed.then.scrape_pools, ["self"]);

    let restored = Prometheus::start(&killed.copy, Compaction::On).await;
    let proof = asked(&killed, &restored, PATIENT).await;
    assert!(proof.holds(), "{:?}", proof.differences);
    assert_eq!(proof.blocks, Tally { then: 6, now: 6 });
    assert_eq!(proof.probes, Tally { then: 72, now: 72 });
    let gap = proof.gap_seconds.unwrap();
    assert!(gap > 0.0 && gap < 5.0, "{}", gap_in_words(proof.gap_seconds));

    restored
        .until("compacting", async |api| api.blocks().await.unwrap().unwrap().len() < killed.then.blocks.len())
        .await;
    let proof = asked(&killed, &restored, PATIENT).await;
    assert!(proof.holds(), "{:?}", proof.differences);
    assert_eq!(proof.blocks, Tally { then: 6, now: 6 });
}

#[tokio::test]
async fn copy_without_one_block_does_not_hold_and_names_it() {
    let killed = killed().await;
    let lost = blocks_in(&killed.copy).remove(3);
    std::fs::remove_dir_all(&lost).unwrap();
    let proof = confirmed(&killed, &killed.copy).await;
    assert!(!proof.holds() && !proof.history_holds());
    assert_eq!(proof.blocks, Tally { then: 6, now: 5 });
    let ulid = lost.file_name().unwrap().to_str().unwrap();
    assert!(proof.differences[0].starts_with(&format!("block {ulid} (")), "{:?}", proof.differences);
}

#[tokio::test]
async fn empty_prometheus_does_not_hold() {
    let killed = killed().await;
    let proof = confirmed(&killed, &killed.copy.with_file_name("empty")).await;
    assert!(proof.ready && !proof.holds());
    assert_eq!((proof.blocks.to_string().as_str(), proof.samples.now, proof.probes.now), ("0/6", 0, 0));
    assert_eq!(proof.rule_groups, Tally { then: 1, now: 1 });
    assert!(proof.differences.iter().any(|words| words.starts_with("no sample from before the snapshot")));
    let confirmation = Confirmation::new(vec![proof], vec![]);
    assert!(!confirmation.holds());
    assert_eq!(confirmation.gap_seconds(), None);
    assert_eq!(confirmation.problems[0].object, "Pod monitoring/prometheus-k8s-0");
}

#[tokio::test]
async fn other_history_under_the_same_names_does_not_hold() {
    let killed = killed().await;
    let other = killed.copy.with_file_name("other");
    seed(&other, 1);
    let proof = confirmed(&killed, &other).await;
    assert!(!proof.history_holds());
    assert_eq!(proof.blocks.now, 0);
    // As many series and samples, so counts are the same; sums are not.
    assert_eq!(proof.probes, Tally { then: 72, now: 48 });
    assert!(proof.differences.iter().any(|words| words.starts_with("sum(seeded_")), "{:?}", proof.differences);
}

#[tokio::test]
async fn prometheus_that_never_answers_is_waited_for_and_does_not_hold() {
    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);
    impl Reporter for Recorder {
        fn event(&self, event: &Event) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }
    let then = killed().await.then;
    let answers = std::sync::Arc::new(|path: String| -> futures::future::BoxFuture<'static, _> {
        Box::pin(async move {
            if path == "/api/v1/status/walreplay" {
                return Ok(br#"{"status":"success","data":{"min":3,"max":9,"current":5}}"#.to_vec());
            }
            let message = "Service Unavailable".to_owned();
            Err(promsafe::prometheus_api::FetchFailure { status: Some(503), message })
        })
    });
    let timeouts = Timeouts {
        prometheus_answer: Duration::from_millis(300),
        poll: Duration::from_millis(20),
        ..Timeouts::default()
    };
    let recorder = Recorder::default();
    let proof = confirm::pod(&PrometheusApi::new("/", answers), &then, None, &timeouts, &recorder).await;
    assert!(!proof.ready && !proof.holds());
    assert_eq!(proof.differences, ["replaying the write-ahead log, segment 5 of 3..9"]);
    let events = recorder.0.lock().unwrap();
    assert!(events[0].contains("segment 5 of 3..9"), "{events:?}");
}
