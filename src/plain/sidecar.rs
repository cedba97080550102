//! Sidecars that bring a Prometheus its configuration, and the labelled objects that they read.

use std::collections::BTreeMap;

use super::pod::{Container, PodSpec, Setting};
use crate::container::image_name;
use crate::model::GroupKind;

/// A sidecar that makes Prometheus read its configuration again, or writes files of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadSidecar {
    /// Its container's name.
    pub container: String,
    /// What it is.
    pub family: ReloadFamily,
    /// Objects that it reads through the API; no mount shows them.
    pub watches: Option<LabelledObjects>,
}

/// Families of such sidecars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadFamily {
    /// prometheus-operator's `prometheus-config-reloader`.
    PrometheusConfigReloader,
    /// `jimmidyson/configmap-reload`.
    ConfigmapReload,
    /// `kiwigrid/k8s-sidecar`.
    K8sSidecar,
    /// Anything else that calls `/-/reload`.
    WatchAndPost,
}

/// One row: how a family is known. By image, also under the name of a mirror; else by what no other program is given.
struct Row {
    family: ReloadFamily,
    image: Option<&'static str>,
    given: fn(&Container) -> bool,
}

/// First matching row decides.
const ROWS: &[Row] = &[
    Row {
        family: ReloadFamily::PrometheusConfigReloader,
        image: Some("prometheus-config-reloader"),
        given: |container| container.arguments().has("reload-url"),
    },
    Row {
        family: ReloadFamily::ConfigmapReload,
        image: Some("configmap-reload"),
        given: |container| container.arguments().has("webhook-url") && container.arguments().has("volume-dir"),
    },
    Row {
        family: ReloadFamily::K8sSidecar,
        image: Some("k8s-sidecar"),
        given: |container| ["LABEL", "FOLDER"].iter().all(|name| !matches!(container.setting(name), Setting::Unset)),
    },
    Row {
        family: ReloadFamily::WatchAndPost,
        image: None,
        given: |container| container.words().any(|word| word.contains("/-/reload")),
    },
];

fn family(container: &Container) -> Option<ReloadFamily> {
    let name = image_name(&container.image);
    let called =
        |image: &str| name.strip_suffix(image).is_some_and(|before| before.is_empty() || before.ends_with('-'));
    let row = ROWS.iter().find(|row| row.image.is_some_and(called) || (row.given)(container))?;
    Some(row.family)
}

/// Sidecars of the Prometheus in this container.
pub(super) fn beside(pod: &PodSpec, prometheus: &Container) -> Vec<ReloadSidecar> {
    let others = pod.lasting().filter(|container| container.name != prometheus.name);
    let sidecar = |container: &Container| {
        Some(ReloadSidecar {
            container: container.name.clone(),
            family: family(container)?,
            watches: LabelledObjects::read(container),
        })
    };
    others.filter_map(sidecar).collect()
}

/// ConfigMaps and Secrets that a k8s-sidecar reads by label through the API (kiwigrid/k8s-sidecar `src/sidecar.py`,
/// `src/resources.py`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledObjects {
    /// Whether it reads ConfigMaps.
    pub config_maps: bool,
    /// Whether it reads Secrets.
    pub secrets: bool,
    /// The label they have.
    pub label: String,
    /// The label's value; `None` is any.
    pub value: Option<String>,
    /// Where they are.
    pub namespaces: WatchedNamespaces,
}

/// Namespaces that a k8s-sidecar reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchedNamespaces {
    /// All.
    All,
    /// That of its pod.
    Own,
    /// These.
    Named(Vec<String>),
}

impl LabelledObjects {
    /// What a container reads, if it is a k8s-sidecar with a label that the template tells. Namespaces that it does not
    /// tell count as all: rather too much than too little.
    pub(super) fn read(container: &Container) -> Option<Self> {
        if family(container) != Some(ReloadFamily::K8sSidecar) {
            return None;
        }
        let Setting::Text(label) = container.setting("LABEL") else { return None };
        let (config_maps, secrets) = match container.setting("RESOURCE") {
            Setting::Text("secret") => (false, true),
            Setting::Text("both") | Setting::Unknown => (true, true),
            _ => (true, false),
        };
        let value = match container.setting("LABEL_VALUE") {
            Setting::Text(value) => Some(value.to_owned()),
            _ => None,
        };
        let namespaces = match container.setting("NAMESPACE") {
            Setting::Text(names) if names.split(',').any(|name| name == "ALL") => WatchedNamespaces::All,
            Setting::Text(names) => WatchedNamespaces::Named(names.split(',').map(str::to_owned).collect()),
            Setting::Unset | Setting::OwnNamespace => WatchedNamespaces::Own,
            Setting::Unknown => WatchedNamespaces::All,
        };
        Some(Self { config_maps, secrets, label: label.to_owned(), value, namespaces })
    }

    /// Whether it reads this object, when its pod runs in `own_namespace`.
    pub fn matches(
        &self,
        own_namespace: &str,
        kind: GroupKind,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        let of_kind = match kind {
            GroupKind("", "ConfigMap") => self.config_maps,
            GroupKind("", "Secret") => self.secrets,
            _ => false,
        };
        let in_namespace = match &self.namespaces {
            WatchedNamespaces::All => true,
            WatchedNamespaces::Own => namespace == own_namespace,
            WatchedNamespaces::Named(names) => names.iter().any(|name| name == namespace),
        };
        let held = labels.get(&self.label);
        of_kind && in_namespace && held.is_some_and(|held| self.value.as_ref().is_none_or(|value| value == held))
    }

    /// The label selector for a list request: `label` or `label=value`.
    pub fn selector(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.label),
            None => self.label.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::ObjectKey;
    use crate::plain::{plain_prometheus, sidecar_watches};

    fn key(kind: &str) -> ObjectKey {
        ObjectKey::namespaced("apps", kind, "x", "monitoring", "prometheus")
    }

    /// Sidecars beside a Prometheus.
    fn sidecars(containers: &[Value], init_containers: &[Value]) -> Vec<ReloadSidecar> {
        let script = "while true; do curl -X POST localhost:9090/-/reload; sleep 60; done & exec prometheus";
        let prometheus = json!({
            "name": "prometheus", "image": "prom/prometheus",
            "command": ["sh", "-c", format!("{script} --config.file=/x --storage.tsdb.path=/d")],
        });
        let pod = json!({"containers": ([&[prometheus], containers].concat()), "initContainers": init_containers});
        plain_prometheus(&key("Deployment"), &json!({"spec": {"template": {"spec": pod}}})).unwrap().sidecars
    }

    #[test]
    fn each_family_of_sidecars_is_known() {
        let containers = [
            json!({"name": "a", "image": "r/mirrored-prometheus-operator-prometheus-config-reloader:v0.93.0"}),
            json!({"name": "b", "image": "own:1", "args": ["--reload-url=http://localhost:9090/-/reload"]}),
            json!({"name": "c", "image": "jimmidyson/configmap-reload:v0.9.0", "args": ["--volume-dir=/etc/config"]}),
            json!({"name": "d", "image": "own:1", "args": ["-volume-dir=/c", "-webhook-url=http://localhost:9090/-/reload"]}),
            json!({"name": "e", "image": "quay.io/kiwigrid/k8s-sidecar:1.30", "env": [{"name": "LABEL", "value": "rules"}]}),
            json!({
                "name": "f", "image": "weaveworks/watch:master",
                "args": ["-v", "-p=/etc/prometheus", "curl", "-X", "POST", "http://localhost:9090/-/reload"],
            }),
            json!({"name": "g", "image": "quay.io/thanos/thanos:v0.39", "args": ["sidecar"]}),
        ];
        let told: Vec<_> = sidecars(&containers, &[]).iter().map(|s| (s.container.clone(), s.family)).collect();
        let expected = [
            ("a", ReloadFamily::PrometheusConfigReloader),
            ("b", ReloadFamily::PrometheusConfigReloader),
            ("c", ReloadFamily::ConfigmapReload),
            ("d", ReloadFamily::ConfigmapReload),
            ("e", ReloadFamily::K8sSidecar),
            ("f", ReloadFamily::WatchAndPost),
        ];
        assert_eq!(told, expected.map(|(name, family)| (name.to_owned(), family)));
    }

    #[test]
    fn init_container_is_a_sidecar_only_if_it_stays() {
        let init =
            |restart: &Value| json!({"name": "i", "image": "r/prometheus-config-reloader:1", "restartPolicy": restart});
        assert_eq!(sidecars(&[], &[init(&Value::Null)]), []);
        assert_eq!(sidecars(&[], &[init(&json!("Always"))]).len(), 1);
    }

    /// What a k8s-sidecar with these variables reads.
    fn watched(variables: &[(&str, &str)]) -> LabelledObjects {
        let env: Vec<_> = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let container = json!({"name": "s", "image": "kiwigrid/k8s-sidecar:1", "env": env});
        sidecars(&[container], &[]).pop().unwrap().watches.unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    const CONFIG_MAP: GroupKind = GroupKind("", "ConfigMap");
    const SECRET: GroupKind = GroupKind("", "Secret");

    #[test]
    fn labelled_objects_of_all_namespaces_are_watched() {
        let objects = watched(&[
            ("LABEL", "prometheus_rules"),
            ("LABEL_VALUE", "1"),
            ("NAMESPACE", "ALL"),
            ("RESOURCE", "both"),
            ("REQ_URL", "http://localhost:9090/-/reload"),
            ("REQ_METHOD", "POST"),
        ]);
        assert_eq!(objects.selector(), "prometheus_rules=1");
        let right = labels(&[("prometheus_rules", "1")]);
        assert!(objects.matches("own", CONFIG_MAP, "other", &right) && objects.matches("own", SECRET, "own", &right));
        assert!(!objects.matches("own", CONFIG_MAP, "own", &labels(&[("prometheus_rules", "2")])));
        assert!(!objects.matches("own", GroupKind("apps", "Secret"), "own", &right));
    }

    #[test]
    fn defaults_of_a_sidecar_are_config_maps_of_its_own_namespace_with_any_value() {
        let objects = watched(&[("LABEL", "rules"), ("LABEL_VALUE", ""), ("NAMESPACE", "")]);
        assert_eq!(objects.namespaces, WatchedNamespaces::Own);
        assert_eq!(objects.selector(), "rules");
        assert!(objects.matches("own", CONFIG_MAP, "own", &labels(&[("rules", "any")])));
        assert!(!objects.matches("own", CONFIG_MAP, "own", &labels(&[])));
        assert!(!objects.matches("own", CONFIG_MAP, "other", &labels(&[("rules", "")])));
        assert!(!objects.matches("own", SECRET, "own", &labels(&[("rules", "")])));
        let named = watched(&[("LABEL", "rules"), ("NAMESPACE", "a,b"), ("RESOURCE", "secret")]);
        assert!(named.matches("own", SECRET, "b", &labels(&[("rules", "")])));
        assert!(!named.matches("own", SECRET, "own", &labels(&[("rules", "")])));
        assert!(!named.matches("own", CONFIG_MAP, "b", &labels(&[("rules", "")])));
    }

    #[test]
    fn dashboards_of_grafana_are_watched_once() {
        let sidecar = |name: &str, label: &str, namespace: &Value| {
            let mut namespace = namespace.clone();
            namespace["name"] = json!("NAMESPACE");
            let env = json!([{"name": "LABEL", "value": label}, {"name": "FOLDER", "value": "/tmp/x"}, namespace]);
            json!({"name": name, "image": "mirror/renamed:1", "env": env})
        };
        let all = json!({"value": "ALL"});
        let own = json!({"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}});
        let elsewhere = json!({"valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}});
        let pod = json!({
            "initContainers": [sidecar("init", "grafana_datasource", &own)],
            "containers": [
                {"name": "grafana", "image": "grafana/grafana:12", "env": [{"name": "LABEL", "value": "x"}]},
                sidecar("dashboards", "grafana_dashboard", &all),
                sidecar("datasources", "grafana_datasource", &own),
                sidecar("plugins", "grafana_plugin", &elsewhere),
            ],
        });
        let expected = [
            ("grafana_dashboard", WatchedNamespaces::All),
            ("grafana_datasource", WatchedNamespaces::Own),
            ("grafana_plugin", WatchedNamespaces::All),
        ];
        for (key, value) in [
            (key("Deployment"), json!({"spec": {"template": {"spec": pod}}})),
            (key("CronJob"), json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}})),
            (ObjectKey::namespaced("", "Pod", "pods", "a", "b"), json!({"spec": pod})),
        ] {
            let told: Vec<_> = sidecar_watches(&key, &value).into_iter().map(|o| (o.label, o.namespaces)).collect();
            assert_eq!(told, expected.clone().map(|(label, namespaces)| (label.to_owned(), namespaces)), "{key}");
            assert_eq!(plain_prometheus(&key, &value), None);
        }
        assert_eq!(sidecar_watches(&key("ReplicaSet"), &json!({"spec": pod})), []);
    }
}
