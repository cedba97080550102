//! `promsafe verify` on data directories: what it says and how it ends.

use std::path::Path;

use serde_json::json;

use super::store_faults::{bound_by_permissions, hinted, with_mode};
use crate::support::promsafe::Promsafe;

const BLOCK: &str = "01M8HTH72QCSX3QT7WWV9CAHRM";
const BLOCKS: [&str; 2] = [BLOCK, "01M8HTH7BKGNHM94P83E99DN4W"];

/// A volume of the operator's with two real blocks.
fn volume() -> tempfile::TempDir {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tsdb/two-blocks");
    let volume = tempfile::tempdir().unwrap();
    for block in BLOCKS {
        let to = volume.path().join("prometheus-db").join(block);
        std::fs::create_dir_all(to.join("chunks")).unwrap();
        for file in ["meta.json", "index", "tombstones", "chunks/000001"] {
            std::fs::copy(kept.join(block).join(file), to.join(file)).unwrap();
        }
    }
    volume
}

fn change(volume: &Path, file: &str, at: usize) {
    let path = volume.join("prometheus-db").join(BLOCK).join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn whole_degraded_and_fatal_data_are_codes_0_3_and_6() {
    let (promsafe, volume) = (Promsafe::default(), volume());
    let command = format!("verify {}", volume.path().display());
    let words =
        ["prometheus-db: ok, 2 blocks, 0 logs, 48 series and 11520 samples", "newest sample 2023-11-15T03:59:30Z"];
    promsafe.run(&command).await.with(0).says(&words);

    change(volume.path(), "chunks/000001", 20);
    promsafe.run(&command).await.with(3).says(&[
        "DEGRADED",
        "1 of 48 chunks cannot be read",
        "lost: 1 series, 120 samples, from 2023-11-15T00:00",
    ]);
    promsafe.run(&format!("{command} --level list")).await.with(0);

    change(volume.path(), "index", 0);
    let ended = promsafe.run(&format!("{command} -o json")).await.with(6);
    let document = ended.json();
    assert_eq!(document["grade"], json!("fatal"));
    assert_eq!(document["blocks"][0]["findings"][0]["path"], json!(format!("{BLOCK}/index")));
}

#[tokio::test]
async fn a_directory_without_data_and_a_wrong_share_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    let command = format!("verify {}", empty.path().display());
    Promsafe::default().run(&command).await.failed(1, &["no block and no WAL"]);
    Promsafe::default().run(&format!("{command} --subset half")).await.with(2).says(&["half"]);
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named_with_how_to_name_one() {
    let promsafe = Promsafe::default();
    let no_backup = promsafe.run("verify no-directory").await;
    no_backup.failed(5, &["find backup no-directory", "promsafe list", "for a directory write ./no-directory"]);
    // Only `verify` takes either.
    promsafe.run("show no-directory").await.failed(5, &["promsafe list"]).never_says(&["./no-directory"]);
    promsafe.run("verify").await.failed(5, &["promsafe list"]).never_says(&["./"]);
    let missing = promsafe.run("verify ./no-directory").await;
    missing.failed(1, &["read ./no-directory", "./no-directory is not there: is its disk mounted?"]);
    let file = promsafe.run("verify ./Cargo.toml").await;
    file.failed(1, &["./Cargo.toml is no directory: name the one that holds Prometheus' blocks and wal"]);
}

#[tokio::test]
async fn a_directory_that_may_not_be_read_is_named_with_the_permission_it_takes() {
    let (store, volume) = (tempfile::tempdir().unwrap(), volume());
    let database = volume.path().join("prometheus-db");
    let lacks = |path: &Path| {
        let path = path.display();
        format!("this user lacks the permission to read {path}, or what is in it: run as the owner of its files")
    };
    for command in ["verify", "copy"] {
        let command = format!("{command} {}", database.display());
        let ended = with_mode(&database, 0o000, || bound_by_permissions(store.path(), &command));
        hinted(&ended, 1, &lacks(&database));
    }
    let index = database.join(BLOCK).join("index");
    let ended =
        with_mode(&index, 0o000, || bound_by_permissions(store.path(), &format!("verify {}", database.display())));
    hinted(&ended, 1, &lacks(&database));
}
