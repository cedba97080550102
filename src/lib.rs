//! promsafe: backup and restore of Prometheus on Kubernetes, with proof. Modules in layer order; arrows point down only.

pub mod model;

// Gateways.
pub mod cluster;
