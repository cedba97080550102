//! The one integration-test binary: linking is what costs time here.
#![expect(clippy::unwrap_used, reason = "tests")]

mod alerts;
mod api_faults;
mod architecture;
mod cluster;
mod commands;
mod copies;
mod dependencies;
mod doctor;
mod keep;
mod kept_backup;
mod node;
mod node_store;
mod plan_properties;
mod proof;
mod references;
mod roles;
mod servers;
mod shapes;
mod store;
mod support;
mod truth;
