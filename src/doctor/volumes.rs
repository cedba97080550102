//! Each claim of the captured namespaces: whether it can be snapshotted, and by which class.

use std::collections::BTreeMap;

use super::Check;
use super::check::Group;
use crate::cluster::Cluster;
use crate::model::{DataVolume, GroupKind, Inventory, ServedKinds};
use crate::preflight::{SnapshotClass, class_for, snapshot_classes};
use crate::quantity::human;
use crate::scope::SNAPSHOT_GROUP;
use crate::words;

/// One line a claim, and one for each instance that has none.
pub(super) async fn checks(
    cluster: &Cluster,
    served: &ServedKinds,
    inventory: &Inventory,
    modes: &BTreeMap<String, String>,
) -> Vec<Check> {
    let mut checks: Vec<Check> = without_claims(inventory).collect();
    if inventory.volumes.is_empty() {
        checks.push(Group::Claims.skipped("there is no claim in the captured namespaces"));
        return checks;
    }
    if served.find(GroupKind(SNAPSHOT_GROUP, "VolumeSnapshotClass")).is_none() {
        checks.push(Group::Claims.skipped("the classes of snapshots are not served, so none can be chosen"));
        return checks;
    }
    match snapshot_classes(cluster, served).await {
        Ok(classes) => checks.extend(inventory.volumes.iter().map(|volume| claim(volume, modes, &classes))),
        Err(error) => checks.push(Group::Claims.skipped(words::chain(&error))),
    }
    checks
}

fn claim(volume: &DataVolume, modes: &BTreeMap<String, String>, classes: &[SnapshotClass]) -> Check {
    let class = match class_for(volume, classes) {
        Ok(class) => class,
        Err(refusal) => return Group::Claims.failed(format!("{} {}", refusal.object, refusal.why), refusal.fix),
    };
    let policy = classes.iter().find(|one| one.metadata.name == class).map_or("", |one| &one.deletion_policy);
    Group::Claims.ok(format!(
        "{}: {}, {}, class {}, driver {}, {}, snapshot class {class} ({policy})",
        volume.qualified_name(),
        volume.phase,
        human(volume.capacity_bytes),
        volume.storage_class.as_deref().unwrap_or("none"),
        volume.driver.as_deref().unwrap_or_default(),
        modes.get(&volume.qualified_name()).map_or("modes not known", String::as_str),
    ))
}

/// Instances whose data lies on no claim: it dies with their pods.
fn without_claims(inventory: &Inventory) -> impl Iterator<Item = Check> {
    inventory.instances.iter().filter_map(|instance| {
        let place = instance.volatile.as_ref()?;
        Some(Group::Claims.warning(
            format!("{}: its data lies on {place}, so a backup holds none of it", instance.key),
            "give it a claim (spec.storage.volumeClaimTemplate of a custom resource)",
        ))
    })
}
