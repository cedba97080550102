//! A Prometheus that demands a login, speaks TLS with a certificate of its own and has a route prefix.

use std::process::Command;
use std::time::Duration;

use promsafe::cluster::{Cluster, ConnectOptions};
use promsafe::fingerprint;
use promsafe::model::{Instance, InstanceKind, ObjectKey, Timeouts};
use promsafe::prometheus_api::{PrometheusApi, Readiness};
use promsafe::reach;

use super::cluster::{kubectl, kubectl_with, output, try_kubectl};
use super::stack::Stack;

/// The password of `prom`, and what bcrypt makes of it.
const PASSWORD: &str = "xyzzy-is-never-told";
const BCRYPT: &str = "$2a$04$Cm29QZ0NEfrPElURHdrHDur4BAsrnacsq8toTYsPrt2h8vUzzmBUq";

/// A namespace with the Prometheus, until it is dropped.
struct Locked;

impl Locked {
    const NAMESPACE: &str = "locked";

    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name).display().to_string();
        let subject = ["-subj", "/CN=prometheus.example", "-days", "2", "-nodes", "-newkey", "rsa:2048"];
        let paths = ["-keyout".to_owned(), file("tls.key"), "-out".to_owned(), file("tls.crt")];
        output(Command::new("openssl").args(["req", "-x509"]).args(subject).args(paths), "").unwrap();
        let web = format!(
            "tls_server_config: {{cert_file: tls.crt, key_file: tls.key}}\nbasic_auth_users: {{prom: {BCRYPT}}}\n"
        );
        std::fs::write(file("web.yml"), web).unwrap();
        std::fs::write(file("prometheus.yml"), "{}\n").unwrap();
        let _ = try_kubectl(&["create", "namespace", Self::NAMESPACE]);
        let this = Self;
        let from = format!("--from-file={}", directory.path().display());
        kubectl(&["-n", Self::NAMESPACE, "create", "secret", "generic", "web", &from]);
        for (name, password) in [("right", PASSWORD), ("wrong", "a-guess")] {
            let password = format!("--from-literal=password={password}");
            let arguments = ["create", "secret", "generic", name, "--from-literal=username=prom", &password];
            kubectl(&[&["-n", Self::NAMESPACE], &arguments[..]].concat());
        }
        kubectl_with(&["create", "-f", "-"], POD);
        this
    }

    /// Names the Secret with the login, or none.
    fn annotate(value: &str) {
        kubectl(&["-n", Self::NAMESPACE, "annotate", "--overwrite", "pod", "p", value]);
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = try_kubectl(&["-n", Self::NAMESPACE, "delete", "pod", "p", "--grace-period=1"]);
        let _ = try_kubectl(&["delete", "namespace", Self::NAMESPACE]);
    }
}

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: locked}
spec:
  containers:
  - name: prometheus
    image: quay.io/prometheus/prometheus:v3.13.1
    args: [--config.file=/web/prometheus.yml, --web.config.file=/web/web.yml, --storage.tsdb.path=/data,
           --web.route-prefix=/deep/down]
    volumeMounts: [{name: web, mountPath: /web}, {name: data, mountPath: /data}]
  securityContext: {runAsUser: 1000, fsGroup: 2000}
  volumes: [{name: web, secret: {secretName: web}}, {name: data, emptyDir: {}}]
";

fn instance() -> Instance {
    Instance {
        key: ObjectKey::namespaced("apps", "Deployment", "deployments", Locked::NAMESPACE, "p"),
        kind: InstanceKind::Prometheus,
        version: None,
        replicas: 1,
        shards: 1,
        pods: vec!["p".to_owned()],
        port: 9090,
        scheme: "https".to_owned(),
        route_prefix: "/deep/down/".to_owned(),
        retention: None,
        operators: Vec::new(),
        volatile: None,
    }
}

/// Why it does not answer.
async fn refusal(api: &PrometheusApi) -> String {
    match api.ready().await {
        Readiness::Unreachable(why) => why,
        other => panic!("it answers: {other:?}"),
    }
}

#[test]
fn node_prometheus_that_demands_a_login_is_asked_with_the_one_its_pod_names() {
    let _stack = Stack::healthy();
    let _locked = Locked::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::connect(&ConnectOptions::default(), &Timeouts::default()).await.unwrap();
        let api = || reach::prometheus(&cluster, &instance(), "p");
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        let mut why = refusal(&api()).await;
        while !why.contains("login") {
            assert!(std::time::Instant::now() < deadline, "it never came up: {why}");
            tokio::time::sleep(Duration::from_millis(300)).await;
            why = refusal(&api()).await;
        }
        assert!(why.contains("promsafe/auth-secret=NAME") && why.contains("podMetadata"), "{why}");

        Locked::annotate("promsafe/auth-secret=nowhere");
        assert!(refusal(&api()).await.contains("Secret locked/nowhere: it does not exist"));
        Locked::annotate("promsafe/auth-secret=wrong");
        assert!(refusal(&api()).await.contains("does not accept the login in Secret locked/wrong"));
        Locked::annotate("promsafe/auth-secret=right");
        let api = api();
        assert_eq!(api.ready().await, Readiness::Ready);
        let taken = fingerprint::take(&api, "locked/p", "locked", "p", jiff::Timestamp::now()).await.unwrap();
        assert_eq!(taken.version, "3.13.1");
        let many = futures::future::join_all((0..30).map(|_| api.version())).await;
        assert!(many.into_iter().all(|version| version.unwrap() == "3.13.1"));
    });
}
