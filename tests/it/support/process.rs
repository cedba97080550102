//! Processes that end with their owner, also when the test process itself is killed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs the command until its own standard input ends, which it does when the test process drops it or dies. Deaf to the
/// signals that end a whole process group: an API server without its etcd would outlive them.
const UNTIL_STDIN_ENDS: &str = r#"exec 3<&0; "$@" </dev/null 3<&- & child=$!; trap '' TERM INT HUP; { read -r _ <&3; kill -9 $child; } & wait $child"#;

/// A running process. Dropping it ends it and waits for its end.
#[derive(Debug)]
pub(super) struct Process {
    shell: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to the file.
    pub(super) fn start(program: &Path, arguments: &[String], log: PathBuf) -> Self {
        let out = File::create(&log).unwrap();
        let shell = Command::new("sh")
            .args(["-c", UNTIL_STDIN_ENDS, "sh"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self { shell, log }
    }

    /// Whether it ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.shell.try_wait().unwrap().is_some()
    }

    /// The last of what it printed.
    pub(super) fn last_words(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).unwrap().read_to_string(&mut text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
