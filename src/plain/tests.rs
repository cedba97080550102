//! Manifests in the shapes that people have, and arbitrary ones.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn key(kind: &str) -> ObjectKey {
    ObjectKey::namespaced("apps", kind, "x", "monitoring", "prometheus")
}

fn found(kind: &str, value: &Value) -> PlainPrometheus {
    plain_prometheus(&key(kind), value).expect("a Prometheus")
}

/// A Deployment whose only container has this image and these arguments.
fn running(image: &str, args: &[&str]) -> Value {
    with_container(&json!({"name": "main", "image": image, "args": args}), &json!([]))
}

fn with_container(container: &Value, volumes: &Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [container], "volumes": volumes}}}})
}

/// A container with this volume on its storage path, in a Deployment.
fn stored_on(volume: &Value) -> TsdbVolume {
    let container = json!({
        "name": "prometheus", "image": "prom/prometheus:v3.13.1",
        "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
        "volumeMounts": [{"name": "data", "mountPath": "/prometheus"}],
    });
    found("Deployment", &with_container(&container, &json!([volume]))).tsdb
}

/// The server of the prometheus-community chart, up to the volume of its data.
fn chart(storage_mount: &Value, volumes: &[Value]) -> Value {
    let config = json!({"name": "config-volume", "configMap": {"name": "prometheus-server"}});
    json!({
        "apiVersion": "apps/v1",
        "metadata": {"name": "prometheus-server", "namespace": "monitoring"},
        "spec": {
            "replicas": 1,
            "template": {"spec": {
                "serviceAccountName": "prometheus-server",
                "containers": [
                    {
                        "name": "prometheus-server-configmap-reload",
                        "image": "quay.io/prometheus-operator/prometheus-config-reloader:v0.93.0",
                        "args": [
                            "--watched-dir=/etc/config", "--listen-address=0.0.0.0:8080",
                            "--reload-url=http://127.0.0.1:9090/-/reload",
                        ],
                        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/config", "readOnly": true}],
                    },
                    {
                        "name": "prometheus-server",
                        "image": "quay.io/prometheus/prometheus:v3.13.1",
                        "args": [
                            "--storage.tsdb.retention.time=15d", "--config.file=/etc/config/prometheus.yml",
                            "--storage.tsdb.path=/data", "--web.console.libraries=/etc/prometheus/console_libraries",
                            "--web.console.templates=/etc/prometheus/consoles", "--web.enable-lifecycle",
                            "--web.route-prefix=/prom", "--web.external-url=https://example.com/other",
                        ],
                        "ports": [{"containerPort": 9090}],
                        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/config"}, storage_mount],
                    },
                ],
                "volumes": ([&[config], volumes].concat()),
            }},
        },
    })
}

#[test]
fn deployment_of_the_chart_is_read() {
    let storage = json!({"name": "storage-volume", "persistentVolumeClaim": {"claimName": "prometheus-server"}});
    let mount = json!({"name": "storage-volume", "mountPath": "/data", "subPath": ""});
    let prometheus = found("Deployment", &chart(&mount, &[storage]));
    let sidecar = ReloadSidecar {
        container: "prometheus-server-configmap-reload".to_owned(),
        family: ReloadFamily::PrometheusConfigReloader,
        watches: None,
    };
    assert_eq!(
        prometheus,
        PlainPrometheus {
            container: "prometheus-server".to_owned(),
            version: Some("v3.13.1".to_owned()),
            agent: false,
            port: 9090,
            scheme: "http",
            web_config: None,
            web_config_key: None,
            route_prefix: "/prom".to_owned(),
            retention: Some("15d".to_owned()),
            replicas: 1,
            tsdb_path: "/data".to_owned(),
            tsdb: TsdbVolume::Claim("prometheus-server".to_owned()),
            tsdb_path_in_volume: String::new(),
            config: vec![ConfigSource::ConfigMap("prometheus-server".to_owned())],
            sidecars: vec![sidecar],
        }
    );
}

#[test]
fn stateful_set_of_the_chart_claims_by_its_template() {
    let mount = json!({"name": "storage-volume", "mountPath": "/data", "subPath": "prometheus/db"});
    let mut value = chart(&mount, &[]);
    value["spec"]["replicas"] = json!(2);
    value["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "storage-volume"}, "spec": {}}]);
    let prometheus = found("StatefulSet", &value);
    assert_eq!(prometheus.tsdb, TsdbVolume::ClaimTemplate("storage-volume".to_owned()));
    assert_eq!((prometheus.replicas, prometheus.tsdb_path_in_volume.as_str()), (2, "prometheus/db"));
    let without = json!({"name": "storage-volume", "emptyDir": {}});
    assert_eq!(found("StatefulSet", &chart(&mount, &[without])).tsdb, TsdbVolume::EmptyDir);
}

#[test]
fn image_without_arguments_brings_its_own() {
    let container = json!({
        "name": "prometheus", "image": "prom/prometheus",
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/prometheus"},
        ],
    });
    let volumes = json!([
        {"name": "config", "secret": {"secretName": "prometheus-config"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "history"}},
    ]);
    let prometheus = found("Deployment", &with_container(&container, &volumes));
    assert_eq!(prometheus.tsdb, TsdbVolume::Claim("history".to_owned()));
    assert_eq!(prometheus.tsdb_path, "/prometheus");
    assert_eq!(prometheus.config, [ConfigSource::Secret("prometheus-config".to_owned())]);
    assert_eq!((prometheus.version, prometheus.replicas, prometheus.retention), (None, 1, None));
    assert_eq!((prometheus.port, prometheus.route_prefix.as_str()), (9090, "/"));
}

#[test]
fn data_lies_below_the_working_directory_by_default() {
    let path = |more: &Value| {
        let mut container = json!({"name": "p", "image": "prom/prometheus", "args": ["--config.file=/x.yml"]});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        found("Deployment", &with_container(&container, &json!([]))).tsdb_path
    };
    assert_eq!(path(&json!({})), "/prometheus/data");
    assert_eq!(path(&json!({"workingDir": "/srv"})), "/srv/data");
    assert_eq!(path(&json!({"args": ["--config.file=x.yml", "--agent"]})), "/prometheus/data-agent");
    assert_eq!(path(&json!({"args": ["--config.file=x", "--storage.tsdb.path", "../d/./e/"]})), "/d/e");
}

#[test]
fn agent_in_a_daemon_set_is_read_from_a_shell_string() {
    let script = "set -e; exec /bin/prometheus --agent \\\n  --config.file=/etc/agent/agent.yml \
                  --storage.agent.path='/wal' --web.listen-address=:9095";
    let value = json!({
        "spec": {"template": {"spec": {
            "containers": [{
                "name": "agent", "image": "registry:5000/mirror/agent:3", "command": ["/bin/sh", "-c", script],
                "volumeMounts": [
                    {"name": "node", "mountPath": "/wal"},
                    {"name": "config", "mountPath": "/etc/agent"},
                ],
            }],
            "volumes": [
                {"name": "node", "hostPath": {"path": "/var/lib/agent"}},
                {"name": "config", "configMap": {"name": "agent"}},
            ],
        }}},
        "status": {"desiredNumberScheduled": 3},
    });
    let prometheus = found("DaemonSet", &value);
    assert!(prometheus.agent);
    assert_eq!((prometheus.port, prometheus.replicas), (9095, 3));
    assert_eq!(prometheus.tsdb, TsdbVolume::HostPath("/var/lib/agent".to_owned()));
    assert_eq!(prometheus.config, [ConfigSource::ConfigMap("agent".to_owned())]);
    let old = running("prom/prometheus", &["--config.file=x", "--enable-feature=otlp,agent"]);
    assert!(found("Deployment", &old).agent);
}

#[test]
fn volume_of_the_data_is_told_by_type() {
    for (volume, expected) in [
        (json!({"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}), TsdbVolume::EmptyDir),
        (json!({"name": "data"}), TsdbVolume::EmptyDir),
        (json!({"name": "data", "ephemeral": {"volumeClaimTemplate": {}}}), TsdbVolume::Ephemeral),
        (json!({"name": "data", "csi": {"driver": "x"}}), TsdbVolume::Ephemeral),
        (json!({"nfs": {"server": "x"}, "name": "data"}), TsdbVolume::Other("nfs".to_owned())),
    ] {
        assert_eq!(stored_on(&volume), expected, "{volume}");
    }
    let unmounted = running("prom/prometheus", &["--config.file=/x"]);
    assert_eq!(found("Deployment", &unmounted).tsdb, TsdbVolume::ContainerFilesystem);
}

#[test]
fn longest_mount_above_the_path_wins_by_components() {
    let container = json!({
        "name": "p", "image": "prom/prometheus", "args": ["--config.file=/x", "--storage.tsdb.path=/data/tsdb/"],
        "volumeMounts": [
            {"name": "letters", "mountPath": "/data/ts"},
            {"name": "below", "mountPath": "/data/tsdb/wal"},
            {"name": "right", "mountPath": "/data/", "subPath": "a/"},
            {"name": "root", "mountPath": "/"},
        ],
    });
    let volumes = json!([
        {"name": "letters", "emptyDir": {}}, {"name": "below", "emptyDir": {}}, {"name": "root", "emptyDir": {}},
        {"name": "right", "persistentVolumeClaim": {"claimName": "right"}},
    ]);
    let prometheus = found("Deployment", &with_container(&container, &volumes));
    assert_eq!(prometheus.tsdb, TsdbVolume::Claim("right".to_owned()));
    assert_eq!(prometheus.tsdb_path_in_volume, "a/tsdb");
}

/// A Prometheus with its web configuration at `/web/web.yml`, on this volume under this mount.
fn web_config(mount: &Value, volume: &Value) -> (Option<ConfigSource>, Option<String>) {
    let mut mount = mount.clone();
    mount["name"] = json!("web");
    let container = json!({
        "name": "p", "image": "prom/prometheus",
        "args": ["--config.file=/x", "--web.config.file=/web/web.yml"], "volumeMounts": [mount],
    });
    let mut volume = volume.clone();
    volume["name"] = json!("web");
    let prometheus = found("Deployment", &with_container(&container, &json!([volume])));
    (prometheus.web_config, prometheus.web_config_key)
}

#[test]
fn web_configuration_is_followed_to_its_key() {
    let secret = |name: &str| Some(ConfigSource::Secret(name.to_owned()));
    let directory = json!({"mountPath": "/web"});
    let whole = web_config(&directory, &json!({"secret": {"secretName": "web"}}));
    assert_eq!(whole, (secret("web"), Some("web.yml".to_owned())));
    let items = json!({"secret": {"secretName": "web", "items": [{"key": "config", "path": "web.yml"}]}});
    assert_eq!(web_config(&directory, &items), (secret("web"), Some("config".to_owned())));
    let single = json!({"mountPath": "/web/web.yml", "subPath": "other.yml"});
    let map = web_config(&single, &json!({"configMap": {"name": "web"}}));
    assert_eq!(map, (Some(ConfigSource::ConfigMap("web".to_owned())), Some("other.yml".to_owned())));
    let projected = json!({"projected": {"sources": [
        {"configMap": {"name": "listed", "items": [{"key": "a", "path": "a"}]}},
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "whole"}},
        {"secret": {"name": "right", "items": [{"key": "k", "path": "web.yml"}]}},
    ]}});
    assert_eq!(web_config(&directory, &projected), (secret("right"), Some("k".to_owned())));
    let elsewhere = json!({"persistentVolumeClaim": {"claimName": "x"}});
    let claim = Some(ConfigSource::Other("persistentVolumeClaim".to_owned()));
    assert_eq!(web_config(&directory, &elsewhere), (claim, Some("web.yml".to_owned())));
    assert_eq!(web_config(&json!({"mountPath": "/other"}), &elsewhere), (None, None));
}

#[test]
fn projected_configuration_has_several_sources() {
    let container = json!({
        "name": "p", "image": "prom/prometheus", "args": ["--config.file=/etc/prometheus/prometheus.yml"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/prometheus"}],
    });
    let volumes = json!([{"name": "config", "projected": {"sources": [
        {"configMap": {"name": "base"}}, {"secret": {"name": "targets"}}, {"downwardAPI": {}},
    ]}}]);
    let sources = found("Deployment", &with_container(&container, &volumes)).config;
    let expected = [ConfigSource::ConfigMap("base".to_owned()), ConfigSource::Secret("targets".to_owned())];
    assert_eq!(sources, expected);
}

#[test]
fn configuration_with_variables_filled_in_leads_to_the_users_file() {
    let mut value = chart(&json!({"name": "storage-volume", "mountPath": "/data"}), &[json!({"name": "out"})]);
    let pod = &mut value["spec"]["template"]["spec"];
    pod["containers"][1]["args"] = json!(["--config.file=/out/prometheus.yml", "--storage.tsdb.path=/data"]);
    pod["containers"][1]["volumeMounts"] = json!([{"name": "out", "mountPath": "/out"}]);
    assert_eq!(found("Deployment", &value).config, [ConfigSource::Other("emptyDir".to_owned())]);
    let pod = &mut value["spec"]["template"]["spec"];
    pod["containers"][0]["args"] =
        json!(["--config-file=/etc/config/prometheus.yml", "--config-envsubst-file=/config_out/prometheus.yml"]);
    pod["containers"][0]["volumeMounts"] =
        json!([{"name": "config-volume", "mountPath": "/etc/config"}, {"name": "out", "mountPath": "/config_out"}]);
    assert_eq!(found("Deployment", &value).config, [ConfigSource::ConfigMap("prometheus-server".to_owned())]);
}

#[test]
fn route_prefix_and_port_are_those_prometheus_computes() {
    for (args, prefix, port) in [
        (&[][..], "/", 9090),
        (&["--web.route-prefix=/"], "/", 9090),
        (&["--web.route-prefix=a/b/", "--web.external-url=http://x/c"], "/a/b", 9090),
        (&["--web.external-url=https://x.example:8443/c/?q#f"], "/c", 9090),
        (&["--web.external-url=https://x.example"], "/", 9090),
        (&["--web.external-url=/d", "--web.listen-address=[::]:80", "--web.listen-address=:81"], "/d", 80),
        (&["--web.listen-address=$(ADDRESS)"], "/", 9090),
    ] {
        let args: Vec<_> = ["--config.file=x"].iter().chain(args).copied().collect();
        let prometheus = found("Deployment", &running("prom/prometheus", &args));
        assert_eq!((prometheus.route_prefix.as_str(), prometheus.port), (prefix, port), "{args:?}");
    }
}

#[test]
fn retention_has_an_old_name() {
    let of = |flag: &str| found("Deployment", &running("prom/prometheus", &["--config.file=x", flag])).retention;
    assert_eq!(of("--storage.tsdb.retention=30d").as_deref(), Some("30d"));
    assert_eq!(of("--storage.tsdb.retention.size=5GB"), None);
}

#[test]
fn other_programs_are_not_prometheus() {
    for (image, args) in [
        ("quay.io/thanos/thanos:v0.39", &["rule", "--data-dir=/data", "--config.file=x"][..]),
        ("quay.io/thanos/thanos:v0.39", &["sidecar", "--tsdb.path=/prometheus", "--prometheus.url=http://localhost"]),
        ("quay.io/prometheus/alertmanager:v0.31", &["--config.file=/a.yml", "--storage.path=/alertmanager"]),
        ("quay.io/prometheus/node-exporter:v1", &["--web.config.file=x", "--path.rootfs=/host"]),
        ("quay.io/prometheus/blackbox-exporter:v1", &["--config.file=/x.yml"]),
        ("victoriametrics/victoria-metrics:v1", &["-promscrape.config=/x", "-storageDataPath=/data"]),
        ("victoriametrics/vmagent:v1", &["--promscrape.config=/x"]),
        ("grafana/mimir:2", &["-config.file=/x", "-blocks-storage.tsdb.dir=/data"]),
        ("quay.io/prometheus-operator/prometheus-operator:v1", &["--kubelet-service=a/b"]),
        ("prom/prometheus:v3", &["promtool", "check", "config", "/x"]),
    ] {
        assert_eq!(plain_prometheus(&key("Deployment"), &running(image, args)), None, "{image}");
    }
}

#[test]
fn only_workloads_that_last_count() {
    let value = running("prom/prometheus", &["--config.file=x"]);
    assert!(plain_prometheus(&key("Deployment"), &value).is_some());
    assert!(plain_prometheus(&key("Job"), &value).is_none());
    assert!(plain_prometheus(&ObjectKey::namespaced("x", "Deployment", "x", "a", "b"), &value).is_none());
}

/// Names of fields that matter, so that arbitrary documents come near real ones.
const FIELDS: &[&str] = &[
    "spec",
    "template",
    "containers",
    "volumes",
    "volumeMounts",
    "name",
    "image",
    "args",
    "mountPath",
    "configMap",
    "projected",
    "sources",
    "items",
    "env",
    "value",
    "replicas",
];

const TEXTS: &[&str] = &["", "prom/prometheus", "--config.file=", "--storage.tsdb.path", "/", "../ä", "sh", "-c", "a"];

fn arbitrary() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        proptest::sample::select(TEXTS).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let fields = proptest::collection::btree_map(proptest::sample::select(FIELDS), inner.clone(), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            fields.prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_panics(value in arbitrary(), part in arbitrary()) {
        let nested = with_container(&part, &json!([part, {"name": "a", "projected": part}]));
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "Pod"] {
            for value in [&value, &nested, &json!({"spec": value})] {
                let _ = plain_prometheus(&key(kind), value);
                let _ = sidecar_watches(&key(kind), value);
            }
        }
    }

    #[test]
    fn no_argument_panics(args in proptest::collection::vec("(--?)?(config.file|web.external-url|web.listen-address)?[=:/ä]{0,3}", 0..5)) {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let _ = plain_prometheus(&key("Deployment"), &running("prom/prometheus", &args));
    }
}
