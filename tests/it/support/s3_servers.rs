//! Real S3 servers as processes of the test, on loopback: what people run beside AWS.

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use promsafe::store::StoreOptions;
use tempfile::TempDir;
use tokio::time::Instant;

use super::process::Process;
use super::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, options};
use super::testbed::{binary, free_ports};

/// Longest time until a server answers, on a machine with more to do; Ceph's three processes take a quarter of a minute.
const ANSWERS_WITHIN: Duration = Duration::from_mins(3);

/// A server that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// versitygw over a directory, as in the testbed.
    Versitygw,
    /// Ceph's gateway, from Debian's packages.
    Radosgw,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Versitygw, Self::Radosgw];

    /// Its program's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Versitygw => "versitygw",
            Self::Radosgw => "radosgw",
        }
    }
}

/// A running server. Dropping it ends it, and its data is gone.
pub(crate) struct Server {
    process: Process,
    endpoint: String,
    _directory: TempDir,
}

impl Server {
    /// Starts one and waits until it answers.
    pub(crate) async fn start(kind: Kind) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_ports(2);
        let home = directory.path().display().to_string();
        let arguments: Vec<String> = match kind {
            Kind::Versitygw => {
                let (data, versions) = (format!("{home}/data"), format!("{home}/versions"));
                for made in [&data, &versions] {
                    std::fs::create_dir(made).unwrap();
                }
                vec![
                    format!("ROOT_ACCESS_KEY={ACCESS_KEY_ID}"),
                    format!("ROOT_SECRET_KEY={SECRET_ACCESS_KEY}"),
                    binary("versitygw").display().to_string(),
                    "--port".to_owned(),
                    format!("127.0.0.1:{port}"),
                    "posix".to_owned(),
                    "--versioning-dir".to_owned(),
                    versions,
                    data,
                ]
            }
            Kind::Radosgw => vec![
                format!("AWS_ACCESS_KEY_ID={ACCESS_KEY_ID}"),
                format!("AWS_SECRET_ACCESS_KEY={SECRET_ACCESS_KEY}"),
                concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/radosgw").to_owned(),
                format!("{home}/ceph"),
                port.to_string(),
            ],
        };
        let process = Process::start(Path::new("/usr/bin/env"), &arguments, directory.path().join("log"));
        let mut server = Self { process, endpoint: format!("http://127.0.0.1:{port}"), _directory: directory };
        server.answers().await;
        server
    }

    /// Waits until it knows who asks.
    async fn answers(&mut self) {
        let deadline = Instant::now() + ANSWERS_WITHIN;
        while self.client().list_buckets().send().await.is_err() {
            let over = self.process.has_ended() || Instant::now() > deadline;
            assert!(!over, "{} does not answer:\n{}", self.endpoint, self.process.last_words());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A client for what promsafe itself does not do, such as making buckets.
    pub(crate) fn client(&self) -> Client {
        self.client_with(SECRET_ACCESS_KEY)
    }

    /// A client that signs with another secret.
    pub(crate) fn client_with(&self, secret: &str) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(Credentials::new(ACCESS_KEY_ID, secret, None, None, "test"))
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.endpoint)
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Client::from_conf(config)
    }

    /// Options that lead to a prefix of a bucket.
    pub(crate) fn options(&self, bucket: &str, prefix: &str) -> StoreOptions {
        options(&format!("s3://{bucket}/{prefix}"), Some(&self.endpoint))
    }
}
