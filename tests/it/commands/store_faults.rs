//! What the binary says of stores: nothing there, damage, newer formats, servers that refuse or are not there.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};
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
    let others = "promsafe list shows other";
    ended.failed(6, &[&format!("s3://bucket/a/prefix/backups/{KEPT_ID}/manifests.tar.gz"), "damaged", others]);
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

/// Runs a command line as somebody whom permissions bind: root in a shell is bound by none.
pub(super) fn bound_by_permissions(store: &Path, command_line: &str) -> Output {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let bound = is_root.then_some(["setpriv", "--bounding-set=-dac_override,-dac_read_search"]);
    let words = bound.into_iter().flatten().chain([env!("CARGO_BIN_EXE_promsafe")]);
    let mut words = words.chain(command_line.split_whitespace());
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env_clear().env("HOME", store).env("PROMSAFE_STORE", store).output().unwrap()
}

/// Gives a file or directory other permissions for as long as this runs.
pub(super) fn with_mode<T>(path: &Path, mode: u32, run: impl FnOnce() -> T) -> T {
    let before = std::fs::metadata(path).unwrap().permissions();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let ran = run();
    std::fs::set_permissions(path, before).unwrap();
    ran
}

/// Asserts a failure with this code and this hint.
#[track_caller]
pub(super) fn hinted(output: &Output, code: i32, hint: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert_eq!(told.lines().find_map(|line| line.strip_prefix("hint: ")), Some(hint), "{told}");
}

#[tokio::test]
async fn store_of_somebody_else_is_code_7_and_says_whose_rights_it_takes() {
    let own = OwnStore::new();
    let store = own.directory.path();
    let owner =
        |path: &Path| format!("run as the owner of {} (files have mode 0600), or change its owner", path.display());
    for command in ["list", "show latest", "verify --all", "delete latest --yes", "prune --plan"] {
        let ended = with_mode(store, 0o000, || bound_by_permissions(store, command));
        hinted(&ended, 7, &owner(store));
    }
    let record = store.join("backups").join(KEPT_ID).join("backup.json");
    let ended = with_mode(&record, 0o000, || bound_by_permissions(store, "show latest"));
    hinted(&ended, 7, &owner(&record));
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("file"), "data").unwrap();
    let copy = format!("copy {}", data.path().display());
    let ended = with_mode(store, 0o500, || bound_by_permissions(&store.join("new/store"), &copy));
    let place = format!("run as the owner of {}, or change its owner", store.display());
    hinted(&ended, 7, &format!("{place}, or name another store with --store"));
}

#[tokio::test]
async fn question_about_what_is_not_in_a_backup_is_answered_with_where_to_look() {
    let own = OwnStore::new();
    for question in ["secret/nope", "sekret/alertmanager-main", "secret/alertmanager-main -n nowhere"] {
        let ended = own.promsafe.run(&format!("explain {question} --backup latest")).await;
        ended.failed(1, &["was not looked at", "promsafe show ID", "are kind, name and -n right?"]);
    }
}
