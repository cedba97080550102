//! What Prometheus and Alertmanager answer, asked past promsafe through the API server, and what the seeded history
//! must be: `testbed/stack/seed.awk` says which values.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{kubectl, output, try_kubectl, until, variable};

/// Both replicas.
pub(super) const REPLICAS: [&str; 2] = ["prometheus-k8s-0", "prometheus-k8s-1"];
const ALERTMANAGER: &str = "/api/v1/namespaces/monitoring/pods/alertmanager-main-0:9093/proxy/api/v2/";

/// Series and their values at one time.
type Vector = BTreeMap<String, String>;

/// The seeded history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed {
    /// When it begins, in seconds.
    pub(super) start: i64,
    /// When it ends, in seconds.
    pub(super) end: i64,
    step: i64,
}

impl Seed {
    pub(super) fn read() -> Self {
        let number = |name: &str| Self::setting(name).parse().unwrap();
        Self { start: number("SEED_START"), end: number("SEED_END"), step: number("SEED_STEP") }
    }

    /// Where its blocks are.
    pub(super) fn directory() -> String {
        Self::setting("SEED")
    }

    fn setting(name: &str) -> String {
        let file = format!("{}/seed.env", variable("TESTBED_DIR"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut settings = text.lines().filter_map(|line| line.split_once('='));
        let found = settings.find(|(key, _)| *key == name).unwrap_or_else(|| panic!("{file} has no {name}"));
        found.1.to_owned()
    }

    /// How many samples each series has.
    pub(super) fn samples_of_a_series(self) -> String {
        ((self.end - self.start) / self.step + 1).to_string()
    }

    /// How many of them a replica has of one series.
    pub(super) fn samples_in(replica: &str) -> Result<String, String> {
        let query = r#"count_over_time(seed_temperature_celsius{instance="i0"}[15d])"#;
        let answer = query_at(replica, query, Self::read().end)?;
        Ok(answer.pointer("/data/result/0/value/1").and_then(Value::as_str).unwrap_or("none").to_owned())
    }

    /// Times to look at: both ends, and between them.
    fn times(self) -> [i64; 5] {
        let at = |part: i64| self.start + (self.end - self.start) / self.step * part / 4 * self.step;
        [0, 1, 2, 3, 4].map(at)
    }

    /// What all series are at one of its times.
    fn expected(at: i64) -> Vector {
        let n = at / 300;
        let requests = (0..100).flat_map(|i| {
            let requests = (n - 5_000_000) * (i + 1);
            [(i, "200", requests), (i, "500", requests / 100)]
        });
        let requests = requests.map(|(i, code, value)| (format!("seed_requests_total i{i} {code}"), value.to_string()));
        let degrees =
            (0..100).map(|i| (format!("seed_temperature_celsius i{i} "), ((7 * n + 13 * i) % 101 - 20).to_string()));
        requests.chain(degrees).collect()
    }
}

/// What both replicas answer that must be the same after a restore.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Witness {
    rules: BTreeMap<String, Value>,
    targets: BTreeMap<String, u64>,
}

impl Witness {
    /// The same, waiting until it has settled.
    pub(super) fn once_settled() -> Self {
        until("rules are loaded and targets are up", Duration::from_secs(40), Self::settled)
    }

    /// Rules by group and targets by scrape pool, once there are some and all targets are up.
    pub(super) fn settled() -> Result<Self, String> {
        let mut all = Self { rules: BTreeMap::new(), targets: BTreeMap::new() };
        for replica in REPLICAS {
            let answer = ask(replica, "rules")?;
            for group in answer.pointer("/data/groups").and_then(Value::as_array).into_iter().flatten() {
                let rules = group["rules"].as_array().into_iter().flatten();
                // Files are named by the UID of their PrometheusRule, so groups by themselves.
                let rules = rules.map(|r| json!([r["type"], r["name"], r["query"], r["labels"], r["duration"]]));
                let name = format!("{replica} {}", group["name"]);
                all.rules.insert(name, json!([group["interval"], rules.collect::<Vec<_>>()]));
            }
            let answer = ask(replica, "targets?state=active")?;
            for target in answer.pointer("/data/activeTargets").and_then(Value::as_array).into_iter().flatten() {
                if target["health"] != "up" {
                    return Err(format!("{replica}: {} is {}", target["scrapeUrl"], target["health"]));
                }
                *all.targets.entry(format!("{replica} {}", target["scrapePool"])).or_default() += 1;
            }
        }
        if all.rules.len() == 2 && all.targets.len() == 16 { Ok(all) } else { Err(format!("{all:?}")) }
    }

    /// Waits until rules and targets are as they were.
    pub(super) fn is_here_again(&self) {
        until("rules and targets are loaded as before", Duration::from_secs(40), || {
            let now = Self::settled()?;
            if now == *self { Ok(()) } else { Err(format!("{now:?}, not {self:?}")) }
        });
    }
}

/// Every seeded series has its value in both replicas, at fixed times of its history.
pub(super) fn history_is_whole() {
    let seed = Seed::read();
    for replica in REPLICAS {
        for at in seed.times() {
            let answer = query_at(replica, r#"{__name__=~"seed_.+"}"#, at).unwrap();
            let series = answer.pointer("/data/result").and_then(Value::as_array).unwrap();
            let label = |one: &Value, name: &str| one["metric"][name].as_str().unwrap_or_default().to_owned();
            let named = |one: &Value| ["__name__", "instance", "code"].map(|name| label(one, name)).join(" ");
            let value = |one: &Value| one["value"][1].as_str().unwrap().to_owned();
            let found: Vector = series.iter().map(|one| (named(one), value(one))).collect();
            assert!(found == Seed::expected(at), "{replica} at {at}: {} series: {found:?}", found.len());
        }
    }
}

fn query_at(replica: &str, text: &str, at: i64) -> Result<Value, String> {
    query(&address(replica), text, at)
}

/// What a Prometheus answers to a query at a time; `address` is its path at the API server.
pub(super) fn query(address: &str, text: &str, at: i64) -> Result<Value, String> {
    let mut encoded = String::new();
    for byte in text.bytes() {
        write!(encoded, "%{byte:02X}").unwrap();
    }
    get(&format!("{address}/api/v1/query?query={encoded}&time={at}"))
}

fn address(replica: &str) -> String {
    format!("/api/v1/namespaces/monitoring/pods/{replica}:9090/proxy")
}

fn ask(replica: &str, what: &str) -> Result<Value, String> {
    get(&format!("{}/api/v1/{what}", address(replica)))
}

fn get(path: &str) -> Result<Value, String> {
    let answer = try_kubectl(&["get", "--raw", path])?;
    serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))
}

/// Silences something, and makes Alertmanager write that to its volume: it does so when it ends, else every 15 minutes.
pub(super) fn silence_that_is_on_the_disk() -> String {
    let address =
        kubectl(&["--namespace=monitoring", "get", "pod", "alertmanager-main-0", "--output=jsonpath={.status.podIP}"]);
    let url = format!("--alertmanager.url=http://{address}:9093");
    let add = ["silence", "add", "alertname=Always", "--author=tests", "--comment=must survive", "--duration=24h"];
    let id = output(Command::new("amtool").arg(url).args(add), "").unwrap().trim().to_owned();
    kubectl(&["--namespace", "monitoring", "delete", "pod", "alertmanager-main-0"]);
    silence_is_active(&id);
    id
}

/// Waits until Alertmanager has the silence.
pub(super) fn silence_is_active(id: &str) {
    until("the silence is there", Duration::from_mins(1), || {
        let silences = try_kubectl(&["get", "--raw", &format!("{ALERTMANAGER}silences")])?;
        let silences: Vec<Value> = serde_json::from_str(&silences).map_err(|error| error.to_string())?;
        let is_it = |silence: &&Value| silence["id"] == id && silence["status"]["state"] == "active";
        silences.iter().find(is_it).map(drop).ok_or_else(|| format!("{silences:?}"))
    });
}
