//! An HTTP proxy before the API server that spoils what tests tell it to: faults sit below the real client, so the
//! library and the binary can both be led through it. Runs in a thread of its own.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::StreamExt;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use promsafe::cluster::Cluster;
use promsafe::model::Timeouts;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::control_plane::{ControlPlane, User, connect, kubeconfig};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answered with this status code and a Kubernetes Status; the API server never sees it.
    Status(u16),
    /// The same, with `Retry-After` in seconds.
    StatusRetryAfter(u16, u64),
    /// The connection is closed; the API server never sees it.
    Close,
    /// The API server does what was asked, and the connection is closed instead of telling.
    LoseAnswer,
    /// Passed on, and the connection is closed in the middle of the answer.
    CutAnswer,
    /// No answer, ever.
    Stall,
    /// Passed on as if the API server were too old for aggregated discovery: without content negotiation.
    PlainJson,
}

/// Which of the requests that match are spoilt, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// All.
    Always,
    /// The first so many.
    First(u32),
    /// The n-th, 2n-th, …
    Every(u32),
    /// This one alone.
    Only(u32),
    /// From the first of these to the second, both included.
    Between(u32, u32),
}

impl When {
    pub(super) fn includes(self, number: u32) -> bool {
        match self {
            Self::Always => true,
            Self::First(count) => number <= count,
            Self::Every(step) => number.is_multiple_of(step),
            Self::Only(wanted) => number == wanted,
            Self::Between(first, last) => (first..=last).contains(&number),
        }
    }
}

#[derive(Debug)]
struct Rule {
    method: Option<Method>,
    path: String,
    when: When,
    fault: Fault,
    hits: Hits,
}

/// How often a rule applied.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hits(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    matched: u32,
    spoilt: u32,
}

impl Hits {
    /// Requests that matched method and path.
    pub(crate) fn matched(&self) -> u32 {
        self.0.lock().unwrap().matched
    }

    /// Requests of these that were spoilt.
    pub(crate) fn spoilt(&self) -> u32 {
        self.0.lock().unwrap().spoilt
    }
}

type Rules = Arc<Mutex<Vec<Rule>>>;
type Answered = Response<UnsyncBoxBody<Bytes, kube::Error>>;

/// The running proxy. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    rules: Rules,
    kubeconfigs: [(User, PathBuf); 2],
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts one before this control plane. It passes credentials on, so each user stays who it is.
    pub(crate) async fn start(control_plane: &ControlPlane) -> Self {
        let rules = Rules::default();
        let (stop, stopped) = oneshot::channel();
        let (tell_port, port) = oneshot::channel();
        let upstream = control_plane.kubeconfig(User::Admin);
        let thread = std::thread::spawn({
            let rules = Arc::clone(&rules);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(serve(upstream, rules, tell_port, stopped));
            }
        });
        let port: u16 = port.await.unwrap();
        let kubeconfigs = [User::Admin, User::Restricted].map(|user| {
            let path = control_plane.directory().join(format!("{user:?}-through-{port}.kubeconfig"));
            std::fs::write(&path, kubeconfig(&format!("http://127.0.0.1:{port}"), "", user)).unwrap();
            (user, path)
        });
        Self { rules, kubeconfigs, stop: Some(stop), thread: Some(thread) }
    }

    /// Spoils requests of this method (any when `None`) whose path and query contain this. Of several rules that
    /// match, the first that was told and spoils this one counts.
    pub(crate) fn spoil(&self, method: impl Into<Option<Method>>, path: &str, when: When, fault: Fault) -> Hits {
        let hits = Hits::default();
        let rule = Rule { method: method.into(), path: path.to_owned(), when, fault, hits: hits.clone() };
        self.rules.lock().unwrap().push(rule);
        hits
    }

    /// Forgets all rules.
    pub(crate) fn heal(&self) {
        self.rules.lock().unwrap().clear();
    }

    /// A kubeconfig that leads through the proxy.
    pub(crate) fn kubeconfig(&self, user: User) -> PathBuf {
        let (_, path) = self.kubeconfigs.iter().find(|(of, _)| *of == user).unwrap();
        path.clone()
    }

    /// The gateway through the proxy, as admin.
    pub(crate) async fn cluster(&self, timeouts: &Timeouts) -> Cluster {
        connect(&self.kubeconfig(User::Admin), timeouts).await
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(upstream: PathBuf, rules: Rules, tell_port: oneshot::Sender<u16>, stopped: oneshot::Receiver<()>) {
    let kubeconfig = Kubeconfig::read_from(upstream).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.auth_info = AuthInfo::default();
    config.default_retry = false;
    config.disable_compression = true;
    let client = kube::Client::try_from(config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    tell_port.send(listener.local_addr().unwrap().port()).unwrap();
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (client, rules) = (client.clone(), Arc::clone(&rules));
            let service =
                hyper::service::service_fn(move |request| answer(client.clone(), Arc::clone(&rules), request));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopped => {}
    }
}

/// An error here closes the connection.
async fn answer(client: kube::Client, rules: Rules, request: Request<Incoming>) -> io::Result<Answered> {
    let fault = fault_for(&rules, &request);
    match fault {
        Some(Fault::Status(code)) => Ok(status(code, None, &request)),
        Some(Fault::StatusRetryAfter(code, seconds)) => Ok(status(code, Some(seconds), &request)),
        Some(Fault::Close) => Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::LoseAnswer | Fault::CutAnswer | Fault::PlainJson) | None => {
            let (mut parts, body) = request.into_parts();
            if fault == Some(Fault::PlainJson) {
                parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            }
            let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let answer = client.send(Request::from_parts(parts, Body::from(bytes))).await.map_err(io::Error::other)?;
            if fault == Some(Fault::LoseAnswer) {
                let _ = answer.into_body().collect_bytes().await;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if fault == Some(Fault::CutAnswer) {
                return half(answer).await;
            }
            Ok(answer.map(BodyExt::boxed_unsync))
        }
    }
}

/// The first half of an answer, and then an error, which closes the connection.
async fn half(answer: Response<Body>) -> io::Result<Answered> {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect_bytes().await.map_err(io::Error::other)?;
    let broken = kube::Error::Service(io::Error::from(io::ErrorKind::ConnectionReset).into());
    Ok(Response::from_parts(parts, cut(&bytes, broken)))
}

/// The first half of a body, and then this error.
pub(super) fn cut<E: Send + 'static>(bytes: &Bytes, broken: E) -> UnsyncBoxBody<Bytes, E> {
    let frames = futures::stream::iter([Ok(Frame::data(bytes.slice(..bytes.len() / 2))), Err(broken)]);
    // What hyper has not sent when the error comes it never sends.
    let frames = frames.then(async |frame| {
        if frame.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        frame
    });
    StreamBody::new(frames).boxed_unsync()
}

fn fault_for(rules: &Rules, request: &Request<Incoming>) -> Option<Fault> {
    let path = request.uri().path_and_query()?.as_str();
    for rule in rules.lock().unwrap().iter() {
        if rule.method.as_ref().is_none_or(|method| method == request.method()) && path.contains(&rule.path) {
            let mut counts = rule.hits.0.lock().unwrap();
            counts.matched += 1;
            if rule.when.includes(counts.matched) {
                counts.spoilt += 1;
                return Some(rule.fault);
            }
        }
    }
    None
}

/// An answer that the API server itself could have given. Its 410 holds a token to go on listing with, at a newer version.
fn status(code: u16, retry_after: Option<u64>, request: &Request<Incoming>) -> Answered {
    let query = request.uri().query().unwrap_or_default();
    let metadata = match query.split('&').find_map(|pair| pair.strip_prefix("continue=")) {
        Some(next) if code == 410 => json!({ "continue": next }),
        _ => json!({}),
    };
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
        "message": "injected fault", "reason": reason, "code": code,
    });
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never: Infallible| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}
