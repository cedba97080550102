//! Any Prometheus on any data directory: started, asked over plain HTTP, stopped in mid-air, killed. Knows flags and paths of
//! Prometheus; does not know what its answers mean.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::testbed::{binary, free_ports};

/// Which Prometheus.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// The one of the testbed.
    Current,
    /// The 2.x of Debian.
    Older,
}

impl Release {
    fn program(self, name: &str) -> PathBuf {
        match self {
            Self::Current => binary(name),
            Self::Older => {
                let program = binary("").with_file_name("older-prometheus").join(name);
                assert!(program.exists(), "{}: testbed/testbed build unpacks it", program.display());
                program
            }
        }
    }
}

/// How long one may take to start, or to end by itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running Prometheus; killed when dropped.
pub(super) struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts one. Its configuration and its log lie beside the data directory.
    pub(super) fn spawn(release: Release, data: &Path, configuration: &str, flags: &[&str]) -> Self {
        Self::spawn_inside(&[], release, data, configuration, flags)
    }

    /// The same, by a command that begins so.
    pub(super) fn spawn_inside(
        inside: &[String],
        release: Release,
        data: &Path,
        configuration: &str,
        flags: &[&str],
    ) -> Self {
        let port = free_ports(1);
        let home = data.with_extension("home");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("prometheus.yml"), configuration.replace("OWN_PORT", &port.to_string())).unwrap();
        let log = home.join("log");
        let program = [inside, &[release.program("prometheus").display().to_string()]].concat();
        let child = Command::new(&program[0])
            .args(&program[1..])
            .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--storage.tsdb.retention.time=100y", "--storage.tsdb.max-block-duration=2h"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, port, log }
    }

    /// Waits until it answers queries.
    ///
    /// # Errors
    /// The line of its log that says why, when it ends instead.
    pub(super) fn ready(&mut self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            if self.child.try_wait().unwrap().is_some() {
                return Err(last_error(&self.log()));
            }
            if self.get("/-/ready").is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            assert!(began.elapsed() < PATIENCE, "Prometheus neither starts nor ends: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything it logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Status and body of a path.
    pub(super) fn get(&self, path: &str) -> io::Result<(u16, Vec<u8>)> {
        self.request("GET", path, "", b"")
    }

    /// Status and body of what is sent there.
    pub(super) fn post(&self, path: &str, headers: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.request("POST", path, headers, body)
    }

    /// `data` of an API answer.
    ///
    /// # Errors
    /// `error` of the answer, or what came instead of one.
    pub(super) fn data(&self, path: &str) -> Result<Value, String> {
        let (status, body) = self.get(path).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_slice(&body).map_err(|error| format!("{status}: {error}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(answer["error"].to_string()) }
    }

    /// A metric of its own without labels; 0 where it has none.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.get("/metrics").unwrap().1).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until this is true of it.
    pub(super) fn until(&self, what: &str, mut is_true: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !is_true(self) {
            assert!(began.elapsed() < PATIENCE, "Prometheus is not {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs this while it stands still between two of its instructions, as a snapshot of its volume would find it.
    pub(super) fn frozen<T>(&self, look: impl FnOnce() -> T) -> T {
        self.signal("STOP");
        let seen = look();
        self.signal("CONT");
        seen
    }

    /// Its blocks by ULID, where it can list them.
    pub(super) fn blocks(&self) -> usize {
        let blocks = self.data("/api/v1/status/tsdb/blocks").map(|data| data["blocks"].as_array().map_or(0, Vec::len));
        blocks.unwrap_or_else(|_| usize::try_from(self.metric("prometheus_tsdb_blocks_loaded")).unwrap())
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head =
            format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, answer.split_off(end + 4)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes blocks of a text in the OpenMetrics format.
pub(super) fn make_blocks(input: &Path, data: &Path) {
    let status = Command::new(Release::Current.program("promtool"))
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([input, data])
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

/// Percent-encodes what may not stand in a query.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => all.push(byte.into()),
            _ => write!(all, "%{byte:02X}").unwrap(),
        }
        all
    })
}

/// `err` of the last line that has one, else the last line.
fn last_error(log: &str) -> String {
    let mut lines = log.lines().rev();
    let errors = lines.clone().find_map(|line| line.split_once(" err=").map(|(_, rest)| rest.trim_matches('"')));
    errors.or_else(|| lines.next()).unwrap_or("ended without a word").to_owned()
}

#[test]
fn reason_of_a_failed_start_is_found_in_the_log() {
    let log = "level=INFO msg=\"Starting\"\nlevel=ERROR msg=\"Fatal error\" err=\"opening storage failed: x\"\nlevel=INFO msg=end";
    assert_eq!(last_error(log), "opening storage failed: x");
    assert_eq!(last_error("panic: y"), "panic: y");
}
