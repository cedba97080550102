//! Runs the binary as a user does, with JSON as its output.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::account;
use super::cluster::variable;

/// The binary with a store of its own.
pub(super) struct Program {
    pub(super) store: String,
    endpoint: Option<String>,
    volumes: &'static str,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Program {
    /// A new store in the testbed's bucket.
    pub(super) fn with_s3(purpose: &str) -> Self {
        account::exist();
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let store = format!("s3://{}/node-tests/{purpose}-{nanoseconds}", variable("TESTBED_S3_BUCKET"));
        Self { store, endpoint: None, volumes: "snapshot" }
    }

    /// A store in a directory.
    pub(super) fn with_directory(directory: &std::path::Path) -> Self {
        Self { store: directory.to_str().unwrap().to_owned(), endpoint: None, volumes: "snapshot" }
    }

    /// The same store, reached by another address.
    pub(super) fn through(&self, endpoint: String) -> Self {
        Self { store: self.store.clone(), endpoint: Some(endpoint), volumes: self.volumes }
    }

    /// The same store, by accounts that may copy volumes.
    pub(super) fn copying(self) -> Self {
        Self { volumes: "copy", ..self }
    }

    /// Starts it with the output as JSON.
    pub(super) fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).args(["--output", "json"]).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Running { child, stderr, told: String::new() }
    }

    /// Runs it with the output as JSON.
    pub(super) fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).ended()
    }

    /// Runs it with the output for people.
    pub(super) fn run_for_people(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Takes a backup that must succeed, and returns its record.
    pub(super) fn backup(&self) -> Value {
        self.run(&["backup"]).with_code(0).result()["backup"].take()
    }

    /// Restores everything; must succeed, hold its proof, and return what it says.
    pub(super) fn restore(&self, id: &str) -> Value {
        let restored = self.run(&["restore", id, "--include-cluster-scoped"]).with_code(0).result();
        assert_eq!(restored["proven"], true, "{restored}");
        restored
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promsafe"));
        command.args(arguments).args(["--store", &self.store]);
        if let Some(kubeconfig) = account::kubeconfig(arguments[0], self.volumes) {
            command.env("KUBECONFIG", kubeconfig).env("PROMSAFE_LOCK_NAMESPACE", account::HOME);
        }
        command.args(self.endpoint.iter().flat_map(|endpoint| ["--s3-endpoint", endpoint]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A run that has not ended.
pub(super) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    told: String,
}

impl Running {
    /// Reads its progress until it begins this step; fails when it ends before.
    pub(super) fn until_step(&mut self, beginning: &str) {
        self.until_told("doing", beginning);
    }

    /// Reads its progress until it waits for this object; fails when it ends before.
    pub(super) fn until_waiting_on(&mut self, object: &str) {
        self.until_told("on", object);
    }

    /// Reads its progress until it has written this object; fails when it ends before.
    pub(super) fn until_written(&mut self, object: &str) {
        self.until_told("object", object);
    }

    fn until_told(&mut self, field: &str, beginning: &str) {
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended before it told {beginning:?}: {}", self.told);
            self.told.push_str(&line);
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event[field].as_str().is_some_and(|told| told.starts_with(beginning)) {
                return;
            }
        }
    }

    /// Sends it a signal, such as `TERM`.
    pub(super) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(super) fn ended(mut self) -> Ended {
        // Its result comes once, at the end, and its progress ends with it.
        let mut stdout = self.child.stdout.take().unwrap();
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        self.stderr.read_to_string(&mut self.told).unwrap();
        let stdout = reading.join().unwrap().unwrap();
        let code = self.child.wait().unwrap().code();
        Ended { code, stdout, stderr: std::mem::take(&mut self.told) }
    }
}

impl Drop for Running {
    /// A test that failed leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The same, when its exit code is this.
    pub(super) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Its result.
    pub(super) fn result(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// The error it ended with.
    pub(super) fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(last).unwrap_or_default();
        assert!(error["error"].is_string(), "its last words are no error: {}", self.stderr);
        error
    }

    /// Objects its progress told of as created.
    pub(super) fn created(&self) -> Vec<String> {
        let events = self.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let created = events.filter(|event| event["event"] == "wrote" && event["how"] == "created");
        created.map(|event| event["object"].as_str().unwrap().to_owned()).collect()
    }
}

/// The strings of a JSON array.
pub(super) fn strings(array: &Value) -> Vec<String> {
    array.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}
