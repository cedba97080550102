//! An S3 server inside the test process, with checked signatures, on a port of its own. Its files are gone with it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use promsafe::model::Timeouts;
use promsafe::store::{PathStyle, StoreOptions};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The one access key the server knows.
pub(crate) const ACCESS_KEY_ID: &str = "AKIATESTTESTTEST";
/// Its secret.
pub(crate) const SECRET_ACCESS_KEY: &str = "not-a-secret-at-all";

/// What [`inside`] a test says which test it is.
const INSIDE: &str = "PROMSAFE_TEST_INSIDE";

/// Runs the body of a test in a process of its own, whose environment holds the credentials the server knows and
/// nothing else about AWS. A process cannot safely change its own environment while other tests run in it.
///
/// `test` is the name of the test as `cargo test` spells it.
pub(crate) fn with_credentials(test: &str, body: impl Future<Output = ()>) {
    with_environment(test, &[], body);
}

/// The same with more in the environment.
#[expect(clippy::print_stdout, reason = "what the inner process says is the test's own output")]
pub(crate) fn with_environment(test: &str, more: &[(&str, &str)], body: impl Future<Output = ()>) {
    if std::env::var(INSIDE).as_deref() == Ok(test) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(body);
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        again.env_remove(name);
    }
    again.envs([("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)]);
    again.envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")]);
    again.env("AWS_EC2_METADATA_DISABLED", "true").env(INSIDE, test);
    again.envs(more.iter().copied());
    let output = again.args([test, "--exact", "--nocapture"]).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("1 passed"), "there is no test {test}");
    print!("{stdout}");
}

/// A running server with one empty bucket, `bucket`.
pub(crate) struct S3Server {
    directory: TempDir,
    address: SocketAddr,
    keys: Keys,
    task: JoinHandle<()>,
}

/// The access keys that a server knows, with their secrets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Arc<Mutex<HashMap<String, String>>>);

impl Keys {
    /// Knows this one from now on.
    pub(crate) fn allow(&self, access_key_id: &str, secret: &str) {
        self.0.lock().unwrap().insert(access_key_id.to_owned(), secret.to_owned());
    }

    /// Knows it no longer.
    pub(crate) fn refuse(&self, access_key_id: &str) {
        self.0.lock().unwrap().remove(access_key_id);
    }
}

impl S3Auth for Keys {
    fn get_secret_key<'s, 'k, 'f>(
        &'s self,
        access_key: &'k str,
    ) -> Pin<Box<dyn Future<Output = S3Result<SecretKey>> + Send + 'f>>
    where
        's: 'f,
        'k: 'f,
    {
        let secret = self.0.lock().unwrap().get(access_key).map(|secret| SecretKey::from(secret.as_str()));
        Box::pin(std::future::ready(secret.ok_or_else(|| s3_error!(InvalidAccessKeyId))))
    }
}

impl S3Server {
    /// Starts it. It stops when dropped.
    pub(crate) async fn start() -> Self {
        Self::with(SECRET_ACCESS_KEY, 0).await
    }

    /// Starts one that expects another secret than the tests' credentials have.
    pub(crate) async fn that_refuses_us() -> Self {
        Self::with("another", 0).await
    }

    /// Starts one that does what its first request asks, and breaks the connection instead of answering.
    pub(crate) async fn that_loses_its_first_answer() -> Self {
        Self::with(SECRET_ACCESS_KEY, 1).await
    }

    async fn with(secret: &str, lost_answers: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
        let keys = Keys::default();
        keys.allow(ACCESS_KEY_ID, secret);
        service.set_auth(keys.clone());
        let service = service.build();
        let answered = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, answered) = (service.clone(), Arc::clone(&answered));
                let answer = service_fn(move |request: hyper::Request<Incoming>| {
                    let (answer, answered) = (Service::call(&service, request), Arc::clone(&answered));
                    async move {
                        let answer = answer.await.map_err(std::io::Error::other)?;
                        let lost = answered.fetch_add(1, Ordering::SeqCst) < lost_answers;
                        if lost { Err(std::io::Error::other("lost")) } else { Ok(answer) }
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(socket), answer));
            }
        });
        Self { directory, address, keys, task }
    }

    /// The keys it knows.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Options that lead to a prefix of the bucket.
    pub(crate) fn options(&self, prefix: &str) -> StoreOptions {
        options(&format!("s3://bucket/{prefix}"), Some(&format!("http://{}", self.address)))
    }

    /// The directory its bucket is.
    pub(crate) fn bucket_directory(&self) -> PathBuf {
        self.directory.path().join("bucket")
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Options for a store, nothing but its place set.
pub(crate) fn options(url: &str, s3_endpoint: Option<&str>) -> StoreOptions {
    StoreOptions {
        url: url.parse().unwrap(),
        s3_endpoint: s3_endpoint.map(str::to_owned),
        s3_region: None,
        ca_file: None,
        s3_path_style: PathStyle::Auto,
        credentials_file: None,
        timeouts: Timeouts::default(),
    }
}
