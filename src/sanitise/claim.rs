//! What is stripped from a PersistentVolumeClaim. Where its data comes from is decided by the plan, not here.

use super::fields::{ANNOTATIONS, remove};
use super::rule::{Kinds, Rule};
use crate::model::GroupKind;
use crate::names::{FILLED_ANNOTATION, RESTORED_FROM_ANNOTATION};

const CLAIM: Kinds = Kinds::Only(&[GroupKind("", "PersistentVolumeClaim")]);

pub(super) const RULES: &[Rule] = &[
    Rule {
        kinds: CLAIM,
        what: "spec.volumeName",
        because: "it names the old PersistentVolume; the binder writes the new one \
                  (pkg/controller/volume/persistentvolume)",
        strip: |object| remove(object, &["spec"], &["volumeName"]),
    },
    Rule {
        kinds: CLAIM,
        what: "spec.dataSource, spec.dataSourceRef",
        because: "they say where the first content came from; a restored claim is filled from the backup's snapshot",
        strip: |object| remove(object, &["spec"], &["dataSource", "dataSourceRef"]),
    },
    Rule {
        kinds: CLAIM,
        what: "annotations pv.kubernetes.io/bind-completed, pv.kubernetes.io/bound-by-controller, \
               pv.kubernetes.io/migrated-to, volume.kubernetes.io/selected-node, \
               volume.kubernetes.io/storage-provisioner, volume.beta.kubernetes.io/storage-provisioner, \
               volume.kubernetes.io/storage-resizer",
        because: "binder, scheduler and resizer write them for the old volume and its node \
                  (component-helpers storage/volume/pv_helpers.go)",
        strip: |object| {
            remove(
                object,
                ANNOTATIONS,
                &[
                    "pv.kubernetes.io/bind-completed",
                    "pv.kubernetes.io/bound-by-controller",
                    "pv.kubernetes.io/migrated-to",
                    "volume.kubernetes.io/selected-node",
                    "volume.kubernetes.io/storage-provisioner",
                    "volume.beta.kubernetes.io/storage-provisioner",
                    "volume.kubernetes.io/storage-resizer",
                ],
            );
        },
    },
    Rule {
        kinds: CLAIM,
        what: "annotations promsafe/restored-from, promsafe/filled",
        because: "they say what an earlier restore filled the claim with",
        strip: |object| remove(object, ANNOTATIONS, &[RESTORED_FROM_ANNOTATION, FILLED_ANNOTATION]),
    },
];
