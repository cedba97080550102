//! What an S3 server says of its clock: the `Date` of each answer, errors included. Requests are signed with our own time,
//! and a server refuses what is 15 minutes off.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use jiff::{SignedDuration, Timestamp};

/// Reads the `Date` of answers as they pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock(Arc<Mutex<Option<SignedDuration>>>);

impl Clock {
    /// How far the server's clock was ahead of ours at its last answer, to the second.
    pub(super) fn skew(&self) -> Option<SignedDuration> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(at);
        if let Some(date) = date {
            let skew = date.duration_since(Timestamp::now());
            *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(skew);
        }
        Ok(())
    }
}

/// The time of an HTTP date (`Sat, 21 Nov 2026 12:00:00 GMT`).
fn at(date: &str) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read() {
        assert_eq!(at("Sat, 21 Nov 2026 12:00:00 GMT").unwrap().to_string(), "2026-11-21T12:00:00Z");
        assert_eq!(at("now"), None);
    }
}
