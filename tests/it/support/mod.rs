//! What several tests need: servers and clusters to talk to.

pub(crate) mod s3;
pub(crate) mod prometheus;
//! What the tests stand on: a real API server, and a proxy that spoils what goes to it.

pub(crate) mod control_plane;
pub(crate) mod fault_proxy;
mod process;
mod testbed;
