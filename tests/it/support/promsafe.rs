//! The binary as a user types it, in an environment of its own. Holds for every run what must never be seen: a panic,
//! the secret access key, or a line on stderr that is no JSON where JSON was asked for.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// Longest time a run may take; what it must not exceed is the test's own business.
const ENDS_WITHIN: Duration = Duration::from_mins(2);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ended {
    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Asserts that both outputs together hold all of these.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        let missing: Vec<_> = words.iter().filter(|word| !all.contains(**word)).collect();
        assert!(missing.is_empty(), "{missing:?} is missing in {self:#?}");
        self
    }

    /// Asserts that neither output holds any of these.
    #[track_caller]
    pub(crate) fn never_says(self, words: &[&str]) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        let said: Vec<_> = words.iter().filter(|word| all.contains(**word)).collect();
        assert!(said.is_empty(), "{said:?} is in {self:#?}");
        self
    }

    /// Asserts a failure as users need it: this code, nothing on stdout, these words, and what to type next.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.stdout, "", "{self:#?}");
        self.with(code).says(words).says(&["hint"])
    }

    /// The result as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A run that has begun.
pub(crate) struct Running {
    child: Child,
    directory: TempDir,
    began: Instant,
    json: bool,
}

impl Running {
    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Ended {
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            if self.began.elapsed() > ENDS_WITHIN {
                self.child.kill().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let read = |name| std::fs::read_to_string(self.directory.path().join(name)).unwrap();
        let ended = Ended { code, stdout: read("stdout"), stderr: read("stderr"), took: self.began.elapsed() };
        assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
        assert!(!format!("{ended:?}").contains(SECRET_ACCESS_KEY), "{ended:#?}");
        if self.json && ended.code != Some(2) {
            let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object());
            assert!(ended.stderr.lines().all(is_json), "{ended:#?}");
        }
        ended
    }
}

/// Runs of the binary with some options in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promsafe {
    options: Vec<(&'static str, String)>,
    /// What the program is started by.
    before: Vec<String>,
}

impl Promsafe {
    /// With a store at this URL or path.
    pub(crate) fn with_store(mut self, url: impl Into<String>) -> Self {
        self.options.push(("PROMSAFE_STORE", url.into()));
        self
    }

    /// With a store in this directory.
    pub(crate) fn with_directory(self, directory: &Path) -> Self {
        self.with_store(directory.display().to_string())
    }

    /// With an S3 server.
    pub(crate) fn with_s3_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.options.push(("PROMSAFE_S3_ENDPOINT", endpoint.into()));
        self
    }

    /// With this cluster.
    pub(crate) fn with_kubeconfig(mut self, kubeconfig: &Path) -> Self {
        self.options.retain(|(name, _)| *name != "PROMSAFE_KUBECONFIG");
        self.options.push(("PROMSAFE_KUBECONFIG", kubeconfig.display().to_string()));
        self
    }

    /// Without the run lock: tests that share a cluster run at once, each on namespaces of its own.
    pub(crate) fn without_lock(mut self) -> Self {
        self.options.push(("PROMSAFE_NO_LOCK", "true".to_owned()));
        self
    }

    /// Waiting for others that hold the run lock.
    pub(crate) fn waiting_for_lock(mut self) -> Self {
        self.options.push(("PROMSAFE_LOCK_TIMEOUT", "2m".to_owned()));
        self
    }

    /// With the run lock in this namespace.
    pub(crate) fn with_lock_in(mut self, namespace: &str) -> Self {
        self.options.retain(|(name, _)| *name != "PROMSAFE_NO_LOCK");
        self.options.push(("PROMSAFE_LOCK_NAMESPACE", namespace.to_owned()));
        self
    }

    /// With a disk of its own, of this size, at this path. It is empty, and gone after each run.
    pub(crate) fn on_a_disk_of(mut self, bytes: u64, path: &Path) -> Self {
        let mount = format!("mount -t tmpfs -o size={bytes} tmpfs {} && exec \"$@\"", path.display());
        let root = if is_root() { &["--mount"][..] } else { &["--map-root-user", "--mount"][..] };
        self.before =
            [&["unshare"][..], root, &["sh", "-c", &mount, "-"]].concat().into_iter().map(str::to_owned).collect();
        self
    }

    /// Begins a run. The command line is split at spaces.
    pub(crate) fn start(&self, command_line: &str) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let file = |name| File::create(directory.path().join(name)).unwrap();
        let arguments: Vec<_> = command_line.split_whitespace().collect();
        let json = arguments.windows(2).any(|pair| matches!(pair, ["-o" | "--output", "json"]));
        let mut words = self.before.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_promsafe")]).chain(arguments);
        let child = Command::new(words.next().unwrap())
            .args(words)
            .env_clear()
            .env("HOME", directory.path())
            .envs([("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)])
            .envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(self.options.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Running { child, directory, began: Instant::now(), json }
    }

    /// Runs a command line to its end.
    pub(crate) async fn run(&self, command_line: &str) -> Ended {
        self.start(command_line).ended().await
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
