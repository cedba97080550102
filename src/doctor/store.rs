//! Whether backups can be written, listed and read where they are to be kept.

use jiff::Timestamp;

use super::check::Group;
use super::{Check, DoctorRequest, StoreHalf};
use crate::list::{Listing, list};
use crate::store::{CreateOnly, Remote, Store, StoreError};
use crate::words;

/// From here on a difference between clocks is told; S3 refuses signatures that are 15 minutes off.
const SKEW_SECONDS: i64 = 300;

/// Writes, reads, lists and deletes, as a backup and a prune do.
pub(super) async fn check(store: Result<Store, StoreError>, request: &DoctorRequest) -> StoreHalf {
    let store = match store {
        Ok(store) => store,
        Err(error) => {
            let checks = vec![failed("open", &error)];
            return StoreHalf { checks, error: Some(error), ..StoreHalf::default() };
        }
    };
    let (written, listed) = tokio::join!(store.check_writable(), list(&store));
    let mut half = StoreHalf { checks: on_the_way(&store), ..StoreHalf::default() };
    match written {
        Ok(create_only) => half.checks.extend(writable(&store, create_only)),
        Err(error) => {
            half.checks.push(failed("write", &error));
            // Of a store that answers a list only the write is refused.
            half.error = listed.is_err().then_some(error);
        }
    }
    match listed {
        Ok(listing) => {
            half.checks.extend(contents(&listing, request.now));
            half.backups = listing.backups;
        }
        Err(error) => half.checks.push(failed("list", &error)),
    }
    half
}

fn failed(doing: &str, error: &StoreError) -> Check {
    Group::Store.failed(
        format!("{doing}: {}", words::chain(error)),
        "check --store, --s3-endpoint, --ca-file and the AWS_ variables, and what the access key may do",
    )
}

fn writable(store: &Store, create_only: CreateOnly) -> [Check; 2] {
    let probed = Group::Store.ok(format!("{}: a probe was written, read and deleted", store.url()));
    let conditional = match create_only {
        CreateOnly::Honoured => Group::Store.ok("a second write to the same name is refused (If-None-Match)"),
        CreateOnly::Ignored => Group::Store.warning(
            "a second write to the same name is taken: the server ignores If-None-Match, only unique names protect backups",
            "update the server, or give promsafe a bucket with versioning that nobody else writes to",
        ),
    };
    [probed, conditional]
}

/// TLS and clocks, where there is a server.
fn on_the_way(store: &Store) -> Vec<Check> {
    let Some(Remote { endpoint, clock_skew }) = store.remote() else { return Vec::new() };
    let mut checks = Vec::new();
    match endpoint.strip_prefix("http://") {
        None => checks.push(Group::Store.ok(format!("{endpoint} is reached by TLS"))),
        Some(host) if is_loopback(host) => checks.push(Group::Store.ok(format!("{endpoint} is on this machine"))),
        Some(_) => checks.push(Group::Store.warning(
            format!("{endpoint} is reached without TLS: Secrets of the backups go over the network in clear text"),
            "use an address that begins with https:// (--s3-endpoint), with --ca-file for an authority of your own",
        )),
    }
    if let Some(skew) = clock_skew.map(|skew| skew.as_secs()) {
        checks.push(if skew.abs() < SKEW_SECONDS {
            Group::Store.ok(format!("clocks agree to {} s", skew.abs().max(1)))
        } else {
            let way = if skew > 0 { "ahead of" } else { "behind" };
            Group::Store.warning(
                format!(
                    "the store's clock is {} s {way} this machine's; S3 refuses signatures from 900 s on",
                    skew.abs()
                ),
                "set the clock of this machine or of the server (timedatectl)",
            )
        });
    }
    checks
}

fn is_loopback(host: &str) -> bool {
    let host = host.split('/').next().unwrap_or_default();
    host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
}

fn contents(listing: &Listing, now: Timestamp) -> Vec<Check> {
    let hours = |at: Timestamp| format!("{:.1}h old", now.duration_since(at).as_secs_f64() / 3600.0);
    let mut checks = vec![Group::Store.ok(match listing.backups.as_slice() {
        [] => "no complete backup yet".to_owned(),
        [only] => format!("1 complete backup, {} ({})", only.id, hours(only.started_at)),
        [oldest, .., newest] => format!(
            "{} complete backups, the newest {} ({}), the oldest {} ({})",
            listing.backups.len(),
            newest.id,
            hours(newest.started_at),
            oldest.id,
            hours(oldest.started_at)
        ),
    })];
    checks.extend(listing.unreadable.iter().map(|(id, error)| {
        let hint = "promsafe list shows the others; a newer format needs a newer promsafe";
        Group::Store.warning(format!("backup {id} cannot be restored: {}", words::chain(error)), hint)
    }));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        assert!(["127.0.0.1:9000", "localhost/x", "[::1]:80"].into_iter().all(is_loopback));
        assert!(["10.88.0.1:7070", "minio.local", "[fe80::1]"].into_iter().all(|host| !is_loopback(host)));
    }
}
