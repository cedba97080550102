//! The HTTP API of Prometheus: ready, build, blocks, head, queries at a time, rules, targets. It knows paths and JSON of
//! Prometheus (`web/api/v1/api.go`); it does not know how a request travels (a function is handed in), nor what answers mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::{BlockMeta, Head};

/// Fetches one path (with its query) from one Prometheus and gives the body of a 200.
pub type Fetch = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Vec<u8>, FetchFailure>> + Send + Sync>;

/// A request that gave no 200.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FetchFailure {
    /// The HTTP status; `None` when no answer came at all.
    pub status: Option<u16>,
    /// What was wrong, in the words of the one who refused.
    pub message: String,
}

/// Why Prometheus could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusApiError {
    /// The request gave no 200.
    #[error("asking Prometheus for {path}")]
    Ask {
        /// Path and query.
        path: String,
        /// What came instead.
        source: FetchFailure,
    },
    /// The answer is not what Prometheus documents.
    #[error("reading the answer of Prometheus to {path}")]
    Read {
        /// Path and query.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer says `error`, or holds no data.
    #[error("asking Prometheus for {path}: {message}")]
    Answer {
        /// Path and query.
        path: String,
        /// `error` of the answer.
        message: String,
    },
}

impl PrometheusApiError {
    /// Whether Prometheus understood and refused this very request (400 or 422, such as a query over too many samples), so
    /// that asking again gives the same.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Ask { source: FetchFailure { status: Some(400 | 422), .. }, .. })
    }
}

/// Whether a Prometheus answers queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// `/-/ready` says so.
    Ready,
    /// It is up and not ready: it replays the write-ahead log, segments `min` to `max`, and is at `current`.
    Replaying {
        /// First segment to replay.
        min: u64,
        /// Last segment to replay.
        max: u64,
        /// Segment being replayed.
        current: u64,
    },
    /// It does not answer, for this reason.
    Unreachable(String),
}

/// The head block, and the metric names with the most series in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadStatus {
    /// The head.
    pub head: Head,
    /// The names with the most series, with their series; at most [`LARGEST_NAMES`].
    pub largest: BTreeMap<String, u64>,
}

/// How many metric names [`PrometheusApi::head`] asks the size of.
pub const LARGEST_NAMES: u32 = 200;

/// One Prometheus, asked by a function that fetches.
#[derive(Clone)]
pub struct PrometheusApi {
    prefix: String,
    fetch: Fetch,
}

impl PrometheusApi {
    /// A Prometheus whose paths begin with `route_prefix` (`/` when none).
    pub fn new(route_prefix: &str, fetch: Fetch) -> Self {
        let trimmed = route_prefix.trim_matches('/');
        let prefix = if trimmed.is_empty() { String::new() } else { format!("/{trimmed}") };
        Self { prefix, fetch }
    }

    /// Whether it answers queries; when not, how far the replay of the write-ahead log is.
    pub async fn ready(&self) -> Readiness {
        let Err(failure) = (self.fetch)(format!("{}/-/ready", self.prefix)).await else {
            return Readiness::Ready;
        };
        // A proxy in front answers 503 too; only Prometheus itself tells of its replay.
        match self.data::<Replay>("/api/v1/status/walreplay").await {
            Ok(Replay { min, max, current }) if failure.status == Some(503) => {
                Readiness::Replaying { min, max, current }
            }
            _ => Readiness::Unreachable(failure.message),
        }
    }

    /// The version it runs, such as `3.13.1`.
    pub async fn version(&self) -> Result<String, PrometheusApiError> {
        Ok(self.data::<Build>("/api/v1/status/buildinfo").await?.version)
    }

    /// How long it keeps samples, by time, size or both (`15d or 10GiB`): what its flags, its file and their defaults come to.
    pub async fn retention(&self) -> Result<String, PrometheusApiError> {
        Ok(self.data::<Runtime>("/api/v1/status/runtimeinfo").await?.storage_retention)
    }

    /// How often it found its write-ahead log damaged since it started. One is normal after a crash-consistent copy whose
    /// last record is torn.
    pub async fn corruptions(&self) -> Result<u64, PrometheusApiError> {
        Ok(self.data::<Runtime>("/api/v1/status/runtimeinfo").await?.corruption_count)
    }

    /// Its blocks, sorted by time; `None` when it is older than 3.6 and cannot list them.
    pub async fn blocks(&self) -> Result<Option<Vec<BlockMeta>>, PrometheusApiError> {
        match self.data::<Blocks>("/api/v1/status/tsdb/blocks").await {
            Ok(answer) => {
                let mut blocks: Vec<BlockMeta> = answer.blocks.into_iter().map(Into::into).collect();
                blocks.sort_by(|a, b| (a.min_time_ms, &a.ulid).cmp(&(b.min_time_ms, &b.ulid)));
                Ok(Some(blocks))
            }
            Err(PrometheusApiError::Ask { source: FetchFailure { status: Some(404), .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The head, and its largest metric names.
    pub async fn head(&self) -> Result<HeadStatus, PrometheusApiError> {
        let answer: TsdbStatus = self.data(&format!("/api/v1/status/tsdb?limit={LARGEST_NAMES}")).await?;
        let stats = answer.head_stats;
        let head = Head { min_time_ms: stats.min_time, max_time_ms: stats.max_time, series: stats.num_series };
        let largest = answer.series_count_by_metric_name.unwrap_or_default();
        Ok(HeadStatus { head, largest: largest.into_iter().map(|row| (row.name, row.value)).collect() })
    }

    /// The one value a query gives at a time, spelled as Prometheus spells it. Of a native histogram it is the count of
    /// observations. `None` when the answer is empty or has more than one series.
    pub async fn query_value(&self, promql: &str, at: Timestamp) -> Result<Option<String>, PrometheusApiError> {
        let path = format!("/api/v1/query?query={}&time={}", percent_encoded(promql), seconds(at));
        Ok(single_value(&self.data::<Value>(&path).await?))
    }

    /// Metric names in the blocks that overlap this time, sorted, at most `limit` (Prometheus before 2.54 gives all).
    pub async fn metric_names(
        &self,
        start: Timestamp,
        end: Timestamp,
        limit: usize,
    ) -> Result<Vec<String>, PrometheusApiError> {
        let (start, end) = (seconds(start), seconds(end));
        let path = format!("/api/v1/label/__name__/values?start={start}&end={end}&limit={limit}");
        let mut names: Vec<String> = self.data::<Option<_>>(&path).await?.unwrap_or_default();
        names.sort();
        names.truncate(limit);
        Ok(names)
    }

    /// Rule groups as `group: rule, rule`, sorted. File names are left out: they hold the UID of the PrometheusRule.
    pub async fn rule_groups(&self) -> Result<Vec<String>, PrometheusApiError> {
        let answer: Rules = self.data("/api/v1/rules?exclude_alerts=true").await?;
        let mut groups: Vec<String> = answer.groups.unwrap_or_default().into_iter().map(RuleGroup::in_words).collect();
        groups.sort();
        Ok(groups)
    }

    /// Scrape pools with at least one active target, sorted. How many targets is left out: it changes by itself.
    pub async fn scrape_pools(&self) -> Result<Vec<String>, PrometheusApiError> {
        let answer: Targets = self.data("/api/v1/targets?state=active").await?;
        let pools: BTreeSet<String> = answer.active_targets.into_iter().map(|target| target.scrape_pool).collect();
        Ok(pools.into_iter().collect())
    }

    async fn data<T: DeserializeOwned>(&self, path: &str) -> Result<T, PrometheusApiError> {
        let path = format!("{}{path}", self.prefix);
        let body = match (self.fetch)(path.clone()).await {
            Ok(body) => body,
            Err(source) => return Err(PrometheusApiError::Ask { path, source }),
        };
        match serde_json::from_slice::<Envelope<T>>(&body) {
            Ok(Envelope { data: Some(data), .. }) => Ok(data),
            Ok(Envelope { error, .. }) => {
                let message = error.unwrap_or_else(|| "no data in the answer".to_owned());
                Err(PrometheusApiError::Answer { path, message })
            }
            Err(source) => Err(PrometheusApiError::Read { path, source }),
        }
    }
}

/// Seconds since 1970 with milliseconds, as Prometheus reads times.
fn seconds(at: Timestamp) -> String {
    let millis = at.as_millisecond();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

/// RFC 3986: everything but the unreserved characters is encoded.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn single_value(data: &Value) -> Option<String> {
    let result = data.get("result")?.as_array()?;
    let text = |point: Option<&Value>| point.and_then(|p| p.as_str()).map(str::to_owned);
    match (data.get("resultType")?.as_str()?, result.as_slice()) {
        ("scalar", [_, value]) => text(Some(value)),
        ("vector", [series]) => text(series.pointer("/value/1")).or_else(|| text(series.pointer("/histogram/1/count"))),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Replay {
    min: u64,
    max: u64,
    current: u64,
}

#[derive(Deserialize)]
struct Build {
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    corruption_count: u64,
    #[serde(default)]
    storage_retention: String,
}

#[derive(Deserialize)]
struct Blocks {
    blocks: Vec<ServedBlock>,
}

/// `meta.json` as served (`tsdb/block.go`); zeros are left out of `stats`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServedBlock {
    ulid: String,
    min_time: i64,
    max_time: i64,
    #[serde(default)]
    stats: ServedStats,
    #[serde(default)]
    compaction: ServedCompaction,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServedStats {
    num_samples: u64,
    num_series: u64,
}

#[derive(Default, Deserialize)]
struct ServedCompaction {
    #[serde(default)]
    sources: Option<Vec<String>>,
}

impl From<ServedBlock> for BlockMeta {
    fn from(served: ServedBlock) -> Self {
        let mut sources = served.compaction.sources.unwrap_or_default();
        sources.sort();
        if sources.is_empty() {
            sources.push(served.ulid.clone());
        }
        Self {
            ulid: served.ulid,
            min_time_ms: served.min_time,
            max_time_ms: served.max_time,
            samples: served.stats.num_samples,
            series: served.stats.num_series,
            sources,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: ServedHead,
    series_count_by_metric_name: Option<Vec<NameCount>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServedHead {
    num_series: u64,
    min_time: i64,
    max_time: i64,
}

#[derive(Deserialize)]
struct NameCount {
    name: String,
    value: u64,
}

#[derive(Deserialize)]
struct Rules {
    groups: Option<Vec<RuleGroup>>,
}

#[derive(Deserialize)]
struct RuleGroup {
    name: String,
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
struct Rule {
    name: String,
}

impl RuleGroup {
    fn in_words(self) -> String {
        let rules: Vec<String> = self.rules.unwrap_or_default().into_iter().map(|rule| rule.name).collect();
        format!("{}: {}", self.name, rules.join(", "))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    scrape_pool: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answering(path_is: &'static str, status: Option<u16>, body: &'static str) -> Fetch {
        Arc::new(move |path| {
            Box::pin(async move {
                assert!(path.starts_with(path_is), "{path}");
                match status {
                    Some(200) => Ok(body.as_bytes().to_vec()),
                    status => Err(FetchFailure { status, message: body.to_owned() }),
                }
            })
        })
    }

    #[test]
    fn queries_are_percent_encoded() {
        assert_eq!(percent_encoded(r#"sum({__name__="a+b"})"#), "sum%28%7B__name__%3D%22a%2Bb%22%7D%29");
        assert_eq!(percent_encoded("é"), "%C3%A9");
    }

    #[test]
    fn times_keep_their_milliseconds() {
        assert_eq!(seconds(Timestamp::from_millisecond(1_700_000_000_042).unwrap()), "1700000000.042");
        assert_eq!(seconds(Timestamp::from_millisecond(-1).unwrap()), "-1.999");
    }

    #[test]
    fn value_is_kept_as_spelled_and_histograms_give_their_count() {
        let float = json!({"resultType": "vector", "result": [{"metric": {}, "value": [1.5, "1e+30"]}]});
        let scalar = json!({"resultType": "scalar", "result": [1.5, "NaN"]});
        let histogram = json!({"resultType": "vector",
            "result": [{"metric": {}, "histogram": [1.5, {"count": "7", "sum": "3.5"}]}]});
        let empty = json!({"resultType": "vector", "result": []});
        assert_eq!(single_value(&float).as_deref(), Some("1e+30"));
        assert_eq!(single_value(&scalar).as_deref(), Some("NaN"));
        assert_eq!(single_value(&histogram).as_deref(), Some("7"));
        assert_eq!(single_value(&empty), None);
    }

    #[tokio::test]
    async fn prometheus_without_a_block_list_says_so_and_is_no_error() {
        let api = PrometheusApi::new("/prom/", answering("/prom/api/v1/status/tsdb/blocks", Some(404), "not found"));
        assert_eq!(api.blocks().await.unwrap(), None);
    }

    #[tokio::test]
    async fn answer_that_says_error_is_an_error_with_its_words() {
        let body = r#"{"status":"error","errorType":"bad_data","error":"no such thing"}"#;
        let api = PrometheusApi::new("/", answering("/api/v1", Some(200), body));
        assert!(api.version().await.unwrap_err().to_string().ends_with("no such thing"));
    }

    #[tokio::test]
    async fn proxy_that_answers_503_is_unreachable_and_not_replaying() {
        let api = PrometheusApi::new("/", answering("/", Some(503), "no endpoints"));
        assert_eq!(api.ready().await, Readiness::Unreachable("no endpoints".to_owned()));
    }

    #[tokio::test]
    async fn rule_groups_hold_no_file_names_and_are_sorted() {
        let body = r#"{"status":"success","data":{"groups":[
            {"name":"z","file":"/etc/x-uid.yaml","rules":[{"name":"B"},{"name":"A"}]},
            {"name":"a","file":"/etc/y-uid.yaml","rules":[]}]}}"#;
        let api = PrometheusApi::new("", answering("/api/v1/rules", Some(200), body));
        assert_eq!(api.rule_groups().await.unwrap(), ["a: ", "z: B, A"]);
    }
}
