//! Truth is Prometheus itself: data directories of real servers are damaged in many places; what Prometheus does on each is
//! found by starting it, and promsafe's verdict has to agree. `testbed/truth` prints the table.

mod answers;
mod corpus;
mod damage;
mod judge;
mod mutation;
mod place;
mod remote_write;
mod server;
mod table;
mod volume;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use promsafe::files::LocalDirectory;
use promsafe::tsdb::{Grade, Report, Subset, inspect};

use corpus::{CURRENT, Corpus, LIVE, OLDER};
use damage::{Damage, LIVE_ROWS, OLDER_ROWS, ROWS, Row, Target, rows};
use judge::{Baseline, Truth};
use table::{TABLE, Table};

use crate::support::prometheus::copy_directory;

/// Judges only rows that contain this text.
const ONLY: &str = "PROMSAFE_TRUTH_ONLY";

/// The tests judge one of so many rows; `testbed/truth` judges all.
const SAMPLED: usize = 8;

/// What is damaged, and how.
type Damages = (&'static str, fn() -> &'static Corpus, &'static [(Target, &'static [Damage])]);
const CORPORA: [Damages; 3] =
    [("3.13", || &CURRENT, ROWS), ("2.42", || &OLDER, OLDER_ROWS), ("live", || &LIVE.0, LIVE_ROWS)];

/// A row with what came of it.
struct Judged {
    corpus: &'static str,
    row: Row,
    truth: Truth,
    verdict: Report,
}

/// Servers that run at a time.
const WORKERS: usize = 2;

/// Judges all rows of a corpus.
fn judged(corpus: &'static Corpus, rows: &[Row]) -> Vec<Judged> {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let copy_to = |name: &str| {
        let copy = scratch.path().join(name);
        copy_directory(&corpus.data, &copy);
        copy
    };
    let whole = copy_to("whole");
    let baseline = Baseline::of(corpus, &whole);
    in_parallel(rows, |number, row| {
        let copy = copy_to(&number.to_string());
        let extent = row.apply(&copy);
        let verdict = verdict(&copy);
        let truth = baseline.judge(corpus, &copy, extent);
        std::fs::remove_dir_all(&copy).unwrap();
        let judged = Judged { corpus: corpus.name, row: *row, truth, verdict };
        table::tell(&judged);
        judged
    })
}

/// What promsafe says of a directory.
fn verdict(data: &Path) -> Report {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    inspect(&LocalDirectory::new(data), Some(now_ms), Subset::ALL).unwrap()
}

/// Does something with each of these, a few at a time; the results are in their order.
fn in_parallel<T: Sync, R: Send>(all: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(number) else { break };
                    let result = work(number, one);
                    done.lock().unwrap().push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn truth_of_every_damage_is_what_prometheus_does() {
    let began = Instant::now();
    let mut table = Table::default();
    // Whoever asks for the table gets all of it, which takes minutes.
    let step = if std::env::var_os(TABLE).is_some() { 1 } else { SAMPLED };
    for (name, corpus, damages) in CORPORA {
        let only = std::env::var(ONLY).unwrap_or_default();
        let wanted = rows(damages).into_iter().filter(|row| format!("{name}: {row}").contains(&only));
        let wanted: Vec<_> = wanted.step_by(step).collect();
        if !wanted.is_empty() {
            table.add(judged(corpus(), &wanted));
        }
    }
    table.finish(began.elapsed());
    assert_eq!(table.disagreements(), [""; 0], "promsafe and Prometheus disagree");
}

#[test]
fn truth_of_what_prometheus_left_is_no_alarm() {
    for corpus in [&*CURRENT, &*OLDER, &LIVE.0] {
        let report = verdict(&corpus.data);
        assert!(report.grade <= Grade::TornTail, "{}: {:?}", corpus.name, report.all_findings().collect::<Vec<_>>());
        assert!(report.blocks.iter().all(|block| block.grade == Grade::Ok));
    }
}

#[test]
fn truth_of_each_copy_of_a_running_server_is_no_alarm() {
    let alarms = in_parallel(&LIVE.1, |_, copy| {
        let report = verdict(copy);
        let starts = judge::starts(copy);
        let alarm = report.grade > Grade::TornTail || starts.is_err();
        alarm.then(|| format!("{}: {starts:?}, {:?}", copy.display(), report.all_findings().collect::<Vec<_>>()))
    });
    assert_eq!(alarms.len(), corpus::COPIES);
    let alarms: Vec<_> = alarms.into_iter().flatten().collect();
    assert!(alarms.is_empty(), "{}", alarms.join("\n"));
}
