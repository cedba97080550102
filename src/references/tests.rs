//! Tables of realistic manifests, one a kind: what each is said to name.

use serde_json::{Value, json};

use super::*;
use crate::scope::{OPERATOR_GROUP, SNAPSHOT_GROUP};

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn namespaced(group: &str, kind: &str) -> ObjectKey {
    ObjectKey::namespaced(group, kind, "any", "monitoring", "k8s")
}

pub(super) fn cluster_scoped(group: &str, kind: &str) -> ObjectKey {
    ObjectKey::cluster_scoped(group, kind, "any", "k8s")
}

/// Each reference in one line, sorted: need, target, field.
fn said(key: &ObjectKey, value: &Value) -> Vec<String> {
    let found = of(key, value);
    let need = |need| if need == Need::Required { "needs" } else { "knows" };
    let mut lines: Vec<_> =
        found.iter().map(|found| format!("{} {found} at {}", need(found.need), found.field)).collect();
    lines.sort();
    lines
}

/// Sorted, so that tables can be written in the order of the manifest.
fn sorted<const N: usize>(lines: [&str; N]) -> Vec<String> {
    let mut lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    lines.sort();
    lines
}

/// A pod spec with every field that names something.
fn pod_spec() -> Value {
    json!({
        "serviceAccountName": "prometheus", "priorityClassName": "high", "runtimeClassName": "gvisor",
        "imagePullSecrets": [{"name": "registry"}, {"name": ""}, {}],
        "initContainers": [{"name": "init", "envFrom": [{"secretRef": {"name": "init-env"}}]}],
        "containers": [{
            "name": "main",
            "envFrom": [{"configMapRef": {"name": "env", "optional": true}},
                        {"prefix": "A_", "secretRef": {"name": "env"}}],
            "env": [
                {"name": "A", "value": "plain"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "access"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": true}}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
        }],
        "volumes": [
            {"name": "v0", "secret": {"secretName": "web", "items": [{"key": "tls.crt", "path": "a"}]}},
            {"name": "v1", "configMap": {"name": "rules", "optional": true, "items": [{"key": "a.yaml", "path": "a"}]}},
            {"name": "v2", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"secret": {"name": "p", "optional": false}},
            ]}},
            {"name": "v3", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "v4", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "publish"}}},
            {"name": "v5", "rbd": {"image": "i", "secretRef": {"name": "ceph"}}},
            {"name": "v6", "azureFile": {"shareName": "s", "secretName": "azure"}},
            {"name": "v7", "ephemeral": {"volumeClaimTemplate": {"spec": {"storageClassName": "scratch",
                "dataSourceRef": {"apiGroup": SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": "golden"}}}}},
            {"name": "v8", "emptyDir": {}},
        ],
    })
}

/// What `pod_spec` names, below a base, but for what only pods know.
fn named_by_a_pod_spec(base: &str) -> Vec<String> {
    let lines = sorted([
        "needs ServiceAccount monitoring/prometheus at BASE.serviceAccountName",
        "needs PriorityClass high at BASE.priorityClassName",
        "knows Secret monitoring/registry at BASE.imagePullSecrets[0].name",
        "needs Secret monitoring/init-env at BASE.initContainers[0].envFrom[0].secretRef.name",
        "knows ConfigMap monitoring/env at BASE.containers[0].envFrom[0].configMapRef.name",
        "needs Secret monitoring/env at BASE.containers[0].envFrom[1].secretRef.name",
        "needs Secret monitoring/s3 key access at BASE.containers[0].env[1].valueFrom.secretKeyRef",
        "knows ConfigMap monitoring/c key k at BASE.containers[0].env[2].valueFrom.configMapKeyRef",
        "needs Secret monitoring/web at BASE.volumes[0].secret.secretName",
        "needs Secret monitoring/web key tls.crt at BASE.volumes[0].secret.items[0].key",
        "knows ConfigMap monitoring/rules at BASE.volumes[1].configMap.name",
        "knows ConfigMap monitoring/rules key a.yaml at BASE.volumes[1].configMap.items[0].key",
        "needs Secret monitoring/p at BASE.volumes[2].projected.sources[2].secret.name",
        "needs PersistentVolumeClaim monitoring/data at BASE.volumes[3].persistentVolumeClaim.claimName",
        "needs Secret monitoring/publish at BASE.volumes[4].csi.nodePublishSecretRef.name",
        "needs Secret monitoring/ceph at BASE.volumes[5].rbd.secretRef.name",
        "needs Secret monitoring/azure at BASE.volumes[6].azureFile.secretName",
        "needs StorageClass scratch at BASE.volumes[7].ephemeral.volumeClaimTemplate.spec.storageClassName",
        "needs VolumeSnapshot monitoring/golden at \
         BASE.volumes[7].ephemeral.volumeClaimTemplate.spec.dataSourceRef.name",
    ]);
    lines.iter().map(|line| line.replace("BASE", base)).collect()
}

#[test]
fn pods_need_what_their_spec_names_wherever_it_lies() {
    for (group, kind, base) in [
        ("", "Pod", "spec"),
        ("apps", "Deployment", "spec.template.spec"),
        ("apps", "StatefulSet", "spec.template.spec"),
        ("apps", "DaemonSet", "spec.template.spec"),
        ("apps", "ReplicaSet", "spec.template.spec"),
        ("batch", "Job", "spec.template.spec"),
        ("", "ReplicationController", "spec.template.spec"),
        ("batch", "CronJob", "spec.jobTemplate.spec.template.spec"),
    ] {
        let object = base.rsplit('.').fold(pod_spec(), |inner, name| json!({name: inner}));
        let mut expected = named_by_a_pod_spec(base);
        expected.push(format!("needs RuntimeClass gvisor at {base}.runtimeClassName"));
        expected.sort();
        assert_eq!(said(&namespaced(group, kind), &object), expected, "{kind}");
        assert_eq!(said(&namespaced("example.org", kind), &object), [""; 0], "another group's {kind}");
    }
}

#[test]
fn custom_resource_needs_what_the_operator_copies_into_its_pods() {
    for kind in ["Prometheus", "PrometheusAgent", "ThanosRuler"] {
        let found = said(&namespaced(OPERATOR_GROUP, kind), &json!({"spec": pod_spec()}));
        assert_eq!(found, named_by_a_pod_spec("spec"), "{kind}");
    }
}

#[test]
fn prometheus_needs_what_it_names() {
    let value = json!({
        "metadata": {"name": "k8s", "labels": {"name": "a", "key": "b"}},
        "spec": {
            "serviceAccountName": "default", "serviceName": "own", "priorityClassName": "system-cluster-critical",
            "secrets": ["etcd-certs", ""], "configMaps": ["relabel"],
            "externalLabels": {"name": "eu", "key": "1"},
            "additionalScrapeConfigs": {"name": "scrape", "key": "jobs.yaml"},
            "alerting": {"alertmanagers": [{"name": "main", "port": "web", "tlsConfig": {
                "ca": {"configMap": {"name": "ca", "key": "ca.crt"}},
                "keySecret": {"name": "tls", "key": "tls.key"}}}]},
            "apiserverConfig": {"tlsConfig": {"ca": {"configMap": {"name": "kube-root-ca.crt", "key": "ca.crt"}}}},
            "remoteWrite": [
                {"url": "u", "basicAuth": {"username": {"name": "rw", "key": "user", "optional": true}}},
                {"url": "v", "proxyConnectHeader": {"X-Token": [{"name": "rw", "key": "token", "optional": false}]}},
            ],
            "storage": {"volumeClaimTemplate": {"spec": {
                "storageClassName": "fast", "volumeAttributesClassName": "gold",
                "dataSource": {"kind": "PersistentVolumeClaim", "name": "seed"}}}},
            "tolerations": [{"key": "node", "operator": "Exists"}],
            "containers": [{"name": "prometheus", "env": [
                {"name": "T", "valueFrom": {"configMapKeyRef": {"name": "tz", "key": "zone"}}}]}],
        },
        "status": {"decoy": {"name": "a", "key": "b"}},
    });
    let expected = sorted([
        "needs Service monitoring/own at spec.serviceName",
        "needs Secret monitoring/etcd-certs at spec.secrets[0]",
        "needs ConfigMap monitoring/relabel at spec.configMaps[0]",
        "needs Secret monitoring/scrape key jobs.yaml at spec.additionalScrapeConfigs",
        "needs ConfigMap monitoring/ca key ca.crt at spec.alerting.alertmanagers[0].tlsConfig.ca.configMap",
        "needs Secret monitoring/tls key tls.key at spec.alerting.alertmanagers[0].tlsConfig.keySecret",
        "knows Secret monitoring/rw key user at spec.remoteWrite[0].basicAuth.username",
        "needs Secret monitoring/rw key token at spec.remoteWrite[1].proxyConnectHeader.X-Token[0]",
        "needs StorageClass fast at spec.storage.volumeClaimTemplate.spec.storageClassName",
        "needs VolumeAttributesClass gold at spec.storage.volumeClaimTemplate.spec.volumeAttributesClassName",
        "knows PersistentVolumeClaim monitoring/seed at spec.storage.volumeClaimTemplate.spec.dataSource.name",
        "needs ConfigMap monitoring/tz key zone at spec.containers[0].env[0].valueFrom.configMapKeyRef",
    ]);
    assert_eq!(said(&namespaced(OPERATOR_GROUP, "Prometheus"), &value), expected);
}

#[test]
fn monitors_and_receivers_need_the_keys_they_select() {
    let monitor = json!({"spec": {
        "selector": {"matchLabels": {"name": "app", "key": "x"}},
        "endpoints": [{"port": "web"}, {"basicAuth": {"username": {"name": "login", "key": "user"},
                                                     "password": {"name": "login", "key": "password"}}}],
    }});
    let expected = [
        "needs Secret monitoring/login key password at spec.endpoints[1].basicAuth.password",
        "needs Secret monitoring/login key user at spec.endpoints[1].basicAuth.username",
    ];
    for kind in ["ServiceMonitor", "PodMonitor", "Probe", "ScrapeConfig"] {
        assert_eq!(said(&namespaced(OPERATOR_GROUP, kind), &monitor), expected, "{kind}");
    }
    let receivers = json!({"spec": {
        "route": {"receiver": "r", "routes": [{"receiver": "r", "matchers": [{"name": "severity", "value": "page"}]}]},
        "receivers": [{"name": "r", "slackConfigs": [{"apiURL": {"name": "slack", "key": "url"}}]}],
    }});
    let expected = ["needs Secret monitoring/slack key url at spec.receivers[0].slackConfigs[0].apiURL"];
    assert_eq!(said(&namespaced(OPERATOR_GROUP, "AlertmanagerConfig"), &receivers), expected);
    assert_eq!(said(&namespaced(OPERATOR_GROUP, "PrometheusRule"), &monitor), [""; 0]);
    assert_eq!(said(&namespaced("example.org", "ServiceMonitor"), &monitor), [""; 0]);
}

#[test]
fn alertmanager_needs_its_configuration_when_it_asks_for_one() {
    for (spec, expected) in [
        (json!({}), vec!["knows Secret monitoring/alertmanager-k8s at spec.configSecret"]),
        (json!({"configSecret": ""}), vec!["knows Secret monitoring/alertmanager-k8s at spec.configSecret"]),
        (json!({"configSecret": "own"}), vec!["needs Secret monitoring/own at spec.configSecret"]),
        (
            json!({"alertmanagerConfiguration": {"name": "global",
                                                 "templates": [{"configMap": {"name": "t", "key": "k"}}]}}),
            vec![
                "needs AlertmanagerConfig monitoring/global at spec.alertmanagerConfiguration.name",
                "needs ConfigMap monitoring/t key k at spec.alertmanagerConfiguration.templates[0].configMap",
            ],
        ),
        (
            json!({"alertmanagerConfiguration": {"name": "global"}, "configSecret": "own"}),
            vec![
                "knows Secret monitoring/own at spec.configSecret",
                "needs AlertmanagerConfig monitoring/global at spec.alertmanagerConfiguration.name",
            ],
        ),
    ] {
        assert_eq!(said(&namespaced(OPERATOR_GROUP, "Alertmanager"), &json!({"spec": spec})), expected, "{spec}");
    }
}

#[test]
fn storage_needs_its_classes() {
    let value = json!({"spec": {
        "serviceName": "db", "template": {"spec": {"containers": []}},
        "volumeClaimTemplates": [{"metadata": {"name": "db"}, "spec": {"storageClassName": "fast"}},
                                 {"metadata": {"name": "wal"}, "spec": {"storageClassName": ""}}],
    }});
    let expected = [
        "knows Service monitoring/db at spec.serviceName",
        "needs StorageClass fast at spec.volumeClaimTemplates[0].spec.storageClassName",
    ];
    assert_eq!(said(&namespaced("apps", "StatefulSet"), &value), expected);
    let value = json!({"spec": {"storageClassName": "fast", "volumeAttributesClassName": "gold", "volumeName": "pv-1",
                                "dataSource": {"kind": "VolumeSnapshot", "name": "long-gone"}}});
    let expected = [
        "knows StorageClass fast at spec.storageClassName",
        "needs VolumeAttributesClass gold at spec.volumeAttributesClassName",
    ];
    assert_eq!(said(&namespaced("", "PersistentVolumeClaim"), &value), expected);
}

#[test]
fn classes_need_the_secrets_of_their_parameters() {
    let value = json!({"provisioner": "d", "parameters": {
        "csi.storage.k8s.io/provisioner-secret-name": "ceph", "csi.storage.k8s.io/provisioner-secret-namespace": "rook",
        "csi.storage.k8s.io/secret-name": "any", "csi.storage.k8s.io/secret-namespace": "rook",
        "csi.storage.k8s.io/node-stage-secret-name": "${pvc.name}",
        "csi.storage.k8s.io/node-stage-secret-namespace": "rook",
        "csi.storage.k8s.io/node-publish-secret-name": "s", "csi.storage.k8s.io/node-publish-secret-namespace": "$pvc",
        "csi.storage.k8s.io/controller-expand-secret-name": "half-a-pair",
        "csiNodeStageSecretName": "old", "csiNodeStageSecretNamespace": "rook",
        "csi.storage.k8s.io/fstype": "ext4", "secret-name": "the-drivers-own", "secret-namespace": "rook",
    }});
    let expected = [
        "needs Secret rook/any at parameters[csi.storage.k8s.io/secret-name]",
        "needs Secret rook/ceph at parameters[csi.storage.k8s.io/provisioner-secret-name]",
        "needs Secret rook/old at parameters.csiNodeStageSecretName",
    ];
    assert_eq!(said(&cluster_scoped("storage.k8s.io", "StorageClass"), &value), expected);
    let value = json!({"driver": "d", "parameters": {"csi.storage.k8s.io/snapshotter-list-secret-name": "ceph",
                                                     "csi.storage.k8s.io/snapshotter-list-secret-namespace": "rook",
        "csiNodeStageSecretName": "unread", "csiNodeStageSecretNamespace": "rook"}});
    let expected = ["needs Secret rook/ceph at parameters[csi.storage.k8s.io/snapshotter-list-secret-name]"];
    assert_eq!(said(&cluster_scoped(SNAPSHOT_GROUP, "VolumeSnapshotClass"), &value), expected);
}

#[test]
fn accounts_and_bindings_name_secrets_and_roles() {
    let account =
        json!({"imagePullSecrets": [{"name": "registry"}], "secrets": [{"name": "token", "namespace": "else"}]});
    let expected = [
        "knows Secret monitoring/registry at imagePullSecrets[0].name",
        "knows Secret monitoring/token at secrets[0].name",
    ];
    assert_eq!(said(&namespaced("", "ServiceAccount"), &account), expected);
    let binding =
        |kind: &str| json!({"roleRef": {"apiGroup": RBAC, "kind": kind, "name": "r"}, "subjects": [{"name": "s"}]});
    for (key, kind, expected) in [
        (namespaced(RBAC, "RoleBinding"), "Role", "knows Role monitoring/r at roleRef.name"),
        (namespaced(RBAC, "RoleBinding"), "ClusterRole", "knows ClusterRole r at roleRef.name"),
        (cluster_scoped(RBAC, "ClusterRoleBinding"), "ClusterRole", "knows ClusterRole r at roleRef.name"),
    ] {
        assert_eq!(said(&key, &binding(kind)), [expected]);
    }
}

#[test]
fn ingress_knows_certificate_class_and_backends() {
    let value = json!({"spec": {
        "ingressClassName": "nginx", "tls": [{"hosts": ["h"]}, {"secretName": "web-tls"}],
        "defaultBackend": {"service": {"name": "fallback", "port": {"number": 80}}},
        "rules": [{"host": "h"}, {"http": {"paths": [{"backend": {"resource": {"kind": "Bucket", "name": "b"}}},
                                                     {"backend": {"service": {"name": "prometheus-k8s"}}}]}}],
    }});
    let expected = sorted([
        "knows IngressClass nginx at spec.ingressClassName",
        "knows Secret monitoring/web-tls at spec.tls[1].secretName",
        "knows Service monitoring/fallback at spec.defaultBackend.service.name",
        "knows Service monitoring/prometheus-k8s at spec.rules[1].http.paths[1].backend.service.name",
    ]);
    assert_eq!(said(&namespaced("networking.k8s.io", "Ingress"), &value), expected);
    let class = |kind: &str| json!({"spec": {"parameters": {"apiGroup": "elbv2.k8s.aws", "kind": kind, "name": "p"}}});
    let key = cluster_scoped("networking.k8s.io", "IngressClass");
    assert_eq!(said(&key, &class("IngressClassParams")), ["knows IngressClassParams p at spec.parameters.name"]);
    assert_eq!(said(&key, &class("Stranger")), [""; 0]);
}

#[test]
fn served_apis_need_their_services() {
    let service = json!({"service": {"namespace": "adapters", "name": "metrics", "port": 443}});
    for (key, value, field) in [
        (cluster_scoped("apiregistration.k8s.io", "APIService"), json!({"spec": service}), "spec.service.name"),
        (
            cluster_scoped("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
            json!({"webhooks": [{"clientConfig": {"url": "u"}}, {"clientConfig": service}]}),
            "webhooks[1].clientConfig.service.name",
        ),
        (
            cluster_scoped("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
            json!({"webhooks": [{"clientConfig": service}]}),
            "webhooks[0].clientConfig.service.name",
        ),
        (
            cluster_scoped("apiextensions.k8s.io", "CustomResourceDefinition"),
            json!({"spec": {"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": service}}}}),
            "spec.conversion.webhook.clientConfig.service.name",
        ),
    ] {
        assert_eq!(said(&key, &value), [format!("needs Service adapters/metrics at {field}")]);
    }
    assert_eq!(
        said(&cluster_scoped("apiregistration.k8s.io", "APIService"), &json!({"spec": {"service": null}})),
        [""; 0]
    );
}

#[test]
fn cert_manager_names_are_known() {
    let annotated =
        |name: &str, value: &str| json!({"metadata": {"annotations": {format!("cert-manager.io/{name}"): value}}});
    let key = cluster_scoped("admissionregistration.k8s.io", "MutatingWebhookConfiguration");
    for (name, value, expected) in [
        (
            "inject-ca-from",
            "ns/c",
            vec!["knows Certificate ns/c at metadata.annotations[cert-manager.io/inject-ca-from]"],
        ),
        (
            "inject-ca-from-secret",
            "ns/s",
            vec!["knows Secret ns/s at metadata.annotations[cert-manager.io/inject-ca-from-secret]"],
        ),
        ("inject-ca-from", "no-namespace", vec![]),
        ("inject-ca-from", "ns/", vec![]),
        ("inject-apiserver-ca", "true", vec![]),
    ] {
        assert_eq!(said(&key, &annotated(name, value)), expected);
    }
    let key = namespaced("cert-manager.io", "Certificate");
    for (issuer, expected) in [
        (json!({"name": "i"}), Some("knows Issuer monitoring/i at spec.issuerRef.name")),
        (
            json!({"name": "i", "kind": "ClusterIssuer", "group": "cert-manager.io"}),
            Some("knows ClusterIssuer i at spec.issuerRef.name"),
        ),
        (json!({"name": "i", "kind": "Issuer", "group": "example.org"}), None),
    ] {
        let found = said(&key, &json!({"spec": {"secretName": "web", "issuerRef": issuer}}));
        let secret = "knows Secret monitoring/web at spec.secretName";
        assert_eq!(found, expected.into_iter().chain([secret]).collect::<Vec<_>>());
    }
}

#[test]
fn keys_are_found_in_every_map_of_data() {
    for field in ["data", "binaryData", "stringData"] {
        assert!(holds_key(&json!({field: {"a": ""}}), "a"), "{field}");
        assert!(!holds_key(&json!({field: {"b": ""}}), "a"), "{field}");
    }
    assert!(!holds_key(&json!({"data": null, "metadata": {"a": ""}}), "a"));
    assert!(!holds_key(&json!({"data": "a"}), "a"));
}

#[test]
fn every_row_says_why() {
    assert!(ROWS.iter().all(|row| !row.because.is_empty()));
}
