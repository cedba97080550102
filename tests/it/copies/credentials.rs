//! Credentials that expire while a copy runs.

use std::path::Path;
use std::time::Duration;

use super::Place;
use crate::support::promsafe::Promsafe;
use crate::support::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};

const NEW_KEY: &str = "AKIAROTATEDROTATED";
const NEW_SECRET: &str = "another-secret-altogether";

fn write_credentials(file: &Path, key: &str, secret: &str) {
    let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    std::fs::write(file, text).unwrap();
}

/// Whoever issues credentials puts new ones into the file before the old ones expire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_file_is_read_again_before_the_old_ones_expire() {
    let place = Place::new(4);
    let server = S3Server::start().await;
    let (file, options) = (place.path("credentials"), server.options("prefix"));
    let promsafe = Promsafe::default().with_store(options.url.to_string());
    let promsafe = promsafe.with_s3_endpoint(options.s3_endpoint.unwrap());
    write_credentials(&file, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let credentials = format!("--credentials-file {}", file.display());
    // Its last piece is sent after 86 seconds.
    let copy = promsafe.start(&format!("copy {} {credentials} --bandwidth 300KiB", place.volume().display()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.keys().allow(NEW_KEY, NEW_SECRET);
    write_credentials(&file, NEW_KEY, NEW_SECRET);
    tokio::time::sleep(Duration::from_secs(62)).await;
    server.keys().refuse(ACCESS_KEY_ID);
    let copied = copy.ended().await.with(0);
    assert!(copied.took > Duration::from_secs(70), "it ended before the old ones did: {copied:#?}");
    promsafe.run("list").await.failed(7, &[ACCESS_KEY_ID]);
    promsafe.run(&format!("verify {credentials}")).await.with(0).says(&["VERIFIED   1 backup"]);
}
