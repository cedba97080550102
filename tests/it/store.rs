//! The store on both backends: a directory, and an S3 server with checked signatures.

pub(crate) mod contract;
pub(crate) mod facade;
mod lock;

use std::io::{Read, Write};

use promsafe::model::Sha256;
use promsafe::store::{CreateOnly, Store, StoreError, Written};

use crate::support::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY, options, with_credentials, with_environment};

/// An error with all its causes, as the command line shows it.
fn full_text(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

async fn open(server: &S3Server, prefix: &str) -> Store {
    Store::open(&server.options(prefix)).await.unwrap()
}

#[tokio::test]
async fn contract_holds_on_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let url = root.path().join("made/on/demand").display().to_string();
    let store = Store::open(&options(&url, None)).await.unwrap();
    contract::holds(store.backend()).await;
    contract::one_of_many_writers_wins(store.backend()).await;
}

#[test]
fn contract_holds_on_s3() {
    with_credentials("store::contract_holds_on_s3", async {
        let server = S3Server::start().await;
        contract::holds(open(&server, "a/prefix").await.backend()).await;
        contract::holds(open(&server, "").await.backend()).await;
    });
}

/// Where a bucket is looked for when only the environment can tell.
async fn place_without_endpoint() -> String {
    Store::open(&options("s3://bucket", None)).await.unwrap().remote().unwrap().endpoint
}

#[test]
fn region_of_the_environment_is_that_of_the_bucket() {
    let name = "store::region_of_the_environment_is_that_of_the_bucket";
    with_environment(name, &[("AWS_REGION", "eu-north-7")], async {
        assert_eq!(place_without_endpoint().await, "AWS, region eu-north-7");
    });
}

#[test]
fn region_of_the_machine_is_that_of_the_bucket_when_nothing_else_is_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}", listener.local_addr().unwrap());
    // As the instance metadata service answers: a session token, then the region.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = vec![0; 4096];
            let read = connection.read(&mut request).unwrap();
            let body = match String::from_utf8_lossy(&request[..read]) {
                text if text.starts_with("PUT /latest/api/token ") => "a-token",
                text if text.starts_with("GET /latest/meta-data/placement/region ") => "eu-south-9",
                other => panic!("{other}"),
            };
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\nx-aws-ec2-metadata-token-ttl-seconds: 600\r\n";
            write!(connection, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    let name = "store::region_of_the_machine_is_that_of_the_bucket_when_nothing_else_is_said";
    let machine = [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata)];
    with_environment(name, &machine, async {
        assert_eq!(place_without_endpoint().await, "AWS, region eu-south-9");
    });
}

#[test]
fn a_prefix_of_a_bucket_is_a_store_of_its_own() {
    with_credentials("store::a_prefix_of_a_bucket_is_a_store_of_its_own", async {
        let server = S3Server::start().await;
        let (one, more) = (open(&server, "one").await, open(&server, "one-more").await);
        one.backend().put_new("key", b"1".to_vec()).await.unwrap();
        more.backend().put_new("key", b"2".to_vec()).await.unwrap();
        assert_eq!(one.backend().list("").await.unwrap(), ["key"]);
        assert_eq!(one.backend().get("key").await.unwrap().unwrap(), b"1");
        assert!(server.bucket_directory().join("one-more/key").exists());
    });
}

#[test]
fn a_backup_is_kept_on_s3() {
    with_credentials("store::a_backup_is_kept_on_s3", async {
        let server = S3Server::start().await;
        let store = open(&server, "prefix").await;
        assert_eq!(store.check_writable().await.unwrap(), CreateOnly::Honoured);
        assert_eq!(store.backend().list("").await.unwrap(), [""; 0]);
        facade::a_backup_is_written_listed_and_read(&store).await;
        facade::pieces_are_kept_under_their_hash(&open(&server, "pieces").await).await;
    });
}

#[test]
fn hash_that_is_known_is_what_a_request_is_signed_with() {
    with_credentials("store::hash_that_is_known_is_what_a_request_is_signed_with", async {
        let server = S3Server::start().await;
        let store = open(&server, "prefix").await;
        let (right, wrong) = (Sha256::of(b"abc"), Sha256::of(b"abd"));
        assert_eq!(store.put_data(&right, b"abc".as_slice().into()).await.unwrap(), Written::New);
        // The server computes it from what arrives and takes no other.
        store.put_data(&wrong, b"abc".as_slice().into()).await.unwrap_err();
        assert_eq!(store.data().await.unwrap(), [(right, 3)].into());
    });
}

#[test]
fn wrong_credentials_are_named_without_their_secret() {
    with_credentials("store::wrong_credentials_are_named_without_their_secret", async {
        let server = S3Server::that_refuses_us().await;
        let error = open(&server, "").await.check_writable().await.unwrap_err();
        assert!(
            matches!(&error, StoreError::AccessDenied { who, .. } if who.contains("EnvironmentVariable")),
            "{error}"
        );
        let text = full_text(&error);
        assert!(text.contains(ACCESS_KEY_ID) && text.contains("SignatureDoesNotMatch"), "{text}");
        assert!(!format!("{text}{error:?}").contains(SECRET_ACCESS_KEY), "{text}");
    });
}

#[test]
fn a_missing_bucket_is_named() {
    with_credentials("store::a_missing_bucket_is_named", async {
        let server = S3Server::start().await;
        let mut options = server.options("");
        options.url = "s3://nowhere/x".parse().unwrap();
        let store = Store::open(&options).await.unwrap();
        // Only reading: this server makes a bucket for who writes. `node_store` has the writing on a real one.
        let errors = [store.list().await.unwrap_err(), store.resolve("latest").await.unwrap_err()];
        for error in errors {
            assert!(matches!(&error, StoreError::NoSuchBucket { bucket, .. } if bucket == "nowhere"), "{error:?}");
        }
    });
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    with_credentials("store::a_server_that_is_not_there_is_unreachable", async {
        let gone = S3Server::start().await.options("");
        for endpoint in [gone.s3_endpoint.clone().unwrap(), "http://nowhere.invalid:9000".to_owned()] {
            let store = Store::open(&options("s3://bucket", Some(&endpoint))).await.unwrap();
            let began = std::time::Instant::now();
            let error = store.list().await.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
            assert!(full_text(&error).contains(&endpoint), "{}", full_text(&error));
            assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
        }
    });
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    with_credentials("store::a_server_that_never_answers_is_given_up", async {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = options("s3://bucket", Some(&format!("http://{}", silent.local_addr().unwrap())));
        options.timeouts.request = std::time::Duration::from_millis(300);
        options.timeouts.attempts = std::time::Duration::from_millis(900);
        let began = std::time::Instant::now();
        let error = Store::open(&options).await.unwrap().list().await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        assert!(full_text(&error).contains("no answer within"), "{}", full_text(&error));
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    });
}

#[test]
fn a_write_whose_answer_is_lost_is_not_mistaken_for_another_ones() {
    with_credentials("store::a_write_whose_answer_is_lost_is_not_mistaken_for_another_ones", async {
        let server = S3Server::that_loses_its_first_answer().await;
        let store = open(&server, "").await;
        store.backend().put_new("key", b"mine".to_vec()).await.unwrap();
        assert_eq!(store.backend().get("key").await.unwrap().unwrap(), b"mine");

        let server = S3Server::that_loses_its_first_answer().await;
        std::fs::write(server.bucket_directory().join("key"), "theirs").unwrap();
        let refused = open(&server, "").await.backend().put_new("key", b"mine".to_vec()).await;
        assert!(matches!(refused, Err(StoreError::AlreadyExists { .. })), "{refused:?}");
        assert_eq!(std::fs::read(server.bucket_directory().join("key")).unwrap(), b"theirs");
    });
}
