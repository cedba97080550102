//! Directories copied into a store and brought back by the binary: equal to the last bit, sent once, resumed, and
//! what is damaged named.

mod credentials;
mod data;
mod faults;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use promsafe::model::Sha256;
use promsafe::store::StoreOptions;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::commands::{KEPT, KEPT_ID};
use crate::support::promsafe::{Ended, Promsafe};
use crate::support::s3::{S3Server, with_credentials};
use data::{CHUNKS, ULIDS, add_block, bytes, count_files, differences, make_volume, noise, write};

/// A volume, and a store beside it.
struct Place {
    root: TempDir,
    promsafe: Promsafe,
}

impl Place {
    fn new(blocks: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        make_volume(&root.path().join("volume"), blocks);
        let promsafe = Promsafe::default().with_directory(&root.path().join("store"));
        Self { root, promsafe }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn volume(&self) -> PathBuf {
        self.path("volume")
    }

    fn home(&self) -> PathBuf {
        self.path("volume/prometheus-db")
    }

    async fn copy(&self, options: &str) -> Ended {
        self.promsafe.run(&format!("copy {} -o json {options}", self.volume().display())).await
    }

    async fn extract(&self, to: &str, options: &str) -> Ended {
        self.promsafe.run(&format!("extract latest --to {} -o json {options}", self.path(to).display())).await
    }

    /// The object of the piece at this number of a file, as the newest backup has it.
    async fn piece(&self, path: &str, number: usize) -> PathBuf {
        let shown = self.promsafe.run("show latest -o json").await.with(0).json();
        let tree = shown["volumes"][0]["copy"]["tree"].as_str().unwrap().to_owned();
        let lines = Command::new("gzip").arg("-dc").arg(self.object(&tree)).output();
        let lines = String::from_utf8(lines.unwrap().stdout);
        let lines = lines.unwrap();
        let mut entries = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let entry = entries.find(|entry| entry["path"] == path).unwrap_or_else(|| panic!("{path} is not in the tree"));
        self.object(entry["pieces"][number].as_str().unwrap())
    }

    fn object(&self, sha256: &str) -> PathBuf {
        self.path("store/data").join(&sha256[..2]).join(sha256)
    }
}

fn number(ended: &Ended, pointer: &str) -> u64 {
    ended.json().pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} in {ended:#?}"))
}

async fn comes_back_and_is_sent_once(promsafe: &Promsafe, place: &Place) {
    let volume = place.volume();
    let copy = format!("copy {} -o json", volume.display());
    let all = bytes(&volume);
    let first = promsafe.run(&copy).await.with(0);
    assert_eq!(number(&first, "/copied/bytes"), all, "{first:#?}");
    assert_eq!(number(&first, "/copied/sent_bytes"), all, "{first:#?}");
    let to = place.path("back");
    let extracted = promsafe.run(&format!("extract latest --to {} -o json", to.display())).await.with(0);
    assert_eq!(number(&extracted, "/written_bytes"), all, "{extracted:#?}");
    assert_eq!(differences(&volume, &to), [""; 0]);
    assert!(!to.join("prometheus-db/lock").exists() && !to.join("lost+found").exists());

    let second = promsafe.run(&copy).await.with(0);
    assert_eq!(number(&second, "/copied/sent_bytes"), 0, "{second:#?}");
    let known = 2 * (CHUNKS as u64 + 70_000);
    assert_eq!(number(&second, "/copied/taken_over_bytes"), known, "{second:#?}");
    assert_eq!(first.json()["copied"]["tree"], second.json()["copied"]["tree"]);

    add_block(&place.home(), 2);
    let third = promsafe.run(&copy).await.with(0);
    let new = place.home().join(ULIDS[2]);
    assert_eq!(number(&third, "/copied/sent_bytes"), bytes(&new), "{third:#?}");
    let reread = promsafe.run(&format!("{copy} --reread")).await.with(0);
    assert_eq!(number(&reread, "/copied/sent_bytes"), 0);
    assert_eq!(number(&reread, "/copied/taken_over_bytes"), 0);
    assert_eq!(third.json()["copied"]["tree"], reread.json()["copied"]["tree"]);
}

#[tokio::test]
async fn directory_comes_back_equal_and_is_sent_to_a_directory_once() {
    let place = Place::new(2);
    comes_back_and_is_sent_once(&place.promsafe.clone(), &place).await;
}

#[test]
fn directory_comes_back_equal_and_is_sent_to_s3_once() {
    with_credentials("copies::directory_comes_back_equal_and_is_sent_to_s3_once", async {
        directory_comes_back_from(S3Server::start().await.options("prefix")).await;
    });
}

/// A directory is copied to an S3 server and comes back; what is there is not sent again.
pub(crate) async fn directory_comes_back_from(options: StoreOptions) {
    let promsafe =
        Promsafe::default().with_store(options.url.to_string()).with_s3_endpoint(options.s3_endpoint.unwrap());
    comes_back_and_is_sent_once(&promsafe, &Place::new(2)).await;
}

#[tokio::test]
async fn block_of_other_content_and_the_same_sizes_is_seen_when_all_is_read() {
    let place = Place::new(1);
    place.copy("").await.with(0);
    write(&place.home(), &format!("{}/index", ULIDS[0]), &noise(999, 70_000));
    assert_eq!(number(&place.copy("").await.with(0), "/copied/sent_bytes"), 0);
    assert_eq!(number(&place.copy("--reread").await.with(0), "/copied/sent_bytes"), 70_000);
    write(&place.home(), &format!("{}/meta.json", ULIDS[0]), b"{\"another\":true}");
    write(&place.home(), &format!("{}/index", ULIDS[0]), &noise(998, 70_000));
    assert_eq!(number(&place.copy("").await.with(0), "/copied/sent_bytes"), 70_016, "another meta.json, another block");
}

#[tokio::test]
async fn small_files_of_a_known_block_are_compared_by_their_bytes() {
    let place = Place::new(1);
    let tombstones = format!("{}/tombstones", ULIDS[0]);
    write(&place.home(), &format!("{}/empty", ULIDS[0]), b"");
    place.copy("").await.with(0);
    let before = fs::read(place.home().join(&tombstones)).unwrap();
    let other: Vec<u8> = before.iter().map(u8::to_ascii_uppercase).collect();
    write(&place.home(), &tombstones, &other);
    let copied = place.copy("").await.with(0);
    assert_eq!(number(&copied, "/copied/sent_bytes"), other.len() as u64, "other tombstones of the same size");
    assert_eq!(number(&copied, "/copied/taken_over_bytes"), CHUNKS as u64 + 70_000, "{copied:#?}");
    fs::remove_file(place.object(&Sha256::of(&other).to_string())).unwrap();
    assert_eq!(number(&place.copy("").await.with(0), "/copied/sent_bytes"), other.len() as u64, "gone from the store");
    place.extract("back", "").await.with(0);
    assert_eq!(differences(&place.volume(), &place.path("back")), [""; 0]);
}

/// Waits until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn killed_copy_leaves_no_backup_and_the_next_sends_the_rest() {
    let place = Place::new(4);
    let (volume, objects) = (place.volume(), place.path("store/data"));
    let running = place.promsafe.start(&format!("copy {} --bandwidth 20MiB", volume.display()));
    until("pieces arrive", || count_files(&objects) >= 8).await;
    let id = running.id().to_string();
    assert!(Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    assert_eq!(running.ended().await.code, None);
    assert_eq!(place.promsafe.run("list -o json").await.with(0).json()["backups"], Value::Array(vec![]));
    let there: u64 = objects_in(&objects).iter().map(|object| fs::metadata(object).unwrap().len()).sum();
    let all = bytes(&volume);
    assert!(there < all, "it was too fast to be killed");
    let rest = number(&place.copy("").await.with(0), "/copied/sent_bytes");
    assert_eq!(rest, all - there, "{there} of {all} were there");
    place.extract("back", "").await.with(0);
    assert_eq!(differences(&volume, &place.path("back")), [""; 0]);
}

/// Objects of a store, whole ones only.
fn objects_in(data: &Path) -> Vec<PathBuf> {
    let below = fs::read_dir(data).unwrap().flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap());
    let objects = below.map(|entry| entry.unwrap().path());
    objects.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
}

#[tokio::test]
async fn interrupted_copy_ends_at_once_with_code_130() {
    let place = Place::new(4);
    let running = place.promsafe.start(&format!("copy {} --bandwidth 1MiB -o json", place.volume().display()));
    until("a piece arrives", || count_files(&place.path("store/data")) >= 2).await;
    let id = running.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ended = running.ended().await.failed(130, &["interrupted", "run the same command again"]);
    assert!(ended.took < Duration::from_secs(20), "{ended:#?}");
}

#[tokio::test]
async fn extract_goes_on_where_it_was_interrupted() {
    let place = Place::new(2);
    place.copy("").await.with(0);
    place.extract("back", "").await.with(0);
    let back = place.path("back/prometheus-db");
    let nothing = place.extract("back", "").await.with(0);
    assert_eq!(number(&nothing, "/written_bytes"), 0, "{nothing:#?}");
    fs::remove_file(back.join("wal/00000004")).unwrap();
    // As a disk may damage it: its time is that of the backup.
    let index = back.join(ULIDS[1]).join("index");
    let written = fs::metadata(&index).unwrap().modified().unwrap();
    fs::write(&index, noise(1, 70_000)).unwrap();
    fs::File::options().write(true).open(&index).unwrap().set_modified(written).unwrap();
    write(&back, "wal/.promsafe-unfinished-0123456789abcdef", b"half");
    let again = place.extract("back", "").await.with(0);
    assert_eq!(number(&again, "/written_bytes"), 370_000, "{again:#?}");
    assert_eq!(differences(&place.volume(), &place.path("back")), [""; 0]);
}

#[tokio::test]
async fn interrupted_extract_is_as_slow_as_asked_ends_at_once_and_goes_on() {
    let place = Place::new(4);
    let all = number(&place.copy("").await.with(0), "/copied/bytes");
    let back = place.path("back");
    let command = format!("extract latest --to {} --bandwidth 1MiB -o json", back.display());
    let running = place.promsafe.start(&command);
    until("a file is whole", || has_whole_file(&back)).await;
    let id = running.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ended = running.ended().await.failed(130, &["interrupted", "run the same command again"]);
    assert!(ended.took < Duration::from_secs(20), "{ended:#?}");
    let rest = number(&place.extract("back", "").await.with(0), "/written_bytes");
    assert!(0 < rest && rest < all, "{rest} of {all}");
    assert_eq!(differences(&place.volume(), &back), [""; 0]);
}

/// Whether a file with content is there under its own name.
fn has_whole_file(directory: &Path) -> bool {
    fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| {
        let unfinished = entry.file_name().to_string_lossy().starts_with(".promsafe-unfinished");
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { has_whole_file(&entry.path()) } else { !unfinished && metadata.len() > 0 }
    })
}

fn flip(object: &Path) {
    let mut content = fs::read(object).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(object, content).unwrap();
}

#[tokio::test]
async fn damage_is_named_and_all_else_brought_back_when_asked() {
    let place = Place::new(3);
    place.copy("").await.with(0);
    let chunk = format!("prometheus-db/{}/chunks/000001", ULIDS[1]);
    let spoilt = place.piece(&chunk, 1).await;
    flip(&spoilt);
    let segment = place.piece("prometheus-db/wal/00000004", 0).await;
    fs::remove_file(&segment).unwrap();
    let name = |object: &Path| object.file_name().unwrap().to_str().unwrap().to_owned();

    let stopped = place.extract("stopped", "").await;
    assert_eq!((stopped.code, stopped.stdout.as_str()), (Some(6), ""), "{stopped:#?}");
    let (first, second) = ((chunk.as_str(), name(&spoilt)), ("prometheus-db/wal/00000004", name(&segment)));
    let named = |(path, object): &(&str, String)| stopped.stderr.contains(path) && stopped.stderr.contains(object);
    assert!(named(&first) || named(&second), "{stopped:#?}");

    let skipped = place.extract("skipped", "--skip-damaged").await.with(3);
    let left_out = skipped.json()["left_out"].to_string();
    for words in [ULIDS[1], &name(&spoilt), "wal, file 4 and all later ones", &name(&segment), "it is missing"] {
        assert!(left_out.contains(words), "{words} in {left_out}");
    }
    let gone = differences(&place.volume(), &place.path("skipped"));
    let block = format!("prometheus-db/{}", ULIDS[1]);
    let is_expected = |path: &String| {
        path.starts_with(&block)
            || ["prometheus-db/wal/00000004", "prometheus-db/wal/00000005"].contains(&path.as_str())
    };
    assert!(gone.iter().all(is_expected) && gone.len() == 8, "{gone:?}");
    assert!(!place.path("skipped").join(&block).exists());
}

#[tokio::test]
async fn piece_in_the_store_of_another_size_is_no_piece() {
    let place = Place::new(1);
    place.copy("").await.with(0);
    let object = place.piece("prometheus-db/wal/00000003", 0).await;
    fs::write(&object, b"short").unwrap();
    let ended = place.copy("").await;
    assert_eq!(ended.code, Some(6), "{ended:#?}");
    ended.says(&["it has 5 bytes, not 300000", object.file_name().unwrap().to_str().unwrap()]);
}

#[tokio::test]
async fn spoilt_tree_of_an_earlier_copy_only_costs_time() {
    let place = Place::new(1);
    let tree = place.copy("").await.with(0).json()["copied"]["tree"].as_str().unwrap().to_owned();
    write(&place.volume(), "more", b"more");
    flip(&place.object(&tree));
    let ended = place.copy("").await.with(3);
    assert_eq!(number(&ended, "/copied/sent_bytes"), 4);
    ended.says(&["look for known blocks in an earlier copy", &tree]);
}

#[tokio::test]
async fn blocks_come_back_alone_when_asked() {
    let place = Place::new(2);
    place.copy("").await.with(0);
    place.extract("blocks", "--blocks-only").await.with(0);
    let mut names: Vec<_> =
        fs::read_dir(place.path("blocks/prometheus-db")).unwrap().collect::<Result<_, _>>().unwrap();
    names.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = names.iter().map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(names, [ULIDS[0], ULIDS[1], "thanos.shipper.json"]);
}

#[tokio::test]
async fn what_cannot_be_copied_is_named_and_the_rest_copied() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new(1);
    let volume = place.volume();
    assert!(Command::new("mkfifo").arg(volume.join("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(volume.join("socket")).unwrap();
    fs::write(volume.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), b"coffee").unwrap();
    let ended = place.copy("").await.with(3);
    let problems = ended.json()["copied"]["problems"].to_string();
    for words in ["pipe", "it is a named pipe", "socket", "it is a socket", r"caf\\xe9", "its name is not UTF-8"] {
        assert!(problems.contains(words), "{words} in {problems}");
    }
    let shown = place.promsafe.run("show latest").await.with(0);
    shown.says(&["LACKS      in the copy of", "pipe: it is a named pipe", "socket: it is a socket"]);
    for name in ["pipe", "socket"] {
        fs::remove_file(volume.join(name)).unwrap();
    }
    fs::remove_file(volume.join(std::ffi::OsStr::from_bytes(b"caf\xe9"))).unwrap();
    place.extract("back", "").await.with(0);
    let differ = differences(&volume, &place.path("back"));
    assert_eq!(differ, [""], "only the time of the root, which has changed since");
}

#[tokio::test]
async fn nothing_is_written_where_other_things_are() {
    let place = Place::new(1);
    place.copy("").await.with(0);
    let elsewhere = place.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    write(&place.path("full"), "mine", b"mine");
    fs::create_dir(place.path("linked")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, place.path("linked/prometheus-db")).unwrap();
    write(&place.path("file"), "notes.tmp/x", b"a directory where a file belongs");
    for (to, words) in [
        ("full", "full/mine it is not in what is brought back"),
        ("linked", "linked/prometheus-db it is of another kind in the backup"),
        ("file", "file/notes.tmp it is of another kind in the backup"),
        ("full/mine", "mine it is no directory"),
    ] {
        let command = format!("extract latest --to {}", place.path(to).display());
        place.promsafe.run(&command).await.failed(4, &["REFUSED", words, "fix: name an empty directory"]);
    }
    assert_eq!((count_files(&elsewhere), count_files(&place.path("full"))), (0, 1));
    fs::create_dir_all(place.path("fresh/lost+found")).unwrap();
    place.extract("fresh", "").await.with(0);
}

#[tokio::test]
async fn directory_that_went_on_since_the_copy_is_not_overwritten() {
    let place = Place::new(1);
    place.copy("").await.with(0);
    let volume = place.volume();
    fs::remove_dir_all(volume.join("lost+found")).unwrap();
    let home = place.home();
    for left in ["lock", "queries.active", "01JD0BZ8AVD1KZ3A7ERYFSE0X9.tmp-for-creation", "wal/00000006.repair"] {
        let left = home.join(left);
        if left.is_dir() { fs::remove_dir_all(left).unwrap() } else { fs::remove_file(left).unwrap() }
    }
    let command = format!("extract latest --to {}", volume.display());
    place.promsafe.run(&command).await.with(0).says(&["(0 written"]);
    // Longer, or as long as before and written later.
    let segment = home.join("wal/00000005");
    let (before, written) = (fs::read(&segment).unwrap(), fs::metadata(&segment).unwrap().modified().unwrap());
    for (content, after) in [(noise(5, 300_400), 0), (noise(50, 300_000), 3), (noise(5, 10), 0)] {
        fs::write(&segment, &content).unwrap();
        let file = fs::File::options().write(true).open(&segment).unwrap();
        file.set_modified(written + Duration::from_secs(after)).unwrap();
        let refused = place.promsafe.run(&command).await;
        refused.failed(4, &["REFUSED", "wal/00000005 it is not as the backup has it, and may be newer"]);
        assert!(fs::read(&segment).unwrap() == content, "nothing was changed");
    }
    fs::remove_file(&segment).unwrap();
    place.promsafe.run(&command).await.with(0);
    assert!(fs::read(&segment).unwrap() == before);
}

#[tokio::test]
async fn refusals_say_what_to_type() {
    let place = Place::new(0);
    let id = place.copy("").await.with(0).json()["backup"]["id"].as_str().unwrap().to_owned();
    let restored = place.promsafe.run("restore latest").await;
    restored.failed(4, &["holds files and no objects", &format!("promsafe extract {id} --to DIRECTORY")]);
    let kept = Promsafe::default().with_store(KEPT);
    let extracted = kept.run(&format!("extract {KEPT_ID} --to {}", place.path("x").display())).await;
    extracted.failed(4, &["holds no copy of any volume", &format!("promsafe restore {KEPT_ID}")]);
    let unknown = format!("extract latest --volume a/b --to {}", place.path("x").display());
    place.promsafe.run(&unknown).await.failed(4, &["holds no copy of a/b", "--volume: "]);
    let fresh = Promsafe::default().with_directory(&place.path("fresh"));
    fresh.run("copy /nowhere").await.failed(4, &["directory /nowhere cannot be found: No such file"]);
    assert!(!place.path("fresh").exists(), "nothing was changed");
    write(&place.path("unmounted"), "lost+found/x", b"of the file system");
    let unmounted = format!("copy {}", place.path("unmounted").display());
    let objects = count_files(&place.path("store/data"));
    place.promsafe.run(&unmounted).await.failed(4, &["holds no file that can be copied", "mount its disk"]);
    assert_eq!(count_files(&place.path("store/data")), objects, "nothing was changed");
    assert_eq!(place.promsafe.run("list -o json").await.with(0).json()["backups"].as_array().unwrap().len(), 1);
    let around = format!("copy {}", place.root.path().display());
    place.promsafe.run(&around).await.failed(4, &["holds the store itself", "--store"]);
    place.promsafe.run("copy / --bandwidth 0").await.with(2).says(&["write it like 50MiB"]);
    assert!(!place.path("x").exists());
}

#[tokio::test]
async fn list_and_show_say_what_was_copied() {
    let place = Place::new(1);
    place.copy("").await.with(0);
    let volume = place.volume().display().to_string();
    let table = place.promsafe.run("list").await.with(0);
    table.says(&["DATA", &volume, "9Mi"]);
    place.promsafe.run("show latest").await.with(0).says(&["DIRECTORY", "COPY OF", &volume, "9Mi"]);
    let copied = place.promsafe.run(&format!("copy {volume}")).await.with(0);
    copied.says(&["DIRECTORY  ", "COPIED     ", "sent 0,", "SAVED      "]);
}

#[tokio::test]
async fn block_compacted_away_meanwhile_is_replaced_by_its_successor() {
    let place = Place::new(5);
    let (home, objects) = (place.home(), place.path("store/data"));
    add_block(&place.path("built"), 5);
    let command = format!("copy {} --bandwidth 8MiB -o json", place.volume().display());
    let running = place.promsafe.start(&command);
    // The logs and what is beside the blocks are 1.3 MiB in 7 objects; more are of blocks.
    until("a block's large pieces arrive", || objects_of(&objects, 8 << 20) >= 1).await;
    // As Prometheus does it: built beside, named when it is whole, and only then the parent is deleted.
    fs::rename(place.path("built").join(ULIDS[5]), home.join(ULIDS[5])).unwrap();
    fs::rename(home.join(ULIDS[4]), place.path("deleted")).unwrap();
    let ended = running.ended().await.with(0);
    assert_eq!(ended.json()["copied"]["problems"], Value::Array(vec![]), "{ended:#?}");
    place.extract("back", "").await.with(0);
    assert!(!place.path("back/prometheus-db").join(ULIDS[4]).exists());
    let differ = differences(&place.volume(), &place.path("back"));
    assert!(differ.iter().all(|path| path == "prometheus-db"), "only the time of the directory: {differ:?}");
}

/// Objects of at least this size.
fn objects_of(data: &Path, bytes: u64) -> usize {
    if !data.exists() {
        return 0;
    }
    objects_in(data).iter().filter(|object| fs::metadata(object).is_ok_and(|metadata| metadata.len() >= bytes)).count()
}
