//! In which version the operator's resources are read: the one they are stored in. Where a definition serves several and
//! converts between them by name only, every other version loses the fields that its own schema lacks.

use serde::Deserialize;

use super::{DiscoverError, Lister, Scope};
use crate::cluster::Cluster;

use crate::model::{ObjectKey, ServedKind, ServedKinds};
use crate::scope::OPERATOR_GROUP;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Definition {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    name: String,
    served: bool,
    storage: bool,
}

/// Sets the version of the operator's kinds to the one they are stored in, where there is a choice and it is served.
pub(super) async fn prefer(cluster: &Cluster, served: &mut ServedKinds) -> Result<(), DiscoverError> {
    let several = |kind: &ServedKind| served.in_several_versions.contains(&(kind.group.clone(), kind.plural.clone()));
    let choices: Vec<_> = served.kinds.iter().map(|kind| kind.group == OPERATOR_GROUP && several(kind)).collect();
    for index in (0..choices.len()).filter(|index| choices[*index]) {
        let name = format!("{}.{OPERATOR_GROUP}", served.kinds[index].plural);
        if let Some(version) = stored(cluster, served, &name).await? {
            served.kinds[index].version = version;
        }
    }
    Ok(())
}

async fn stored(cluster: &Cluster, served: &ServedKinds, name: &str) -> Result<Option<String>, DiscoverError> {
    let lister = Lister { cluster, served, scope: &Scope::default() };
    let key = ObjectKey::cluster_scoped(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        name,
    );
    let Some(found) = lister.get(&key, "apiextensions.k8s.io/v1").await? else { return Ok(None) };
    let versions = found.pick::<Definition>()?.spec.versions;
    Ok(versions.into_iter().find(|version| version.storage && version.served).map(|version| version.name))
}
