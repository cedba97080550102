//! promsafe: backup and restore of Prometheus on Kubernetes, with proof. Modules in layer order; arrows point down only.

// L0: the nouns.
pub mod model;

// L1: knowledge. Pure, synchronous, no clock, no client crate.
pub mod generated;
pub mod names;
pub mod order;
pub mod plan;
pub mod quantity;
pub mod sanitise;
pub mod scope;

// L2: gateways, the only ones that talk to the outside. They do not know each other.
pub mod cluster;

// L3: procedures. Talk through the gateways, decide with the knowledge.
pub mod apply;
pub mod barrier;
pub mod discover;
pub mod preflight;
pub mod release;
pub mod snapshots;
pub mod survey;
