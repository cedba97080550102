//! A btrfs of a test's own, in a mount namespace that goes with it, for real snapshots of a data directory in use. Only root
//! can have one; for anybody else a server stands still while its files are copied.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Mounts the file system and a subvolume of it, says so, and stays until its input ends.
const HOLD: &str = "set -e; truncate -s 1G pool.img; mkfs.btrfs -q pool.img >&2; mkdir pool data; mount -o loop pool.img pool; \
                    btrfs -q subvolume create pool/data; mount --bind pool/data data; echo mounted; cat";

/// A file system whose subvolume `data` is mounted at `data` beside it.
pub(super) struct Volume {
    holder: Child,
    home: PathBuf,
}

impl Volume {
    /// One in this directory, with `data` in it; `None` where this user or this machine cannot have it.
    pub(super) fn new(home: &Path) -> Option<Self> {
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", HOLD])
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let said = BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line);
        let volume = Self { holder, home: home.to_owned() };
        (said.is_ok() && line == "mounted\n").then_some(volume)
    }

    /// What a command begins with to be run where the volume is mounted.
    pub(super) fn inside(&self) -> Vec<String> {
        ["nsenter", "--mount", "--target", &self.holder.id().to_string()].map(str::to_owned).into()
    }

    /// Takes a snapshot.
    pub(super) fn snapshot(&self, name: &str) {
        self.run(&["btrfs", "-q", "subvolume", "snapshot", "-r", &self.pool("data"), &self.pool(name)]);
    }

    /// Copies a snapshot, or `data`, to a directory outside.
    pub(super) fn copy_out(&self, name: &str, to: &Path) {
        self.run(&["cp", "-r", &self.pool(name), &to.display().to_string()]);
    }

    fn pool(&self, name: &str) -> String {
        self.home.join("pool").join(name).display().to_string()
    }

    fn run(&self, command: &[&str]) {
        let inside = self.inside();
        let done = Command::new(&inside[0]).args(&inside[1..]).args(command).stdout(Stdio::null()).status();
        assert!(done.unwrap().success(), "{command:?}");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
