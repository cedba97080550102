//! An HTTP proxy before an S3 server that spoils what tests tell it to. Signatures stay right: host and path go on as they
//! came.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use promsafe::store::StoreOptions;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::fault_proxy::{When, cut};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum S3Fault {
    /// Answered with 500 InternalError; the server never sees it.
    InternalError,
    /// Passed on, and the connection is closed in the middle of the answer.
    CutAnswer,
}

/// Which requests are spoilt, and how: those of this method whose path contains this.
#[derive(Debug, Clone)]
pub(crate) struct Spoiling {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) when: When,
    pub(crate) fault: S3Fault,
}

/// The running proxy. Dropping it ends it.
pub(crate) struct S3Proxy {
    address: SocketAddr,
    matched: Arc<AtomicU32>,
    spoilt: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

type Answered = Response<UnsyncBoxBody<Bytes, io::Error>>;

impl S3Proxy {
    /// Starts one before the server of these options.
    pub(crate) async fn start(server: &StoreOptions, spoiling: Spoiling) -> Self {
        let upstream: SocketAddr =
            server.s3_endpoint.as_deref().and_then(|url| url.strip_prefix("http://")).unwrap().parse().unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (matched, spoilt) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counters = (matched.clone(), spoilt.clone());
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (client, spoiling, (matched, spoilt)) = (client.clone(), spoiling.clone(), counters.clone());
                let answer = hyper::service::service_fn(move |request| {
                    let fault = spoiling.includes(&request, &matched).then_some(spoiling.fault);
                    spoilt.fetch_add(u32::from(fault.is_some()), Ordering::SeqCst);
                    answer(client.clone(), upstream, request, fault)
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(socket), answer));
            }
        });
        Self { address, matched, spoilt, task }
    }

    /// Its URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that matched method and path.
    pub(crate) fn matched(&self) -> u32 {
        self.matched.load(Ordering::SeqCst)
    }

    /// Requests of these that were spoilt.
    pub(crate) fn spoilt(&self) -> u32 {
        self.spoilt.load(Ordering::SeqCst)
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Spoiling {
    fn includes(&self, request: &Request<Incoming>, matched: &AtomicU32) -> bool {
        request.method() == self.method
            && request.uri().path().contains(self.path)
            && self.when.includes(matched.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// An error here closes the connection.
async fn answer(
    client: Client<HttpConnector, Full<Bytes>>,
    upstream: SocketAddr,
    request: Request<Incoming>,
    spoilt: Option<S3Fault>,
) -> io::Result<Answered> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if spoilt == Some(S3Fault::InternalError) {
        let error = "<Error><Code>InternalError</Code><Message>injected fault</Message></Error>";
        let body = Full::new(Bytes::from(error)).map_err(|never: Infallible| match never {});
        let mut answer = Response::new(body.boxed_unsync());
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(answer);
    }
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    parts.uri = format!("http://{upstream}{path}").parse().map_err(io::Error::other)?;
    let sent = client.request(Request::from_parts(parts, Full::new(body))).await;
    let answer = sent.map_err(io::Error::other)?;
    if spoilt.is_none() {
        return Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()));
    }
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(parts, cut(&bytes, io::ErrorKind::ConnectionReset.into())))
}
