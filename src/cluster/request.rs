//! One request to the API server with all its attempts. Everything the gateway sends goes through [`Cluster::send`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, StatusCode};
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::Cluster;
use super::error::{ClusterError, Status, Telling, told};
use super::retry::{Attempts, Failure, Patience, die};

/// A body and its media type.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The Kubernetes verb, as errors and RBAC name it.
    pub(super) verb: &'static str,
    /// On what, as errors name it.
    pub(super) object: String,
    pub(super) method: Method,
    /// Path and query.
    pub(super) uri: String,
    pub(super) accept: &'static str,
    pub(super) content: Option<Content>,
    pub(super) telling: Telling,
    pub(super) patience: Patience,
}

impl Call {
    /// A read.
    pub(super) fn get(verb: &'static str, object: impl Into<String>, uri: impl Into<String>) -> Self {
        Self {
            verb,
            object: object.into(),
            method: Method::GET,
            uri: uri.into(),
            accept: "application/json",
            content: None,
            telling: Telling::All,
            patience: Patience::Server,
        }
    }

    /// The answer read as JSON.
    pub(super) fn parse<'a, T: serde::Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, ClusterError> {
        serde_json::from_slice(body).map_err(|error| self.unreadable(&error))
    }

    /// The error for an answer that is not the JSON expected.
    pub(super) fn unreadable(&self, error: &serde_json::Error) -> ClusterError {
        ClusterError::ReadAnswer {
            verb: self.verb,
            object: self.object.clone(),
            line: error.line(),
            column: error.column(),
        }
    }

    pub(super) fn build(&self) -> Result<Request<Body>, ClusterError> {
        let mut request = Request::builder().method(&self.method).uri(&self.uri).header(ACCEPT, self.accept);
        if let Some(content) = &self.content {
            request = request.header(CONTENT_TYPE, content.media_type);
        }
        let bytes = self.content.as_ref().map(|content| content.bytes.clone()).unwrap_or_default();
        request.body(Body::from(bytes)).map_err(|cause| ClusterError::BuildRequest {
            verb: self.verb,
            object: self.object.clone(),
            cause,
        })
    }
}

/// An answer of any status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    retry_after: Option<Duration>,
}

/// Why an attempt brought no answer.
enum NoAnswer {
    /// It took too long.
    Late,
    /// The credentials could not be read or refreshed; asking again runs a broken plugin again.
    Credentials(kube::Error),
    /// No connection, or it broke.
    Broken(kube::Error),
}

impl Cluster {
    /// Sends until there is an answer that is not worth asking again. The answer may be a refusal.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, ClusterError> {
        let began = Instant::now();
        let mut attempts = Attempts::new(call.patience, &self.timeouts);
        loop {
            let limit = attempts.left(began.elapsed()).min(self.timeouts.request);
            let request = call.build()?;
            let outcome = timeout(limit, self.attempt(request)).await.unwrap_or(Err(NoAnswer::Late));
            attempts.made += 1;
            let failure = match &outcome {
                Ok(answer) if call.patience.asks_again(answer.status) => {
                    Failure::Answer { retry_after: answer.retry_after }
                }
                Ok(_) | Err(NoAnswer::Credentials(_)) => Failure::Final,
                Err(_) if self.reached.load(Ordering::Relaxed) => Failure::Broken,
                Err(_) => Failure::NeverReached,
            };
            match (outcome, attempts.wait(failure, began.elapsed(), die())) {
                (_, Some(wait)) => tokio::time::sleep(wait).await,
                (Ok(answer), None) if failure == Failure::Final => return Ok(answer),
                (outcome, None) => return Err(self.worn_out(call, outcome, attempts.made, began.elapsed())),
            }
        }
    }

    /// Sends and wants success; any refusal becomes an error.
    pub(super) async fn send_ok(&self, call: &Call) -> Result<Vec<u8>, ClusterError> {
        let answer = self.send(call).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(self.refused(call, &answer)) }
    }

    /// Sends, wants success, and reads the answer.
    pub(super) async fn send_json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClusterError> {
        call.parse(&self.send_ok(call).await?)
    }

    async fn attempt(&self, request: Request<Body>) -> Result<Answer, NoAnswer> {
        let response = self.client.send(request).await.map_err(|error| match error {
            kube::Error::Auth(_) => NoAnswer::Credentials(error),
            _ => NoAnswer::Broken(error),
        })?;
        self.reached.store(true, Ordering::Relaxed);
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let status = response.status();
        let body = response.into_body().collect_bytes().await.map_err(NoAnswer::Broken)?.into();
        Ok(Answer { status, body, retry_after: retry_after.map(Duration::from_secs) })
    }

    /// The error after the last attempt.
    fn worn_out(
        &self,
        call: &Call,
        outcome: Result<Answer, NoAnswer>,
        attempts: u32,
        waited: Duration,
    ) -> ClusterError {
        let server = self.server.to_string();
        match outcome {
            Ok(answer) if answer.status == StatusCode::CONFLICT => self.refused(call, &answer),
            Ok(answer) => ClusterError::TooManyAttempts {
                verb: call.verb,
                object: call.object.clone(),
                attempts,
                last: Box::new(self.refused(call, &answer)),
            },
            Err(NoAnswer::Late) => {
                ClusterError::TimedOut { server, verb: call.verb, object: call.object.clone(), waited }
            }
            Err(NoAnswer::Credentials(error)) => ClusterError::UseCredentials { server, cause: error.into() },
            Err(NoAnswer::Broken(error)) => ClusterError::Unreachable { server, attempts, cause: error.into() },
        }
    }

    /// The error for an answer that is a refusal.
    pub(super) fn refused(&self, call: &Call, answer: &Answer) -> ClusterError {
        let (verb, object) = (call.verb, call.object.clone());
        let message = told(&answer.body, call.telling);
        match answer.status.as_u16() {
            401 => ClusterError::Unauthorized { server: self.server.to_string(), message },
            403 if Status::read(&answer.body).is_some_and(|status| status.has_cause("NamespaceTerminating")) => {
                ClusterError::NamespaceTerminating { verb, object }
            }
            403 => ClusterError::Forbidden { verb, object, message },
            404 => ClusterError::NotFound { verb, object },
            409 => ClusterError::Conflict { verb, object, message },
            400 | 422 => ClusterError::Invalid { verb, object, message },
            status => ClusterError::Answered { verb, object, status, message },
        }
    }
}
