//! `promsafe verify ID|latest|--all`: backups in a store.

use jiff::Timestamp;

use super::options::unique;
use super::verify::Args;
use super::{Exit, Failure, print, until_interrupted};
use crate::integrity::{Level, Trouble, Verification, VerifyRequest, verify};
use crate::model::{BackupId, Timeouts};
use crate::report::verified_backups;
use crate::store::{Store, StoreError};
use crate::tsdb::Grade;

/// Which backups.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backups<'a> {
    /// The one that is meant by an id, a unique beginning of one, or `latest`.
    One(&'a str),
    /// Every complete one.
    All,
}

/// Verifies backups at this level.
pub(super) async fn run(args: &Args, backups: Backups<'_>, level: Level) -> Result<Exit, Failure> {
    let store = args.store.open(&Timeouts::for_data()).await?;
    let reporter = args.output.reporter();
    let verification = until_interrupted(async {
        let backups = chosen(&store, backups).await?;
        let seed = u64::from(unique()) << 32 | u64::from(unique());
        let now_ms = Timestamp::now().as_millisecond();
        let request = VerifyRequest { backups, level, percent: args.subset.percent(), seed, now_ms };
        verify(&store, &request, reporter.as_ref()).await
    })
    .await?;
    print(&verified_backups(&verification, &store.url().to_string(), args.output)?)?;
    Ok(exit(&verification))
}

async fn chosen(store: &Store, backups: Backups<'_>) -> Result<Vec<BackupId>, StoreError> {
    if let Backups::One(wanted) = backups {
        return Ok(vec![store.resolve(wanted).await?]);
    }
    let listed = store.list().await?;
    Ok(listed.into_iter().filter(|backup| backup.sealed).map(|backup| backup.id).collect())
}

fn exit(verification: &Verification) -> Exit {
    if verification.is_damaged() {
        return Exit::Damaged;
    }
    let extra = verification.all_flaws().any(|flaw| flaw.trouble == Trouble::Extra);
    if extra || verification.worst() >= Grade::Degraded { Exit::Problems } else { Exit::Done }
}
