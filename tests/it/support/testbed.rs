//! What the control plane is made from: the testbed's binaries and manifests, ports nobody has, directories that go.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// Where the binaries and manifests are.
pub(super) struct Testbed {
    /// Directory of the binaries.
    pub(super) bin: PathBuf,
    /// Directories of manifests by name, as `paths.env` has them.
    paths: BTreeMap<String, PathBuf>,
}

/// The testbed, found by `PROMSAFE_TESTBED_BIN` or by asking `testbed/testbed bin`.
pub(super) static TESTBED: LazyLock<Testbed> = LazyLock::new(|| {
    let bin = std::env::var_os("PROMSAFE_TESTBED_BIN").map_or_else(testbed_bin, PathBuf::from);
    let file = bin.join("paths.env");
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; build the testbed first: testbed/testbed build", file.display()));
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Testbed { bin, paths: pairs.map(|(name, path)| (name.to_owned(), path.into())).collect() }
});

/// A program of the testbed.
pub(crate) fn binary(name: &str) -> PathBuf {
    TESTBED.bin.join(name)
}

/// The operator's own bundle.yaml without its definitions, which a prepared cluster has.
pub(crate) fn operator_bundle() -> String {
    let bundle = std::fs::read_to_string(TESTBED.paths["OPERATOR"].join("bundle.yaml")).unwrap();
    let others = bundle.split("\n---\n").filter(|document| !document.contains("\nkind: CustomResourceDefinition\n"));
    others.collect::<Vec<_>>().join("\n---\n")
}

/// The definitions of the operator's kinds, as YAML.
pub(crate) fn operator_definitions() -> Vec<String> {
    let files =
        yaml_files(&TESTBED.paths["OPERATOR"].join("example/prometheus-operator-crd"), "monitoring.coreos.com_");
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

fn testbed_bin() -> PathBuf {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/testbed")).arg("bin").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().into()
}

impl Testbed {
    /// Manifests of the operator's ten CRDs and the three of snapshots.
    pub(super) fn crds(&self) -> Vec<PathBuf> {
        let operator = self.paths["OPERATOR"].join("example/prometheus-operator-crd");
        let mut files = yaml_files(&operator, "monitoring.coreos.com_");
        files.extend(yaml_files(&self.paths["SNAPSHOT_CRDS"], "snapshot.storage.k8s.io_"));
        files
    }

    /// Changes with the API server and the manifests.
    pub(super) fn hash(&self) -> u64 {
        let binary = std::fs::metadata(self.bin.join("kube-apiserver")).unwrap();
        let mut hasher = DefaultHasher::new();
        (binary.len(), binary.modified().unwrap(), &self.paths).hash(&mut hasher);
        hasher.finish()
    }
}

fn yaml_files(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .collect();
    files.sort();
    files
}

/// A directory that goes with its owner.
#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where cargo keeps what tests write.
pub(super) fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// A new directory, named after this process; those of processes that are gone are removed.
pub(super) fn new_directory() -> Directory {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for entry in std::fs::read_dir(scratch()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("control-plane-").and_then(|rest| rest.split_once('-'));
        if owner.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = scratch().join(format!("control-plane-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    Directory(path)
}

/// The first of consecutive ports nobody listens on, outside the range that outgoing connections take theirs from.
pub(crate) fn free_ports(consecutive: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(consecutive, Ordering::Relaxed);
        let offset = (std::process::id() % 401) * 47 + u32::from(step);
        let first = 12_000 + u16::try_from(offset % 20_000).unwrap();
        if (first..first + consecutive).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
}

/// A key to sign the tokens of service accounts with.
pub(super) fn make_service_account_key(file: &Path) {
    let made = Command::new("openssl")
        .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
        .arg(file)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
}
