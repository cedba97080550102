//! What was found of backups in a store.

use serde::Serialize;

use super::Level;
use crate::model::{BackupId, Sha256};
use crate::store::Fault;
use crate::tsdb::{Grade, Report};

/// What kind of trouble an object is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// It is not what was written.
    Damaged,
    /// It is not there.
    Missing,
    /// It is there, and nothing names it.
    Extra,
}

/// An object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// In what trouble.
    pub trouble: Trouble,
    /// Its path, with the address of its store.
    pub object: String,
    /// What exactly.
    pub why: String,
    /// What it is part of, such as `monitoring/prometheus-db: 01J…/index`.
    pub belongs_to: Vec<String>,
}

impl Flaw {
    /// A flaw of something that belongs to nothing in particular.
    pub(super) fn new(trouble: Trouble, object: String, why: String) -> Self {
        Self { trouble, object, why, belongs_to: Vec::new() }
    }

    pub(super) fn of_fault(fault: Fault, object: String) -> Self {
        match fault {
            Fault::Missing => Self::new(Trouble::Missing, object, "it is missing".to_owned()),
            Fault::Damaged(why) => Self::new(Trouble::Damaged, object, why),
        }
    }
}

/// A copied volume of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeVerdict {
    /// The claim, or the directory.
    pub name: String,
    /// Its tree.
    pub tree: Sha256,
    /// Files in it.
    pub files: u64,
    /// All together, in bytes.
    pub bytes: u64,
    /// Files of which something is damaged or missing.
    pub flawed: u64,
    /// What Prometheus would make of it; `None` for what is no data directory, and when it was not looked at.
    pub tsdb: Option<TsdbVerdict>,
}

/// What Prometheus would make of a copied data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TsdbVerdict {
    /// It was read.
    Inspected(Box<Report>),
    /// Bytes of it could not be had, because objects are damaged or missing.
    Unreadable(String),
}

impl TsdbVerdict {
    /// How bad it is.
    pub fn grade(&self) -> Grade {
        match self {
            Self::Inspected(report) => report.grade,
            Self::Unreadable(_) => Grade::Fatal,
        }
    }
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupVerdict {
    /// Its name.
    pub id: BackupId,
    /// Files beside the record.
    pub objects: u64,
    /// All together, in bytes.
    pub bytes: u64,
    /// Copied volumes.
    pub volumes: Vec<VolumeVerdict>,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
}

impl BackupVerdict {
    pub(super) fn new(id: BackupId) -> Self {
        Self { id, objects: 0, bytes: 0, volumes: Vec::new(), flaws: Vec::new() }
    }

    /// Whether all of it can be restored.
    pub fn is_whole(&self) -> bool {
        self.flaws.iter().all(|flaw| flaw.trouble == Trouble::Extra)
    }

    /// Whether an object is damaged or missing in whose path this stands.
    pub fn is_flawed_in(&self, part: &str) -> bool {
        self.flaws.iter().any(|flaw| flaw.trouble != Trouble::Extra && flaw.object.contains(part))
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// How closely was looked.
    #[serde(skip)]
    pub level: Level,
    /// So many percent of the pieces were to be hashed.
    pub percent: u8,
    /// Each backup.
    pub backups: Vec<BackupVerdict>,
    /// What is wrong with the store's own files.
    pub flaws: Vec<Flaw>,
    /// Different pieces that the backups name.
    pub pieces: u64,
    /// All together, in bytes.
    pub piece_bytes: u64,
    /// Of these hashed.
    pub hashed: u64,
    /// All together, in bytes.
    pub hashed_bytes: u64,
}

impl Default for Verification {
    fn default() -> Self {
        Self {
            level: Level::Hash,
            percent: 100,
            backups: Vec::new(),
            flaws: Vec::new(),
            pieces: 0,
            piece_bytes: 0,
            hashed: 0,
            hashed_bytes: 0,
        }
    }
}

impl Verification {
    /// Everything that is wrong.
    pub fn all_flaws(&self) -> impl Iterator<Item = &Flaw> {
        self.backups.iter().flat_map(|backup| &backup.flaws).chain(&self.flaws)
    }

    /// The worst that Prometheus would make of a copied data directory.
    pub fn worst(&self) -> Grade {
        let volumes = self.backups.iter().flat_map(|backup| &backup.volumes);
        volumes.filter_map(|volume| volume.tsdb.as_ref()).map(TsdbVerdict::grade).max().unwrap_or_default()
    }

    /// Whether something is damaged or missing, or Prometheus would not start on it.
    pub fn is_damaged(&self) -> bool {
        self.all_flaws().any(|flaw| flaw.trouble != Trouble::Extra) || self.worst() == Grade::Fatal
    }
}
