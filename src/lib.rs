//! promsafe: backup and restore of Prometheus on Kubernetes, with proof. Modules in layer order; arrows point down only.

pub mod model;

pub mod proof;

pub mod prometheus_api;

pub mod confirm;
pub mod fingerprint;
