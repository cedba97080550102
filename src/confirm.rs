//! Waits until a restored Prometheus answers, and asks it until its history is proved or the deadline has passed. It decides
//! nothing about sameness (`proof` does) and never loosens it.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::fingerprint;
use crate::model::{Event, Fingerprint, Reporter, Timeouts};
use crate::prometheus_api::{PrometheusApi, Readiness};
use crate::proof::{PodProof, compare};
use crate::words;

/// Between two reports of the same wait.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Asking everything again waits this many times as long as asking took, so that a large Prometheus is not kept busy by us.
const REST_FACTOR: u32 = 4;

/// Asks one restored pod until its proof holds, at most `timeouts.prometheus_answer`, and returns the last proof.
///
/// Asked again while something is missing, because it may still come: Prometheus replays its log before it answers, swaps
/// freshly loaded blocks for compacted ones, gets its rules from a sidecar and its targets from discovery some seconds
/// later. What is still missing at the deadline counts as a difference, rule groups and scrape pools as well.
pub async fn pod(
    api: &PrometheusApi,
    then: &Fingerprint,
    cut_at: Option<Timestamp>,
    timeouts: &Timeouts,
    reporter: &dyn Reporter,
) -> PodProof {
    let started = Instant::now();
    let mut told: Option<Instant> = None;
    let mut last: Option<PodProof> = None;
    loop {
        let left = timeouts.prometheus_answer.saturating_sub(started.elapsed());
        let asking = Instant::now();
        let Ok(look) = tokio::time::timeout(left, look(api, then, cut_at)).await else {
            let why = format!("no full answer within {} s", timeouts.prometheus_answer.as_secs());
            return last.unwrap_or_else(|| PodProof::unanswered(then, why));
        };
        let rest = if look.proof.ready { asking.elapsed() * REST_FACTOR } else { Duration::ZERO };
        let rest = rest.max(timeouts.poll);
        if look.proof.holds() || started.elapsed() + rest >= timeouts.prometheus_answer {
            return look.proof;
        }
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            let on = format!("Prometheus {}/{}", then.namespace, then.pod);
            reporter.event(&Event::Waiting { on, state: look.state, for_seconds: started.elapsed().as_secs() });
        }
        last = Some(look.proof);
        tokio::time::sleep(rest).await;
    }
}

/// One look at the pod: what it proves so far, and what is being waited for.
struct Look {
    proof: PodProof,
    state: String,
}

async fn look(api: &PrometheusApi, then: &Fingerprint, cut_at: Option<Timestamp>) -> Look {
    let why = match api.ready().await {
        Readiness::Ready => match fingerprint::answers(api, then, cut_at).await {
            Ok(answers) => {
                let proof = compare(then, &answers, cut_at);
                let first = proof.differences.first().map_or("nothing", String::as_str);
                let state = format!("{} differences, the first: {first}", proof.differences.len());
                return Look { proof, state };
            }
            Err(error) => words::chain(&error),
        },
        Readiness::Replaying { min, max, current } => {
            format!("replaying the write-ahead log, segment {current} of {min}..{max}")
        }
        Readiness::Unreachable(why) => format!("not reachable: {why}"),
    };
    Look { proof: PodProof::unanswered(then, why.clone()), state: why }
}
