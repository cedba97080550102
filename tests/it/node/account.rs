//! The accounts promsafe runs as: each holds what `promsafe rbac` prints for its command, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use serde_json::{Value, json};

use super::cluster::{kubectl, kubectl_with, output};

/// Where the accounts live: no test destroys it.
pub(super) const HOME: &str = "promsafe-tests";
const RUNS: [&str; 2] = ["backup", "restore"];
/// How volumes are saved: what copies need is granted only to who asks for it.
const VOLUMES: [&str; 2] = ["snapshot", "copy"];

/// The kubeconfig of the account for a command with volumes saved like this; `None` for a command that asks no cluster.
pub(super) fn kubeconfig(command: &str, volumes: &str) -> Option<PathBuf> {
    let run = match command {
        "backup" | "discover" | "explain" | "delete" => "backup",
        "restore" => "restore",
        _ => return None,
    };
    exist();
    Some(file(&format!("{run}-{volumes}")))
}

/// Makes the accounts, once.
pub(super) fn exist() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}}).to_string();
        kubectl_with(&["apply", "--server-side", "--filename=-"], &namespace);
        for (run, volumes) in RUNS.into_iter().flat_map(|run| VOLUMES.map(|volumes| (run, volumes))) {
            let account = format!("{run}-{volumes}");
            let named = ["--service-account", &account, "--service-account-namespace", HOME];
            let printed = output(
                Command::new(env!("CARGO_BIN_EXE_promsafe")).args(["rbac", run, "--volumes", volumes]).args(named),
                "",
            );
            kubectl_with(&["apply", "--server-side", "--filename=-"], &printed.unwrap());
            std::fs::write(file(&account), of_account(&account).to_string()).unwrap();
        }
    });
}

fn file(run: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("node-{}-{run}.kubeconfig", std::process::id()))
}

/// The administrator's kubeconfig with the account's token in the place of his certificate.
fn of_account(account: &str) -> Value {
    let token = kubectl(&["--namespace", HOME, "create", "token", account, "--duration=8h"]);
    let admin = kubectl(&["config", "view", "--raw", "--minify", "--flatten", "--output=json"]);
    let mut kubeconfig: Value = serde_json::from_str(&admin).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    kubeconfig
}
