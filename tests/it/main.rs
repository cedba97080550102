//! The one integration-test binary: linking is what costs time here.
#![expect(clippy::unwrap_used, reason = "tests")]

mod architecture;
mod cluster;
mod commands;
mod dependencies;
mod node;
mod node_store;
mod proof;
mod store;
mod support;
