//! What wakes somebody up: a backup that fails pushes its metrics, and the alert of deploy/alerts.yaml fires in the Prometheus
//! of the stack.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::cluster::{kubectl, kubectl_with, output, until, variable};
use super::program::Program;
use super::stack::Stack;

const ALERTS: &str = include_str!("../../../deploy/alerts.yaml");
/// The node's own address, which pods reach.
const ADDRESS: &str = "10.88.0.1";

/// Whatever this test puts into the cluster.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = super::cluster::try_kubectl(&["delete", "namespace", "promsafe-alerts", "--wait=true"]);
    }
}

/// A Pushgateway on this port, behind TLS when there is a certificate.
struct Pushgateway(Child);

impl Pushgateway {
    fn start(port: u16, web_config: Option<&Path>) -> Self {
        let mut command = Command::new(program());
        command.arg(format!("--web.listen-address={ADDRESS}:{port}"));
        command.args(web_config.map(|file| format!("--web.config.file={}", file.display())));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the Pushgateway listens", Duration::from_secs(20), || {
            TcpStream::connect((ADDRESS, port)).map(drop).map_err(|error| error.to_string())
        });
        Self(child)
    }
}

impl Drop for Pushgateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// On the path, or where the testbed unpacks it.
fn program() -> PathBuf {
    let unpacked = Path::new(&variable("TESTBED_BIN")).with_file_name("pushgateway/prometheus-pushgateway");
    if unpacked.exists() { unpacked } else { "prometheus-pushgateway".into() }
}

fn metrics(port: u16) -> String {
    output(Command::new("curl").args(["-sS", &format!("http://{ADDRESS}:{port}/metrics")]), "").unwrap()
}

/// Lines of the metrics that begin so.
fn line(metrics: &str, beginning: &str) -> Option<String> {
    metrics.lines().find(|line| line.starts_with(beginning)).map(str::to_owned)
}

/// The rules in a namespace that Prometheus selects, and the Pushgateway as a target of it.
fn install(port: u16) -> Installed {
    let namespace = "promsafe-alerts";
    let installed = Installed;
    kubectl_with(
        &["apply", "--server-side", "--filename=-"],
        &format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}, labels: {{team: a}}}}}}\n---\n\
             {{apiVersion: v1, kind: Service, metadata: {{name: pushgateway, namespace: {namespace}, labels: {{app: pushgateway}}}},\n\
              spec: {{ports: [{{name: web, port: {port}}}]}}}}\n---\n\
             {{apiVersion: v1, kind: Endpoints, metadata: {{name: pushgateway, namespace: {namespace}}},\n\
              subsets: [{{addresses: [{{ip: {ADDRESS}}}], ports: [{{name: web, port: {port}}}]}}]}}\n---\n\
             {{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {{name: pushgateway, namespace: {namespace}}},\n\
              spec: {{selector: {{matchLabels: {{app: pushgateway}}}}, endpoints: [{{port: web, interval: 2s, honorLabels: true}}]}}}}\n"
        ),
    );
    let rules = ALERTS.replace("namespace: promsafe\n", &format!("namespace: {namespace}\n"));
    kubectl_with(&["apply", "--server-side", "--filename=-"], &rules);
    installed
}

/// Names of the alerts of promsafe that fire.
fn firing() -> Result<Vec<String>, String> {
    let path = "/api/v1/namespaces/monitoring/pods/prometheus-k8s-0:9090/proxy/api/v1/alerts";
    let answer = kubectl(&["get", "--raw", path]);
    let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    let alerts = answer.pointer("/data/alerts").and_then(Value::as_array).cloned().unwrap_or_default();
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    let names = firing.filter_map(|alert| alert.pointer("/labels/alertname").and_then(Value::as_str));
    Ok(names.filter(|name| name.starts_with("Promsafe")).map(str::to_owned).collect())
}

#[test]
fn node_failed_backup_fires_its_alert_and_a_good_one_ends_it() {
    let stack = Stack::healthy();
    let port = 9091;
    let _pushgateway = Pushgateway::start(port, None);
    let _installed = install(port);
    let url = format!("http://{ADDRESS}:{port}");
    let program = Program::with_s3("alerts");
    let push = ["backup", "--pushgateway", url.as_str()];

    program.run(&push).with_code(0);
    let good = metrics(port);
    let success = line(&good, "promsafe_last_success_timestamp_seconds{command=\"backup\"").unwrap();
    assert!(line(&good, "promsafe_last_run_exit_code{command=\"backup\"").unwrap().ends_with("} 0"), "{good}");
    assert!(good.contains("result=\"snapshotted\"} "), "{good}");
    assert!(!good.contains("push_failure_time_seconds{command=\"backup\",instance=\"\",job=\"promsafe\"} 1"), "{good}");

    kubectl(&["delete", "volumesnapshotclass", "--all"]);
    program.run(&push).with_code(4);
    let bad = metrics(port);
    assert!(line(&bad, "promsafe_last_run_exit_code{command=\"backup\"").unwrap().ends_with("} 4"), "{bad}");
    assert_eq!(line(&bad, "promsafe_last_success_timestamp_seconds{command=\"backup\""), Some(success));
    until("PromsafeLastRunFailed fires", Duration::from_mins(4), || {
        let firing = firing()?;
        if firing.iter().any(|name| name == "PromsafeLastRunFailed") { Ok(()) } else { Err(format!("{firing:?}")) }
    });
    drop(stack);
    // Brings the class back.
    let _stack = Stack::healthy();
    program.run(&push).with_code(0);
    until("no alert fires any more", Duration::from_mins(2), || {
        let firing = firing()?;
        if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
    });
}

#[test]
fn node_pushgateway_behind_tls_is_trusted_by_its_ca_file_alone() {
    let _stack = Stack::healthy();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (key, certificate, config) = (file("key.pem"), file("cert.pem"), file("web.yaml"));
    let subject = ["-subj", "/CN=pushgateway", "-addext", &format!("subjectAltName=IP:{ADDRESS}")].map(str::to_owned);
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    // A server's certificate must not be an authority's, and this one is trusted as it stands.
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    output(openssl.args(["-keyout", &key, "-out", &certificate]).args(subject), "").unwrap();
    std::fs::write(&config, format!("tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\n")).unwrap();
    let port = 9092;
    let _pushgateway = Pushgateway::start(port, Some(Path::new(&config)));
    let url = format!("https://{ADDRESS}:{port}");
    let program = Program::with_directory(&directory.path().join("store"));
    let push = ["backup", "--volumes", "none", "--pushgateway", url.as_str()];

    let distrusted = program.run(&push).with_code(3).result();
    let problem = &distrusted["housekeeping"]["problems"][0];
    assert!(problem["cause"].as_str().unwrap().contains("certificate"), "{problem}");
    program.run(&[&push[..], &["--ca-file", &certificate]].concat()).with_code(0);
}
