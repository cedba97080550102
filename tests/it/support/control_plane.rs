//! A real Kubernetes control plane: etcd and kube-apiserver as processes of the test, on loopback. There is no
//! controller-manager, no scheduler and no kubelet: namespaces stay Terminating, pods stay Pending.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use kube::config::KubeConfigOptions;
use promsafe::cluster::{Cluster, ConnectOptions};
use promsafe::model::{GroupKind, Timeouts};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::process::Process;
use super::testbed::{Directory, TESTBED, free_ports, make_service_account_key, new_directory, scratch};

/// Kinds of the operator's and the snapshotter's CRDs.
pub(crate) const CRD_KINDS: [GroupKind; 13] = [
    GroupKind("monitoring.coreos.com", "Alertmanager"),
    GroupKind("monitoring.coreos.com", "AlertmanagerConfig"),
    GroupKind("monitoring.coreos.com", "PodMonitor"),
    GroupKind("monitoring.coreos.com", "Probe"),
    GroupKind("monitoring.coreos.com", "Prometheus"),
    GroupKind("monitoring.coreos.com", "PrometheusAgent"),
    GroupKind("monitoring.coreos.com", "PrometheusRule"),
    GroupKind("monitoring.coreos.com", "ScrapeConfig"),
    GroupKind("monitoring.coreos.com", "ServiceMonitor"),
    GroupKind("monitoring.coreos.com", "ThanosRuler"),
    GroupKind("snapshot.storage.k8s.io", "VolumeSnapshot"),
    GroupKind("snapshot.storage.k8s.io", "VolumeSnapshotClass"),
    GroupKind("snapshot.storage.k8s.io", "VolumeSnapshotContent"),
];

/// Longest time until the API server is ready, on a machine with more to do.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Who asks. Both are known by a token; `Restricted` may do what RBAC objects of the test allow, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Of group `system:masters`.
    Admin,
    /// A user without any role of its own, named `restricted`.
    Restricted,
}

impl User {
    fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Restricted => "restricted",
        }
    }

    /// The token the API server knows this user by.
    pub(crate) fn token(self) -> String {
        format!("{}-token", self.name())
    }
}

/// What a control plane starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Nothing but what every API server makes for itself: a cluster of its own, with a UID of its own.
    Empty,
    /// A copy of a prepared cluster with all of [`CRD_KINDS`]. All copies have the same UID.
    WithCrds,
}

/// A running API server with its etcd. Dropping it ends both and removes their files.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    // In the order in which they are to end.
    api_server: Process,
    etcd: Process,
    directory: Directory,
    server: String,
}

impl ControlPlane {
    /// Starts one and waits until it is ready and serves what it starts with.
    pub(crate) async fn start(start: Start) -> Self {
        let prepared = match start {
            Start::Empty => None,
            Start::WithCrds => Some(prepared().await),
        };
        Self::start_from(prepared).await
    }

    /// The one that tests share which only add objects of their own names and depend on no others.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(Start::WithCrds)).await
    }

    async fn start_from(prepared: Option<&Path>) -> Self {
        let mut last_words = String::new();
        for _ in 0..3 {
            let mut control_plane = Self::spawn(prepared);
            if control_plane.becomes_ready().await {
                if prepared.is_some() {
                    control_plane.wait_until_served(&CRD_KINDS).await;
                }
                return control_plane;
            }
            // Most likely somebody else took a port meanwhile.
            last_words = format!("{}\n{}", control_plane.etcd.last_words(), control_plane.api_server.last_words());
        }
        panic!("the control plane does not start:\n{last_words}")
    }

    fn spawn(prepared: Option<&Path>) -> Self {
        let directory = new_directory();
        let home = directory.0.clone();
        if let Some(prepared) = prepared {
            let copied =
                Command::new("cp").args(["-a", "--sparse=always"]).arg(prepared.join(".")).arg(&home).status().unwrap();
            assert!(copied.success());
        } else {
            make_service_account_key(&home.join("service-account.key"));
        }
        let etcd_port = free_ports(2);
        let port = free_ports(1);
        let tokens = [User::Admin, User::Restricted].map(|user| {
            let groups = if user == User::Admin { ",\"system:masters\"" } else { "" };
            format!("{},{},{}{groups}\n", user.token(), user.name(), user.name())
        });
        std::fs::write(home.join("tokens.csv"), tokens.concat()).unwrap();
        let server = format!("https://127.0.0.1:{port}");
        for user in [User::Admin, User::Restricted] {
            let ca = home.join("certs/apiserver.crt");
            let text = kubeconfig(&server, &format!("certificate-authority: {}", ca.display()), user);
            std::fs::write(home.join(format!("{}.kubeconfig", user.name())), text).unwrap();
        }
        let etcd_arguments = [home.join("etcd").display().to_string(), etcd_port.to_string()];
        let etcd = Process::start(&TESTBED.bin.join("etcd"), &etcd_arguments, home.join("etcd.log"));
        let api_server = Process::start(
            &TESTBED.bin.join("kube-apiserver"),
            &api_server_arguments(&home, port, etcd_port),
            home.join("kube-apiserver.log"),
        );
        Self { api_server, etcd, directory, server }
    }

    /// Waits for `/readyz`; false when a process ended.
    async fn becomes_ready(&mut self) -> bool {
        let deadline = Instant::now() + READY_WITHIN;
        while !self.is_ready().await {
            if self.api_server.has_ended() || self.etcd.has_ended() {
                return false;
            }
            let log = || self.api_server.last_words();
            assert!(Instant::now() < deadline, "not ready within {READY_WITHIN:?}\n{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }

    async fn is_ready(&self) -> bool {
        if !self.directory.0.join("certs/apiserver.crt").exists() {
            return false;
        }
        let Ok(kubeconfig) = kube::config::Kubeconfig::read_from(self.kubeconfig(User::Admin)) else { return false };
        let Ok(config) = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await else {
            return false;
        };
        // The API server writes the certificate in two steps; half of it is no certificate.
        let Ok(client) = kube::Client::try_from(config) else { return false };
        let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await;
        let cluster = self.cluster().await;
        // The namespaces are made by a hook that readiness does not wait for.
        matches!(answer, Ok(Ok(text)) if text == "ok") && cluster.identity().await.is_ok()
    }

    /// Waits until the API server serves all these kinds.
    pub(crate) async fn wait_until_served(&self, kinds: &[GroupKind]) {
        let cluster = self.cluster().await;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let served = cluster.served_kinds().await.unwrap();
            let missing: Vec<_> = kinds.iter().filter(|kind| served.find(**kind).is_none()).collect();
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "not served within {READY_WITHIN:?}: {missing:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Creates the operator's ten CRDs and the three of snapshots, and waits until they are served.
    pub(crate) async fn load_crds(&self) {
        self.load_crds_of("").await;
    }

    /// Of these CRDs creates those whose group begins so, and waits until they are served.
    pub(crate) async fn load_crds_of(&self, group: &str) {
        let files = TESTBED.crds();
        let wanted = files.iter().filter(|file| file.file_name().unwrap().to_string_lossy().starts_with(group));
        let mut arguments = vec!["create".to_owned()];
        arguments.extend(wanted.map(|file| format!("--filename={}", file.display())));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self.kubectl(&arguments, "");
        let kinds: Vec<_> = CRD_KINDS.into_iter().filter(|kind| kind.0.starts_with(group)).collect();
        self.wait_until_served(&kinds).await;
    }

    /// A kubeconfig for this user.
    pub(crate) fn kubeconfig(&self, user: User) -> PathBuf {
        self.directory.0.join(format!("{}.kubeconfig", user.name()))
    }

    /// URL of the API server.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// A directory for files of the test that goes with the control plane.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory.0
    }

    /// The gateway, as admin.
    pub(crate) async fn cluster(&self) -> Cluster {
        self.cluster_as(User::Admin).await
    }

    /// The gateway, as this user.
    pub(crate) async fn cluster_as(&self, user: User) -> Cluster {
        connect(&self.kubeconfig(user), &Timeouts::default()).await
    }

    /// Applies manifests, YAML or JSON, on the server's side.
    pub(crate) fn apply(&self, manifests: &str) {
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "--filename=-"], manifests);
    }

    /// Runs kubectl as admin, with this on its standard input, and returns what it prints. It blocks, and goes past any
    /// fault proxy.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new(TESTBED.bin.join("kubectl"))
            .arg(format!("--kubeconfig={}", self.kubeconfig(User::Admin).display()))
            .arg(format!("--cache-dir={}", self.directory.0.join("kubectl").display()))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {}: {said}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The gateway for a kubeconfig.
pub(crate) async fn connect(kubeconfig: &Path, timeouts: &Timeouts) -> Cluster {
    let options = ConnectOptions { kubeconfig: Some(kubeconfig.to_owned()), context: None };
    Cluster::connect(&options, timeouts).await.unwrap()
}

/// The text of a kubeconfig.
pub(crate) fn kubeconfig(server: &str, trust: &str, user: User) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters:\n- name: test\n  cluster:\n    server: {server}\n    {trust}\n\
         users:\n- name: test\n  user:\n    token: {}\n\
         contexts:\n- name: test\n  context:\n    cluster: test\n    user: test\n",
        user.token()
    )
}

fn api_server_arguments(home: &Path, port: u16, etcd_port: u16) -> Vec<String> {
    let file = |name: &str| home.join(name).display().to_string();
    let key = file("service-account.key");
    [
        ("etcd-servers", format!("http://127.0.0.1:{etcd_port}")),
        ("secure-port", port.to_string()),
        ("bind-address", "127.0.0.1".to_owned()),
        ("advertise-address", "127.0.0.1".to_owned()),
        // It would publish the loopback address as an endpoint, which the API forbids.
        ("endpoint-reconciler-type", "none".to_owned()),
        ("cert-dir", file("certs")),
        ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-key-file", key.clone()),
        ("service-account-signing-key-file", key),
        ("token-auth-file", file("tokens.csv")),
        ("authorization-mode", "RBAC".to_owned()),
        ("allow-privileged", "true".to_owned()),
    ]
    .map(|(flag, value)| format!("--{flag}={value}"))
    .into()
}

/// The stopped cluster that [`Start::WithCrds`] copies: made once, kept in cargo's target directory.
async fn prepared() -> &'static Path {
    static PREPARED: OnceCell<PathBuf> = OnceCell::const_new();
    PREPARED
        .get_or_init(|| async {
            let place = scratch().join(format!("prepared-{:016x}", TESTBED.hash()));
            if !place.exists() {
                let control_plane = ControlPlane::start_from(None).await;
                control_plane.load_crds().await;
                let ControlPlane { api_server, etcd, directory, .. } = control_plane;
                drop(api_server);
                drop(etcd);
                // Another process may have been faster; its one is as good.
                let _ = std::fs::rename(&directory.0, &place);
            }
            place
        })
        .await
}
