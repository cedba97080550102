//! Everything a Prometheus answers about a corpus: every sample of every chunk, and every series by every label. Two of them
//! can be compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::corpus::Corpus;
use super::remote_write::Message;
use super::server::{Server, encoded};

/// How much time one query covers: as long as a block.
const WINDOW_SECONDS: i64 = 2 * 60 * 60;

/// What was asked, and what was answered.
#[derive(Default)]
pub(super) struct Answers {
    /// Samples by series and time, in milliseconds, for the windows that were answered. The end of each window is its key.
    windows: BTreeMap<i64, BTreeMap<String, BTreeMap<i64, String>>>,
    /// Series found by `name="value"`.
    found: BTreeMap<String, BTreeSet<String>>,
    /// Queries that failed, with the reason.
    pub(super) failed: Vec<(String, String)>,
}

/// How one set of answers falls short of another.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Samples that are gone.
    pub(super) missing: usize,
    /// Series that samples are gone of.
    pub(super) series: BTreeSet<String>,
    /// Oldest and newest time that a sample is gone of, in milliseconds.
    pub(super) span: Option<(i64, i64)>,
    /// Samples that were not there, or had another value.
    pub(super) other: usize,
    /// Labels that do not lead to the same series any more, although no sample of these is gone.
    pub(super) labels: Vec<String>,
    /// Why queries failed that were answered before.
    pub(super) failed: Vec<String>,
}

impl Difference {
    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        self.missing == 0 && self.other == 0 && self.labels.is_empty() && self.failed.is_empty()
    }
}

impl Answers {
    /// Asks for all that the corpus covers, and for series by these labels.
    pub(super) fn of(server: &Server, corpus: &Corpus, labels: &BTreeSet<String>) -> Self {
        let mut answers = Self::default();
        let (from, to) = (corpus.from_ms / 1000, corpus.to_ms / 1000);
        let first = from / WINDOW_SECONDS;
        for window in first..=to / WINDOW_SECONDS {
            let end = (window + 1) * WINDOW_SECONDS;
            let query = encoded(&format!("{{__name__=~\".+\"}}[{WINDOW_SECONDS}s]"));
            match server.data(&format!("/api/v1/query?query={query}&time={end}")) {
                Ok(data) => drop(answers.windows.insert(end, samples(&data))),
                Err(reason) => answers.failed.push((format!("window {end}"), reason)),
            }
        }
        for label in labels {
            let matcher = encoded(&format!("{{{label}}}"));
            match server.data(&format!("/api/v1/series?match[]={matcher}&start={from}&end={to}")) {
                Ok(data) => {
                    let series = data.as_array().unwrap().iter().map(Value::to_string).collect();
                    answers.found.insert(label.clone(), series);
                }
                Err(reason) => answers.failed.push((label.clone(), reason)),
            }
        }
        if let Err(reason) = read_remotely(server, corpus) {
            answers.failed.push(("remote read".to_owned(), reason));
        }
        answers
    }

    /// All labels of series with samples, as `name="value"`.
    pub(super) fn labels(&self) -> BTreeSet<String> {
        let series = self.windows.values().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>();
        let parsed = series.into_iter().map(|series| serde_json::from_str::<BTreeMap<String, String>>(series).unwrap());
        parsed.flatten().map(|(name, value)| format!("{name}={value:?}")).collect()
    }

    /// Samples.
    pub(super) fn samples(&self) -> usize {
        self.windows.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum()
    }

    /// How these fall short of what was answered before.
    pub(super) fn against(&self, before: &Self) -> Difference {
        let mut difference = Difference::default();
        let failed: BTreeSet<_> = before.failed.iter().map(|(query, _)| query).collect();
        let now_failed = self.failed.iter().filter(|(query, _)| !failed.contains(query));
        difference.failed = now_failed.map(|(_, reason)| reason.clone()).collect();
        for (end, then) in &before.windows {
            let Some(now) = self.windows.get(end).filter(|now| *now != then) else { continue };
            difference.add_window(then, now);
        }
        let all_there = difference.missing == 0;
        for (label, then) in &before.found {
            let differs = self.found.get(label).is_some_and(|now| now != then);
            if differs && all_there {
                difference.labels.push(label.clone());
            }
        }
        difference
    }
}

/// Reads everything by a matcher that every series fulfils: PromQL allows none such, and so never needs the list of all series.
fn read_remotely(server: &Server, corpus: &Corpus) -> Result<(), String> {
    let mut request = Message::default();
    request.message(1, |query| {
        query.number(1, corpus.from_ms.cast_unsigned()).number(2, corpus.to_ms.cast_unsigned());
        query.message(3, |matcher| {
            matcher.number(1, 2).bytes(2, b"__name__").bytes(3, b".*");
        });
    });
    let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";
    match server.post("/api/v1/read", headers, &request.in_snappy()) {
        Ok((200, _)) => Ok(()),
        Ok((status, body)) => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
        Err(error) => Err(error.to_string()),
    }
}

type Samples = BTreeMap<String, BTreeMap<i64, String>>;

impl Difference {
    fn add_window(&mut self, then: &Samples, now: &Samples) {
        let none = BTreeMap::new();
        for (series, samples) in then {
            let left = now.get(series).unwrap_or(&none);
            for (at, value) in samples {
                match left.get(at) {
                    Some(same) if same == value => {}
                    Some(_) => self.other += 1,
                    None => {
                        self.missing += 1;
                        self.series.insert(series.clone());
                        let (from, to) = self.span.unwrap_or((*at, *at));
                        self.span = Some((from.min(*at), to.max(*at)));
                    }
                }
            }
        }
        for (series, samples) in now {
            let known = then.get(series).unwrap_or(&none);
            self.other += samples.keys().filter(|at| !known.contains_key(at)).count();
        }
    }
}

/// Samples of a matrix by series.
fn samples(data: &Value) -> Samples {
    let rows = data["result"].as_array().unwrap().iter();
    rows.map(|row| {
        let pairs = [&row["values"], &row["histograms"]].into_iter().filter_map(Value::as_array).flatten();
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch")]
        let at = |pair: &Value| (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
        (row["metric"].to_string(), pairs.map(|pair| (at(pair), pair[1].to_string())).collect())
    })
    .collect()
}
