//! The one integration-test binary: linking is what costs time here.
#![expect(clippy::unwrap_used, reason = "tests")]

mod node_store;
mod store;
mod proof;
mod cluster;
mod support;
