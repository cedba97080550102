//! The proof that a restored Prometheus holds the same history: what is asked before the copy ([`choose_probes`]), how
//! answers of then and now are compared ([`compare`]), and what is said about it ([`Confirmation`]). Pure: no clock, no
//! network; the answers are handed in.

mod blocks;
mod confirmation;
mod probes;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{BlockMeta, Fingerprint, Probe};

pub use confirmation::{Confirmation, gap_in_words};
pub use probes::{ProbeQuestion, choose_probes, probe_times};

/// Two sums of the same numbers may differ by this much, relative to the greater: Prometheus adds series in the order they
/// are stored, and a head that became a block is stored in another order.
const SUM_TOLERANCE: f64 = 1e-12;

/// How many there were, and how many of them are there again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// At backup time.
    pub then: u64,
    /// Of those, now.
    pub now: u64,
}

impl Tally {
    /// Whether all are back.
    pub fn is_equal(&self) -> bool {
        self.then == self.now
    }

    /// Both added up.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { then: self.then + other.then, now: self.now + other.now }
    }
}

/// `412/412`, now before then.
impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.now, self.then)
    }
}

/// What a restored Prometheus answered to what its fingerprint asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// Its blocks; `None` when it cannot list them (before 3.6).
    pub blocks: Option<Vec<BlockMeta>>,
    /// One value for each probe of the fingerprint, in that order.
    pub probes: Vec<Option<String>>,
    /// Rule groups as [`Fingerprint`] spells them.
    pub rule_groups: Vec<String>,
    /// Scrape pools as [`Fingerprint`] spells them.
    pub scrape_pools: Vec<String>,
    /// The newest sample not younger than the snapshot, to the millisecond; `None` when none was found or no time of a
    /// snapshot is known.
    pub newest_sample: Option<Timestamp>,
    /// Damages of the write-ahead log it found and cut off when it started.
    pub wal_corruptions: u64,
}

/// What came back of one Prometheus pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PodProof {
    /// The instance, as `namespace/name`.
    pub instance: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// Whether it answered at all.
    pub ready: bool,
    /// Blocks, by ULID or by what they were compacted from.
    pub blocks: Tally,
    /// Samples in these blocks.
    pub samples: Tally,
    /// Probes with the same answer.
    pub probes: Tally,
    /// Rule groups.
    pub rule_groups: Tally,
    /// Scrape pools with a target.
    pub scrape_pools: Tally,
    /// From the newest sample that came back until the snapshot was cut, in seconds; `None` when it could not be told.
    pub gap_seconds: Option<f64>,
    /// Damages of the write-ahead log found and cut off at the start. One is normal: a crash-consistent copy may end within
    /// a record.
    pub wal_corruptions: u64,
    /// Whether some sample from before the snapshot came back, where there was one.
    pub head_is_back: bool,
    /// What did not come back, in words. Empty means the proof holds.
    pub differences: Vec<String>,
}

impl PodProof {
    /// Whether it answered and nothing is missing or different: blocks, samples, probes, and also rule groups and scrape
    /// pools. A Prometheus without its rules holds its history but does not do its work, so that is no success either;
    /// [`PodProof::history_holds`] tells the two apart.
    pub fn holds(&self) -> bool {
        self.ready && self.differences.is_empty()
    }

    /// Whether blocks, samples and probes are the same and the head is not empty, whatever became of rules and scrape pools.
    pub fn history_holds(&self) -> bool {
        let equal = self.blocks.is_equal() && self.samples.is_equal() && self.probes.is_equal();
        self.ready && equal && self.head_is_back
    }

    /// The proof of a Prometheus that did not answer, for this reason.
    pub fn unanswered(then: &Fingerprint, why: String) -> Self {
        Self { ready: false, differences: vec![why], ..compare(then, &Answers::default(), None) }
    }
}

/// Compares what a Prometheus answered at backup time with what it answers now.
///
/// Blocks are back when their ULID is there, or when blocks made of the same level-1 blocks are. Probes must give the same
/// text, except `sum`, whose number may differ by 1e-12 of itself, because series may be added up in another order. Rule
/// groups and scrape pools must all be there; more than then is no difference. When the time of the snapshot is known and
/// the head held series, some sample from before it must have come back.
pub fn compare(then: &Fingerprint, now: &Answers, snapshot_cut_at: Option<Timestamp>) -> PodProof {
    let found = blocks::compare_blocks(&then.blocks, now.blocks.as_deref().unwrap_or_default());
    let mut differences = found.differences;
    if now.blocks.is_none() && !then.blocks.is_empty() {
        differences.push("this Prometheus cannot list its blocks (it is older than 3.6)".to_owned());
    }
    let answers = now.probes.iter().map(Option::as_deref).chain(std::iter::repeat(None));
    let probes = count(then.probes.iter().zip(answers), |(probe, value)| {
        let same = is_same_answer(probe, value);
        if !same {
            let (was, is) = (probe.value.as_deref().unwrap_or("nothing"), value.unwrap_or("nothing"));
            differences.push(format!("{} at {}: {was} then, {is} now", probe.query, probe.at));
        }
        same
    });
    let rule_groups = all_there("rule group", &then.rule_groups, &now.rule_groups, &mut differences);
    let scrape_pools = all_there("scrape pool", &then.scrape_pools, &now.scrape_pools, &mut differences);
    let lost_head = snapshot_cut_at.filter(|_| now.newest_sample.is_none() && then.head.series > 0);
    if let Some(cut_at) = lost_head {
        differences.push(format!("no sample from before the snapshot ({cut_at}) came back"));
    }
    PodProof {
        instance: then.instance.clone(),
        namespace: then.namespace.clone(),
        pod: then.pod.clone(),
        ready: true,
        blocks: found.blocks,
        samples: found.samples,
        probes,
        rule_groups,
        scrape_pools,
        gap_seconds: snapshot_cut_at.zip(now.newest_sample).map(|(cut, newest)| gap_seconds(cut, newest)),
        wal_corruptions: now.wal_corruptions,
        head_is_back: lost_head.is_none(),
        differences,
    }
}

/// Seconds from the newest sample to the cut, to the millisecond.
fn gap_seconds(cut_at: Timestamp, newest: Timestamp) -> f64 {
    let gap = newest.duration_until(cut_at);
    (gap.as_secs_f64() * 1000.0).round() / 1000.0
}

fn count<T>(things: impl Iterator<Item = T>, mut is_back: impl FnMut(T) -> bool) -> Tally {
    things.fold(Tally::default(), |tally, thing| tally.plus(Tally { then: 1, now: u64::from(is_back(thing)) }))
}

/// Counts the names that are there again, each as often as it was.
fn all_there(what: &str, then: &[String], now: &[String], differences: &mut Vec<String>) -> Tally {
    let mut left: BTreeMap<&str, u64> = BTreeMap::new();
    for name in now {
        *left.entry(name).or_default() += 1;
    }
    count(then.iter(), |name| match left.get_mut(name.as_str()) {
        Some(times) if *times > 0 => {
            *times -= 1;
            true
        }
        _ => {
            differences.push(format!("{what} {name} is missing"));
            false
        }
    })
}

fn is_same_answer(probe: &Probe, now: Option<&str>) -> bool {
    match (probe.value.as_deref(), now) {
        (Some(then), Some(now)) if then != now => is_sum(probe) && is_close(then, now),
        (then, now) => then == now,
    }
}

/// Whether it adds up values; samples and series are counted, and counts are exact.
fn is_sum(probe: &Probe) -> bool {
    probe.query.starts_with("sum(") && !probe.query.starts_with("sum(count_over_time(")
}

fn is_close(then: &str, now: &str) -> bool {
    match (then.parse::<f64>(), now.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= SUM_TOLERANCE * a.abs().max(b.abs()) && a.is_finite() && b.is_finite(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Head;

    fn at() -> Timestamp {
        "2026-11-20T09:00:00Z".parse().unwrap()
    }

    fn probe(query: &str, value: &str) -> Probe {
        Probe { query: query.to_owned(), at: at(), value: Some(value.to_owned()) }
    }

    fn fingerprint() -> Fingerprint {
        let ulid = "01A".to_owned();
        Fingerprint {
            instance: "monitoring/k8s".to_owned(),
            namespace: "monitoring".to_owned(),
            pod: "prometheus-k8s-0".to_owned(),
            version: "3.13.1".to_owned(),
            taken_at: at(),
            blocks: vec![BlockMeta {
                sources: vec![ulid.clone()],
                ulid,
                min_time_ms: 0,
                max_time_ms: 7_200_000,
                samples: 100,
                series: 2,
            }],
            head: Head { min_time_ms: 7_200_000, max_time_ms: 7_300_000, series: 2 },
            probes: vec![probe("count(up)", "3"), probe("sum(load)", "0.30000000000000004")],
            rule_groups: vec!["g: A, B".to_owned(), "g: A, B".to_owned()],
            scrape_pools: vec!["self".to_owned()],
        }
    }

    fn answers() -> Answers {
        let then = fingerprint();
        Answers {
            blocks: Some(then.blocks),
            probes: then.probes.into_iter().map(|probe| probe.value).collect(),
            rule_groups: then.rule_groups,
            scrape_pools: then.scrape_pools,
            newest_sample: Some(at()),
            wal_corruptions: 0,
        }
    }

    fn differences(change: impl FnOnce(&mut Answers)) -> Vec<String> {
        let mut now = answers();
        change(&mut now);
        let proof = compare(&fingerprint(), &now, Some(at()));
        assert_eq!(proof.holds(), proof.differences.is_empty());
        proof.differences
    }

    #[test]
    fn same_answers_hold_with_their_gap() {
        let cut_at = "2026-11-20T09:00:04.2Z".parse().unwrap();
        let proof = compare(&fingerprint(), &answers(), Some(cut_at));
        assert!(proof.holds() && proof.history_holds());
        assert_eq!(proof.gap_seconds, Some(4.2));
        assert_eq!(proof.probes, Tally { then: 2, now: 2 });
        assert_eq!(proof.rule_groups.to_string(), "2/2");
    }

    #[test]
    fn sums_may_differ_in_the_last_digit_and_counts_may_not() {
        assert_eq!(differences(|now| now.probes[1] = Some("0.3".to_owned())), [""; 0]);
        assert_eq!(
            differences(|now| now.probes[1] = Some("0.31".to_owned())),
            ["sum(load) at 2026-11-20T09:00:00Z: 0.30000000000000004 then, 0.31 now"]
        );
        assert_eq!(
            differences(|now| now.probes[0] = Some("3.0000000000000001".to_owned())),
            ["count(up) at 2026-11-20T09:00:00Z: 3 then, 3.0000000000000001 now"]
        );
        assert!(!is_close("NaN", "0") && !is_close("+Inf", "-Inf") && !is_close("+Inf", "1"));
    }

    #[test]
    fn lost_answers_are_named() {
        assert_eq!(differences(|now| now.probes.truncate(1)).len(), 1);
        assert_eq!(differences(|now| now.probes[0] = None), ["count(up) at 2026-11-20T09:00:00Z: 3 then, nothing now"]);
        assert_eq!(
            differences(|now| now.newest_sample = None),
            ["no sample from before the snapshot (2026-11-20T09:00:00Z) came back"]
        );
    }

    #[test]
    fn rules_and_pools_count_and_more_of_them_is_no_difference() {
        let lost = |now: &mut Answers| {
            now.rule_groups.pop();
            now.scrape_pools.clear();
        };
        assert_eq!(differences(lost), ["rule group g: A, B is missing", "scrape pool self is missing"]);
        assert_eq!(differences(|now| now.scrape_pools.push("new".to_owned())), [""; 0]);
        let mut now = answers();
        lost(&mut now);
        assert!(compare(&fingerprint(), &now, None).history_holds());
    }

    #[test]
    fn blocks_that_cannot_be_listed_any_more_do_not_hold() {
        let words = differences(|now| now.blocks = None);
        assert!(words[0].starts_with("block 01A") && words[1].contains("cannot list"), "{words:?}");
    }

    #[test]
    fn young_prometheus_that_comes_back_empty_has_lost_its_history() {
        let young = Fingerprint { blocks: vec![], probes: vec![], ..fingerprint() };
        let empty = Answers { blocks: Some(vec![]), probes: vec![], newest_sample: None, ..answers() };
        let proof = compare(&young, &empty, Some(at()));
        assert!(!proof.holds() && !proof.history_holds());
        assert!(compare(&young, &answers(), Some(at())).history_holds());
    }

    #[test]
    fn pod_that_never_answered_does_not_hold() {
        let proof = PodProof::unanswered(&fingerprint(), "no route".to_owned());
        assert!(!proof.holds() && !proof.history_holds());
        assert_eq!((proof.blocks.to_string().as_str(), proof.differences.len()), ("0/1", 1));
    }

    #[test]
    fn newest_sample_younger_than_the_cut_gives_a_negative_gap() {
        let cut_at = "2026-11-20T08:59:59.7Z".parse().unwrap();
        assert_eq!(compare(&fingerprint(), &answers(), Some(cut_at)).gap_seconds, Some(-0.3));
        assert_eq!(compare(&fingerprint(), &answers(), None).gap_seconds, None);
    }
}
