//! Copies through servers that fail now and then, or for good, and onto disks that are full.

use http::Method;
use promsafe::store::StoreOptions;
use serde_json::Value;

use super::data::{bytes, differences};
use super::{Place, number};
use crate::support::fault_proxy::When;
use crate::support::promsafe::Promsafe;
use crate::support::s3::S3Server;
use crate::support::s3_proxy::{S3Fault, S3Proxy, Spoiling};

/// The binary with the store of these options, by way of a proxy.
fn through(proxy: &S3Proxy, options: &StoreOptions) -> Promsafe {
    Promsafe::default().with_store(options.url.to_string()).with_s3_endpoint(proxy.endpoint())
}

fn pieces(method: Method, when: When, fault: S3Fault) -> Spoiling {
    Spoiling { method, path: "/data/", when, fault }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_500_and_broken_ones_cost_time_alone() {
    let place = Place::new(2);
    let server = S3Server::start().await;
    let options = server.options("prefix");
    let spoiling = pieces(Method::PUT, When::Every(4), S3Fault::InternalError);
    let proxy = S3Proxy::start(&options, spoiling).await;
    let copy = format!("copy {} -o json", place.volume().display());
    let copied = through(&proxy, &options).run(&copy).await.with(0);
    assert_eq!(number(&copied, "/copied/sent_bytes"), bytes(&place.volume()), "{copied:#?}");
    assert!(proxy.matched() > 8 && proxy.spoilt() == proxy.matched() / 4, "{} were sent", proxy.matched());

    // The tree is read first, whole; then the first requests for pieces are cut.
    let spoiling = pieces(Method::GET, When::Between(2, 7), S3Fault::CutAnswer);
    let proxy = S3Proxy::start(&options, spoiling).await;
    let extract = format!("extract latest --to {} -o json", place.path("back").display());
    let extracted = through(&proxy, &options).run(&extract).await.with(0);
    assert_eq!(number(&extracted, "/written_bytes"), bytes(&place.volume()), "{extracted:#?}");
    assert_eq!(differences(&place.volume(), &place.path("back")), [""; 0]);
    assert_eq!(proxy.spoilt(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_takes_no_piece_ends_the_copy_and_the_next_run_goes_on() {
    let place = Place::new(2);
    let server = S3Server::start().await;
    let options = server.options("prefix");
    let copy = format!("copy {}", place.volume().display());
    let proxy = S3Proxy::start(&options, pieces(Method::PUT, When::Always, S3Fault::InternalError)).await;
    let failed = through(&proxy, &options).run(&copy).await;
    failed.failed(1, &["s3://bucket/prefix/data/", "injected fault", "HTTP 500"]);
    let promsafe = Promsafe::default().with_store(options.url.to_string());
    let promsafe = promsafe.with_s3_endpoint(options.s3_endpoint.unwrap());
    assert_eq!(promsafe.run("list -o json").await.with(0).json()["backups"], Value::Array(vec![]));
    promsafe.run(&copy).await.with(0);
    promsafe.run("verify").await.with(0);
}

#[tokio::test]
async fn full_disk_is_named_and_the_next_run_goes_on() {
    let place = Place::new(2);
    place.copy("").await.with(0);
    let (small, back) = (place.path("small"), place.path("small/back"));
    std::fs::create_dir(&small).unwrap();
    let on_small_disk = place.promsafe.clone().on_a_disk_of(10 << 20, &small);
    let extract = format!("extract latest --to {}", back.display());
    let full = on_small_disk.run(&extract).await;
    full.failed(1, &[&back.display().to_string(), "chunks/000001", "No space left on device", "make room"]);

    // The store itself is on it.
    let store = place.path("small/store");
    let on_small_disk = Promsafe::default().with_directory(&store).on_a_disk_of(10 << 20, &small);
    let full = on_small_disk.run(&format!("copy {}", place.volume().display())).await;
    full.failed(1, &[&store.join("data").display().to_string(), "No space left on device", "make room"]);

    place.promsafe.run(&extract).await.with(0);
    assert_eq!(differences(&place.volume(), &back), [""; 0]);
}
