//! What became of the volumes of a backup, as people read it.

use super::table::table;
use super::text::utc;
use crate::model::{BackupRecord, VolumeRecord};
use crate::quantity::human;

/// A table of the volumes, if there are any.
pub(super) fn lines(record: &BackupRecord) -> Option<String> {
    let rows = record.volumes.iter().map(volume);
    (!record.volumes.is_empty()).then(|| table(&["VOLUME", "SNAPSHOT", "READY", "SIZE", "RESULT"], rows))
}

fn volume(record: &VolumeRecord) -> Vec<String> {
    let name = record.volume.qualified_name();
    let leftover = record.volume.leftover_of.as_ref().map_or_else(String::new, |of| format!("; leftover of {of}"));
    match &record.snapshot {
        Some(snapshot) => vec![
            name,
            format!("{} ({})", snapshot.snapshot_handle, snapshot.driver),
            format!("{:.1}s", std::time::Duration::from_millis(snapshot.ready_after_ms).as_secs_f64()),
            human(snapshot.restore_size_bytes),
            format!("ok, cut {}{leftover}", utc(snapshot.cut_at)),
        ],
        None => vec![
            name,
            "none".to_owned(),
            "-".to_owned(),
            human(record.volume.capacity_bytes),
            if record.copy.is_some() {
                format!("copied, see below{leftover}")
            } else {
                "not saved (--volumes none)".to_owned()
            },
        ],
    }
}
