//! The gateway to a Prometheus Pushgateway: gives it the metrics of a run. Knows nothing of what they say.
//!
//! Facts: Pushgateway's README, "API". PUT replaces all metrics of a group, POST only those of the same name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Scheme;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A cause of any type.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The job of the metrics when the URL names none.
const JOB: &str = "/metrics/job/promsafe";
/// Where a grouping key begins in the path of a URL.
const GROUPING_KEY: &str = "/metrics/job/";
/// Most of an answer that is read.
const ANSWER_BYTES: usize = 64 * 1024;
/// Characters of an answer that are told.
const TOLD_CHARS: usize = 300;

/// Address of a Pushgateway: `http://host:9091`, or with a grouping key of one's own, such as
/// `https://host/metrics/job/promsafe/cluster/blue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushgatewayUrl {
    scheme: Scheme,
    host: String,
    port: u16,
    /// Path with the grouping key, without a slash at its end.
    path: String,
}

/// A text that is no address of a Pushgateway. The text is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PushgatewayUrlError {
    /// No URL of HTTP.
    #[error("it is no URL such as http://pushgateway:9091")]
    NoUrl,
    /// A user or password.
    #[error("it holds a user or a password, which is not supported")]
    Login,
    /// `?` or `#`.
    #[error("it holds a query, and a Pushgateway takes none")]
    Query,
}

impl FromStr for PushgatewayUrl {
    type Err = PushgatewayUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| PushgatewayUrlError::NoUrl)?;
        let scheme = uri.scheme().filter(|scheme| **scheme == Scheme::HTTP || **scheme == Scheme::HTTPS);
        let (Some(scheme), Some(authority)) = (scheme, uri.authority()) else { return Err(PushgatewayUrlError::NoUrl) };
        if authority.as_str().contains('@') {
            return Err(PushgatewayUrlError::Login);
        }
        if uri.query().is_some() {
            return Err(PushgatewayUrlError::Query);
        }
        let path = uri.path().trim_end_matches('/');
        let path = if path.contains(GROUPING_KEY) { path.to_owned() } else { format!("{path}{JOB}") };
        let port = authority.port_u16().unwrap_or(if *scheme == Scheme::HTTPS { 443 } else { 80 });
        Ok(Self { scheme: scheme.clone(), host: authority.host().to_owned(), port, path })
    }
}

impl fmt::Display for PushgatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme, self.host, self.port, self.path)
    }
}

/// What becomes of what the group held before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// It goes (PUT).
    Replace,
    /// Metrics of other names stay (POST).
    Keep,
}

/// The Pushgateway did not take the metrics.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The file of authorities cannot be used.
    #[error("cannot use the CA file {file}")]
    Trust {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Nobody answers.
    #[error("cannot reach the Pushgateway {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// It takes too long.
    #[error("no answer from the Pushgateway {url} within {after_seconds} s")]
    TimedOut {
        /// Where.
        url: String,
        /// Our deadline in seconds.
        after_seconds: u64,
    },
    /// It does not want them.
    #[error("the Pushgateway {url} answered {status}: {said}")]
    Answered {
        /// Where.
        url: String,
        /// HTTP status code.
        status: u16,
        /// The beginning of its answer.
        said: String,
    },
}

/// Gives the Pushgateway the metrics of a command, as text in the exposition format.
///
/// # Errors
/// When it did not take them, or not within this time.
pub async fn push(
    url: &PushgatewayUrl,
    ca_file: Option<&Path>,
    command: &str,
    text: String,
    before: Before,
    within: Duration,
) -> Result<(), PushError> {
    let unreachable = |source| PushError::Unreachable { url: url.to_string(), source };
    let tls = match &url.scheme {
        scheme if *scheme == Scheme::HTTPS => Some(trusting(ca_file)?),
        _ => None,
    };
    let sent = tokio::time::timeout(within, send(url, tls, request(url, command, text, before).map_err(unreachable)?));
    let late = |_| PushError::TimedOut { url: url.to_string(), after_seconds: within.as_secs() };
    let (status, body) = sent.await.map_err(late)?.map_err(unreachable)?;
    if status.is_success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&body);
    let said = said.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(TOLD_CHARS).collect();
    Err(PushError::Answered { url: url.to_string(), status: status.as_u16(), said })
}

fn request(url: &PushgatewayUrl, command: &str, text: String, before: Before) -> Result<Request<Full<Bytes>>, Cause> {
    let method = match before {
        Before::Replace => Method::PUT,
        Before::Keep => Method::POST,
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("{}/command/{command}", url.path))
        .header(HOST, format!("{}:{}", url.host, url.port))
        .header(USER_AGENT, concat!("promsafe/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    Ok(request.body(Full::new(Bytes::from(text)))?)
}

async fn send(
    url: &PushgatewayUrl,
    tls: Option<ClientConfig>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Cause> {
    let host = url.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((host.as_str(), url.port)).await?;
    match tls {
        None => exchange(stream, request).await,
        Some(config) => {
            let name = ServerName::try_from(host)?;
            exchange(TlsConnector::from(Arc::new(config)).connect(name, stream).await?, request).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Cause> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        // The status tells enough where the rest of the answer is lost.
        Ok::<_, hyper::Error>((status, body.map(http_body_util::Collected::to_bytes).unwrap_or_default()))
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answered = &mut exchange => Ok(answered?),
        ended = connection => {
            ended?;
            Ok(exchange.await?)
        }
    }
}

/// A TLS configuration that trusts the system's authorities and those of the file.
fn trusting(ca_file: Option<&Path>) -> Result<ClientConfig, PushError> {
    let mut roots = RootCertStore::empty();
    // A system without any authority is usual in a container; the file then says whom to trust.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let trust = |source: Cause| PushError::Trust { file: path.display().to_string(), source };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| trust(error.into()))? {
            let certificate = certificate.map_err(|error| trust(error.into()))?;
            roots.add(certificate).map_err(|error| trust(error.into()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let trust = |error: rustls::Error| PushError::Trust { file: "of the system".to_owned(), source: error.into() };
    Ok(versions.map_err(trust)?.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_grouping_key() {
        for (text, spelt) in [
            ("http://pg:9091", "http://pg:9091/metrics/job/promsafe"),
            ("https://pg/", "https://pg:443/metrics/job/promsafe"),
            ("http://pg:9091/prefix/", "http://pg:9091/prefix/metrics/job/promsafe"),
            ("http://pg/metrics/job/own/cluster/blue/", "http://pg:80/metrics/job/own/cluster/blue"),
            ("http://[::1]:9091", "http://[::1]:9091/metrics/job/promsafe"),
        ] {
            assert_eq!(text.parse::<PushgatewayUrl>().unwrap().to_string(), spelt);
        }
    }

    #[test]
    fn strangers_are_refused_without_their_password() {
        for (text, error) in [
            ("pg:9091", PushgatewayUrlError::NoUrl),
            ("", PushgatewayUrlError::NoUrl),
            ("ftp://pg", PushgatewayUrlError::NoUrl),
            ("http://me:hunter2@pg", PushgatewayUrlError::Login),
            ("http://pg/?a=b", PushgatewayUrlError::Query),
        ] {
            let refused = text.parse::<PushgatewayUrl>().unwrap_err();
            assert_eq!(refused, error, "{text}");
            assert!(!refused.to_string().contains("hunter2"));
        }
    }
}
