//! The store on the testbed's S3 server, a real one. Run by `testbed exec`, which sets the environment.

use std::time::{SystemTime, UNIX_EPOCH};

use promsafe::store::{CreateOnly, Store, StoreError};

use crate::store::contract;
use crate::support::s3::options;

/// A store of its own below the testbed's bucket; endpoint and credentials come from the environment.
async fn store(purpose: &str) -> Store {
    let bucket = std::env::var("TESTBED_S3_BUCKET");
    let bucket = bucket.expect("TESTBED_S3_BUCKET is not set: run this test by `testbed exec -- <test binary> node_`");
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let url = format!("s3://{bucket}/test-store/{purpose}-{nanoseconds}");
    Store::open(&options(&url, None)).await.unwrap()
}

#[tokio::test]
async fn node_store_contract_holds_on_a_real_server() {
    contract::holds(store("contract").await.backend()).await;
}

#[tokio::test]
async fn node_store_real_server_creates_only() {
    let store = store("probe").await;
    assert_eq!(store.check_writable().await.unwrap(), CreateOnly::Honoured);
}

#[tokio::test]
async fn node_store_one_of_many_writers_wins_on_a_real_server() {
    contract::one_of_many_writers_wins(store("race").await.backend()).await;
}

#[tokio::test]
async fn node_store_a_missing_bucket_is_named_before_anything_is_written() {
    let _environment = store("unused").await;
    let store = Store::open(&options("s3://promsafe-no-such-bucket/x", None)).await.unwrap();
    let error = store.check_writable().await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchBucket { .. }), "{error:?}");
}
