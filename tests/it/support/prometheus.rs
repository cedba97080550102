//! A real Prometheus on loopback, on a data directory of the test's own.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use promsafe::prometheus_api::{Fetch, FetchFailure, PrometheusApi, Readiness};

/// Scrapes itself every second, and records one rule.
const RULES: &str = "groups: [{name: recording, rules: [{record: 'job:up:sum', expr: sum by (job) (up)}]}]";

/// A Prometheus that runs until it is dropped; killed, not stopped, as a node that loses power would.
pub(crate) struct Prometheus {
    child: Child,
    port: u16,
    log: PathBuf,
}

/// Whether Prometheus may compact small blocks into larger ones; it begins a moment after it starts.
#[derive(Clone, Copy)]
pub(crate) enum Compaction {
    On,
    Off,
}

impl Prometheus {
    /// Starts one on this data directory and waits until it is ready.
    pub(crate) async fn start(data: &Path, compaction: Compaction) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = data.with_extension("home");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::create_dir_all(data).unwrap();
        std::fs::write(home.join("rules.yml"), RULES).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
        );
        std::fs::write(home.join("prometheus.yml"), config).unwrap();
        let log = home.join("log");
        let largest_block = match compaction {
            Compaction::On => "31d",
            Compaction::Off => "2h",
        };
        let child = Command::new(testbed_bin().join("prometheus"))
            .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--storage.tsdb.retention.time=100y")
            .arg("--scrape.discovery-reload-interval=100ms")
            .arg(format!("--storage.tsdb.max-block-duration={largest_block}"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let started = Self { child, port, log };
        started.until("ready", async |api| api.ready().await == Readiness::Ready).await;
        started
    }

    /// Its API.
    pub(crate) fn api(&self) -> PrometheusApi {
        PrometheusApi::new("/", fetch(self.port))
    }

    /// Waits until this is true of it.
    pub(crate) async fn until(&self, what: &str, is_true: impl AsyncFn(PrometheusApi) -> bool) {
        let started = Instant::now();
        while !is_true(self.api()).await {
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(30), "Prometheus is not {what}: {}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fetches from this port of the loopback.
fn fetch(port: u16) -> Fetch {
    let client: Client<_, Empty<hyper::body::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    Arc::new(move |path| {
        let client = client.clone();
        Box::pin(async move {
            let failed = |message: String| FetchFailure { status: None, message };
            let uri = format!("http://127.0.0.1:{port}{path}").parse().unwrap();
            let response = client.get(uri).await.map_err(|error| failed(error.to_string()))?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| failed(error.to_string()))?.to_bytes();
            if status == 200 {
                return Ok(body.to_vec());
            }
            Err(FetchFailure { status: Some(status.as_u16()), message: String::from_utf8_lossy(&body).into_owned() })
        })
    })
}

/// Fills a data directory with 12 hours of blocks that end a day ago: twelve gauges of three series, a sample a minute.
/// Another `salt` gives the same names and times with other values.
pub(crate) fn seed(data: &Path, salt: u32) {
    let begin = jiff::Timestamp::now().as_second() / 7200 * 7200 - 36 * 3600;
    let mut text = String::new();
    for metric in 0..12 {
        let _ = writeln!(text, "# TYPE seeded_{metric:02} gauge");
        for series in 0..3 {
            for minute in 0..12 * 60 {
                let value = f64::from(minute * 7 + series * 3 + metric + salt) * 0.1;
                let at = begin + i64::from(minute) * 60;
                let _ = writeln!(text, "seeded_{metric:02}{{series=\"{series}\"}} {value} {at}");
            }
        }
    }
    text.push_str("# EOF\n");
    let input = data.with_extension("om");
    std::fs::write(&input, text).unwrap();
    let status = Command::new(testbed_bin().join("promtool"))
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([&input, data])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

/// A copy of a directory, file by file.
pub(crate) fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Where the binaries of the testbed are: `PROMSAFE_TESTBED_BIN`, or what `testbed/testbed bin` says.
fn testbed_bin() -> PathBuf {
    std::env::var_os("PROMSAFE_TESTBED_BIN").map_or_else(
        || {
            let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/testbed")).arg("bin").output();
            PathBuf::from(String::from_utf8(output.unwrap().stdout).unwrap().trim())
        },
        PathBuf::from,
    )
}
