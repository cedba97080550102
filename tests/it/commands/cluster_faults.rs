//! What the binary says of clusters that are not there or do not answer.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;

use super::OwnStore;
use crate::support::control_plane::{User, kubeconfig as text};
use crate::support::promsafe::Promsafe;

/// Commands that need a cluster.
const WITH_CLUSTER: [&str; 3] = ["discover", "backup", "restore"];

/// A kubeconfig for a server of this address.
pub(super) fn kubeconfig(directory: &Path, server: &str) -> PathBuf {
    let path = directory.join("a.kubeconfig");
    std::fs::write(&path, text(server, "insecure-skip-tls-verify: true", User::Admin)).unwrap();
    path
}

#[tokio::test]
async fn server_that_refuses_connections_is_code_7_and_named() {
    let own = OwnStore::new();
    for command in WITH_CLUSTER {
        let ended = own.promsafe.run(command).await.failed(7, &["https://127.0.0.1:1", "--kubeconfig"]);
        assert!(ended.took < Duration::from_secs(15), "{ended:#?}");
        own.promsafe.run(&format!("{command} -o json")).await.failed(7, &["\"exit_code\":7", "https://127.0.0.1:1"]);
    }
}

#[tokio::test]
async fn server_that_is_silent_from_the_start_is_code_7_within_15_s() {
    let own = OwnStore::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("https://{}", silent.local_addr().unwrap());
    let promsafe = own.promsafe.clone().with_kubeconfig(&kubeconfig(own.directory.path(), &server));
    let ended = tokio::join!(promsafe.run("discover"), promsafe.run("backup"), promsafe.run("restore"));
    for ended in [ended.0, ended.1, ended.2] {
        let ended = ended.failed(7, &[&server, "deadline has elapsed"]);
        assert!(ended.took < Duration::from_secs(15), "{ended:#?}");
    }
}

#[tokio::test]
async fn missing_kubeconfig_and_context_are_code_7_and_named() {
    let own = OwnStore::new();
    for command in WITH_CLUSTER {
        let nowhere = own.promsafe.run(&format!("{command} --kubeconfig /nowhere/kubeconfig")).await;
        nowhere.failed(7, &["/nowhere/kubeconfig", "--kubeconfig"]);
        own.promsafe.run(&format!("{command} --context blue")).await.failed(7, &["context blue", "--context"]);
    }
    let none = Promsafe::default().with_directory(own.directory.path());
    none.run("discover").await.failed(7, &["~/.kube/config", "--kubeconfig"]);
}

#[tokio::test]
async fn broken_kubeconfig_is_code_7_and_named_without_its_token() {
    let own = OwnStore::new();
    let path = kubeconfig(own.directory.path(), "https://127.0.0.1:1");
    let (file, token) = (path.display().to_string(), User::Admin.token());
    let sound = std::fs::read_to_string(&path).unwrap();
    for broken in [
        format!("{sound}users: [token: {token}\n"),
        sound.replace(&format!("token: {token}"), &format!("- {token}")),
        sound.replace("    token:", "    username: ["),
        sound.replace("  user:\n    token:", "  user:"),
        token.clone(),
    ] {
        std::fs::write(&path, &broken).unwrap();
        own.promsafe.run("discover").await.failed(7, &[&file, "no kubeconfig at line"]).never_says(&[&token]);
    }
}

/// Waits until a process handles SIGINT and SIGTERM itself, as the kernel tells.
async fn wait_until_it_listens_for_signals(process: u32) {
    const BOTH: u64 = (1 << (2 - 1)) | (1 << (15 - 1));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        if u64::from_str_radix(caught, 16).unwrap() & BOTH == BOTH {
            return;
        }
        assert!(Instant::now() < deadline, "it never listened for signals: {status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn interrupted_run_is_code_130() {
    let own = OwnStore::new();
    for (command, signal) in [("discover", "INT"), ("backup", "TERM"), ("backup", "INT"), ("restore", "TERM")] {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", silent.local_addr().unwrap());
        let promsafe = own.promsafe.clone().with_kubeconfig(&kubeconfig(own.directory.path(), &server));
        let running = promsafe.start(command);
        let _connection = silent.accept().await.unwrap();
        wait_until_it_listens_for_signals(running.id()).await;
        let sent = Command::new("kill").args(["-s", signal, &running.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let ended = running.ended().await.failed(130, &["interrupted", "run the same command again"]);
        assert!(ended.took < Duration::from_secs(5), "{ended:#?}");
    }
}
