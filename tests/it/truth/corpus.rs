//! Data directories as real servers leave them when they are killed: blocks of `promtool` and of the head, tombstones, a
//! checkpoint, segments in three compressions, head chunks, an out-of-order log, native histograms, exemplars, metadata;
//! those of Debian's 2.x; and copies of one that was compacting every few seconds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::remote_write::Message;
use super::server::{Release, Server, encoded, make_blocks};
use super::volume::Volume;
use crate::support::prometheus::copy_directory;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Accepts samples that are up to two hours late.
const FED: &str = "storage: {tsdb: {out_of_order_time_window: 2h}}\nglobal: {scrape_interval: 1h}\n";

/// A data directory that nobody uses any more, and the time that it covers.
pub(super) struct Corpus {
    pub(super) name: &'static str,
    pub(super) data: PathBuf,
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    _home: TempDir,
}

/// Of the release that is judged.
pub(super) static CURRENT: LazyLock<Corpus> = LazyLock::new(current);
/// Of Debian's 2.x.
pub(super) static OLDER: LazyLock<Corpus> = LazyLock::new(older);
/// Of the release that is judged, scraping itself ten times a second; with the copies that were taken of it.
pub(super) static LIVE: LazyLock<(Corpus, Vec<PathBuf>)> = LazyLock::new(live);

/// The start of the last even hour: where the blocks of Prometheus begin.
fn last_even_hour() -> i64 {
    jiff::Timestamp::now().as_millisecond() / (2 * HOUR) * (2 * HOUR)
}

/// A directory on the disk that cargo uses, as large copies do not belong into a temporary one in memory.
fn new_home() -> TempDir {
    tempfile::Builder::new().prefix("truth-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn current() -> Corpus {
    let home = new_home();
    let data = home.path().join("data");
    let from_ms = last_even_hour() - 24 * HOUR;
    let fed_from = from_ms + 4 * HOUR;
    let to_ms = fed_from + 14 * HOUR + 10 * MINUTE;
    seed(&data, from_ms, fed_from);
    let flags = ["--storage.tsdb.block-reload-interval=1s", "--enable-feature=exemplar-storage,metadata-wal-records"];
    let mut feeder = Feeder::new(Release::Current, &data, &flags);
    feeder.feed_and_compact(fed_from, to_ms);
    feeder.feed_late(to_ms - 100 * MINUTE, to_ms - 30 * MINUTE);
    feeder.delete("seeded_03", from_ms + 30 * MINUTE, from_ms + HOUR);
    // Nothing is deleted from the head: 3.13 panics in queries that end before a time that is deleted there.
    let mut end = to_ms;
    for (round, compression) in (1..).zip([
        "--storage.tsdb.wal-compression-type=zstd",
        "--no-storage.tsdb.wal-compression",
        "--web.page-title=x",
    ]) {
        drop(feeder);
        feeder = Feeder::new(Release::Current, &data, &[flags[0], flags[1], compression]);
        feeder.feed(end, end + 10 * MINUTE);
        let between = to_ms - 60 * MINUTE + round * 7 * SECOND;
        feeder.feed_late(between, between + 10 * MINUTE);
        end += 10 * MINUTE;
    }
    drop(feeder);
    Corpus { name: "3.13", data, from_ms, to_ms: end, _home: home }
}

fn older() -> Corpus {
    let home = new_home();
    let data = home.path().join("data");
    let from_ms = last_even_hour() - 12 * HOUR;
    let to_ms = from_ms + 6 * HOUR + 50 * MINUTE;
    let flags = ["--enable-feature=exemplar-storage,native-histograms"];
    let feeder = Feeder::new(Release::Older, &data, &flags);
    feeder.feed_and_compact(from_ms, to_ms);
    feeder.feed_late(to_ms - 100 * MINUTE, to_ms - 30 * MINUTE);
    feeder.delete("fed_03", from_ms + 30 * MINUTE, from_ms + HOUR);
    drop(feeder);
    let feeder = Feeder::new(Release::Older, &data, &flags);
    feeder.feed(to_ms, to_ms + 10 * MINUTE);
    feeder.feed_late(to_ms - 60 * MINUTE + 7 * SECOND, to_ms - 50 * MINUTE);
    drop(feeder);
    Corpus { name: "2.42", data, from_ms, to_ms: to_ms + 10 * MINUTE, _home: home }
}

/// Copies taken of the live one.
pub(super) const COPIES: usize = 20;

fn live() -> (Corpus, Vec<PathBuf>) {
    let home = new_home();
    let data = home.path().join("data");
    let from_ms = jiff::Timestamp::now().as_millisecond() - MINUTE;
    let scrape = "global: {scrape_interval: 100ms, scrape_timeout: 100ms, scrape_native_histograms: true}\n\
                  storage: {tsdb: {out_of_order_time_window: 1m}}\n\
                  scrape_configs: [{job_name: self, static_configs: [{targets: ['127.0.0.1:OWN_PORT']}]}]\n";
    let flags = [
        "--storage.tsdb.min-block-duration=1s",
        "--storage.tsdb.block-reload-interval=1s",
        "--storage.tsdb.samples-per-chunk=10",
        "--scrape.discovery-reload-interval=100ms",
        "--enable-feature=exemplar-storage,metadata-wal-records",
        "--web.enable-remote-write-receiver",
    ];
    let volume = Volume::new(home.path());
    let inside = volume.as_ref().map(Volume::inside).unwrap_or_default();
    let mut server = Server::spawn_inside(&inside, Release::Current, &data, scrape, &flags);
    server.ready().unwrap();
    // Once samples come late it makes no more checkpoints: the one that is there stays.
    server.until("making a checkpoint", |server| {
        server.blocks() > 0 && server.metric("prometheus_tsdb_checkpoint_creations_total") > 0
    });
    let names: Vec<_> = (0..COPIES).map(|number| format!("copy-{number:02}")).collect();
    let began = Instant::now();
    for (name, number) in names.iter().zip(0..) {
        let now = jiff::Timestamp::now().as_millisecond();
        write_late(&server, now - 3 * SECOND, now - 2 * SECOND, 50);
        // Not a wait for anything: the copies are spread over ten seconds of its life.
        std::thread::sleep((Duration::from_millis(500) * number).saturating_sub(began.elapsed()));
        match &volume {
            Some(volume) => volume.snapshot(name),
            None => server.frozen(|| copy_directory(&data, &home.path().join(name))),
        }
    }
    drop(server);
    let left = home.path().join("left");
    if let Some(volume) = &volume {
        for name in &names {
            volume.copy_out(name, &home.path().join(name));
        }
        volume.copy_out("data", &left);
    } else {
        copy_directory(&data, &left);
    }
    drop(volume);
    let copies = names.iter().map(|name| home.path().join(name)).collect();
    let to_ms = jiff::Timestamp::now().as_millisecond();
    (Corpus { name: "live", data: left, from_ms, to_ms, _home: home }, copies)
}

/// Blocks of two hours with gauges, a sample a minute.
fn seed(data: &Path, from_ms: i64, to_ms: i64) {
    let mut text = String::new();
    for metric in 0..12 {
        let _ = writeln!(text, "# TYPE seeded_{metric:02} gauge");
        for series in 0..3 {
            for at in (from_ms..to_ms).step_by(usize::try_from(MINUTE).unwrap()) {
                let value = noise(at + metric * 3 + series);
                let _ = writeln!(text, "seeded_{metric:02}{{id=\"s{series}\"}} {value} {}", at / SECOND);
            }
        }
    }
    text.push_str("# EOF\n");
    let input = data.with_extension("om");
    std::fs::write(&input, text).unwrap();
    make_blocks(&input, data);
}

/// A number that no compression makes small.
fn noise(seed: i64) -> f64 {
    let bits = seed.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from((bits >> 40) as u32) / 64.0
}

/// A server that is fed by remote write, faster than time goes by.
struct Feeder(Server);

impl Feeder {
    fn new(release: Release, data: &Path, flags: &[&str]) -> Self {
        let flags = [&["--web.enable-remote-write-receiver", "--web.enable-admin-api"], flags].concat();
        let mut server = Server::spawn(release, data, FED, &flags);
        server.ready().unwrap();
        Self(server)
    }

    /// A sample every 30 s for everything in order, a commit every ten minutes.
    fn feed(&self, from_ms: i64, to_ms: i64) {
        for begin in (from_ms..to_ms).step_by(usize::try_from(10 * MINUTE).unwrap()) {
            let times: Vec<_> = (begin..begin + 10 * MINUTE).step_by(usize::try_from(30 * SECOND).unwrap()).collect();
            write(&self.0, &in_order(&times));
        }
    }

    /// The same, and waits for each block that is due.
    fn feed_and_compact(&self, from_ms: i64, to_ms: i64) {
        let (mut head_from, mut blocks) = (from_ms, self.0.blocks());
        for begin in (from_ms..to_ms).step_by(usize::try_from(10 * MINUTE).unwrap()) {
            self.feed(begin, begin + 10 * MINUTE);
            while begin + 10 * MINUTE - 30 * SECOND - head_from > 3 * HOUR {
                blocks += 1;
                head_from += 2 * HOUR;
                self.0.until("compacting", |server| server.blocks() >= blocks);
            }
        }
    }

    fn feed_late(&self, from_ms: i64, to_ms: i64) {
        for begin in (from_ms..to_ms).step_by(usize::try_from(10 * MINUTE).unwrap()) {
            write_late(&self.0, begin, begin + 10 * MINUTE, 30 * SECOND);
        }
    }

    fn delete(&self, selector: &str, from_ms: i64, to_ms: i64) {
        let (from, to) = (from_ms / SECOND, to_ms / SECOND);
        let path = format!("/api/v1/admin/tsdb/delete_series?match[]={}&start={from}&end={to}", encoded(selector));
        assert_eq!(self.0.post(&path, "", b"").unwrap().0, 204);
    }
}

/// Counters that are there all the time, histograms of both kinds, and series that live for two hours.
fn in_order(times: &[i64]) -> Message {
    let mut request = Message::default();
    for number in 0..20 {
        let (name, id) = (format!("fed_{:02}", number / 2), format!("f{}", number % 2));
        request.series(&[("__name__", &name), ("id", &id), ("job", "fed")], |series| {
            for at in times {
                series.sample(*at, noise(at + number));
            }
            series.exemplar(times[0], 1.5);
        });
    }
    let generation = format!("g{}", times[0] / (2 * HOUR) % 100);
    request.series(&[("__name__", "brief"), ("id", &generation)], |series| {
        for at in times {
            series.sample(*at, noise(*at));
        }
    });
    request.series(&[("__name__", "native"), ("id", "whole")], |series| {
        for at in times {
            series.histogram(*at, (at / SECOND).cast_unsigned() % 1_000_000);
        }
    });
    request.series(&[("__name__", "native"), ("id", "float")], |series| {
        for at in times {
            series.float_histogram(*at, noise(at / MINUTE));
        }
    });
    request
}

/// Samples of series of their own that come after a newer one.
fn write_late(server: &Server, from_ms: i64, to_ms: i64, step_ms: i64) {
    let mut request = Message::default();
    for id in ["a", "b", "c"] {
        request.series(&[("__name__", "late"), ("id", id)], |series| {
            for at in (from_ms..to_ms).step_by(usize::try_from(step_ms).unwrap()) {
                series.sample(at, noise(at));
            }
        });
    }
    write(server, &request);
}

fn write(server: &Server, request: &Message) {
    let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                   X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
    let (status, body) = server.post("/api/v1/write", headers, &request.in_snappy()).unwrap();
    assert!(status / 100 == 2, "{status}: {}", String::from_utf8_lossy(&body));
}
