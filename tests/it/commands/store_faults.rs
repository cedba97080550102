//! What the binary says of stores: nothing there, damage, newer formats, servers that refuse or are not there.

use std::path::Path;
use std::time::Duration;

use promsafe::model::{FORMAT, Sha256};

use super::{KEPT_ID, OwnStore, copy_kept};
use crate::support::promsafe::Promsafe;
use crate::support::s3::{ACCESS_KEY_ID, S3Server};

/// Every command that opens a backup.
const OPENING: [&str; 3] = ["show", "restore", "restore --plan"];

#[tokio::test]
async fn unknown_backups_are_code_5_with_what_is_there() {
    let own = OwnStore::new();
    for command in OPENING {
        for wanted in ["20200101", "nonsense", "20261121T100105Z-f283"] {
            let ended = own.promsafe.run(&format!("{command} {wanted}")).await;
            ended.failed(5, &[wanted, KEPT_ID, "promsafe list"]);
        }
    }
}

#[tokio::test]
async fn latest_of_an_empty_store_is_code_5() {
    let own = OwnStore::new();
    let empty = tempfile::tempdir().unwrap();
    let promsafe = own.promsafe.clone().with_directory(empty.path());
    for command in OPENING {
        promsafe.run(&format!("{command} latest")).await.failed(5, &["holds no complete backup", "promsafe list"]);
    }
    promsafe.run("list").await.with(0).says(&["no complete backup", "promsafe backup"]);
}

#[tokio::test]
async fn ambiguous_beginnings_are_code_5_with_all_that_fit() {
    let own = OwnStore::new();
    let second = "20261121T100105Z-f283";
    copy_kept(own.directory.path(), second);
    for command in OPENING {
        let ended = own.promsafe.run(&format!("{command} 20261121T")).await;
        ended.failed(5, &["2 of them begin so", KEPT_ID, second]);
    }
}

#[tokio::test]
async fn unfinished_backups_are_no_backups() {
    let own = OwnStore::new();
    let later = "20261122T000000Z-0000";
    copy_kept(own.directory.path(), later);
    std::fs::remove_file(own.directory.path().join("backups").join(later).join("backup.json")).unwrap();
    own.promsafe.run("list").await.with(0).says(&["UNFINISHED 1", later, KEPT_ID]);
    own.promsafe.run("show latest").await.with(0).says(&[KEPT_ID]).never_says(&[later]);
    own.promsafe.run(&format!("restore {later}")).await.failed(5, &["never completed", later]);
}

#[tokio::test]
async fn flipped_bit_in_the_bundle_is_code_6_and_names_the_file() {
    for at in [0, 100_000, 352_654] {
        let own = OwnStore::new();
        own.change("manifests.tar.gz", |bytes| bytes[at] ^= 1);
        for command in ["restore", "restore --plan", "restore --plan -o json"] {
            let ended = own.promsafe.run(&format!("{command} latest")).await;
            ended.failed(6, &[&format!("{KEPT_ID}/manifests.tar.gz"), "damaged", "sha256"]);
        }
    }
}

#[tokio::test]
async fn cut_or_missing_bundle_is_code_6_and_names_the_file() {
    let own = OwnStore::new();
    let file = format!("{KEPT_ID}/manifests.tar.gz");
    own.change("manifests.tar.gz", |bytes| bytes.truncate(1000));
    own.promsafe.run("restore").await.failed(6, &[&file, "it has 1000 bytes, not 352655"]);
    std::fs::remove_file(own.directory.path().join("backups").join(&file)).unwrap();
    own.promsafe.run("restore").await.failed(6, &[&file, "it is missing"]);
}

#[tokio::test]
async fn flipped_bit_in_the_record_is_code_6_and_names_the_file() {
    for at in [2, 40, 5000, 23_422] {
        let own = OwnStore::new();
        own.change("backup.json", |bytes| bytes[at] ^= 1);
        for command in OPENING {
            let ended = own.promsafe.run(&format!("{command} latest")).await;
            ended.failed(6, &[&format!("{KEPT_ID}/backup.json"), "damaged"]);
        }
        // The others of the store are still to be seen: this one is named, not the end of the listing.
        own.promsafe.run("list").await.with(6).says(&["UNREADABLE", KEPT_ID, "backup.json"]);
        own.promsafe.run("list -o json").await.with(6).says(&["\"unreadable\":[{", KEPT_ID]);
    }
}

/// An envelope of a format to come, rightly sealed.
fn of_format(format: u32, needs: &str) -> Vec<u8> {
    let record = r#"{"quite":"different"}"#;
    let hash = Sha256::of(format!("{format}\n{needs}\n{record}").as_bytes());
    format!(r#"{{"format":{format},"needs":"{needs}","sha256":"{hash}","record":{record}}}{}"#, '\n').into_bytes()
}

#[tokio::test]
async fn newer_format_is_code_6_and_says_which_version_reads_it() {
    let own = OwnStore::new();
    let newer = FORMAT + 1;
    own.change("backup.json", |bytes| *bytes = of_format(newer, "promsafe 9.9"));
    for command in OPENING {
        let ended = own.promsafe.run(&format!("{command} latest")).await;
        ended.failed(6, &[&format!("format {newer}, which needs promsafe 9.9 or newer"), "backup.json"]);
    }
    own.promsafe.run("list").await.with(6).says(&["needs promsafe 9.9"]);
}

/// The binary with a store in this bucket of a server.
fn on(endpoint: &str, url: &str) -> Promsafe {
    Promsafe::default().with_store(url).with_s3_endpoint(endpoint)
}

fn endpoint(server: &S3Server) -> String {
    server.options("").s3_endpoint.unwrap()
}

#[tokio::test]
async fn backups_in_a_bucket_are_read_as_those_in_a_directory() {
    let server = S3Server::start().await;
    copy_kept(&server.bucket_directory().join("a/prefix"), KEPT_ID);
    let promsafe = on(&endpoint(&server), "s3://bucket/a/prefix");
    promsafe.run("list").await.with(0).says(&[KEPT_ID]);
    promsafe.run("show latest -o yaml").await.with(0).says(&[KEPT_ID]);
    let file = server.bucket_directory().join("a/prefix/backups").join(KEPT_ID).join("manifests.tar.gz");
    flip_last_byte(&file);
    let kubeconfig = super::cluster_faults::kubeconfig(&server.bucket_directory(), "https://127.0.0.1:1");
    let ended = promsafe.with_kubeconfig(&kubeconfig).run("restore").await;
    ended.failed(6, &[&format!("s3://bucket/a/prefix/backups/{KEPT_ID}/manifests.tar.gz"), "damaged"]);
}

fn flip_last_byte(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 0x80;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn wrong_credentials_are_code_7_and_name_the_key_but_not_its_secret() {
    let server = S3Server::that_refuses_us().await;
    let promsafe = on(&endpoint(&server), "s3://bucket/x");
    for command in ["list", "show latest", "list -o json", "restore -o yaml"] {
        let ended = promsafe.run(command).await;
        ended.failed(7, &[ACCESS_KEY_ID, "SignatureDoesNotMatch", "s3://bucket/x", "AWS_"]);
    }
}

#[tokio::test]
async fn missing_bucket_is_code_7_and_named() {
    let server = S3Server::start().await;
    let promsafe = on(&endpoint(&server), "s3://nowhere/x");
    for command in ["list", "show latest", "restore"] {
        promsafe.run(command).await.failed(7, &["there is no bucket nowhere", &endpoint(&server), "--store"]);
    }
}

#[tokio::test]
async fn endpoint_that_is_not_there_is_code_7_within_20_s() {
    let gone = endpoint(&S3Server::start().await);
    for endpoint in [gone.as_str(), "http://nowhere.invalid:9000"] {
        let ended = on(endpoint, "s3://bucket/x").run("list").await.failed(7, &[endpoint, "--s3-endpoint"]);
        assert!(ended.took < Duration::from_secs(20), "{ended:#?}");
    }
}
