//! What real S3 servers guarantee, measured, and held against what is known of each. `testbed/servers` prints the table.

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{ByteStream, DateTime, SdkBody};
use aws_sdk_s3::types::{BucketVersioningStatus, ObjectLockMode, VersioningConfiguration};
use base64::Engine as _;
use futures::future::join_all;
use promsafe::model::Sha256;
use promsafe::store::{CreateOnly, Store};

use crate::copies::directory_comes_back_from;
use crate::store::{contract, facade};
use crate::support::s3::with_credentials;
use crate::support::s3_servers::{Kind, Server};

/// What a store may get from its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guarantee {
    CreatesOnly,
    OneWriterWins,
    WrongSecretRefused,
    ChangedBodyRefused,
    KeepsVersions,
    LocksObjects,
    TellsItsClock,
}

/// What it is, and what promsafe does where a server does not give it.
struct Row {
    guarantee: Guarantee,
    what: &'static str,
    without: &'static str,
    /// The servers known to give it.
    given_by: &'static [Kind],
}

const TABLE: &[Row] = &[
    Row {
        guarantee: Guarantee::CreatesOnly,
        what: "a second PutObject with If-None-Match: * is refused",
        without: "names carry the run's id; doctor says so",
        given_by: &Kind::ALL,
    },
    Row {
        guarantee: Guarantee::OneWriterWins,
        what: "of eight PutObjects at once to one key one is taken",
        without: "names carry the run's id",
        given_by: &Kind::ALL,
    },
    Row {
        guarantee: Guarantee::WrongSecretRefused,
        what: "a request signed with another secret is refused",
        without: "whoever reaches the server reads and writes",
        given_by: &Kind::ALL,
    },
    Row {
        guarantee: Guarantee::ChangedBodyRefused,
        what: "a body that is not what its sha256 header says is refused",
        without: "what was changed on its way is found by verify, not at once",
        given_by: &Kind::ALL,
    },
    Row {
        guarantee: Guarantee::KeepsVersions,
        what: "with versioning a deleted object can be had back",
        without: "what is deleted is gone",
        given_by: &Kind::ALL,
    },
    Row {
        guarantee: Guarantee::LocksObjects,
        what: "a locked version cannot be deleted before its time",
        without: "whoever has the credentials can delete backups",
        given_by: &Kind::ALL,
    },
    Row {
        guarantee: Guarantee::TellsItsClock,
        what: "answers carry a Date",
        without: "doctor cannot tell whether clocks differ",
        given_by: &Kind::ALL,
    },
];

impl Guarantee {
    /// Whether this server gives it.
    async fn is_given(self, server: &Server) -> bool {
        match self {
            Self::CreatesOnly => store(server, "probe").await.check_writable().await.unwrap() == CreateOnly::Honoured,
            Self::OneWriterWins => one_writer_wins(server).await,
            Self::WrongSecretRefused => {
                server.client_with("another").list_objects_v2().bucket(PLAIN).send().await.is_err()
            }
            Self::ChangedBodyRefused => changed_body_is_refused(server).await,
            Self::KeepsVersions => keeps_versions(server).await,
            Self::LocksObjects => locks_objects(server).await,
            Self::TellsItsClock => {
                let store = store(server, "clock").await;
                store.list().await.unwrap();
                store.remote().unwrap().clock_skew.is_some_and(|skew| skew.abs().as_secs() < 5)
            }
        }
    }
}

const PLAIN: &str = "plain";
const VERSIONED: &str = "versioned";
const LOCKED: &str = "locked";

async fn store(server: &Server, prefix: &str) -> Store {
    Store::open(&server.options(PLAIN, prefix)).await.unwrap()
}

async fn one_writer_wins(server: &Server) -> bool {
    let store = store(server, "race").await;
    for round in 0..10_u8 {
        let key = format!("race/{round}");
        let written = join_all((0..8_u8).map(|n| store.backend().put_new(&key, vec![n; 1000]))).await;
        if written.iter().filter(|result| result.is_ok()).count() != 1 {
            return false;
        }
    }
    true
}

/// Sends another body of the same length than the one that was signed.
#[derive(Debug)]
struct ChangeBody;

impl Intercept for ChangeBody {
    fn name(&self) -> &'static str {
        "ChangeBody"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _runtime_components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *context.request_mut().body_mut() = SdkBody::from("changed");
        Ok(())
    }
}

async fn changed_body_is_refused(server: &Server) -> bool {
    let put = server.client().put_object().bucket(PLAIN).key("changed").body(ByteStream::from_static(b"written"));
    put.customize().interceptor(ChangeBody).send().await.is_err()
}

async fn keeps_versions(server: &Server) -> bool {
    let client = server.client();
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    if client.put_bucket_versioning().bucket(VERSIONED).versioning_configuration(enabled).send().await.is_err() {
        return false;
    }
    let put = client.put_object().bucket(VERSIONED).key("a").body(ByteStream::from_static(b"first"));
    let Some(version) = put.send().await.unwrap().version_id else { return false };
    client.delete_object().bucket(VERSIONED).key("a").send().await.unwrap();
    let gone = client.get_object().bucket(VERSIONED).key("a").send().await.is_err();
    let Ok(back) = client.get_object().bucket(VERSIONED).key("a").version_id(version).send().await else {
        return false;
    };
    gone && back.body.collect().await.unwrap().to_vec() == b"first"
}

async fn locks_objects(server: &Server) -> bool {
    let client = server.client();
    let tomorrow = std::time::SystemTime::now() + std::time::Duration::from_hours(24);
    let put = client.put_object().bucket(LOCKED).key("a").body(ByteStream::from_static(b"kept"));
    let put = put.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(DateTime::from(tomorrow));
    // The API asks for a checksum where locks are set.
    let checksum = base64::engine::general_purpose::STANDARD.encode(Sha256::of(b"kept").as_bytes());
    let put = put.checksum_sha256(checksum);
    let Ok(written) = put.send().await else { return false };
    let Some(version) = written.version_id else { return false };
    let deleted = client.delete_object().bucket(LOCKED).key("a").version_id(&version).send().await;
    deleted.is_err() && client.get_object().bucket(LOCKED).key("a").version_id(version).send().await.is_ok()
}

/// A server with the buckets of these tests.
async fn started(kind: Kind) -> Server {
    let server = Server::start(kind).await;
    for bucket in [PLAIN, VERSIONED, LOCKED] {
        let create = server.client().create_bucket().bucket(bucket);
        let create = if bucket == LOCKED { create.object_lock_enabled_for_bucket(true) } else { create };
        create.send().await.unwrap();
    }
    server
}

/// All that promsafe asks of a store, on one server; then its row of the table.
#[expect(clippy::print_stdout, reason = "the table is what a user wants to see")]
async fn holds(kind: Kind) {
    let server = started(kind).await;
    contract::holds(store(&server, "contract").await.backend()).await;
    facade::pieces_are_kept_under_their_hash(&store(&server, "pieces").await).await;
    directory_comes_back_from(server.options(PLAIN, "copies")).await;
    for row in TABLE {
        let given = row.guarantee.is_given(&server).await;
        let name = kind.name();
        let told = if given { format!("yes  {}", row.what) } else { format!("no   {}: {}", row.what, row.without) };
        println!("{name:<10} {told}");
        assert_eq!(given, row.given_by.contains(&kind), "{name}: {}", row.what);
    }
}

#[test]
fn versitygw_gives_what_the_table_says() {
    with_credentials("servers::versitygw_gives_what_the_table_says", holds(Kind::Versitygw));
}

#[test]
fn radosgw_gives_what_the_table_says() {
    with_credentials("servers::radosgw_gives_what_the_table_says", holds(Kind::Radosgw));
}
