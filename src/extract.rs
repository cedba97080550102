//! The extract pipeline: open a backup, choose a copied volume, bring its files into a directory.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::copy::PIECES_IN_FLIGHT;
use crate::fill::{FillError, FillRequest, Filled, Head, OnDamage, fill};
use crate::model::{BackupId, BackupRecord, Refusal, Reporter, Sha256, VolumeRecord};
use crate::store::{Store, StoreError};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct ExtractRequest {
    /// The backup.
    pub id: BackupId,
    /// Where to.
    pub directory: PathBuf,
    /// The volume, as `namespace/claim`; `None` for the only one that was copied.
    pub volume: Option<String>,
    /// Whether the head comes along.
    pub head: Head,
    /// What happens when something is damaged.
    pub on_damage: OnDamage,
    /// Bytes fetched per second at most.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// Files that are in the directory.
#[derive(Debug)]
pub struct Extracted {
    /// The backup.
    pub backup: BackupId,
    /// The volume, or the directory it was a copy of.
    pub volume: String,
    /// Where they are.
    pub directory: PathBuf,
    /// What they are.
    pub filled: Filled,
    /// The whole run.
    pub took: Duration,
}

/// They are not, or not all. Running it again goes on.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The backup could not be read.
    #[error("open the backup")]
    Open(#[from] StoreError),
    /// There is no such copy in the backup. Nothing was changed.
    #[error("refused: nothing was changed")]
    Refused(Vec<Refusal>),
    /// The files could not be brought back.
    #[error("extract {volume} of backup {id}")]
    Fill {
        /// The backup.
        id: BackupId,
        /// The volume.
        volume: String,
        /// Why.
        #[source]
        source: FillError,
    },
}

/// Brings the files of a copied volume into a directory.
///
/// # Errors
/// When it ended before all were there.
pub async fn extract(
    store: &Store,
    request: &ExtractRequest,
    reporter: &dyn Reporter,
) -> Result<Extracted, ExtractError> {
    let begun = Instant::now();
    let backup = store.open_backup(&request.id).await?;
    let chosen = choose(backup.record(), request.volume.as_deref());
    let (volume, tree) = chosen.map_err(|refusal| ExtractError::Refused(vec![refusal]))?;
    let wanted = FillRequest {
        tree,
        directory: request.directory.clone(),
        name: volume.clone(),
        head: request.head,
        on_damage: request.on_damage,
        pieces_in_flight: PIECES_IN_FLIGHT,
        bytes_per_second: request.bytes_per_second,
    };
    match fill(store, &wanted, reporter).await {
        Ok(filled) => Ok(Extracted {
            backup: request.id.clone(),
            volume,
            directory: request.directory.clone(),
            filled,
            took: begun.elapsed(),
        }),
        Err(source) => Err(ExtractError::Fill { id: request.id.clone(), volume, source }),
    }
}

/// The volume meant, and its tree.
fn choose(record: &BackupRecord, wanted: Option<&str>) -> Result<(String, Sha256), Refusal> {
    let copied = || record.volumes.iter().filter_map(|volume| Some((volume, volume.copy.as_ref()?.tree)));
    let named: Vec<(String, Sha256)> = copied()
        .map(|(volume, tree)| (name(record, volume), tree))
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name))
        .collect();
    let all = copied().map(|(volume, _)| name(record, volume)).collect::<Vec<_>>().join(", ");
    let refused = |why: String, fix: String| Refusal { object: format!("backup {}", record.id), why, fix };
    match (&named[..], wanted) {
        ([only], _) => Ok(only.clone()),
        _ if all.is_empty() => Err(refused(
            "holds no copy of any volume, only snapshots and objects".to_owned(),
            format!("promsafe restore {} brings it back into a cluster", record.id),
        )),
        ([], Some(wanted)) => {
            Err(refused(format!("holds no copy of {wanted}"), format!("name one that it holds with --volume: {all}")))
        }
        _ => Err(refused(
            format!("holds copies of {} volumes", named.len()),
            format!("name one of them with --volume: {all}"),
        )),
    }
}

/// What a volume is called: a claim, or a directory.
fn name(record: &BackupRecord, volume: &VolumeRecord) -> String {
    match &record.directory {
        Some(source) => format!("{}:{}", source.host, source.path),
        None => volume.volume.qualified_name(),
    }
}
