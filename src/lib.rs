//! promsafe: backup and restore of Prometheus on Kubernetes, with proof. Modules in layer order; arrows point down only.

pub mod model;

pub mod bundle;
pub mod layout;

pub mod store;
