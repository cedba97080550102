//! Whether Prometheus would keep what a restore brings back. Pure.
//!
//! Prometheus deletes a block when the newest one ends later than it by the retention or more (`tsdb/db.go`
//! `BeyondTimeRetention`). A restored Prometheus cuts its first fresh block two to three hours after its start; a backup
//! older than the retention loses all of its blocks then.

use jiff::{SignedDuration, Timestamp};

use super::Check;
use super::check::Group;
use crate::model::BackupRecord;

/// How long an instance keeps its samples.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// `namespace/name` of the instance.
    pub(super) instance: String,
    /// As Prometheus spells it, such as `15d or 10GiB`.
    pub(super) told: String,
}

/// One line an instance. `backups` are sorted, oldest first.
pub(super) fn checks(kept: &[Kept], backups: &[BackupRecord], now: Timestamp) -> Vec<Check> {
    kept.iter().filter_map(|kept| check(kept, backups, now)).collect()
}

fn check(kept: &Kept, backups: &[BackupRecord], now: Timestamp) -> Option<Check> {
    let instance = &kept.instance;
    let retention = kept.told.split(" or ").find_map(seconds)?;
    let of_it = || backups.iter().filter(|record| record.fingerprints.iter().any(|one| &one.instance == instance));
    let is_older = |record: &&BackupRecord| now.duration_since(record.started_at).as_secs() >= retention;
    let (oldest, newest) = (of_it().next()?, of_it().next_back()?);
    let told = &kept.told;
    let fix = "raise the retention before Prometheus first starts on a restored volume";
    let said = if is_older(&newest) {
        format!("even its newest backup {} is older ({})", newest.id, age(newest, now))
    } else if is_older(&oldest) {
        let count = of_it().take_while(is_older).count();
        format!("{count} of its {} backups are older, such as {} ({})", of_it().count(), oldest.id, age(oldest, now))
    } else {
        return Some(
            Group::Retention.ok(format!("Prometheus {instance} keeps {told}, longer than its backups are old")),
        );
    };
    let loses = "Prometheus would delete the blocks of such a one two to three hours after the restore";
    Some(Group::Retention.warning(format!("Prometheus {instance} keeps {told}; {said}: {loses}"), fix))
}

fn age(record: &BackupRecord, now: Timestamp) -> String {
    let age: SignedDuration = now.duration_since(record.started_at);
    format!("{}h", age.as_hours())
}

/// Seconds of a duration as Prometheus writes it (`model.ParseDuration`: `1y2w3d4h5m6s7ms`); nothing for a size.
fn seconds(text: &str) -> Option<i64> {
    let mut total = 0_i64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: i64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let letters = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let in_seconds = match &unit[..letters] {
            "y" => 365 * 86400,
            "w" => 7 * 86400,
            "d" => 86400,
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            "ms" => 0,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(in_seconds)?)?;
        rest = &unit[letters..];
    }
    (total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    /// The record of the backup that every release has to read.
    fn record() -> BackupRecord {
        let text = include_str!("../../testdata/backups/v1-default-stack/backups/20261121T100105Z-f282/backup.json");
        let envelope: serde_json::Value = serde_json::from_str(text).unwrap();
        serde_json::from_value(envelope["record"].clone()).unwrap()
    }

    #[test]
    fn backups_older_than_the_retention_are_named_with_it() {
        let (newer, mut older) = (record(), record());
        older.started_at = newer.started_at - SignedDuration::from_hours(100);
        older.id = "20261117T060105Z-f282".parse().unwrap();
        let backups = [older, newer];
        let now = backups[1].started_at + SignedDuration::from_hours(48);
        let check = |told: &str| {
            check(&Kept { instance: "monitoring/k8s".into(), told: told.into() }, &backups, now)
                .map(|check| (check.verdict, check.seen))
        };
        let (verdict, seen) = check("1d or 10GiB").unwrap();
        assert_eq!(verdict, Verdict::Warning);
        assert!(seen.contains("even its newest backup 20261121T100105Z-f282 is older (48h)"), "{seen}");
        let (verdict, seen) = check("3d").unwrap();
        assert_eq!(verdict, Verdict::Warning);
        assert!(seen.contains("1 of its 2 backups are older, such as 20261117T060105Z-f282 (148h)"), "{seen}");
        assert_eq!(check("30d").unwrap().0, Verdict::Ok);
        assert_eq!(check("10GiB"), None);
    }

    #[test]
    fn durations_are_read_as_prometheus_writes_them_and_sizes_are_none() {
        assert_eq!(seconds("15d"), Some(15 * 86400));
        assert_eq!(seconds("1w2d"), Some(9 * 86400));
        assert_eq!(seconds("1d12h"), Some(36 * 3600));
        for none in ["10GiB", "", "0s", "forever", "12"] {
            assert_eq!(seconds(none), None, "{none}");
        }
    }
}
