//! Options of copies: what is saved of volumes, and how the Jobs beside them work.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::ValueEnum;

use super::options::{bandwidth, duration};
use crate::access::Copies;
use crate::copy::Reading;
use crate::fill::{Head, OnDamage};
use crate::preflight::VolumeMode;
use crate::worker::WorkerSettings;

/// What is saved of volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Volumes {
    /// A CSI `VolumeSnapshot` each; the data stays in the storage backend
    Snapshot,
    /// A copy of the files in the store, made from a snapshot that is deleted again
    Copy,
    /// Both: the snapshot is kept as well
    Both,
    /// Nothing: objects only, no history
    None,
}

impl Volumes {
    pub(super) fn mode(self) -> VolumeMode {
        match self {
            Self::Snapshot => VolumeMode::Snapshot,
            Self::Copy => VolumeMode::Copy,
            Self::Both => VolumeMode::Both,
            Self::None => VolumeMode::None,
        }
    }

    pub(super) fn copies(self) -> Copies {
        if self.mode().copies() { Copies::Allowed } else { Copies::Left }
    }

    /// As the command line spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Copy => "copy",
            Self::Both => "both",
            Self::None => "none",
        }
    }
}

/// How the Jobs work that copy or fill volumes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Jobs that copy volumes")]
pub(super) struct WorkerArgs {
    /// Image of the Jobs: promsafe of this very version
    #[arg(long, env = "PROMSAFE_IMAGE", value_name = "IMAGE",
          default_value = concat!("promsafe:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// How long one Job may take, such as 90m or 6h
    #[arg(long, env = "PROMSAFE_COPY_TIMEOUT", value_parser = duration, default_value = "6h", value_name = "TIME")]
    copy_timeout: Duration,
    /// How many Jobs run at once
    #[arg(long, env = "PROMSAFE_PARALLEL_COPIES", default_value = "4", value_name = "COUNT",
          value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel_copies: u8,
    /// Bytes per second that each Job may send or fetch, such as 50MiB [default: no limit]
    #[arg(long, env = "PROMSAFE_BANDWIDTH", value_parser = bandwidth, value_name = "BYTES")]
    bandwidth: Option<NonZeroU64>,
}

impl WorkerArgs {
    pub(super) fn settings(&self) -> WorkerSettings {
        WorkerSettings {
            image: self.image.clone(),
            timeout: self.copy_timeout,
            parallel: usize::from(self.parallel_copies),
            bandwidth: self.bandwidth,
            reading: Reading::default(),
            head: Head::default(),
            on_damage: OnDamage::default(),
        }
    }
}
