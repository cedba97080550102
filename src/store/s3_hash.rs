//! Signs a body by its SHA-256 that is known already. The SDK would compute it once more, which is half of all that the
//! processor does for a copy.

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

use crate::model::Sha256;

/// The hash of the body of one request, if it is known.
#[derive(Debug)]
pub(super) struct KnownHash(Option<String>);

impl KnownHash {
    pub(super) fn new(sha256: Option<&Sha256>) -> Self {
        Self(sha256.map(ToString::to_string))
    }
}

impl Intercept for KnownHash {
    fn name(&self) -> &'static str {
        "known hash"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(sha256) = &self.0 {
            config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(sha256.clone()));
        }
        Ok(())
    }
}
