//! promsafe: backup and restore of Prometheus on Kubernetes, with proof. Modules in layer order; arrows point down only.

// L0: the nouns.
pub mod model;

// L1: knowledge. Pure, synchronous, no clock, no client crate.
pub mod access;
pub mod bundle;
pub mod container;
pub mod data_directory;
pub mod generated;
pub mod job;
pub mod layout;
pub mod marks;
pub mod metrics;
pub mod mounting;
pub mod names;
pub mod operator_scope;
pub mod order;
pub mod plain;
pub mod plan;
pub mod proof;
pub mod quantity;
pub mod references;
pub mod sanitise;
pub mod scope;
pub mod selection;
pub mod tree_format;
pub mod tsdb;
pub mod words;

// L2: gateways, the only ones that talk to the outside. They do not know each other.
pub mod cluster;
pub mod files;
pub mod prometheus_api;
pub mod pushgateway;
pub mod store;

// L3: procedures. Talk through the gateways, decide with the knowledge.
pub mod apply;
pub mod barrier;
pub mod bind;
pub mod confirm;
pub mod copies;
pub mod copy;
pub mod discover;
pub mod fill;
pub mod fills;
pub mod fingerprint;
pub mod fingerprints;
pub mod inspect;
pub mod integrity;
pub mod kept;
pub mod lock;
pub mod preflight;
pub mod reach;
pub mod release;
pub mod snapshots;
pub mod stored;
pub mod successor;
pub mod survey;
pub mod sweep;
pub mod trees;
pub mod worker;

// L4: pipelines.
pub mod backup;
pub mod copy_directory;
pub mod delete;
pub mod doctor;
pub mod explain;
pub mod extract;
pub mod list;
pub mod prune;
pub mod quarantine;
pub mod restore;
pub mod verify;

// L5: words, flags, exit codes.
pub mod cli;
pub mod report;
