//! THE table of fields that name another object: whose, where, what, and what happens when that object is missing.

use super::row::{Referrer, Row, Target};
use super::{CONFIG_MAP, Need, SECRET};
use crate::model::GroupKind;
use crate::scope::{INSTANCE_KINDS, OPERATOR_GROUP, SNAPSHOT_GROUP};

const RBAC: &str = "rbac.authorization.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const CERT_MANAGER: &str = "cert-manager.io";
const CLAIM: GroupKind = GroupKind("", "PersistentVolumeClaim");
const SERVICE: GroupKind = GroupKind("", "Service");
const STATEFUL_SET: GroupKind = GroupKind("apps", "StatefulSet");

const INSTANCES: &[Referrer] = &[Referrer { kinds: INSTANCE_KINDS, base: "spec" }];
const ALERTMANAGERS: &[Referrer] = &[Referrer { kinds: &[GroupKind(OPERATOR_GROUP, "Alertmanager")], base: "spec" }];
/// Kinds with a pod template at the usual place.
const TEMPLATED: &[GroupKind] = &[
    GroupKind("apps", "Deployment"),
    STATEFUL_SET,
    GroupKind("apps", "DaemonSet"),
    GroupKind("apps", "ReplicaSet"),
    GroupKind("batch", "Job"),
    GroupKind("", "ReplicationController"),
];
const PODS: &[Referrer] = &[
    Referrer { kinds: &[GroupKind("", "Pod")], base: "spec" },
    Referrer { kinds: TEMPLATED, base: "spec.template.spec" },
    Referrer { kinds: &[GroupKind("batch", "CronJob")], base: "spec.jobTemplate.spec.template.spec" },
];
const STATEFUL_SETS: &[Referrer] = &[Referrer { kinds: &[STATEFUL_SET], base: "spec" }];
const CLAIMS: &[Referrer] = &[Referrer { kinds: &[CLAIM], base: "spec" }];
const CLAIM_TEMPLATES: &[Referrer] = &[
    Referrer { kinds: &[STATEFUL_SET], base: "spec.volumeClaimTemplates[].spec" },
    Referrer { kinds: INSTANCE_KINDS, base: "spec.storage.volumeClaimTemplate.spec" },
];
/// Templates of claims that live as long as their pod.
const EPHEMERAL_TEMPLATES: &[Referrer] = &[
    Referrer { kinds: INSTANCE_KINDS, base: "spec.storage.ephemeral.volumeClaimTemplate.spec" },
    Referrer { kinds: INSTANCE_KINDS, base: "spec.volumes[].ephemeral.volumeClaimTemplate.spec" },
    Referrer { kinds: &[GroupKind("", "Pod")], base: "spec.volumes[].ephemeral.volumeClaimTemplate.spec" },
    Referrer { kinds: TEMPLATED, base: "spec.template.spec.volumes[].ephemeral.volumeClaimTemplate.spec" },
    Referrer {
        kinds: &[GroupKind("batch", "CronJob")],
        base: "spec.jobTemplate.spec.template.spec.volumes[].ephemeral.volumeClaimTemplate.spec",
    },
];
const SERVICE_ACCOUNTS: &[Referrer] = &[Referrer { kinds: &[GroupKind("", "ServiceAccount")], base: "" }];
const BINDINGS: &[Referrer] =
    &[Referrer { kinds: &[GroupKind(RBAC, "RoleBinding"), GroupKind(RBAC, "ClusterRoleBinding")], base: "roleRef" }];
const INGRESSES: &[Referrer] = &[Referrer { kinds: &[GroupKind(NETWORKING, "Ingress")], base: "spec" }];
const INGRESS_CLASSES: &[Referrer] = &[Referrer { kinds: &[GroupKind(NETWORKING, "IngressClass")], base: "spec" }];
const CERTIFICATES: &[Referrer] = &[Referrer { kinds: &[GroupKind(CERT_MANAGER, "Certificate")], base: "spec" }];
const API_SERVICES: &[Referrer] =
    &[Referrer { kinds: &[GroupKind("apiregistration.k8s.io", "APIService")], base: "spec" }];
const WEBHOOKS: &[Referrer] = &[
    Referrer {
        kinds: &[
            GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
            GroupKind("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ],
        base: "webhooks[]",
    },
    Referrer {
        kinds: &[GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")],
        base: "spec.conversion.webhook",
    },
];
/// The kinds into which cert-manager's injector writes a caBundle.
const INJECTABLE: &[Referrer] = &[Referrer {
    kinds: &[
        GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        GroupKind("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        GroupKind("apiregistration.k8s.io", "APIService"),
        GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"),
    ],
    base: "metadata.annotations",
}];

/// What a claim is filled from.
const DATA_SOURCES: Target =
    Target::Typed(&[Target::Own(CLAIM), Target::Own(GroupKind(SNAPSHOT_GROUP, "VolumeSnapshot"))]);

/// The table. Sources without a module are files of prometheus-operator or, below `plugin/`, of Kubernetes. The rows of
/// pods hold for the custom resources too, since the operator copies these fields into its pods; keys that `env` of a
/// custom resource selects are found by the walk.
pub const ROWS: &[Row] = &[
    // Custom resources that run as pods.
    Row {
        by: &[INSTANCES],
        at: "secrets[]",
        target: Target::Own(SECRET),
        need: Need::Required,
        because: "mounted into the pod, which waits for it (pkg/apis/monitoring/v1)",
    },
    Row {
        by: &[INSTANCES],
        at: "configMaps[]",
        target: Target::Own(CONFIG_MAP),
        need: Need::Required,
        because: "mounted into the pod, which waits for it (pkg/apis/monitoring/v1)",
    },
    Row {
        by: &[INSTANCES],
        at: "serviceName",
        target: Target::Own(SERVICE),
        need: Need::Required,
        because: "the operator refuses to reconcile without the governing Service it was told \
                  (pkg/prometheus/server/operator.go, pkg/alertmanager/operator.go)",
    },
    Row {
        by: &[ALERTMANAGERS],
        at: "alertmanagerConfiguration.name",
        target: Target::Own(GroupKind(OPERATOR_GROUP, "AlertmanagerConfig")),
        need: Need::Required,
        because: "the operator refuses to reconcile without it (pkg/alertmanager/operator.go)",
    },
    // Pods.
    Row {
        by: &[PODS],
        at: "containers|initContainers[].env[].valueFrom.secretKeyRef.name",
        target: Target::Own(SECRET),
        need: Need::Required,
        because: "the container is not started (k8s.io/api core/v1 EnvVarSource)",
    },
    Row {
        by: &[PODS],
        at: "containers|initContainers[].env[].valueFrom.configMapKeyRef.name",
        target: Target::Own(CONFIG_MAP),
        need: Need::Required,
        because: "the container is not started (k8s.io/api core/v1 EnvVarSource)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "containers|initContainers[].envFrom[].secretRef.name",
        target: Target::Own(SECRET),
        need: Need::Required,
        because: "the container is not started (k8s.io/api core/v1 EnvFromSource)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "containers|initContainers[].envFrom[].configMapRef.name",
        target: Target::Own(CONFIG_MAP),
        need: Need::Required,
        because: "the container is not started (k8s.io/api core/v1 EnvFromSource)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "volumes[].secret.secretName",
        target: Target::Own(SECRET),
        need: Need::Required,
        because: "the volume is not set up and no container starts (k8s.io/api core/v1 SecretVolumeSource)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "volumes[].configMap.name",
        target: Target::Own(CONFIG_MAP),
        need: Need::Required,
        because: "the volume is not set up and no container starts (k8s.io/api core/v1 ConfigMapVolumeSource)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "volumes[].projected.sources[].secret.name",
        target: Target::Own(SECRET),
        need: Need::Required,
        because: "the volume is not set up and no container starts (k8s.io/api core/v1 SecretProjection)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "volumes[].projected.sources[].configMap.name",
        target: Target::Own(CONFIG_MAP),
        need: Need::Required,
        because: "the volume is not set up and no container starts (k8s.io/api core/v1 ConfigMapProjection)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "volumes[].persistentVolumeClaim.claimName",
        target: Target::Own(CLAIM),
        need: Need::Required,
        because: "the pod is not scheduled (k8s.io/api core/v1 PersistentVolumeClaimVolumeSource)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "volumes[].cephfs|cinder|flexVolume|iscsi|rbd|scaleIO|storageos.secretRef.name",
        target: Target::Own(SECRET),
        need: Need::Required,
        because: "the driver cannot log in to the storage (k8s.io/api core/v1 VolumeSource)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "volumes[].csi.nodePublishSecretRef.name",
        target: Target::Own(SECRET),
        need: Need::Required,
        because: "the driver is called with it (k8s.io/api core/v1 CSIVolumeSource)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "volumes[].azureFile.secretName",
        target: Target::Own(SECRET),
        need: Need::Required,
        because: "the driver cannot log in to the storage (k8s.io/api core/v1 AzureFileVolumeSource)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "imagePullSecrets[].name",
        target: Target::Own(SECRET),
        need: Need::Optional,
        because: "the image is pulled without it; that fails only where it is private (k8s.io/api core/v1 PodSpec)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "serviceAccountName",
        target: Target::Own(GroupKind("", "ServiceAccount")),
        need: Need::Required,
        because: "the pod is refused (plugin/pkg/admission/serviceaccount)",
    },
    Row {
        by: &[PODS, INSTANCES],
        at: "priorityClassName",
        target: Target::Cluster(GroupKind("scheduling.k8s.io", "PriorityClass")),
        need: Need::Required,
        because: "the pod is refused (plugin/pkg/admission/priority)",
    },
    Row {
        by: &[PODS],
        at: "runtimeClassName",
        target: Target::Cluster(GroupKind("node.k8s.io", "RuntimeClass")),
        need: Need::Required,
        because: "the pod is refused (plugin/pkg/admission/runtimeclass)",
    },
    Row {
        by: &[STATEFUL_SETS],
        at: "serviceName",
        target: Target::Own(SERVICE),
        need: Need::Optional,
        because: "the pods start, without names in DNS (k8s.io/api apps/v1 StatefulSetSpec)",
    },
    // Claims and their templates.
    Row {
        by: &[CLAIMS],
        at: "storageClassName",
        target: Target::Cluster(GroupKind("storage.k8s.io", "StorageClass")),
        need: Need::Optional,
        because: "a volume made by hand may name a class that never was (k8s.io/api core/v1)",
    },
    Row {
        by: &[CLAIM_TEMPLATES, EPHEMERAL_TEMPLATES],
        at: "storageClassName",
        target: Target::Cluster(GroupKind("storage.k8s.io", "StorageClass")),
        need: Need::Required,
        because: "a new claim stays Pending, and the operator refuses to reconcile (pkg/operator/storageclass.go)",
    },
    Row {
        by: &[CLAIMS, CLAIM_TEMPLATES, EPHEMERAL_TEMPLATES],
        at: "volumeAttributesClassName",
        target: Target::Cluster(GroupKind("storage.k8s.io", "VolumeAttributesClass")),
        need: Need::Required,
        because: "a new claim stays Pending (external-provisioner pkg/controller/controller.go)",
    },
    Row {
        by: &[CLAIM_TEMPLATES],
        at: "dataSource|dataSourceRef.name",
        target: DATA_SOURCES,
        need: Need::Optional,
        because: "claims that are there are not filled again; only further replicas need it",
    },
    Row {
        by: &[EPHEMERAL_TEMPLATES],
        at: "dataSource|dataSourceRef.name",
        target: DATA_SOURCES,
        need: Need::Required,
        because: "every pod makes its own claim, which stays Pending",
    },
    // What stands beside the pods.
    Row {
        by: &[SERVICE_ACCOUNTS],
        at: "imagePullSecrets[].name",
        target: Target::Own(SECRET),
        need: Need::Optional,
        because: "images are pulled without it; that fails only where they are private (k8s.io/api core/v1)",
    },
    Row {
        by: &[SERVICE_ACCOUNTS],
        at: "secrets[].name",
        target: Target::Own(SECRET),
        need: Need::Optional,
        because: "a list of what pods may use, not of what they use (k8s.io/api core/v1)",
    },
    Row {
        by: &[BINDINGS],
        at: "name",
        target: Target::Typed(&[Target::Own(GroupKind(RBAC, "Role")), Target::Cluster(GroupKind(RBAC, "ClusterRole"))]),
        need: Need::Optional,
        because: "a binding without its role allows nothing, after a restore as before it (k8s.io/api rbac/v1)",
    },
    Row {
        by: &[INGRESSES],
        at: "tls[].secretName",
        target: Target::Own(SECRET),
        need: Need::Optional,
        because: "controllers serve with a certificate of their own (k8s.io/api networking/v1)",
    },
    Row {
        by: &[INGRESSES],
        at: "ingressClassName",
        target: Target::Cluster(GroupKind(NETWORKING, "IngressClass")),
        need: Need::Optional,
        because: "a controller may serve the name without the object (k8s.io/api networking/v1)",
    },
    Row {
        by: &[INGRESSES],
        at: "defaultBackend.service.name",
        target: Target::Own(SERVICE),
        need: Need::Optional,
        because: "the other paths are served (k8s.io/api networking/v1)",
    },
    Row {
        by: &[INGRESSES],
        at: "rules[].http.paths[].backend.service.name",
        target: Target::Own(SERVICE),
        need: Need::Optional,
        because: "the other paths are served (k8s.io/api networking/v1)",
    },
    Row {
        by: &[INGRESS_CLASSES],
        at: "parameters.name",
        target: Target::Typed(&[Target::Cluster(GroupKind("elbv2.k8s.aws", "IngressClassParams"))]),
        need: Need::Optional,
        because: "defaults of the controller hold; of its kinds only those known here are told",
    },
    // Who serves an API or checks objects.
    Row {
        by: &[API_SERVICES],
        at: "service.name",
        target: Target::Beside(SERVICE),
        need: Need::Required,
        because: "discovery of its group fails, and no namespace can be deleted (k8s.io/kube-aggregator)",
    },
    Row {
        by: &[WEBHOOKS],
        at: "clientConfig.service.name",
        target: Target::Beside(SERVICE),
        need: Need::Required,
        because: "what it checks or converts is refused or goes unchecked (k8s.io/api admissionregistration/v1)",
    },
    // cert-manager.
    Row {
        by: &[INJECTABLE],
        at: "[cert-manager.io/inject-ca-from]",
        target: Target::Written(GroupKind(CERT_MANAGER, "Certificate")),
        need: Need::Optional,
        because: "the caBundle that is there stays (cert-manager docs, CA injector)",
    },
    Row {
        by: &[INJECTABLE],
        at: "[cert-manager.io/inject-ca-from-secret]",
        target: Target::Written(SECRET),
        need: Need::Optional,
        because: "the caBundle that is there stays (cert-manager docs, CA injector)",
    },
    Row {
        by: &[CERTIFICATES],
        at: "secretName",
        target: Target::Own(SECRET),
        need: Need::Optional,
        because: "cert-manager makes it, with a new key",
    },
    Row {
        by: &[CERTIFICATES],
        at: "issuerRef.name",
        target: Target::Typed(&[
            Target::Own(GroupKind(CERT_MANAGER, "Issuer")),
            Target::Cluster(GroupKind(CERT_MANAGER, "ClusterIssuer")),
        ]),
        need: Need::Optional,
        because: "the certificate that is there holds until it expires",
    },
];
