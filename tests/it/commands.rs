//! The binary as a user types it, where no cluster is needed: exit codes, words, formats.

mod cluster_faults;
mod in_cluster;
mod store_faults;
mod verify;

use std::path::Path;

use promsafe::cli::CODES;
use serde_json::Value;

use crate::support::promsafe::Promsafe;

/// The backup of format 1 that every release has to read.
pub(crate) const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/backups/v1-default-stack");
/// Its name.
pub(crate) const KEPT_ID: &str = "20261121T100105Z-f282";

/// A store of its own that holds a copy of the kept backup, and a kubeconfig that leads nowhere.
pub(super) struct OwnStore {
    pub(super) directory: tempfile::TempDir,
    pub(super) promsafe: Promsafe,
}

impl OwnStore {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        copy_kept(directory.path(), KEPT_ID);
        let kubeconfig = cluster_faults::kubeconfig(directory.path(), "https://127.0.0.1:1");
        let promsafe = Promsafe::default().with_directory(directory.path()).with_kubeconfig(&kubeconfig);
        Self { directory, promsafe }
    }

    /// Changes a file of the kept backup.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.directory.path().join("backups").join(KEPT_ID).join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }
}

/// Copies the kept backup into a store under a name.
pub(crate) fn copy_kept(store: &Path, id: &str) {
    let to = store.join("backups").join(id);
    std::fs::create_dir_all(&to).unwrap();
    for name in ["backup.json", "manifests.tar.gz"] {
        std::fs::copy(Path::new(KEPT).join("backups").join(KEPT_ID).join(name), to.join(name)).unwrap();
    }
}

/// A kubeconfig that leads to nobody.
pub(crate) fn kubeconfig_to_nowhere(directory: &Path) -> std::path::PathBuf {
    cluster_faults::kubeconfig(directory, "https://127.0.0.1:1")
}

const COMMANDS: [&str; 15] = [
    "discover",
    "doctor",
    "backup",
    "copy",
    "extract",
    "list",
    "show",
    "restore",
    "verify",
    "delete",
    "prune",
    "rbac",
    "cronjob",
    "completion",
    "man",
];

#[tokio::test]
async fn every_help_ends_with_the_table_of_exit_codes() {
    let rows: Vec<_> = CODES.iter().map(|(code, meaning)| format!("  {:>3}  {meaning}", *code as u8)).collect();
    let table = format!("Exit codes:\n{}\n", rows.join("\n"));
    let promsafe = Promsafe::default();
    for command in COMMANDS.into_iter().chain([""]) {
        for flag in ["--help", "-h"] {
            let help = promsafe.run(&format!("{command} {flag}")).await.with(0);
            assert!(help.stdout.ends_with(&table), "{help:#?}");
        }
    }
    let all = promsafe.run("--help").await.stdout;
    assert!(COMMANDS.iter().all(|command| all.contains(&format!("\n  {command} "))), "{all}");
}

#[tokio::test]
async fn wrong_usage_is_told_with_code_2() {
    let own = OwnStore::new();
    for (command_line, word) in [
        ("", "Usage"),
        ("list --nonsense", "--nonsense"),
        ("undo", "undo"),
        ("list -o xml", "xml"),
        ("show", "<ID>"),
        ("restore --ready-timeout soon", "soon"),
        ("backup --volumes all", "all"),
        ("list --store ftp://somewhere", "ftp"),
        ("list --store s3://", "bucket"),
        ("list --store= ", "empty"),
    ] {
        let ended = own.promsafe.run(command_line).await.with(2).says(&[word]);
        assert_eq!(ended.stdout, "", "{ended:#?}");
        assert!(ended.stderr.contains("--help"), "{ended:#?}");
    }
}

#[tokio::test]
async fn version_is_the_packages() {
    let ended = Promsafe::default().run("--version").await.with(0);
    assert_eq!(ended.stdout, format!("promsafe {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn list_and_show_give_the_same_in_every_format() {
    let own = OwnStore::new();
    for (command, id) in [("list", "/backups/0/id"), ("show latest", "/id"), ("show 20261121T10", "/id")] {
        let table = own.promsafe.run(command).await.with(0);
        assert!(table.stdout.contains(KEPT_ID) && table.stdout.contains("monitoring/k8s"), "{table:#?}");
        let json = own.promsafe.run(&format!("{command} -o json")).await.with(0);
        assert_eq!(json.stdout.lines().count(), 1, "{json:#?}");
        assert_eq!(json.json().pointer(id).and_then(Value::as_str), Some(KEPT_ID));
        let yaml = own.promsafe.run(&format!("{command} --output yaml")).await.with(0);
        let read: Value = serde_saphyr::from_str(&yaml.stdout).unwrap();
        assert_eq!(read, json.json());
        for ended in [table, json, yaml] {
            assert_eq!(ended.stderr, "", "{ended:#?}");
        }
    }
}

#[tokio::test]
async fn default_store_is_in_the_users_data_directory() {
    let ended = Promsafe::default().run("list").await.with(0);
    assert!(ended.stdout.contains("/.local/share/promsafe; make one: promsafe backup"), "{ended:#?}");
}
