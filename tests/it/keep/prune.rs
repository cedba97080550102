//! `promsafe prune` by the binary: what is marked, what is removed, and when nothing is.

use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::backups::{data, files, id, put_backup, put_copy, store_in};
use crate::support::promsafe::Promsafe;
use crate::support::s3::{S3Server, with_credentials};

fn on(root: &Path) -> Promsafe {
    Promsafe::default().with_directory(root)
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// Marks in one run, removes in a later one: on any store.
async fn unreferenced_data_goes(promsafe: &Promsafe, store: &promsafe::store::Store) {
    put_backup(store, &id(1), &files("first")).await;
    put_backup(store, &id(2), &files("second")).await;
    let both = data(store).await;
    promsafe.run("prune --grace 0s").await.with(0).says(&["REMOVED    0 objects", "MARKED     0 objects"]);
    promsafe.run(&format!("delete {} --yes", id(1))).await.with(0).says(&["5 objects", "promsafe prune frees"]);
    assert_eq!(data(store).await, both, "delete leaves pieces alone");

    let plan = promsafe.run("prune --grace 0s --plan").await.with(0).says(&["WOULD MARK    5 objects"]);
    assert!(plan.stdout.contains("WOULD REMOVE  0 objects"), "{plan:#?}");
    assert_eq!(store.backend().list("marks/").await.unwrap(), [""; 0]);
    let marked = promsafe.run("prune --grace 0s -o json").await.with(0).json();
    assert_eq!((number(&marked, "/marked/objects"), number(&marked, "/removed/objects")), (5, 0));
    assert_eq!(number(&marked, "/referenced/objects"), 5);
    assert_eq!(data(store).await, both);

    let probe = format!("probes/{}-a", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
    for path in ["probes/20260101T000000Z-left", "probes/strange", &probe] {
        store.backend().put_new(path, b"promsafe was here".to_vec()).await.unwrap();
    }
    let waits = promsafe.run("prune --grace 1h").await.with(0);
    assert_eq!(store.backend().list("probes/").await.unwrap(), [probe.as_str(), "probes/strange"]);
    let waits = waits.says(&["REMOVED    1 objects (17) that killed runs left"]);
    waits.says(&["REMOVED    0 objects", "MARKED     0 objects", "WAITING    5 objects", "the first may go at"]);
    let plan = promsafe.run("prune --grace 0s --dry-run -o json").await.with(0).json();
    assert_eq!((number(&plan, "/remove/objects"), number(&plan, "/mark/objects")), (5, 0));
    let removed = promsafe.run("prune --grace 0s -o json").await.with(0).json();
    assert_eq!(removed["removed"], plan["remove"], "what was planned is done");
    assert_eq!(number(&removed, "/removed_marks"), 1);
    assert_eq!(data(store).await.len(), 5);
    for left in ["marks/", "locks/"] {
        assert_eq!(store.backend().list(left).await.unwrap(), [""; 0], "{left}");
    }
    promsafe.run("verify --all").await.with(0).says(&["VERIFIED   1 backup"]);
}

#[tokio::test]
async fn what_no_backup_refers_to_is_marked_and_removed_by_a_later_run() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    unreferenced_data_goes(&on(root.path()), &store).await;
    on(root.path()).run("prune").await.says(&["by this machine's clock"]);
}

#[test]
fn what_no_backup_refers_to_is_marked_and_removed_on_s3_by_the_servers_clock() {
    let name = "keep::prune::what_no_backup_refers_to_is_marked_and_removed_on_s3_by_the_servers_clock";
    with_credentials(name, async {
        let server = S3Server::start().await;
        let options = server.options("prefix");
        let store = promsafe::store::Store::open(&options).await.unwrap();
        let promsafe = Promsafe::default().with_store("s3://bucket/prefix");
        let promsafe = promsafe.with_s3_endpoint(options.s3_endpoint.clone().unwrap());
        unreferenced_data_goes(&promsafe, &store).await;
        promsafe.run("prune").await.with(0).says(&["by the server's clock"]);
    });
}

#[tokio::test]
async fn what_is_referred_to_again_is_not_removed_though_it_was_marked() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    put_backup(&store, &id(1), &files("kept")).await;
    put_copy(&store, &files("comes back")).await.unwrap();
    let promsafe = on(root.path());
    promsafe.run("prune --grace 0s").await.with(0).says(&["MARKED     5 objects"]);
    put_backup(&store, &id(2), &files("comes back")).await;
    promsafe.run("prune --grace 0s").await.with(0).says(&["REMOVED    0 objects", "KEPT       10 objects"]);
    assert_eq!(store.backend().list("marks/").await.unwrap(), [""; 0], "nothing of the mark is left");
    promsafe.run("verify --all").await.with(0);
}

#[tokio::test]
async fn piece_that_two_backups_hold_stays_as_long_as_one_of_them() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    let mut more = files("shared");
    more.push(("wal/00000001", b"only in the second".to_vec()));
    put_backup(&store, &id(1), &files("shared")).await;
    put_backup(&store, &id(2), &more).await;
    let promsafe = on(root.path());
    let deleted = promsafe.run(&format!("delete {} --yes --force", id(2))).await.with(0);
    deleted.says(&["2 objects", "that no other backup refers to"]);
    for _ in 0..2 {
        promsafe.run("prune --grace 0s").await.with(0);
    }
    assert_eq!(data(&store).await.len(), 5);
    promsafe.run("verify --all").await.with(0);
}

#[tokio::test]
async fn nothing_is_removed_while_a_record_or_a_tree_cannot_be_read() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    let first = put_backup(&store, &id(1), &files("first")).await;
    put_backup(&store, &id(2), &files("second")).await;
    put_copy(&store, &files("nobody's")).await.unwrap();
    let promsafe = on(root.path());
    promsafe.run("prune --grace 0s").await.with(0).says(&["MARKED     5 objects"]);
    let all = data(&store).await;

    let record = root.path().join(format!("backups/{}/backup.json", id(2)));
    let sound = std::fs::read(&record).unwrap();
    std::fs::write(&record, &sound[..sound.len() - 1]).unwrap();
    let force = format!("promsafe delete {} --force", id(2));
    for command in ["prune --grace 0s", "prune --grace 0s --plan", "prune --grace 0s -o json"] {
        let typed = "promsafe delete ID --force (--yes without a terminal)";
        promsafe.run(command).await.failed(6, &["nothing was removed", &format!("backup {}", id(2)), typed]);
    }
    std::fs::write(&record, &sound).unwrap();

    let tree = first.volumes[0].copy.as_ref().unwrap().tree.to_string();
    let tree_file = root.path().join(format!("data/{}/{tree}", &tree[..2]));
    let sound = std::fs::read(&tree_file).unwrap();
    std::fs::remove_file(&tree_file).unwrap();
    let missing = promsafe.run("prune --grace 0s").await;
    missing.failed(6, &["nothing was removed", &format!("backup {}", id(1)), &tree, "it is missing"]);
    std::fs::write(&tree_file, &sound[1..]).unwrap();
    promsafe.run("prune --grace 0s").await.failed(6, &[&tree, "damaged"]);
    std::fs::write(&tree_file, &sound).unwrap();

    assert_eq!(data(&store).await, all);
    promsafe.run("prune --grace 0s").await.with(0).says(&["REMOVED    5 objects"]).never_says(&[&force]);
}

#[tokio::test]
async fn missing_pieces_are_told_and_do_not_keep_others_from_being_removed() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    put_backup(&store, &id(1), &files("first")).await;
    let piece = root.path().join(&data(&store).await[0]);
    let tree = store.open_backup(&id(1)).await.unwrap().record().volumes[0].copy.as_ref().unwrap().tree.to_string();
    let piece = if piece.ends_with(&tree) { root.path().join(&data(&store).await[1]) } else { piece };
    std::fs::remove_file(piece).unwrap();
    let told = on(root.path()).run("prune").await.with(3);
    told.says(&["1 pieces that complete backups refer to are missing", "verify --all --level list"]);
}

#[tokio::test]
async fn debris_of_unfinished_backups_goes_once_it_is_old() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    put_backup(&store, &id(1), &files("first")).await;
    let mut draft = store.begin(&id(2)).await.unwrap();
    draft.put("manifests.tar.gz", b"half".to_vec()).await.unwrap();
    let promsafe = on(root.path());
    let debris = id(2).to_string();
    promsafe.run("prune").await.with(0).says(&["MARKED     unfinished backups", &debris]);
    promsafe.run("prune").await.with(0).says(&["WAITING    unfinished backups", &debris]);
    assert_eq!(store.list().await.unwrap().len(), 2);
    promsafe.run("prune --grace 0s").await.with(0).says(&["REMOVED    unfinished backups", &debris]);
    assert_eq!(store.list().await.unwrap().len(), 1);
    assert_eq!(store.backend().list("marks/").await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn unfinished_files_of_killed_runs_go_once_they_are_old() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    put_backup(&store, &id(1), &files("first")).await;
    let (old, strangers) = (["data/ab/.unfinished-x", ".unfinished-y"], ["data/ab/.hidden", "notes/.unfinished-z"]);
    for path in old.iter().chain(&strangers).chain(&["data/ab/.unfinished-new"]) {
        let file = root.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, [0; 2048]).unwrap();
        if !path.ends_with("new") {
            let file = std::fs::File::options().write(true).open(&file).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_hours(2)).unwrap();
        }
    }
    let promsafe = on(root.path());
    let planned = promsafe.run("prune --grace 1h --plan -o json").await.with(0).json();
    assert_eq!(planned["remove_leftovers"], json!({"objects": 2, "bytes": 4096}));
    assert!(old.iter().all(|path| root.path().join(path).exists()), "a plan removes nothing");
    promsafe.run("prune --grace 1h").await.with(0).says(&["REMOVED    2 objects (4Ki) that killed runs left"]);
    let exists = |path: &&str| root.path().join(path).exists();
    assert!(!old.iter().any(exists) && strangers.iter().all(exists) && exists(&"data/ab/.unfinished-new"));
    promsafe.run("verify --all").await.with(0);
}

#[tokio::test]
async fn spoilt_mark_is_named_removes_nothing_and_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    put_copy(&store, &files("nobody's")).await.unwrap();
    let promsafe = on(root.path());
    promsafe.run("prune --grace 0s").await.with(0);
    let mark = store.backend().list("marks/").await.unwrap().remove(0);
    let path = root.path().join(&mark);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    promsafe.run("verify --all").await.with(6).says(&["DAMAGED", &mark, "hint: promsafe prune replaces a mark"]);
    let told = promsafe.run("prune --grace 0s").await.with(3);
    told.says(&["REMOVED    0 objects", "MARKED     5 objects", &mark, "marked again"]);
    promsafe.run("prune --grace 0s").await.with(0).says(&["REMOVED    5 objects"]);
    assert_eq!(store.backend().list("").await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn prune_of_an_empty_store_does_nothing() {
    let root = tempfile::tempdir().unwrap();
    let empty = root.path().join("nothing/here");
    on(&empty).run("prune").await.with(0).says(&["REMOVED    0 objects", "MARKED     0 objects"]);
}
