//! What the tests stand on: a real API server, and a proxy that spoils what goes to it.

pub(crate) mod control_plane;
pub(crate) mod fault_proxy;
mod process;
mod testbed;
