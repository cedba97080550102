//! Every kind that a real API server serves has a restore stage that somebody chose.

use std::collections::BTreeSet;

use promsafe::model::{GroupKind, ObjectKey, ServedKind};
use promsafe::order::{Kinds, STAGES, stage_of};

use crate::support::control_plane::ControlPlane;

/// Kinds of Kubernetes that are written with the rest, each of which somebody looked at.
const REST: &[(&[GroupKind], &str)] = &[
    (
        &[
            GroupKind("", "Event"),
            GroupKind("events.k8s.io", "Event"),
            GroupKind("apps", "ControllerRevision"),
            GroupKind("coordination.k8s.io", "Lease"),
            GroupKind("storage.k8s.io", "CSIStorageCapacity"),
        ],
        "left out of every backup: they live as long as what they describe",
    ),
    (
        &[
            GroupKind("", "Node"),
            GroupKind("", "PersistentVolume"),
            GroupKind("certificates.k8s.io", "CertificateSigningRequest"),
            GroupKind("flowcontrol.apiserver.k8s.io", "FlowSchema"),
            GroupKind("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
            GroupKind("networking.k8s.io", "IPAddress"),
            GroupKind("networking.k8s.io", "ServiceCIDR"),
            GroupKind("resource.k8s.io", "DeviceClass"),
            GroupKind("resource.k8s.io", "ResourceSlice"),
            GroupKind("storage.k8s.io", "CSINode"),
            GroupKind("storage.k8s.io", "VolumeAttachment"),
        ],
        "cluster-scoped, and no rule selects them: they never come into a backup",
    ),
    (
        &[GroupKind("resource.k8s.io", "ResourceClaim"), GroupKind("resource.k8s.io", "ResourceClaimTemplate")],
        "pods name them, and pods come later",
    ),
];

#[tokio::test]
async fn every_kind_that_an_api_server_serves_has_a_stage_that_somebody_chose() {
    let cluster = ControlPlane::shared().await.cluster().await;
    let served = cluster.served_kinds().await.unwrap().kinds;
    let written: Vec<_> = served.iter().filter(|kind| kind.can("list") && kind.can("create")).collect();
    let rest = |group: &str, kind: &str| {
        let stage = &STAGES[stage_of(&ObjectKey::cluster_scoped(group, kind, "any", "x"))];
        matches!(stage.kinds, Kinds::Rest)
    };
    let looked_at = |kind: &ServedKind| REST.iter().any(|(kinds, _)| kinds.iter().any(|known| kind.is(*known)));
    let unchosen: BTreeSet<String> = written
        .iter()
        .filter(|kind| rest(&kind.group, &kind.kind) && !looked_at(kind))
        .map(|kind| format!("{}.{}", kind.kind, kind.group))
        .collect();
    assert_eq!(unchosen, BTreeSet::new(), "nobody thought of when these are written");
    // A name that is mistyped would send a kind to the rest without a word.
    let listed = STAGES.iter().flat_map(|stage| match stage.kinds {
        Kinds::Listed(kinds) => kinds,
        Kinds::Rest => &[],
    });
    let unknown: BTreeSet<String> =
        listed.filter(|kind| !written.iter().any(|served| served.is(**kind))).map(ToString::to_string).collect();
    assert_eq!(unknown, BTreeSet::new(), "stages list what does not exist");
}
