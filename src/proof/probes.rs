//! Which questions are worth asking a Prometheus before its history is copied: few, cheap, and about times that no longer
//! change. Pure: the names that exist are handed in.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::{BlockMeta, Head};

/// How long before the backup the head is asked about: scrapes in flight and pages not yet written back are younger.
const HEAD_AGE_MS: i64 = 10 * 60 * 1000;
/// The youngest time a head that has not run that long is asked about.
const YOUNGEST_HEAD_AGE_MS: i64 = 60 * 1000;
/// Where history may be when blocks cannot be listed (Prometheus before 3.6): an hour, a day, a week before the head.
const BEFORE_HEAD_MS: [i64; 3] = [3_600_000, 86_400_000, 604_800_000];
/// Metric names asked about at one time.
const NAMES: usize = 8;
/// Names with more series in the head than this are left alone: `count_over_time` reads every sample of an hour.
const MOST_SERIES: u64 = 20_000;

/// A question with one number as its answer, about a time that no longer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeQuestion {
    /// `PromQL`.
    pub query: String,
    /// The evaluation time.
    pub at: Timestamp,
}

/// The times worth asking about: the middle of the oldest block, of a middle one and of the newest, and the head ten
/// minutes ago (half its age when it is younger, at least a minute). `now` is when the backup asks. Sorted.
pub fn probe_times(blocks: &[BlockMeta], head: &Head, now: Timestamp) -> Vec<Timestamp> {
    let mut by_time: Vec<&BlockMeta> = blocks.iter().collect();
    by_time.sort_by_key(|block| (block.min_time_ms, &block.ulid));
    let mut times_ms = BTreeSet::new();
    for index in [0, by_time.len() / 2, by_time.len().saturating_sub(1)] {
        times_ms.extend(by_time.get(index).map(|block| i64::midpoint(block.min_time_ms, block.max_time_ms)));
    }
    let now_ms = now.as_millisecond();
    let head_has_samples = head.series > 0 && head.min_time_ms <= head.max_time_ms;
    if head_has_samples {
        let newest_ms = head.max_time_ms.min(now_ms);
        let age_ms = HEAD_AGE_MS.min(newest_ms.saturating_sub(head.min_time_ms) / 2);
        if age_ms >= YOUNGEST_HEAD_AGE_MS {
            times_ms.insert(newest_ms - age_ms);
        }
        if blocks.is_empty() {
            times_ms.extend(BEFORE_HEAD_MS.iter().map(|before| head.min_time_ms.saturating_sub(*before)));
        }
    }
    let past = times_ms.into_iter().filter(|at| *at <= now_ms.saturating_sub(YOUNGEST_HEAD_AGE_MS));
    past.filter_map(|at| Timestamp::from_millisecond(at).ok()).collect()
}

/// The questions: at each time up to eight metric names, spread evenly over those that exist then, and of each how many
/// series it has, their sum, and how many samples the hour before holds. `largest` tells how many series the largest names
/// have in the head; names above 20 000 series are asked about only when there are no others.
///
/// No question matches all series, so the cost does not grow with the size of the Prometheus. `sum` may be added up in
/// another order after a restore; [`compare`](super::compare) knows.
pub fn choose_probes(names_at: &[(Timestamp, Vec<String>)], largest: &BTreeMap<String, u64>) -> Vec<ProbeQuestion> {
    let mut questions = Vec::new();
    for (at, names) in names_at {
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let (cheap, dear): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| largest.get(*name).is_none_or(|series| *series <= MOST_SERIES));
        for name in spread(if cheap.is_empty() { &dear } else { &cheap }) {
            let metric = selector(name);
            for query in
                [format!("count({metric})"), format!("sum({metric})"), format!("sum(count_over_time({metric}[1h]))")]
            {
                questions.push(ProbeQuestion { query, at: *at });
            }
        }
    }
    questions
}

/// Up to [`NAMES`] of the names, first and last among them.
fn spread<'a>(names: &[&'a str]) -> Vec<&'a str> {
    if names.len() <= NAMES {
        return names.to_vec();
    }
    (0..NAMES).filter_map(|step| names.get(step * (names.len() - 1) / (NAMES - 1)).copied()).collect()
}

/// A metric name as `PromQL` takes it. A bare word is safe only when it cannot be a keyword or a number (`inf`); names with
/// other characters (UTF-8, Prometheus 3) need quotes anyway.
fn selector(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if begins_well && name.chars().all(plain) && (name == "up" || name.contains('_')) {
        return name.to_owned();
    }
    let quoted = name.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
    format!(r#"{{__name__="{quoted}"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn block(number: i64) -> BlockMeta {
        let ulid = format!("B{number}");
        let (min_time_ms, max_time_ms) = (number * 2 * HOUR_MS, (number + 1) * 2 * HOUR_MS);
        BlockMeta { sources: vec![ulid.clone()], ulid, min_time_ms, max_time_ms, samples: 10, series: 1 }
    }

    fn at_ms(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn in_ms(times: &[Timestamp]) -> Vec<i64> {
        times.iter().map(|at| at.as_millisecond()).collect()
    }

    #[test]
    fn times_are_the_middles_of_three_blocks_and_the_head_ten_minutes_ago() {
        let blocks: Vec<BlockMeta> = (0..5).rev().map(block).collect();
        let head = Head { min_time_ms: 10 * HOUR_MS, max_time_ms: 12 * HOUR_MS, series: 5 };
        let times = probe_times(&blocks, &head, at_ms(12 * HOUR_MS + 500));
        assert_eq!(in_ms(&times), [HOUR_MS, 5 * HOUR_MS, 9 * HOUR_MS, 12 * HOUR_MS - HEAD_AGE_MS]);
    }

    #[test]
    fn young_head_is_asked_at_half_its_age_and_a_newborn_one_not_at_all() {
        let head = |age_ms| Head { min_time_ms: HOUR_MS, max_time_ms: HOUR_MS + age_ms, series: 5 };
        let blocks = [block(-1)];
        assert_eq!(in_ms(&probe_times(&blocks, &head(240_000), at_ms(2 * HOUR_MS))), [-HOUR_MS, HOUR_MS + 120_000]);
        assert_eq!(in_ms(&probe_times(&blocks, &head(100_000), at_ms(2 * HOUR_MS))), [-HOUR_MS]);
    }

    #[test]
    fn empty_head_and_no_blocks_give_no_times() {
        let empty = Head { min_time_ms: i64::MAX, max_time_ms: i64::MIN, series: 0 };
        assert_eq!(probe_times(&[], &empty, at_ms(0)), []);
    }

    #[test]
    fn without_a_block_list_the_past_is_guessed() {
        let head = Head { min_time_ms: 1000 * HOUR_MS, max_time_ms: 1000 * HOUR_MS + 1, series: 5 };
        let times = probe_times(&[], &head, at_ms(1001 * HOUR_MS));
        assert_eq!(in_ms(&times), [832 * HOUR_MS, 976 * HOUR_MS, 999 * HOUR_MS]);
    }

    #[test]
    fn names_are_spread_and_the_crowded_left_alone() {
        let names: Vec<String> = (0..100).map(|n| format!("m_{n:02}")).collect();
        let crowded = BTreeMap::from([("m_00".to_owned(), 1_000_000), ("m_99".to_owned(), 20_000)]);
        let questions = choose_probes(&[(at_ms(0), names)], &crowded);
        assert_eq!(questions.len(), 24);
        assert_eq!(questions[0].query, "count(m_01)");
        assert_eq!(questions[23].query, "sum(count_over_time(m_99[1h]))");
    }

    #[test]
    fn strange_names_are_quoted() {
        assert_eq!(selector("up"), "up");
        assert_eq!(selector("job:up_total:sum"), "job:up_total:sum");
        assert_eq!(selector("inf"), r#"{__name__="inf"}"#);
        assert_eq!(selector(r#"http.re"q\"#), r#"{__name__="http.re\"q\\"}"#);
    }
}
