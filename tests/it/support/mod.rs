//! What several tests need: servers and clusters to talk to.

pub(crate) mod s3;
pub(crate) mod prometheus;
