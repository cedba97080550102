//! The rows of the table of permissions. Wildcards stand first: a role says nothing twice.

use super::{ANY, Need, Permission, Place, Run};
use crate::names::RUN_LOCK;
use crate::scope::{OPERATOR_GROUP, SNAPSHOT_GROUP};

const RBAC: &str = "rbac.authorization.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const CERT_MANAGER: &str = "cert-manager.io";
const READERS: &[Run] = &[Run::Backup, Run::Doctor];
const RESTORE: &[Run] = &[Run::Restore];
const DOCTOR: &[Run] = &[Run::Doctor];

/// What most rows are; each says the rest itself.
pub(super) const READ: Permission = Permission {
    runs: READERS,
    need: Need::Reading,
    place: Place::Cluster,
    group: "",
    resources: &[],
    names: &[],
    verbs: &["list"],
    because: "",
};

/// Cluster-scoped objects of a backup, at restore.
const CREATED: Permission = Permission {
    runs: RESTORE,
    need: Need::Plan,
    verbs: &["get", "create"],
    because: "is compared with what is there, and created where it is missing (--include-cluster-scoped)",
    ..READ
};

/// What objects of a backup name, and is not in a namespace that is saved whole.
const NAMED: Permission = Permission {
    need: Need::Named,
    verbs: &["get"],
    because: "what is saved names it: whether it is there is looked up by name",
    ..READ
};

/// Every permission promsafe needs, but for copies.
pub(super) const ROWS: &[Permission] = &[
    // --- everything
    Permission {
        place: Place::Captured,
        group: ANY,
        resources: &[ANY],
        because: "namespaces that run Prometheus or its operator are saved whole, with every kind the API serves, and \
                  workloads and the operator's resources are looked for in all of them. Listing Secrets is reading \
                  them: -n NAMESPACE limits this to namespaces that are named. There is no get on everything, which \
                  would include pods/exec and nodes/proxy",
        ..READ
    },
    Permission {
        runs: RESTORE,
        need: Need::Plan,
        place: Place::Captured,
        group: ANY,
        resources: &[ANY],
        verbs: &["get", "create"],
        because: "a backup holds objects of every kind of its namespaces: each is compared with what is there, and \
                  created where it is missing. Whoever may do this rules these namespaces: bind the role for as long \
                  as a restore takes",
        ..READ
    },
    // --- reading outside of namespaces
    Permission {
        resources: &["namespaces"],
        verbs: &["get", "list"],
        because: "the UID of kube-system tells which cluster it is; selectors depend on the labels of namespaces",
        ..READ
    },
    Permission {
        resources: &["persistentvolumes"],
        verbs: &["get"],
        because: "the driver and the handle of the volume behind a claim",
        ..READ
    },
    Permission {
        group: "apiextensions.k8s.io",
        resources: &["customresourcedefinitions"],
        verbs: &["get", "list"],
        because: "the operator's definitions: listed by name, then read one by one",
        ..READ
    },
    Permission {
        group: RBAC,
        resources: &["clusterroles", "clusterrolebindings"],
        because: "what the service accounts of the saved namespaces may do",
        ..READ
    },
    Permission {
        place: Place::Everywhere,
        group: RBAC,
        resources: &["roles", "rolebindings"],
        because: "Prometheus is bound in every namespace it watches; they hold no secrets",
        ..READ
    },
    Permission {
        group: "admissionregistration.k8s.io",
        resources: &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
        because: "webhooks that check the operator's resources or are served from a saved namespace",
        ..READ
    },
    Permission {
        group: "apiregistration.k8s.io",
        resources: &["apiservices"],
        because: "APIs that are served from a saved namespace",
        ..READ
    },
    Permission {
        group: "storage.k8s.io",
        resources: &["storageclasses", "volumeattributesclasses"],
        because: "classes of the saved claims",
        ..READ
    },
    Permission { group: "node.k8s.io", resources: &["runtimeclasses"], because: "classes of the saved pods", ..READ },
    Permission { group: NETWORKING, resources: &["ingressclasses"], because: "classes of the saved Ingresses", ..READ },
    Permission {
        group: "scheduling.k8s.io",
        resources: &["priorityclasses"],
        because: "classes of the saved pods",
        ..READ
    },
    Permission {
        group: SNAPSHOT_GROUP,
        resources: &["volumesnapshotclasses"],
        because: "which class snapshots a volume is chosen by its driver",
        ..READ
    },
    // --- what is named
    Permission {
        place: Place::Captured,
        resources: &["secrets", "configmaps", "serviceaccounts", "services", "persistentvolumeclaims"],
        ..NAMED
    },
    Permission {
        place: Place::Captured,
        group: OPERATOR_GROUP,
        resources: &["alertmanagerconfigs", "alertmanagers"],
        ..NAMED
    },
    Permission { place: Place::Captured, group: CERT_MANAGER, resources: &["issuers", "certificates"], ..NAMED },
    Permission { group: CERT_MANAGER, resources: &["clusterissuers"], ..NAMED },
    Permission { place: Place::Captured, group: RBAC, resources: &["roles"], ..NAMED },
    Permission { group: RBAC, resources: &["clusterroles"], ..NAMED },
    Permission { group: "storage.k8s.io", resources: &["storageclasses", "volumeattributesclasses"], ..NAMED },
    Permission { group: "scheduling.k8s.io", resources: &["priorityclasses"], ..NAMED },
    Permission { group: "node.k8s.io", resources: &["runtimeclasses"], ..NAMED },
    Permission { group: NETWORKING, resources: &["ingressclasses"], ..NAMED },
    Permission { group: SNAPSHOT_GROUP, resources: &["volumesnapshotclasses"], ..NAMED },
    // --- snapshots of a backup
    Permission {
        runs: &[Run::Backup],
        need: Need::Snapshots,
        place: Place::Captured,
        group: SNAPSHOT_GROUP,
        resources: &["volumesnapshots"],
        verbs: &["create", "get", "list", "delete"],
        because: "one for each claim; those of a backup that failed are deleted again",
        ..READ
    },
    Permission {
        runs: &[Run::Backup],
        need: Need::Snapshots,
        group: SNAPSHOT_GROUP,
        resources: &["volumesnapshotcontents"],
        verbs: &["get", "list", "patch", "delete"],
        because: "their storage handle is recorded and their deletionPolicy set to Retain, so that they outlive the \
                  namespace; those that a killed backup left are deleted",
        ..READ
    },
    // --- asking Prometheus
    Permission {
        runs: &[Run::Backup, Run::Restore, Run::Doctor],
        need: Need::Fingerprint,
        place: Place::Captured,
        resources: &["pods/proxy"],
        verbs: &["get"],
        because: "Prometheus is asked for its blocks and for answers at past times: the proof of a restore",
        ..READ
    },
    Permission {
        need: Need::Login,
        place: Place::Captured,
        resources: &["pods"],
        verbs: &["get"],
        because: "the pod of a Prometheus that demands a login names the Secret with it",
        ..READ
    },
    Permission {
        runs: &[Run::Backup, Run::Restore, Run::Doctor],
        need: Need::Login,
        place: Place::Captured,
        resources: &["pods/portforward"],
        verbs: &["get", "create"],
        because: "the API server's proxy takes the login off, so such a Prometheus is asked through a tunnel into its \
                  pod; its WebSocket is a get, which Kubernetes 1.35 and later allows only together with create",
        ..READ
    },
    // --- a restore outside of namespaces
    Permission { resources: &["namespaces"], ..CREATED },
    Permission { group: "apiextensions.k8s.io", resources: &["customresourcedefinitions"], ..CREATED },
    Permission { group: RBAC, resources: &["clusterroles", "clusterrolebindings"], ..CREATED },
    Permission { group: "storage.k8s.io", resources: &["storageclasses", "volumeattributesclasses"], ..CREATED },
    Permission { group: "node.k8s.io", resources: &["runtimeclasses"], ..CREATED },
    Permission { group: NETWORKING, resources: &["ingressclasses"], ..CREATED },
    Permission { group: SNAPSHOT_GROUP, resources: &["volumesnapshotclasses"], ..CREATED },
    Permission { group: "scheduling.k8s.io", resources: &["priorityclasses"], ..CREATED },
    Permission {
        group: "admissionregistration.k8s.io",
        resources: &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
        ..CREATED
    },
    Permission { group: "apiregistration.k8s.io", resources: &["apiservices"], ..CREATED },
    Permission {
        runs: RESTORE,
        group: "storage.k8s.io",
        resources: &["csidrivers"],
        verbs: &["get"],
        because: "a snapshot can only come back through the driver that took it",
        ..READ
    },
    Permission {
        runs: RESTORE,
        need: Need::Plan,
        group: RBAC,
        resources: &["clusterroles"],
        verbs: &["escalate", "bind"],
        because: "whoever creates a role must hold all it grants, or escalate; whoever creates a binding the same, or \
                  bind (kubernetes pkg/registry/rbac). The operator's role grants all on Secrets and StatefulSets",
        ..READ
    },
    Permission {
        runs: RESTORE,
        need: Need::Plan,
        place: Place::Captured,
        group: RBAC,
        resources: &["roles"],
        verbs: &["escalate", "bind"],
        because: "the same for roles of namespaces",
        ..READ
    },
    Permission {
        runs: RESTORE,
        need: Need::Plan,
        place: Place::Captured,
        group: RBAC,
        resources: &["clusterroles"],
        verbs: &["bind"],
        because: "a RoleBinding may name a ClusterRole",
        ..READ
    },
    // --- snapshots of a restore
    Permission {
        runs: RESTORE,
        need: Need::Snapshots,
        place: Place::Captured,
        group: SNAPSHOT_GROUP,
        resources: &["volumesnapshots"],
        verbs: &["create", "get", "list", "delete"],
        because: "claims are filled from VolumeSnapshots that are made for this and removed once the claims are bound",
        ..READ
    },
    Permission {
        runs: RESTORE,
        need: Need::Snapshots,
        group: SNAPSHOT_GROUP,
        resources: &["volumesnapshotcontents"],
        verbs: &["create", "get", "list", "delete"],
        because: "each names the storage handle that the backup recorded; the storage snapshot stays when it goes",
        ..READ
    },
    Permission {
        runs: RESTORE,
        need: Need::Snapshots,
        place: Place::Captured,
        resources: &["persistentvolumeclaims"],
        verbs: &["patch"],
        because: "the claim of a replica that was taken away gets its volume without a pod: a node is chosen for it",
        ..READ
    },
    Permission {
        runs: RESTORE,
        need: Need::Snapshots,
        group: "storage.k8s.io",
        resources: &["csinodes"],
        because: "which nodes have the driver of such a claim",
        ..READ
    },
    Permission {
        runs: RESTORE,
        need: Need::Fingerprint,
        place: Place::Captured,
        resources: &["pods"],
        because: "pods of a Deployment come back under new names: the one that mounts the claim is asked",
        ..READ
    },
    Permission {
        runs: RESTORE,
        need: Need::Endpoints,
        place: Place::Captured,
        group: "discovery.k8s.io",
        resources: &["endpointslices"],
        because: "a webhook is restored once its Service has a ready endpoint",
        ..READ
    },
    // --- promsafe's own namespace
    Permission {
        runs: &[Run::Backup, Run::Restore],
        need: Need::Lock,
        place: Place::Own,
        group: "coordination.k8s.io",
        resources: &["leases"],
        verbs: &["create"],
        because: "the lock that keeps two runs apart (a create cannot be limited to a name)",
        ..READ
    },
    Permission {
        runs: &[Run::Backup, Run::Restore],
        need: Need::Lock,
        place: Place::Own,
        group: "coordination.k8s.io",
        resources: &["leases"],
        names: &[RUN_LOCK],
        verbs: &["get", "update", "patch"],
        because: "the lock is taken, renewed and given back",
    },
    Permission {
        runs: DOCTOR,
        need: Need::Lock,
        place: Place::Own,
        group: "coordination.k8s.io",
        resources: &["leases"],
        names: &[RUN_LOCK],
        verbs: &["get"],
        because: "whether a run holds the lock, or died with it",
    },
    // --- doctor --snapshot-test
    Permission {
        runs: DOCTOR,
        need: Need::SnapshotTest,
        place: Place::Own,
        resources: &["persistentvolumeclaims", "pods"],
        verbs: &["create", "get", "delete"],
        because: "only for --snapshot-test: a small volume and a pod that writes to it",
        ..READ
    },
    Permission {
        runs: DOCTOR,
        need: Need::SnapshotTest,
        resources: &["persistentvolumes"],
        verbs: &["get", "patch"],
        because: "only for --snapshot-test: the volumes of a class that retains them are to go as well",
        ..READ
    },
    Permission {
        runs: DOCTOR,
        need: Need::SnapshotTest,
        place: Place::Own,
        resources: &["events"],
        verbs: &["list"],
        because: "only for --snapshot-test: why that pod does not start",
        ..READ
    },
    Permission {
        runs: DOCTOR,
        need: Need::SnapshotTest,
        place: Place::Own,
        group: SNAPSHOT_GROUP,
        resources: &["volumesnapshots"],
        verbs: &["create", "get", "list", "delete"],
        because: "only for --snapshot-test: the snapshot of that volume",
        ..READ
    },
    Permission {
        runs: DOCTOR,
        need: Need::SnapshotTest,
        group: SNAPSHOT_GROUP,
        resources: &["volumesnapshotcontents"],
        verbs: &["get", "list", "patch", "delete"],
        because: "only for --snapshot-test: the storage handle of that snapshot, and that it goes with it",
        ..READ
    },
];
