//! What a restore says about all its Prometheus pods together. It knows sums and words, not how anything was compared.

use serde::Serialize;

use super::{PodProof, Tally};
use crate::model::Problem;

/// How many differences of one pod stand in its problem; the proof holds them all.
const DIFFERENCES_TOLD: usize = 5;

/// The proof of a restore.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Confirmation {
    /// One proof for each pod with a fingerprint.
    pub pods: Vec<PodProof>,
    /// What did not come back, one problem for each pod that does not hold, and what could not be asked.
    pub problems: Vec<Problem>,
}

impl Confirmation {
    /// The confirmation of these pods; a problem is added to `problems` for each that does not hold.
    pub fn new(pods: Vec<PodProof>, mut problems: Vec<Problem>) -> Self {
        problems.extend(pods.iter().filter(|pod| !pod.holds()).map(problem));
        Self { pods, problems }
    }

    /// Blocks of all pods.
    pub fn blocks(&self) -> Tally {
        self.total(|pod| pod.blocks)
    }

    /// Samples in the blocks of all pods.
    pub fn samples(&self) -> Tally {
        self.total(|pod| pod.samples)
    }

    /// Probes of all pods.
    pub fn probes(&self) -> Tally {
        self.total(|pod| pod.probes)
    }

    /// The longest gap of any pod, in seconds; `None` when no pod's is known. A pod without one is told by itself.
    pub fn gap_seconds(&self) -> Option<f64> {
        self.pods.iter().filter_map(|pod| pod.gap_seconds).reduce(f64::max)
    }

    /// Whether every pod holds and nothing else went wrong. True without any pod: then nothing was promised.
    pub fn holds(&self) -> bool {
        self.problems.is_empty() && self.pods.iter().all(PodProof::holds)
    }

    fn total(&self, of: impl Fn(&PodProof) -> Tally) -> Tally {
        self.pods.iter().map(of).fold(Tally::default(), Tally::plus)
    }
}

fn problem(pod: &PodProof) -> Problem {
    let told = pod.differences.len().min(DIFFERENCES_TOLD);
    let mut cause = pod.differences[..told].join("; ");
    if pod.differences.len() > told {
        cause = format!("{cause}; and {} more", pod.differences.len() - told);
    }
    let hint = if !pod.ready {
        let logs = format!("kubectl -n {} logs {} --all-containers", pod.namespace, pod.pod);
        format!("look at: {logs}; then run the same restore again, which changes nothing and asks again")
    } else if pod.history_holds() {
        "the history is complete; once the operator has loaded rules and monitors, run the same restore again"
            .to_owned()
    } else {
        "check that the claim was made from the snapshot and that the retention keeps blocks this old".to_owned()
    };
    Problem {
        object: format!("Pod {}/{}", pod.namespace, pod.pod),
        tried: "prove that the same history came back".to_owned(),
        cause,
        hint,
    }
}

/// A gap for the reader: `4.2s`, `3m 4s`; in words when there is none.
pub fn gap_in_words(gap_seconds: Option<f64>) -> String {
    match gap_seconds {
        None => "unknown (no sample or no time of the snapshot to measure from)".to_owned(),
        Some(gap) if gap < 0.0 => {
            format!("none (the newest sample is {:.1}s younger than the snapshot's clock says)", -gap)
        }
        Some(gap) if gap < 120.0 => format!("{gap:.1}s"),
        Some(gap) if gap < 7200.0 => format!("{}m {:.0}s", (gap / 60.0).floor(), (gap % 60.0).floor()),
        Some(gap) => format!("{}h {:.0}m", (gap / 3600.0).floor(), (gap % 3600.0 / 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, blocks: Tally, gap_seconds: Option<f64>, differences: usize) -> PodProof {
        PodProof {
            instance: "monitoring/k8s".to_owned(),
            namespace: "monitoring".to_owned(),
            pod: name.to_owned(),
            ready: true,
            blocks,
            samples: Tally::default(),
            probes: Tally::default(),
            rule_groups: Tally::default(),
            scrape_pools: Tally::default(),
            gap_seconds,
            wal_corruptions: 0,
            head_is_back: true,
            differences: (0..differences).map(|n| format!("d{n}")).collect(),
        }
    }

    #[test]
    fn totals_add_up_and_the_longest_gap_counts() {
        let pods = vec![
            pod("p-0", Tally { then: 4, now: 4 }, Some(0.5), 0),
            pod("p-1", Tally { then: 3, now: 3 }, Some(4.25), 0),
            pod("p-2", Tally { then: 1, now: 1 }, None, 0),
        ];
        let confirmation = Confirmation::new(pods, vec![]);
        assert!(confirmation.holds());
        assert_eq!(confirmation.blocks().to_string(), "8/8");
        assert_eq!(confirmation.gap_seconds(), Some(4.25));
    }

    #[test]
    fn pod_that_does_not_hold_becomes_a_problem_that_stays_short() {
        let confirmation = Confirmation::new(vec![pod("p-0", Tally { then: 9, now: 2 }, None, 7)], vec![]);
        assert!(!confirmation.holds());
        assert_eq!(confirmation.problems[0].object, "Pod monitoring/p-0");
        assert_eq!(confirmation.problems[0].cause, "d0; d1; d2; d3; d4; and 2 more");
    }

    #[test]
    fn gaps_are_told_in_words() {
        let cases = [(Some(0.04), "0.0s"), (Some(4.2), "4.2s"), (Some(184.9), "3m 4s"), (Some(9000.0), "2h 30m")];
        for (gap, words) in cases {
            assert_eq!(gap_in_words(gap), words);
        }
        assert!(gap_in_words(Some(-0.3)).starts_with("none (the newest sample is 0.3s younger"));
        assert!(gap_in_words(None).starts_with("unknown"));
    }
}
