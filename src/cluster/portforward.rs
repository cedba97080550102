//! Asking a server in a pod over a tunnel through the API server (`pods/portforward`). The API server's own proxy takes the
//! `Authorization` header off what passes (k8s.io/apiserver `pkg/endpoints/filters/authentication.go`), so a server that
//! demands a login can only be asked this way.
//!
//! A server's certificate is not verified: it names a Service, not the pod's loopback address, and the tunnel ends inside the
//! pod that the API server and the kubelet, both authenticated, were asked for. TLS is spoken because the server does.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{AUTHORIZATION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::Cluster;
use super::error::{ClusterError, excerpt};
use super::login::Credentials;
use super::pod::PodAddress;

/// One HTTP connection through a tunnel of its own.
type Connection = SendRequest<Empty<Bytes>>;
/// A cause of any type.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A way into a pod, with credentials. Connections are kept and used again; each carries one request at a time.
pub struct Tunnel {
    cluster: Cluster,
    pod: PodAddress,
    credentials: Credentials,
    idle: Mutex<Vec<Connection>>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("pod", &self.pod).finish_non_exhaustive()
    }
}

impl Tunnel {
    /// A way into this pod. Nothing is sent yet.
    pub fn new(cluster: Cluster, pod: PodAddress, credentials: Credentials) -> Self {
        Self { cluster, pod, credentials, idle: Mutex::default() }
    }

    /// What the pod answers to a GET.
    ///
    /// # Errors
    /// [`ClusterError::PodAnswered`] for every status but 200, [`ClusterError::Forward`] when there is no tunnel or it breaks,
    /// [`ClusterError::TimedOut`] when there is no answer within `Timeouts::request`.
    pub async fn get(&self, path_and_query: &str) -> Result<Vec<u8>, ClusterError> {
        let limit = self.cluster.timeouts.request;
        let answer = tokio::time::timeout(limit, self.ask(path_and_query)).await;
        let answer = answer.map_err(|_| ClusterError::TimedOut {
            server: self.cluster.server.to_string(),
            verb: "get",
            object: format!("pods/portforward {}", self.pod),
            waited: limit,
        })?;
        let (status, body) = answer.map_err(|cause| ClusterError::Forward { pod: self.pod.to_string(), cause })?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(ClusterError::PodAnswered { pod: self.pod.to_string(), status: status.as_u16(), body: excerpt(&body) })
    }

    async fn ask(&self, path_and_query: &str) -> Result<(StatusCode, Vec<u8>), Cause> {
        let request = Request::get(format!("/{}", path_and_query.trim_start_matches('/')))
            .header(HOST, format!("localhost:{}", self.pod.port))
            .header(AUTHORIZATION, self.credentials.header())
            .body(Empty::<Bytes>::new())?;
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = connection.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes().to_vec();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok((status, body))
    }

    /// A connection that waits for a request; those that were closed meanwhile are let go.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Connection, Cause> {
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.cluster.client.clone(), &self.pod.namespace);
        let mut tunnel = pods.portforward(&self.pod.pod, &[self.pod.port]).await?;
        let refused = tunnel.take_error(self.pod.port);
        let stream = tunnel.take_stream(self.pod.port).ok_or("the tunnel has no such port")?;
        let speaking = async {
            if self.pod.scheme != "https" {
                return spoken_over(stream).await;
            }
            let name = ServerName::try_from("localhost")?;
            spoken_over(TlsConnector::from(Arc::new(unverified()?)).connect(name, stream).await?).await
        };
        let Some(refused) = refused else { return speaking.await };
        // The kubelet tells on a channel of its own that nobody listens; the stream alone would only end.
        let told = async {
            match refused.await {
                Some(why) => why,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            connection = speaking => connection,
            why = told => Err(why.into()),
        }
    }
}

/// HTTP over a stream, driven in the background until either side ends it.
async fn spoken_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Connection, Cause> {
    let (connection, driver) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    Ok(connection)
}

/// TLS that takes any certificate whose key the server holds.
fn unverified() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
