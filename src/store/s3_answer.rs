//! What an answer of an S3 server, or its absence, means to us. Pure.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::Cause;

/// What a failed request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// There is no such object.
    NoObject,
    /// There is no such bucket.
    NoBucket,
    /// The object is there already.
    Exists,
    /// The range begins behind the end of the object.
    BehindEnd,
    /// The server refuses who asks.
    Denied,
    /// No answer, or one from a server that cannot work now.
    Unreachable,
    /// Anything else.
    Other,
}

/// A failed request.
#[derive(Debug)]
pub(super) struct Failure {
    /// What it means.
    pub(super) meaning: Meaning,
    /// Whether the same request may succeed when sent again.
    pub(super) transient: bool,
    /// In whose words.
    pub(super) cause: Cause,
}

/// An answer of the server that is an error: code, message, and status of HTTP.
#[derive(Debug, thiserror::Error)]
#[error("the server answers {code}{separator}{message} (HTTP {status})", separator = if message.is_empty() { "" } else { ": " })]
struct Answer {
    code: String,
    message: String,
    status: u16,
}

impl Failure {
    /// A request that got no answer.
    pub(super) fn unreachable(cause: impl Into<Cause>) -> Self {
        Self { meaning: Meaning::Unreachable, transient: true, cause: cause.into() }
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        if let SdkError::ServiceError(answer) = &error {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().unwrap_or("an error without a code");
            let message = answer.err().message().unwrap_or_default();
            let (meaning, transient) = meaning(code, status);
            let cause = Answer { code: code.to_owned(), message: message.to_owned(), status }.into();
            return Self { meaning, transient, cause };
        }
        let by_network =
            matches!(&error, SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_));
        let meaning = if by_network { Meaning::Unreachable } else { Meaning::Other };
        let cause = error.into_source().unwrap_or_else(Into::into);
        Self { meaning, transient: by_network, cause }
    }
}

/// What an error code means, and whether asking again may help.
fn meaning(code: &str, status: u16) -> (Meaning, bool) {
    match (code, status) {
        ("NoSuchBucket", _) => (Meaning::NoBucket, false),
        ("NoSuchKey" | "NotFound", _) => (Meaning::NoObject, false),
        // Two writers of one key at this moment: who asks again learns who won.
        ("ConditionalRequestConflict", _) => (Meaning::Other, true),
        ("PreconditionFailed", _) | (_, 412) => (Meaning::Exists, false),
        ("InvalidRange", _) | (_, 416) => (Meaning::BehindEnd, false),
        // The last is what versitygw says of an access key it does not know, with 404.
        ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "XAdminUserNotFound", _) | (_, 401 | 403) => {
            (Meaning::Denied, false)
        }
        ("SlowDown" | "RequestTimeout", _) | (_, 429 | 502..=504) => (Meaning::Unreachable, true),
        (_, 500) => (Meaning::Other, true),
        _ => (Meaning::Other, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (code, status, expected) in [
            ("NoSuchBucket", 404, (Meaning::NoBucket, false)),
            ("NoSuchKey", 404, (Meaning::NoObject, false)),
            ("PreconditionFailed", 412, (Meaning::Exists, false)),
            ("ConditionalRequestConflict", 409, (Meaning::Other, true)),
            ("InvalidAccessKeyId", 403, (Meaning::Denied, false)),
            ("ExpiredToken", 400, (Meaning::Denied, false)),
            ("XAdminUserNotFound", 404, (Meaning::Denied, false)),
            ("SlowDown", 503, (Meaning::Unreachable, true)),
            ("InternalError", 500, (Meaning::Other, true)),
            ("EntityTooLarge", 400, (Meaning::Other, false)),
        ] {
            assert_eq!(meaning(code, status), expected, "{code}");
        }
    }
}
