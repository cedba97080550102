//! What several tests need: servers and clusters to talk to.

pub(crate) mod control_plane;
pub(crate) mod fault_proxy;
mod process;
pub(crate) mod prometheus;
pub(crate) mod s3;
mod testbed;
