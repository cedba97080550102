//! How blocks lie in time: overlaps, gaps, and blocks of the future.

use super::meta::Meta;
use super::verdict::{Finding, Grade};

/// Blocks of out-of-order samples and of stale series end at the next multiple of two hours, which may be to come.
const ALIGNMENT_MS: i64 = 2 * 60 * 60 * 1000;

/// Shorter times without a block lie between two samples.
const SHORTEST_GAP_MS: i64 = 5 * 60 * 1000;

/// What is to be said of blocks that are loaded, sorted by their oldest time.
pub(super) fn findings(blocks: &[(&str, &Meta)], now_ms: Option<i64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut group: Vec<&str> = Vec::new();
    let (mut begin, mut end) = (0, None);
    for (name, meta) in blocks {
        match end {
            Some(end) if meta.min_time < end => {}
            Some(end) => {
                findings.extend(overlap(&group, begin, end));
                if meta.min_time.saturating_sub(end) >= SHORTEST_GAP_MS {
                    let what = format!(
                        "no block has samples from {} to {}: Prometheus did not run then, or blocks are missing",
                        time(end),
                        time(meta.min_time)
                    );
                    findings.push(Finding::new(Grade::Ok, *name, what));
                }
                (group, begin) = (Vec::new(), meta.min_time);
            }
            None => begin = meta.min_time,
        }
        group.push(name);
        end = end.max(Some(meta.max_time));
        if now_ms.is_some_and(|now_ms| meta.max_time > now_ms.saturating_add(ALIGNMENT_MS)) {
            findings.push(future(name, meta));
        }
    }
    findings.extend(end.and_then(|end| overlap(&group, begin, end)));
    findings
}

fn overlap(group: &[&str], begin: i64, end: i64) -> Option<Finding> {
    let (first, others) = group.split_first()?;
    (!others.is_empty()).then(|| {
        let what = format!(
            "{} blocks overlap between {} and {}; Prometheus merges them when it is asked",
            group.len(),
            time(begin),
            time(end)
        );
        Finding::new(Grade::Ok, *first, what)
    })
}

fn future(name: &str, meta: &Meta) -> Finding {
    let head = if meta.is_apart() { "" } else { ", takes no samples before that, and drops those that the WAL has" };
    let what = format!("ends at {}, in the future: Prometheus counts retention from there{head}", time(meta.max_time));
    Finding::new(Grade::Degraded, format!("{name}/meta.json"), what)
}

/// A time for people.
fn time(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(blocks: &[(i64, i64)], now_ms: Option<i64>) -> Vec<(Grade, String)> {
        let metas: Vec<_> = blocks
            .iter()
            .map(|(min_time, max_time)| Meta { min_time: *min_time, max_time: *max_time, ..Meta::default() })
            .collect();
        let blocks: Vec<_> = metas.iter().map(|meta| ("b", meta)).collect();
        findings(&blocks, now_ms).into_iter().map(|finding| (finding.grade, finding.what)).collect()
    }

    #[test]
    fn blocks_side_by_side_are_in_peace() {
        assert_eq!(said(&[], Some(0)), []);
        assert_eq!(said(&[(0, 10), (10, 20), (20, 7_200_020)], Some(20)), []);
    }

    #[test]
    fn overlaps_and_gaps_are_named_and_harmless() {
        let said = said(
            &[(0, 10_000), (2_000, 5_000), (9_000, 12_000), (12_000, 13_000), (13_500, 14_000), (1_000_000, 1_001_000)],
            None,
        );
        let expected = [
            "3 blocks overlap between 1970-01-01T00:00:00Z and 1970-01-01T00:00:12Z; Prometheus merges them when it is asked",
            "no block has samples from 1970-01-01T00:00:14Z to 1970-01-01T00:16:40Z: Prometheus did not run then, or blocks \
             are missing",
        ];
        assert_eq!(said, expected.map(|what| (Grade::Ok, what.to_owned())));
    }

    #[test]
    fn a_block_of_the_future_is_degraded() {
        let said = said(&[(0, 7_200_021), (7_200_021, i64::MAX)], Some(20));
        assert_eq!(said.iter().map(|(grade, _)| *grade).collect::<Vec<_>>(), [Grade::Degraded, Grade::Degraded]);
        assert!(said[0].1.starts_with("ends at 1970-01-01T02:00:00Z, in the future"), "{}", said[0].1);
    }
}
