//! What a Prometheus answered at backup time, to be asked again after a restore.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What one Prometheus pod answered at a fixed time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The instance, as `namespace/name`.
    pub instance: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod; StatefulSets give it the same name again.
    pub pod: String,
    /// Version it runs (`/api/v1/status/buildinfo`).
    pub version: String,
    /// When it was asked.
    pub taken_at: Timestamp,
    /// Blocks on disk (`/api/v1/status/tsdb/blocks`, Prometheus 3.6 and newer).
    pub blocks: Vec<BlockMeta>,
    /// The head in memory.
    pub head: Head,
    /// Queries at fixed past times with their answers.
    pub probes: Vec<Probe>,
    /// Rule groups as `group: rule, rule`, sorted; file names hold UIDs and change.
    pub rule_groups: Vec<String>,
    /// Scrape pools with at least one target, sorted.
    pub scrape_pools: Vec<String>,
}

/// A block's `meta.json` as far as the proof needs it (Prometheus `tsdb/block.go`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// ULID of the block.
    pub ulid: String,
    /// First millisecond it covers.
    pub min_time_ms: i64,
    /// Millisecond after the last it covers.
    pub max_time_ms: i64,
    /// Samples in it.
    pub samples: u64,
    /// Series in it.
    pub series: u64,
    /// ULIDs of the level-1 blocks it was made of; itself when never compacted.
    pub sources: Vec<String>,
}

/// The head block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Oldest sample, in milliseconds since 1970.
    pub min_time_ms: i64,
    /// Newest sample, in milliseconds since 1970.
    pub max_time_ms: i64,
    /// Series in memory.
    pub series: u64,
}

/// A query at a fixed past time, and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// `PromQL`.
    pub query: String,
    /// The evaluation time.
    pub at: Timestamp,
    /// The single value it gave, as Prometheus spells numbers; `None` when the answer was empty.
    pub value: Option<String>,
}
