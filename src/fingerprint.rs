//! Asks a Prometheus what will prove its history later, and asks the same again after a restore. It decides what to ask by
//! `proof`, and does not know how requests travel nor what the answers mean.

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::model::{BlockMeta, Fingerprint, Probe};
use crate::prometheus_api::{PrometheusApi, PrometheusApiError};
use crate::proof::{Answers, ProbeQuestion, choose_probes, probe_times};

/// Requests under way at one time; Prometheus runs at most 20 queries at once.
const PARALLEL: usize = 8;
/// Metric names read at one time to choose from.
const MOST_NAMES: usize = 100_000;
/// How far back a query sees by default (`--query.lookback-delta`).
const LOOKBACK: SignedDuration = SignedDuration::from_mins(5);

/// Asks a Prometheus, at `now`, what will prove its history: blocks, head, probes at fixed past times, rule groups, scrape
/// pools. `instance` is `namespace/name`. Probes without an answer prove nothing and are left out, as are those Prometheus
/// refuses as too large.
pub async fn take(
    api: &PrometheusApi,
    instance: &str,
    namespace: &str,
    pod: &str,
    now: Timestamp,
) -> Result<Fingerprint, PrometheusApiError> {
    let (version, blocks, head, rule_groups, scrape_pools) =
        futures::try_join!(api.version(), api.blocks(), api.head(), api.rule_groups(), api.scrape_pools())?;
    let blocks = blocks.unwrap_or_default();
    let names_at: Vec<(Timestamp, Vec<String>)> = stream::iter(probe_times(&blocks, &head.head, now))
        .map(async |at| {
            let start = at.checked_sub(LOOKBACK).unwrap_or(at);
            Ok::<_, PrometheusApiError>((at, api.metric_names(start, at, MOST_NAMES).await?))
        })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let questions = choose_probes(&names_at, &head.largest);
    let values = values(api, &questions).await?;
    let probes = questions.into_iter().zip(values).filter(|(_, value)| value.is_some());
    Ok(Fingerprint {
        instance: instance.to_owned(),
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        version,
        taken_at: now,
        blocks,
        head: head.head,
        probes: probes.map(|(question, value)| Probe { query: question.query, at: question.at, value }).collect(),
        rule_groups,
        scrape_pools,
    })
}

/// Asks a Prometheus what its fingerprint asked, and for the newest sample from before the snapshot was cut.
pub async fn answers(
    api: &PrometheusApi,
    then: &Fingerprint,
    cut_at: Option<Timestamp>,
) -> Result<Answers, PrometheusApiError> {
    let questions: Vec<ProbeQuestion> =
        then.probes.iter().map(|probe| ProbeQuestion { query: probe.query.clone(), at: probe.at }).collect();
    let (blocks, rule_groups, scrape_pools, wal_corruptions) =
        futures::try_join!(api.blocks(), api.rule_groups(), api.scrape_pools(), api.corruptions())?;
    let probes = values(api, &questions).await?;
    let newest_sample = match cut_at {
        Some(cut_at) => newest_sample(api, blocks.as_deref().unwrap_or_default(), cut_at).await?,
        None => None,
    };
    Ok(Answers { blocks, probes, rule_groups, scrape_pools, newest_sample, wal_corruptions })
}

/// The values of the questions, in their order; nothing for those Prometheus refuses as too large.
async fn values(api: &PrometheusApi, questions: &[ProbeQuestion]) -> Result<Vec<Option<String>>, PrometheusApiError> {
    stream::iter(questions)
        .map(|question| value(api, &question.query, question.at))
        .buffered(PARALLEL)
        .try_collect()
        .await
}

async fn value(api: &PrometheusApi, promql: &str, at: Timestamp) -> Result<Option<String>, PrometheusApiError> {
    match api.query_value(promql, at).await {
        Err(error) if error.is_refusal() => Ok(None),
        other => other,
    }
}

/// The newest sample not younger than the cut. Every scrape writes `up`, so its time is asked first; the subquery finds it
/// when targets were silent in the last minutes (a step shorter than the look-back loses none). Without any `up` it is the
/// end of the newest block that ends before the cut, which is never too young.
async fn newest_sample(
    api: &PrometheusApi,
    blocks: &[BlockMeta],
    cut_at: Timestamp,
) -> Result<Option<Timestamp>, PrometheusApiError> {
    for promql in ["max(timestamp(up))", "max(max_over_time(timestamp(up)[3h:30s]))"] {
        if let Some(newest) = value(api, promql, cut_at).await?.as_deref().and_then(timestamp) {
            return Ok(Some(newest));
        }
    }
    let ends = blocks.iter().map(|block| block.max_time_ms).filter(|end| *end <= cut_at.as_millisecond());
    Ok(ends.max().and_then(|end| Timestamp::from_millisecond(end).ok()))
}

/// Seconds since 1970 as Prometheus spells them (`1700000000.042`), to the millisecond.
fn timestamp(seconds: &str) -> Option<Timestamp> {
    let seconds: f64 = seconds.parse().ok()?;
    let since_1970 = SignedDuration::try_from_secs_f64((seconds * 1000.0).round() / 1000.0).ok()?;
    Timestamp::from_duration(since_1970).ok()?.round(jiff::Unit::Millisecond).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_to_the_millisecond() {
        assert_eq!(timestamp("1700000000.042").unwrap().as_nanosecond(), 1_700_000_000_042_000_000);
        assert_eq!(timestamp("1700000000").unwrap().as_second(), 1_700_000_000);
        assert_eq!(timestamp("NaN"), None);
        assert_eq!(timestamp("+Inf"), None);
    }
}
