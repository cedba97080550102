//! `promsafe verify` of backups in a store: what is missing, damaged or extra is named with what it belongs to.

use std::path::{Path, PathBuf};

use http::Method;
use promsafe::layout;
use promsafe::model::{BackupRecord, DataVolume, Sha256, VolumeRecord};
use promsafe::store::Store;

use super::backups::{data, files, id, put_backup, put_copy, record, store_in};
use crate::support::fault_proxy::When;
use crate::support::promsafe::{Ended, Promsafe};
use crate::support::s3::{S3Server, with_credentials};
use crate::support::s3_proxy::{S3Fault, S3Proxy, Spoiling};

struct Kept {
    root: tempfile::TempDir,
    promsafe: Promsafe,
}

impl Kept {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = store_in(root.path()).await;
        put_backup(&store, &id(1), &files("first")).await;
        put_backup(&store, &id(2), &files("second")).await;
        let promsafe = Promsafe::default().with_directory(root.path());
        Self { root, promsafe }
    }

    /// The one piece of a file of a backup.
    fn piece(&self, text: &str, path: &str) -> PathBuf {
        let (_, bytes) = files(text).into_iter().find(|(name, _)| *name == path).unwrap();
        let sha256 = Sha256::of(&bytes).to_string();
        self.root.path().join("data").join(&sha256[..2]).join(sha256)
    }
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn sound_backups_are_whole_at_every_level() {
    let kept = Kept::new().await;
    for level in ["list", "hash"] {
        kept.promsafe
            .run(&format!("verify --level {level}"))
            .await
            .with(0)
            .says(&["VERIFIED   1 backup", "prom-1:/data"]);
        kept.promsafe.run(&format!("verify --all --level {level}")).await.with(0).says(&["VERIFIED   2 backups"]);
    }
    let json = kept.promsafe.run("verify --all -o json").await.with(0).json();
    assert_eq!(json.pointer("/verification/hashed").unwrap(), 8, "four pieces in each of two backups");
    assert_eq!(json.pointer("/whole").unwrap(), true);
}

#[tokio::test]
async fn a_store_without_a_complete_backup_is_not_taken_for_a_sound_one() {
    let root = tempfile::tempdir().unwrap();
    let not_mounted = root.path().join("store");
    let promsafe = Promsafe::default().with_directory(&not_mounted);
    promsafe.run("verify").await.failed(5, &["holds no complete backup"]);
    let none = format!("no complete backup in file://{}", not_mounted.display());
    let begin = |name: &'static str| {
        let directory = not_mounted.join(name);
        move || std::fs::create_dir_all(directory).unwrap()
    };
    let states: [Box<dyn FnOnce()>; 3] =
        [Box::new(|| {}), Box::new(begin("")), Box::new(begin("backups/20261121T000009Z-7f3c"))];
    for reach_state in states {
        reach_state();
        for level in ["list", "hash", "tsdb"] {
            let ended = promsafe.run(&format!("verify --all --level {level}")).await;
            let words = [&format!("error: {none}\n"), "is its disk mounted", "promsafe copy DIRECTORY"];
            ended.failed(5, &words).never_says(&["VERIFIED"]);
        }
    }
    let told = promsafe.run("verify --all -o json").await.failed(5, &[]);
    let error: serde_json::Value = serde_json::from_str(told.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&error["error"], &error["exit_code"]), (&none.as_str().into(), &5.into()));
    assert!(error["hint"].as_str().unwrap().contains("is its disk mounted"), "{error}");
}

#[tokio::test]
async fn damaged_missing_and_extra_objects_are_named_with_what_they_belong_to() {
    let kept = Kept::new().await;
    let index = kept.piece("second", "01J/index");
    change(&index, |bytes| bytes[7] ^= 4);
    let name = index.file_name().unwrap().to_str().unwrap().to_owned();
    let told = kept.promsafe.run("verify").await.with(6);
    let told = told.says(&["DAMAGED", &name, "its sha256 is", "part of prom-1:/data: 01J/index", "1 files DAMAGED"]);
    assert_eq!(result_of(&told, "record and objects"), "ok", "the damage is in a file of the volume");
    // The sizes are right: a listing cannot tell.
    kept.promsafe.run("verify --level list").await.with(0);
    kept.promsafe.run(&format!("verify {}", id(1))).await.with(0);
    change(&index, |bytes| bytes.push(0));
    kept.promsafe.run("verify --level list").await.with(6).says(&[&name, "bytes, not", "01J/index"]);
    std::fs::remove_file(&index).unwrap();
    for level in ["list", "hash"] {
        let told = kept.promsafe.run(&format!("verify --all --level {level}")).await.with(6);
        told.says(&["MISSING", &name, "it is missing", "01J/index", "DAMAGED    1 objects"]);
    }
    let told = kept.promsafe.run("verify --all -o json").await.with(6).json();
    let flaw = told.pointer("/verification/backups/1/flaws/0").unwrap();
    assert_eq!((&flaw["trouble"], &flaw["belongs_to"][0]), (&"missing".into(), &"prom-1:/data: 01J/index".into()));
    assert_eq!(told.pointer("/verification/backups/0/flaws").unwrap(), &serde_json::json!([]));
}

#[tokio::test]
async fn files_beside_the_record_are_held_to_it() {
    let kept = Kept::new().await;
    let directory = kept.root.path().join("backups").join(id(2).as_str());
    std::fs::write(directory.join("notes.txt"), "mine").unwrap();
    kept.promsafe.run("verify").await.with(3).says(&["EXTRA", "notes.txt", "does not list it", "1 extra objects"]);
    std::fs::remove_file(directory.join("notes.txt")).unwrap();
    let bundle = directory.join("manifests.tar.gz");
    change(&bundle, |bytes| bytes[0] ^= 1);
    let told = kept.promsafe.run("verify").await.with(6);
    let told = told.says(&["DAMAGED", "manifests.tar.gz", "all captured objects"]);
    assert_eq!(["record and objects", "prom-1:/data"].map(|what| result_of(&told, what)), ["DAMAGED", "ok"]);
    std::fs::remove_file(&bundle).unwrap();
    kept.promsafe.run("verify --level list").await.with(6).says(&["MISSING", "manifests.tar.gz"]);
    change(&directory.join("backup.json"), |bytes| bytes[100] ^= 1);
    kept.promsafe.run("verify --all").await.with(6).says(&["DAMAGED", "backup.json", id(2).as_str(), id(1).as_str()]);
}

#[tokio::test]
async fn damaged_tree_takes_all_files_of_its_volume_with_it() {
    let kept = Kept::new().await;
    let store = store_in(kept.root.path()).await;
    let tree = store.open_backup(&id(2)).await.unwrap().record().volumes[0].copy.as_ref().unwrap().tree.to_string();
    let path = kept.root.path().join("data").join(&tree[..2]).join(&tree);
    change(&path, |bytes| bytes[5] ^= 1);
    for level in ["list", "hash"] {
        let told = kept.promsafe.run(&format!("verify --level {level}")).await.with(6);
        let told =
            told.says(&["DAMAGED", &tree, "the list of all its files", "5 files DAMAGED", "hint: promsafe list"]);
        assert_eq!(result_of(&told, "record and objects"), "ok");
        told.never_says(&["--skip-damaged"]);
    }
    let to = kept.root.path().join("to");
    let extracted = kept.promsafe.run(&format!("extract latest --to {}", to.display())).await;
    extracted.failed(6, &[&tree, "hint: promsafe list"]).never_says(&["--skip-damaged"]);
    std::fs::remove_file(path).unwrap();
    kept.promsafe.run("verify --all").await.with(6).says(&["MISSING", &tree, "5 files DAMAGED"]);
}

#[tokio::test]
async fn list_of_no_files_that_is_damaged_stands_in_the_row_of_its_volume() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    put_backup(&store, &id(1), &[]).await;
    let tree = root.path().join(&data(&store).await[0]);
    change(&tree, |bytes| bytes[5] ^= 1);
    let told = Promsafe::default().with_directory(root.path()).run("verify").await.with(6);
    assert_eq!(["record and objects", "prom-1:/data"].map(|what| result_of(&told, what)), ["ok", "DAMAGED"]);
}

/// The result in the row of a backup's part.
fn result_of<'a>(told: &'a Ended, what: &str) -> &'a str {
    let row = told.stdout.lines().find(|line| line.contains(&format!("  {what}  "))).unwrap();
    row.rsplit("  ").next().unwrap()
}

/// What follows `hint: `.
fn hint_of(told: &Ended) -> String {
    let hint = told.stderr.lines().find_map(|line| line.strip_prefix("hint: "));
    hint.unwrap_or_else(|| panic!("{told:#?}")).to_owned()
}

#[tokio::test]
async fn damage_is_told_with_a_command_that_brings_back_all_else() {
    let kept = Kept::new().await;
    change(&kept.piece("second", "01J/index"), |bytes| bytes[7] ^= 4);
    let hint = hint_of(&kept.promsafe.run("verify --all").await.with(6));
    let typed = format!("promsafe extract {} --to DIRECTORY --skip-damaged", id(2));
    let others = "promsafe list shows other backups";
    assert_eq!(hint, format!("{typed} brings back all else; {others}"));
    let json = kept.promsafe.run("verify -o json").await.with(6);
    let told: serde_json::Value = serde_json::from_str(json.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(told["hint"], hint.as_str());

    let to = kept.root.path().join("to").display().to_string();
    let stopped = kept.promsafe.run(&format!("extract latest --to {to}")).await.failed(6, &["01J/index"]);
    assert_eq!(hint_of(&stopped), format!("--skip-damaged brings back all else; {others}"));
    let typed = typed.strip_prefix("promsafe ").unwrap().replace("DIRECTORY", &to);
    kept.promsafe.run(&typed).await.with(3).says(&["LEFT OUT   prom-1:/data: 01J/index"]);
    assert!(Path::new(&to).join("wal/00000000").exists() && !Path::new(&to).join("01J/index").exists());
    assert!(!kept.promsafe.run(&format!("verify {}", id(1))).await.with(0).stderr.contains("hint"));
}

/// Seals a backup of a cluster with copies of two volumes, the claims `one` and `two`.
async fn put_backup_of_cluster(store: &Store) -> BackupRecord {
    let mut volumes = Vec::new();
    for claim in ["one", "two"] {
        let volume = DataVolume { namespace: "monitoring".into(), claim: claim.into(), ..DataVolume::default() };
        let copy = put_copy(store, &files(claim)).await.unwrap();
        volumes.push(VolumeRecord { volume, ..VolumeRecord::of_directory(copy) });
    }
    let mut draft = store.begin(&id(1)).await.unwrap();
    draft.put(layout::BUNDLE, b"objects".to_vec()).await.unwrap();
    let record = BackupRecord { directory: None, volumes, files: draft.files().to_vec(), ..record(&id(1)) };
    draft.seal(&record).await.unwrap();
    record
}

#[tokio::test]
async fn way_on_fits_what_is_damaged_of_a_backup_of_a_cluster() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    let record = put_backup_of_cluster(&store).await;
    let promsafe = Promsafe::default().with_directory(root.path());
    let hint = async || hint_of(&promsafe.run("verify").await.with(6));
    let others = "promsafe list shows other backups";
    let id = id(1);
    let piece = Sha256::of(&files("one")[1].1).to_string();
    let data_of = |sha256: &str| root.path().join("data").join(&sha256[..2]).join(sha256);
    change(&data_of(&piece), |bytes| bytes[0] ^= 1);
    assert_eq!(hint().await, format!("promsafe restore {id} --skip-damaged brings back all else; {others}"));

    let of_volume = |name: &str| {
        format!(
            "promsafe extract {id} --to DIRECTORY --volume {name} --skip-damaged brings back the data of {name}; {others}"
        )
    };
    let tree = record.volumes[0].copy.as_ref().unwrap().tree.to_string();
    change(&data_of(&tree), |bytes| bytes[0] ^= 1);
    assert_eq!(hint().await, of_volume("monitoring/two"));
    change(&data_of(&tree), |bytes| bytes[0] ^= 1);
    change(&root.path().join("backups").join(id.as_str()).join("manifests.tar.gz"), |bytes| bytes[0] ^= 1);
    assert_eq!(hint().await, of_volume("monitoring/one"));
    change(&root.path().join("backups").join(id.as_str()).join("backup.json"), |bytes| bytes[100] ^= 1);
    assert_eq!(hint().await, others);
}

#[tokio::test]
async fn identity_of_a_store_that_is_damaged_is_told_with_what_to_do() {
    let kept = Kept::new().await;
    store_in(kept.root.path()).await.mark().await.unwrap();
    change(&kept.root.path().join("store.json"), |bytes| bytes[9] ^= 1);
    kept.promsafe.run("verify --all").await.with(6).says(&["hint: bring back store.json from a copy of the store"]);
}

#[tokio::test]
async fn subset_hashes_some_pieces_and_says_how_many() {
    let kept = Kept::new().await;
    let json = kept.promsafe.run("verify --all --subset 1% -o json").await.with(0).json();
    let hashed = json.pointer("/verification/hashed").unwrap().as_u64().unwrap();
    assert!(hashed < 8, "{json}");
    kept.promsafe.run("verify --all --subset 1%").await.with(0).says(&["hashed (1% asked for)"]);
    for wrong in ["0%", "101", "some"] {
        kept.promsafe.run(&format!("verify --subset {wrong}")).await.with(2);
    }
}

/// Every file and directory, and when it was last changed.
fn changes(root: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut open = vec![root.to_path_buf()];
    let mut seen = Vec::new();
    while let Some(path) = open.pop() {
        seen.push((path.clone(), path.metadata().unwrap().modified().unwrap()));
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    seen.sort();
    seen
}

#[tokio::test]
async fn verify_writes_nothing() {
    let kept = Kept::new().await;
    let before = changes(kept.root.path());
    for command in ["verify --all", "verify --level list", "prune --plan"] {
        kept.promsafe.run(command).await.with(0);
        assert_eq!(changes(kept.root.path()), before, "{command}");
    }
}

#[test]
fn backups_on_s3_are_verified_as_those_in_a_directory() {
    with_credentials("keep::verify::backups_on_s3_are_verified_as_those_in_a_directory", async {
        let server = S3Server::start().await;
        let options = server.options("prefix");
        let store = promsafe::store::Store::open(&options).await.unwrap();
        put_backup(&store, &id(1), &files("first")).await;
        let promsafe = Promsafe::default().with_store("s3://bucket/prefix");
        let promsafe = promsafe.with_s3_endpoint(options.s3_endpoint.clone().unwrap());
        promsafe.run("verify").await.with(0).says(&["VERIFIED   1 backup of s3://bucket/prefix"]);
        let piece = data(&store).await.remove(0);
        let path = server.bucket_directory().join("prefix").join(&piece);
        change(&path, |bytes| *bytes.last_mut().unwrap() ^= 0x80);
        promsafe.run("verify").await.with(6).says(&["DAMAGED", &format!("s3://bucket/prefix/{piece}")]);
    });
}

/// Blocks and a log that a Prometheus wrote.
const TWO_BLOCKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/tsdb/two-blocks");

/// Files of the two blocks, each by its path; blocks of the same size as a real directory's, which is small.
fn two_blocks() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![PathBuf::from(TWO_BLOCKS)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(TWO_BLOCKS).unwrap().to_str().unwrap().to_owned();
            files.push((name, std::fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

/// Copies a directory with these files, and names the backup.
async fn copied(promsafe: &Promsafe, files: &[(String, Vec<u8>)]) -> String {
    let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let directory = super::backups::directory_with(&files);
    // Read again: blocks of these names and sizes are known, and taken over, once they have been copied.
    promsafe.run(&format!("copy {} --reread", directory.path().display())).await.with(0);
    let listed = promsafe.run("list -o json").await.with(0).json();
    let path = directory.path().canonicalize().unwrap().display().to_string();
    let backups = listed["backups"].as_array().unwrap();
    let of_it = backups.iter().find(|backup| backup["directory"]["path"] == path.as_str()).unwrap();
    of_it["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn copied_data_directories_are_read_as_prometheus_reads_them() {
    let root = tempfile::tempdir().unwrap();
    let promsafe = Promsafe::default().with_directory(root.path());
    let first = copied(&promsafe, &two_blocks()).await;
    let sound = promsafe.run(&format!("verify {first} --level tsdb")).await.with(0);
    sound.says(&["TSDB", "2 blocks with", ": ok", "VERIFIED   1 backup"]);

    // It was damaged before it was copied: every object of the store is as it was written.
    let mut damaged = two_blocks();
    let index = damaged.iter().position(|(path, _)| path.ends_with("/index")).unwrap();
    let half = damaged[index].1.len() / 2;
    damaged[index].1[half] ^= 4;
    let (path, _) = damaged[index].clone();
    let second = copied(&promsafe, &damaged).await;
    promsafe.run(&format!("verify {second} --level hash")).await.with(0).says(&["VERIFIED"]);
    let told = promsafe.run(&format!("verify {second} --level tsdb")).await;
    assert!(matches!(told.code, Some(3 | 6)), "{told:#?}");
    let told = told.says(&[&path]);
    assert!(["DEGRADED", "FATAL"].iter().any(|word| told.stdout.contains(word)), "{told:#?}");
    let json = promsafe.run("verify --all --level tsdb -o json").await.json();
    let backups = json["verification"]["backups"].as_array().unwrap();
    let grade = |id: &str| {
        let backup = backups.iter().find(|backup| backup["id"] == id).unwrap();
        backup.pointer("/volumes/0/tsdb/inspected/grade").unwrap().clone()
    };
    assert_eq!((grade(&first), grade(&second)), ("ok".into(), "degraded".into()));

    damaged[index].1[0] ^= 4;
    let third = copied(&promsafe, &damaged).await;
    let told = promsafe.run(&format!("verify {third} --level tsdb")).await.with(6).says(&["FATAL", &path]);
    let hint = hint_of(&told);
    assert!(hint.starts_with(&format!("promsafe extract {third} --to DIRECTORY brings it")), "{hint}");
    assert!(hint.contains(" brings it back as it was; move away what is FATAL there; promsafe list "), "{hint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_that_are_read_as_prometheus_reads_them_are_fetched_once() {
    let server = S3Server::start().await;
    let options = server.options("prefix");
    // None of so many requests comes.
    let none = Spoiling { method: Method::GET, path: "/data/", when: When::Only(u32::MAX), fault: S3Fault::CutAnswer };
    let proxy = S3Proxy::start(&options, none).await;
    let promsafe = Promsafe::default().with_store(options.url.to_string()).with_s3_endpoint(proxy.endpoint());
    copied(&promsafe, &two_blocks()).await;
    let before = proxy.matched();
    promsafe.run("verify --level hash").await.with(0);
    let by_hash = proxy.matched() - before;
    let verified = promsafe.run("verify --level tsdb -o json").await.with(0).json();
    let by_tsdb = proxy.matched() - before - by_hash;
    assert_eq!(verified.pointer("/verification/backups/0/volumes/0/tsdb/inspected/grade").unwrap(), "ok");
    // The tree is small, and may be asked for again; so may what blocks that are looked at at once have in common.
    assert!(by_hash >= 6 && by_tsdb <= by_hash + 2, "{by_hash} requests, then {by_tsdb}");
}
