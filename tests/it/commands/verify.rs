//! `promsafe verify` on data directories: what it says and how it ends.

use std::path::Path;

use serde_json::json;

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
