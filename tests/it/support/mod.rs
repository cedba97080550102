//! What the tests stand on: real servers, and a proxy that spoils what goes to them.

pub(crate) mod control_plane;
pub(crate) mod fault_proxy;
mod process;
pub(crate) mod prometheus;
pub(crate) mod promsafe;
pub(crate) mod s3;
pub(crate) mod s3_proxy;
pub(crate) mod s3_servers;
pub(crate) mod testbed;
