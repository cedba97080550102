//! `promsafe delete` by the binary, where no cluster is needed.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::backups::{data, files, id, put_backup, store_in};
use crate::commands::{KEPT_ID, copy_kept};
use crate::support::promsafe::Promsafe;

async fn with_two() -> (tempfile::TempDir, promsafe::store::Store, Promsafe) {
    let root = tempfile::tempdir().unwrap();
    let store = store_in(root.path()).await;
    put_backup(&store, &id(1), &files("first")).await;
    put_backup(&store, &id(2), &files("second")).await;
    let promsafe = Promsafe::default().with_directory(root.path());
    (root, store, promsafe)
}

#[tokio::test]
async fn deleted_backup_is_none_any_more_and_its_pieces_stay() {
    let (_root, store, promsafe) = with_two().await;
    let before = data(&store).await;
    let deleted = promsafe.run(&format!("delete {} --yes", id(1))).await.with(0);
    deleted.says(&["DELETED", id(1).as_str(), "DATA       5 objects", "promsafe prune"]);
    assert_eq!(store.list().await.unwrap().len(), 1);
    assert_eq!(store.backend().list(&format!("backups/{}/", id(1))).await.unwrap(), [""; 0]);
    assert_eq!(data(&store).await, before);
    promsafe.run(&format!("delete {} --yes", id(1))).await.failed(5, &[id(1).as_str()]);
    promsafe.run("verify --all").await.with(0);
}

#[tokio::test]
async fn newest_backup_of_a_source_is_kept_unless_it_is_forced() {
    let (root, store, promsafe) = with_two().await;
    let whole = store.backend().list("").await.unwrap();
    for wanted in ["latest".to_owned(), id(2).to_string(), format!("{} {}", id(1), id(2))] {
        let refused = promsafe.run(&format!("delete {wanted} --yes")).await;
        refused.failed(4, &["REFUSED", id(2).as_str(), "newest complete backup of prom-1:/data", "--force"]);
    }
    assert_eq!(store.backend().list("").await.unwrap(), whole);
    // A backup of a cluster is no newer one of this directory.
    copy_kept(root.path(), KEPT_ID);
    promsafe.run(&format!("delete {} --yes", id(2))).await.failed(4, &["newest complete backup"]);
    promsafe.run(&format!("delete {} {} --yes --force", id(1), id(2))).await.with(0).says(&["DATA       10 objects"]);
    assert_eq!(store.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_to_be_typed_finds_the_store_that_an_option_named() {
    let (root, store, _) = with_two().await;
    let url = format!("file://{}", root.path().display());
    let refused = Promsafe::default().run(&format!("delete latest --yes --store {url}")).await.with(4);
    let fix = refused.stderr.lines().find_map(|line| line.split_once("newer one first, or: promsafe ")).unwrap().1;
    let (typed, rest) = fix.split_once(" (").unwrap();
    assert_eq!((typed, rest), (format!("delete {} --force", id(2)).as_str(), "--yes without a terminal)"));
    let export = refused.stderr.lines().last().unwrap();
    assert_eq!(export, format!("      for the store of this run: export PROMSAFE_STORE='{url}'"));
    // Typed as it is printed, where the variable is set.
    let here = Promsafe::default().with_directory(root.path());
    here.run(&format!("{typed} --yes")).await.with(0).says(&["DELETED", id(2).as_str()]);
    assert_eq!(store.list().await.unwrap().len(), 1);
    here.run("delete latest --yes").await.with(4).never_says(&["export"]);
}

#[tokio::test]
async fn default_store_needs_no_name_to_be_found_again() {
    let root = tempfile::tempdir().unwrap();
    put_backup(&store_in(&root.path().join("promsafe")).await, &id(1), &files("first")).await;
    let mut delete = Command::new(env!("CARGO_BIN_EXE_promsafe"));
    let delete = delete.args(["delete", "latest", "--yes"]).env_clear().env("XDG_DATA_HOME", root.path());
    let refused = String::from_utf8(delete.output().unwrap().stderr).unwrap();
    let fix = format!("or: promsafe delete {} --force (--yes without a terminal)\n", id(1));
    assert!(refused.contains(&fix), "{refused}");
}

#[tokio::test]
async fn nothing_is_deleted_without_a_terminal_and_without_yes() {
    let (_root, store, promsafe) = with_two().await;
    promsafe.run(&format!("delete {}", id(1))).await.failed(2, &["--yes"]);
    assert_eq!(store.list().await.unwrap().len(), 2);
}

/// Runs a command line on a terminal, and types this once it is asked; its exit code, and what it said in the end.
fn on_a_terminal(store: &Path, command_line: &str, typed: &[u8]) -> (Option<i32>, String) {
    let command = format!("exec {} {command_line}", env!("CARGO_BIN_EXE_promsafe"));
    let mut terminal = Command::new("timeout")
        .args(["60", "script", "--quiet", "--return", "--command", &command, "/dev/null"])
        .env_clear()
        .envs([("HOME", store), ("PROMSAFE_STORE", store)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"[y/N] ") {
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "not asked: {}", seen.escape_ascii());
        seen.push(byte[0]);
    }
    keyboard.write_all(typed).unwrap();
    let mut said = String::new();
    screen.read_to_string(&mut said).unwrap();
    // Only now: that nothing more is typed would be an answer too.
    drop(keyboard);
    (terminal.wait().unwrap().code(), said)
}

#[tokio::test]
async fn who_does_not_say_yes_deletes_nothing_and_is_told_so() {
    let (root, store, _) = with_two().await;
    let delete = format!("delete {}", id(1));
    for typed in ["n\n", "\n", "yess\n"] {
        let (code, said) = on_a_terminal(root.path(), &delete, typed.as_bytes());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("nothing was deleted"), "{said}");
        assert!(!said.contains("interrupted") && !said.contains("hint"), "{said}");
    }
    let (code, said) = on_a_terminal(root.path(), &format!("{delete} -o json"), b"n\n");
    assert!(code == Some(1) && said.contains(r#""deleted":[]"#), "{code:?}: {said}");
    let end_of_text = b"\x03";
    let (code, said) = on_a_terminal(root.path(), &delete, end_of_text);
    assert!(code == Some(130) && said.contains("error: interrupted"), "{code:?}: {said}");
    assert_eq!(store.list().await.unwrap().len(), 2);
    let (code, said) = on_a_terminal(root.path(), &delete, b"y\n");
    assert!(code == Some(0) && said.contains("DELETED"), "{code:?}: {said}");
    assert_eq!(store.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn backup_that_cannot_be_read_is_deleted_only_by_force() {
    let (root, store, promsafe) = with_two().await;
    let record = root.path().join("backups").join(id(1).as_str()).join("backup.json");
    std::fs::write(&record, "{").unwrap();
    let delete = format!("delete {} --yes", id(1));
    promsafe.run(&delete).await.failed(4, &["cannot be read", "--force"]);
    let forced = promsafe.run(&format!("{delete} --force")).await.with(3);
    forced.says(&["DELETED", "record could not be read", &format!("promsafe/backup={}", id(1))]);
    assert_eq!(store.list().await.unwrap().len(), 1);
    promsafe.run("prune").await.with(0);
}

#[tokio::test]
async fn snapshots_are_named_as_left_when_no_cluster_can_be_reached() {
    let root = tempfile::tempdir().unwrap();
    copy_kept(root.path(), KEPT_ID);
    let kubeconfig = crate::commands::kubeconfig_to_nowhere(root.path());
    let promsafe = Promsafe::default().with_directory(root.path()).with_kubeconfig(&kubeconfig);
    let left = promsafe.run("delete latest --yes --force").await.with(3);
    left.says(&[
        "DELETED",
        "LEFT       VolumeSnapshot monitoring/promsafe-20261121t100105z-f282",
        "no cluster can be asked",
        "kubectl patch volumesnapshotcontent snapcontent-",
        "\"deletionPolicy\":\"Delete\"",
    ]);
    copy_kept(root.path(), KEPT_ID);
    let kept = promsafe.run("delete latest --yes --force --keep-snapshots").await.with(0);
    kept.says(&["DELETED", "LEFT", "asked to stay"]);
}
