//! The table as a whole, on objects as API servers serve them (`testdata/manifests/`).

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::model::GroupKind;

const UID: &str = "f00dfeed-0000-4000-8000-000000000001";

/// Every file of `testdata/manifests/`, sorted by name.
fn fixtures() -> Vec<(String, CapturedManifest)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/manifests");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &Path| {
        let json = std::fs::read_to_string(path).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), captured(json))
    };
    paths.iter().map(|path| read(path)).collect()
}

fn captured(json: String) -> CapturedManifest {
    let value: Value = serde_json::from_str(&json).unwrap();
    let group = value["apiVersion"].as_str().unwrap().split_once('/').map_or("", |(group, _)| group);
    let kind = value["kind"].as_str().unwrap();
    let plural = format!("{}s", kind.to_lowercase());
    let key = ObjectKey {
        namespace: value["metadata"]["namespace"].as_str().map(str::to_owned),
        ..ObjectKey::cluster_scoped(group, kind, &plural, value["metadata"]["name"].as_str().unwrap())
    };
    CapturedManifest { key, reason: "fixture".to_owned(), json: json.into_boxed_str() }
}

fn sanitised(captured: &CapturedManifest) -> RestorableManifest {
    RestorableManifest::from_captured(captured).unwrap()
}

#[test]
fn stripped_manifests_look_right() {
    for (name, captured) in fixtures() {
        let value: Value = serde_json::from_str(sanitised(&captured).json()).unwrap();
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&value).unwrap());
    }
}

#[test]
fn every_row_takes_something_from_a_fixture() {
    let mut idle: Vec<&str> = rules().map(|rule| rule.what).collect();
    for (_, captured) in fixtures() {
        let mut object: Map<String, Value> = serde_json::from_str(&captured.json).unwrap();
        for rule in rules().filter(|rule| rule.kinds.include(&captured.key)) {
            let before = object.clone();
            (rule.strip)(&mut object);
            idle.retain(|what| before == object || *what != rule.what);
        }
    }
    assert_eq!(idle, [""; 0]);
}

#[test]
fn object_created_from_a_manifest_sanitises_to_the_same_text() {
    for (name, captured) in fixtures() {
        let first = sanitised(&captured);
        let live = served_after_create(&serde_json::from_str(first.json()).unwrap());
        let second = sanitised(&self::captured(live.to_string()));
        assert_eq!(differing_fields(&first, &second), [""; 0], "{name}");
        assert_eq!(first.json(), second.json(), "{name}");
    }
}

#[test]
fn broken_manifests_are_refused_without_their_text() {
    let (_, whole) = fixtures().swap_remove(0);
    for json in ["", "[]", "{\"secret\": ", "{\"metadata\": {}}"] {
        let broken = CapturedManifest { json: json.into(), ..whole.clone() };
        let error = RestorableManifest::from_captured(&broken).unwrap_err();
        assert!(error.to_string().ends_with(&broken.key.to_string()), "{error}");
    }
}

#[test]
fn debug_shows_no_content() {
    let (_, secret) = fixtures().into_iter().find(|(name, _)| name == "secret-alertmanager").unwrap();
    assert!(!format!("{:?}", sanitised(&secret)).contains("Z2xv"));
}

#[test]
fn canonical_text_is_sorted() {
    let key = ObjectKey::cluster_scoped("", "Namespace", "namespaces", "x");
    let text = |json: &str| RestorableManifest::made(key.clone(), "v1".into(), &serde_json::from_str(json).unwrap());
    assert_eq!(text(r#"{"b": 1, "a": {"d": 2, "c": 3}}"#).json(), r#"{"a":{"c":3,"d":2},"b":1}"#);
}

#[test]
fn service_without_evidence_keeps_what_it_says() {
    let json = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "by-hand", "namespace": "x"},
        "spec": {"type": "NodePort", "clusterIP": "10.0.0.7", "ipFamilyPolicy": "SingleStack",
                 "ports": [{"port": 80, "nodePort": 30080}]}});
    let text = sanitised(&captured(json.to_string())).json().to_owned();
    assert!(text.contains("30080") && text.contains("SingleStack") && !text.contains("10.0.0.7"), "{text}");
}

/// What an API server and its controllers make of a created object, as far as the table names it.
fn served_after_create(created: &Value) -> Value {
    let mut live = created.clone();
    let fields = field_set(created);
    merge(
        &mut live,
        json!({
            "metadata": {
                "uid": UID, "resourceVersion": "7", "generation": 1, "creationTimestamp": "2026-11-21T09:00:00Z",
                "finalizers": ["somebody/protects"],
                "managedFields": [
                    {"manager": "promsafe", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields},
                    {"manager": "a-controller", "operation": "Update", "subresource": "status", "fieldsType": "FieldsV1",
                     "fieldsV1": {"f:status": {}, "f:metadata": {"f:annotations": {}}}},
                ],
            },
            "status": {"phase": "Active"},
        }),
    );
    add_by_kind(&mut live);
    live
}

fn add_by_kind(live: &mut Value) {
    match live["kind"].as_str().unwrap() {
        "Namespace" => merge(
            live,
            json!({"metadata": {"labels": {"kubernetes.io/metadata.name": "monitoring"}}, "spec": {"finalizers": ["kubernetes"]}}),
        ),
        "Service" => allocate(&mut live["spec"]),
        "PersistentVolumeClaim" => merge(
            live,
            json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes", "volume.kubernetes.io/selected-node": "b"}},
                   "spec": {"volumeName": "pvc-new", "dataSource": {"kind": "VolumeSnapshot"}, "dataSourceRef": {"kind": "VolumeSnapshot"}}}),
        ),
        "Secret" if live["type"] == "kubernetes.io/service-account-token" => merge(
            live,
            json!({"metadata": {"annotations": {"kubernetes.io/service-account.uid": UID}},
                   "data": {"token": "bmV3", "ca.crt": "bmV3", "namespace": "bmV3"}}),
        ),
        "Deployment" => merge(live, json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}})),
        "DaemonSet" => {
            merge(live, json!({"metadata": {"annotations": {"deprecated.daemonset.template.generation": "1"}}}));
        }
        "StatefulSet" => live["spec"]["volumeClaimTemplates"][0]["status"] = json!({"phase": "Pending"}),
        "Job" if live["spec"]["manualSelector"] == false => {
            let labels = json!({"controller-uid": UID, "batch.kubernetes.io/controller-uid": UID, "job-name": "compact",
                                "batch.kubernetes.io/job-name": "compact"});
            merge(
                live,
                json!({"spec": {"template": {"metadata": {"labels": labels}},
                                        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": UID}}}}),
            );
        }
        "ClusterRole" if live.get("aggregationRule").is_some() => live["rules"] = json!([{"verbs": ["get"]}]),
        "MutatingWebhookConfiguration" if live["webhooks"][0]["clientConfig"].get("caBundle").is_none() => {
            live["webhooks"][0]["clientConfig"]["caBundle"] = json!("bmV3");
        }
        "PrometheusRule" => {
            merge(live, json!({"metadata": {"annotations": {"prometheus-operator-validated": "true"}}}));
        }
        "Pod" => {
            let mount = json!([{"name": "kube-api-access-zzzzz", "mountPath": "/var/run/secrets"}]);
            merge(
                live,
                json!({"spec": {"nodeName": "b", "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
                                        "volumes": [{"name": "kube-api-access-zzzzz"}]}}),
            );
            live["spec"]["containers"][0]["volumeMounts"] = mount;
        }
        _ => {}
    }
}

/// What the storage of Services fills in (pkg/registry/core/service/storage/alloc.go).
fn allocate(spec: &mut Value) {
    let fields = spec.as_object_mut().unwrap();
    let with_ports = fields["type"] != "ClusterIP";
    let address = fields.entry("clusterIP").or_insert(json!("10.99.0.1")).clone();
    fields.insert("clusterIPs".into(), json!([address]));
    fields.entry("ipFamilies").or_insert(json!(["IPv6"]));
    fields.entry("ipFamilyPolicy").or_insert(json!("SingleStack"));
    if fields.get("externalTrafficPolicy") == Some(&json!("Local")) {
        fields.entry("healthCheckNodePort").or_insert(json!(31999));
    }
    for port in fields["ports"].as_array_mut().unwrap().iter_mut().filter(|_| with_ports) {
        port.as_object_mut().unwrap().entry("nodePort").or_insert(json!(31998));
    }
}

/// `fieldsV1` of a request: what the API server notes of it in managedFields.
fn field_set(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (format!("f:{name}"), field_set(value))).collect(),
        Value::Array(items) if items.iter().all(|item| item.get("port").is_some()) => {
            let key = |item: &Value| format!("k:{}", json!({"port": item["port"], "protocol": item["protocol"]}));
            items.iter().map(|item| (key(item), field_set(item))).collect()
        }
        _ => json!({}),
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(json!({})), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Names that the rules look for, and one they do not.
fn any_name() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec![
        "metadata",
        "annotations",
        "labels",
        "managedFields",
        "fieldsV1",
        "f:spec",
        "f:ports",
        "f:nodePort",
        "spec",
        "status",
        "ports",
        "port",
        "nodePort",
        "clusterIP",
        "ipFamilies",
        "template",
        "jobTemplate",
        "selector",
        "matchLabels",
        "controller-uid",
        "manualSelector",
        "volumeClaimTemplates",
        "volumes",
        "containers",
        "name",
        "volumeMounts",
        "webhooks",
        "clientConfig",
        "caBundle",
        "cert-manager.io/inject-ca-from",
        "data",
        "token",
        "type",
        "rules",
        "aggregationRule",
        "secrets",
        "finalizers",
        "preserveUnknownFields",
        "creationTimestamp",
        "kubectl.kubernetes.io/last-applied-configuration",
        "k:{\"port\":1,\"protocol\":\"TCP\"}",
        "other",
    ])
}

/// Any JSON, with these names in it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        prop::sample::select(vec![
            "None",
            "x",
            "x-token-bcdfg",
            "kube-api-access-1",
            "kubernetes.io/service-account-token",
            "{\"spec\":{\"ports\":[{\"port\":1,\"nodePort\":2}],\"ipFamilies\":[]}}",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any_name(), inner, 0..8)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// Keys of every kind the table names, and one it does not.
fn any_key() -> impl Strategy<Value = ObjectKey> {
    let mut kinds = vec![GroupKind("example.org", "Unheard")];
    for rule in rules() {
        if let Kinds::Only(named) = rule.kinds {
            kinds.extend(named);
        }
    }
    prop::sample::select(kinds).prop_map(|kind| ObjectKey::cluster_scoped(kind.0, kind.1, "any", "x"))
}

/// Fields at the places where the rules look, each any JSON.
fn any_object() -> impl Strategy<Value = Map<String, Value>> {
    (any_json(), any_json(), any_json(), any_json()).prop_map(|(metadata, spec, annotations, rest)| {
        let mut object = json!({"apiVersion": "v1", "metadata": metadata, "spec": spec});
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.insert("annotations".into(), annotations);
        }
        let mut object = object.as_object().unwrap().clone();
        object.extend(rest.as_object().cloned().unwrap_or_default());
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn sanitising_twice_changes_nothing(key in any_key(), object in any_object()) {
        let mut once = object;
        sanitise(&key, &mut once);
        let mut twice = once.clone();
        sanitise(&key, &mut twice);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn what_is_left_was_there(key in any_key(), object in any_object()) {
        let mut left = object.clone();
        sanitise(&key, &mut left);
        prop_assert!(left.keys().all(|name| object.contains_key(name)));
        prop_assert!(left.get("status").is_none());
    }
}
