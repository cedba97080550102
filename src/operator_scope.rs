//! Which custom resources an operator manages and reads, from the arguments of its container (prometheus-operator
//! `cmd/operator/main.go`, `pkg/operator/config.go`), and what an operator looks like among containers.
//!
//! Pure: it never asks a cluster. What an instance selects is `selection`'s business.

use std::collections::{BTreeMap, BTreeSet};

use crate::container::{Arguments, image_name};
pub use crate::container::{image_path, image_tag};
use crate::model::GroupKind;
use crate::scope::OPERATOR_GROUP;
use crate::selection::LabelSelector;

/// Annotation of an instance that names the operator it is for (`pkg/operator/resource_reconciler.go`).
pub const CONTROLLER_ID_ANNOTATION: &str = "operator.prometheus.io/controller-id";

/// Flag that lists the namespaces of every kind without a list of its own.
const NAMESPACES: &str = "namespaces";

/// One row: kinds that the same flags narrow.
struct Row {
    kinds: &'static [GroupKind],
    part: Part,
    /// Flag that lists their namespaces, in place of `--namespaces` and `--deny-namespaces`.
    namespaces: &'static str,
    /// Flag that selects them by label.
    selector: Option<&'static str>,
    /// In words.
    called: &'static str,
}

/// What an operator does with a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Runs it.
    Instance,
    /// Reads it into the configuration of instances.
    Configuration,
}

const ROWS: &[Row] = &[
    Row {
        kinds: &[GroupKind(OPERATOR_GROUP, "Prometheus"), GroupKind(OPERATOR_GROUP, "PrometheusAgent")],
        part: Part::Instance,
        namespaces: "prometheus-instance-namespaces",
        selector: Some("prometheus-instance-selector"),
        called: "Prometheus",
    },
    Row {
        kinds: &[GroupKind(OPERATOR_GROUP, "Alertmanager")],
        part: Part::Instance,
        namespaces: "alertmanager-instance-namespaces",
        selector: Some("alertmanager-instance-selector"),
        called: "Alertmanager",
    },
    Row {
        kinds: &[GroupKind(OPERATOR_GROUP, "ThanosRuler")],
        part: Part::Instance,
        namespaces: "thanos-ruler-instance-namespaces",
        selector: Some("thanos-ruler-instance-selector"),
        called: "ThanosRuler",
    },
    Row {
        kinds: &[GroupKind(OPERATOR_GROUP, "AlertmanagerConfig")],
        part: Part::Configuration,
        namespaces: "alertmanager-config-namespaces",
        selector: None,
        called: "AlertmanagerConfig",
    },
    Row {
        kinds: &[
            GroupKind(OPERATOR_GROUP, "ServiceMonitor"),
            GroupKind(OPERATOR_GROUP, "PodMonitor"),
            GroupKind(OPERATOR_GROUP, "Probe"),
            GroupKind(OPERATOR_GROUP, "ScrapeConfig"),
            GroupKind(OPERATOR_GROUP, "PrometheusRule"),
        ],
        part: Part::Configuration,
        namespaces: NAMESPACES,
        selector: None,
        called: "monitors and rules",
    },
];

/// Whether a container runs a Prometheus Operator: by the name of its image, or by an argument that no other program
/// takes, so also under the name of a mirror. `args` may hold the `command` too.
pub fn is_operator<'a>(image: &str, args: impl IntoIterator<Item = &'a str>) -> bool {
    image_name(image) == "prometheus-operator" || Arguments::new(args).has("prometheus-config-reloader")
}

/// What an operator looks at. The default looks at everything that is not meant for another operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorScope {
    /// Lists of namespaces by flag; a flag that is not given has none.
    lists: BTreeMap<&'static str, BTreeSet<String>>,
    /// Without effect on kinds that have a list (`pkg/informers/informers.go`, `newInformerOptions`).
    denied: BTreeSet<String>,
    /// Selectors by flag, as written and as evaluated; a flag that is not given has none.
    selectors: BTreeMap<&'static str, (String, LabelSelector)>,
    controller_id: String,
    kubelet_service: Option<(String, String)>,
    unmanaged_configuration_disabled: bool,
}

impl OperatorScope {
    /// From the `command` and `args` of the operator's container. Unknown arguments are ignored.
    pub fn from_args<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let arguments = Arguments::new(args);
        let flags = ROWS.iter().map(|row| row.namespaces);
        let lists = flags.filter(|flag| arguments.has(flag)).map(|flag| (flag, list(&arguments, flag)));
        let selectors = ROWS.iter().filter_map(|row| {
            let text = arguments.value(row.selector?).filter(|text| !text.is_empty())?;
            // The operator does not start with a selector it cannot read, so it manages nothing.
            let selector = LabelSelector::parse(text).unwrap_or_else(|_| LabelSelector::nothing());
            Some((row.selector?, (text.to_owned(), selector)))
        });
        Self {
            lists: lists.collect(),
            denied: list(&arguments, "deny-namespaces").into_iter().filter(|name| !name.is_empty()).collect(),
            selectors: selectors.collect(),
            controller_id: arguments.value("controller-id").unwrap_or_default().to_owned(),
            kubelet_service: arguments.value("kubelet-service").and_then(object),
            unmanaged_configuration_disabled: arguments.is_on("disable-unmanaged-prometheus-configuration"),
        }
    }

    /// Whether it reconciles this instance (Prometheus, PrometheusAgent, Alertmanager, ThanosRuler); no other kind is
    /// one.
    pub fn manages(
        &self,
        kind: GroupKind,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> bool {
        let Some(row) = row(kind, Part::Instance) else { return false };
        let selector = row.selector.and_then(|flag| self.selectors.get(flag));
        let meant_for = annotations.get(CONTROLLER_ID_ANNOTATION).map_or("", String::as_str);
        self.includes(row, namespace)
            && selector.is_none_or(|(_, selector)| selector.matches(labels))
            && meant_for == self.controller_id
    }

    /// Whether it reads objects of this kind (monitors, rules, AlertmanagerConfig) in this namespace; it selects no
    /// others.
    pub fn reads(&self, kind: GroupKind, namespace: &str) -> bool {
        row(kind, Part::Configuration).is_some_and(|row| self.includes(row, namespace))
    }

    /// In words, for people: `all namespaces`; `namespaces a, b; controller id x`.
    pub fn in_words(&self) -> String {
        let mut words = vec![self.namespaces_in_words(self.lists.get(NAMESPACES))];
        for row in ROWS.iter().filter(|row| row.namespaces != NAMESPACES) {
            let list = self.lists.get(row.namespaces);
            words.extend(list.map(|list| format!("{} in {}", row.called, self.namespaces_in_words(Some(list)))));
        }
        for row in ROWS {
            let selector = row.selector.and_then(|flag| self.selectors.get(flag));
            words.extend(selector.map(|(text, _)| format!("{} with {text}", row.called)));
        }
        if !self.controller_id.is_empty() {
            words.push(format!("controller id {}", self.controller_id));
        }
        words.join("; ")
    }

    /// Namespace and name of `--kubelet-service`, whose Service and Endpoints it rewrites every few minutes.
    pub fn kubelet_service(&self) -> Option<(&str, &str)> {
        self.kubelet_service.as_ref().map(|(namespace, name)| (namespace.as_str(), name.as_str()))
    }

    /// Whether `--disable-unmanaged-prometheus-configuration` is on: then it writes the configuration of every
    /// Prometheus.
    pub fn unmanaged_configuration_disabled(&self) -> bool {
        self.unmanaged_configuration_disabled
    }

    fn includes(&self, row: &Row, namespace: &str) -> bool {
        match self.lists.get(row.namespaces).or_else(|| self.lists.get(NAMESPACES)) {
            Some(list) if !is_everywhere(list) => list.contains(namespace),
            _ => !self.denied.contains(namespace),
        }
    }

    fn namespaces_in_words(&self, list: Option<&BTreeSet<String>>) -> String {
        let joined = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match list {
            Some(list) if !is_everywhere(list) && list.len() == 1 => format!("namespace {}", joined(list)),
            Some(list) if !is_everywhere(list) => format!("namespaces {}", joined(list)),
            _ if self.denied.is_empty() => "all namespaces".to_owned(),
            _ => format!("all namespaces but {}", joined(&self.denied)),
        }
    }
}

fn row(kind: GroupKind, part: Part) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.part == part && row.kinds.contains(&kind))
}

/// Names of a comma list; every occurrence of the flag adds to it.
fn list(arguments: &Arguments, flag: &str) -> BTreeSet<String> {
    arguments.values(flag).flat_map(|names| names.split(',')).map(str::to_owned).collect()
}

/// The empty name stands for all namespaces, as in `--namespaces=`.
fn is_everywhere(list: &BTreeSet<String>) -> bool {
    list.contains("")
}

/// `namespace/name`, in exactly two parts.
fn object(text: &str) -> Option<(String, String)> {
    let (namespace, name) = text.split_once('/').filter(|(_, name)| !name.contains('/'))?;
    Some((namespace.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMETHEUS: GroupKind = GroupKind(OPERATOR_GROUP, "Prometheus");
    const PROMETHEUS_AGENT: GroupKind = GroupKind(OPERATOR_GROUP, "PrometheusAgent");
    const ALERTMANAGER: GroupKind = GroupKind(OPERATOR_GROUP, "Alertmanager");
    const THANOS_RULER: GroupKind = GroupKind(OPERATOR_GROUP, "ThanosRuler");
    const ALERTMANAGER_CONFIG: GroupKind = GroupKind(OPERATOR_GROUP, "AlertmanagerConfig");
    const RULE: GroupKind = GroupKind(OPERATOR_GROUP, "PrometheusRule");
    const SERVICE_MONITOR: GroupKind = GroupKind(OPERATOR_GROUP, "ServiceMonitor");

    /// Arguments as the upstream bundle and kube-prometheus have them.
    const BUNDLE: &[&str] = &[
        "--kubelet-service=kube-system/kubelet",
        "--prometheus-config-reloader=quay.io/prometheus-operator/prometheus-config-reloader:v0.93.0",
        "--watch-referenced-objects-in-all-namespaces=true",
        "--disable-unmanaged-prometheus-configuration=true",
        "--kubelet-endpoints=true",
        "--kubelet-endpointslice=false",
    ];

    fn scope(args: &[&str]) -> OperatorScope {
        OperatorScope::from_args(args.iter().copied())
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn manages(scope: &OperatorScope, kind: GroupKind, namespace: &str) -> bool {
        scope.manages(kind, namespace, &map(&[]), &map(&[]))
    }

    #[test]
    fn operator_is_known_by_image_or_argument() {
        let by = |image: &str, arg: &str| is_operator(image, [arg]);
        assert!(by("quay.io/prometheus-operator/prometheus-operator:v0.93.0", ""));
        assert!(by("registry:5000/prometheus-operator@sha256:00", ""));
        assert!(by("mirror/renamed:1", "--prometheus-config-reloader=mirror/reloader:1"));
        assert!(is_operator("mirror/renamed:1", ["/bin/operator", "-prometheus-config-reloader", "mirror/reloader:1"]));
    }

    #[test]
    fn neighbours_of_the_operator_are_not_operators() {
        for (image, args) in [
            ("quay.io/prometheus/prometheus:v3", &["--config.file=x"][..]),
            ("quay.io/prometheus-operator/admission-webhook:v0.93.0", &["--web.enable-tls=true"]),
            ("quay.io/prometheus-operator/prometheus-config-reloader:v0.93.0", &["/bin/prometheus-config-reloader"]),
            ("r/prometheus-operator-exporter:1", &["prometheus-config-reloader=x"]),
            ("r/prometheus-operator/dashboard:1", &["--prometheus-config-reloaders=1"]),
        ] {
            assert!(!is_operator(image, args.iter().copied()), "{image}");
        }
    }

    #[test]
    fn upstream_arguments_look_at_all_namespaces() {
        let scope = scope(BUNDLE);
        for kind in [PROMETHEUS, PROMETHEUS_AGENT, ALERTMANAGER, THANOS_RULER] {
            assert!(manages(&scope, kind, "any"));
            assert!(!scope.reads(kind, "any"));
        }
        assert!(scope.reads(RULE, "any") && scope.reads(ALERTMANAGER_CONFIG, "any"));
        assert_eq!(scope.kubelet_service(), Some(("kube-system", "kubelet")));
        assert!(scope.unmanaged_configuration_disabled());
        assert_eq!(scope.in_words(), "all namespaces");
    }

    #[test]
    fn no_arguments_are_the_default() {
        assert_eq!(scope(&[]), OperatorScope::default());
        assert_eq!(scope(&["/bin/operator", "--log-level=debug", "start"]), OperatorScope::default());
        assert!(manages(&OperatorScope::default(), PROMETHEUS, "any"));
    }

    #[test]
    fn namespaces_narrow_every_kind_without_a_list_of_its_own() {
        let scope = scope(&[
            "--namespaces=a,b",
            "-namespaces",
            "c",
            "--prometheus-instance-namespaces=p",
            "--alertmanager-config-namespaces=",
        ]);
        assert!(manages(&scope, ALERTMANAGER, "a") && manages(&scope, ALERTMANAGER, "c"));
        assert!(!manages(&scope, ALERTMANAGER, "p") && !manages(&scope, THANOS_RULER, "p"));
        assert!(manages(&scope, PROMETHEUS, "p") && manages(&scope, PROMETHEUS_AGENT, "p"));
        assert!(!manages(&scope, PROMETHEUS, "a"));
        assert!(scope.reads(SERVICE_MONITOR, "b") && !scope.reads(SERVICE_MONITOR, "p"));
        assert!(scope.reads(ALERTMANAGER_CONFIG, "any"));
        assert_eq!(
            scope.in_words(),
            "namespaces a, b, c; Prometheus in namespace p; AlertmanagerConfig in all namespaces"
        );
    }

    #[test]
    fn denied_namespaces_do_not_bind_kinds_with_a_list() {
        let scope = scope(&["--deny-namespaces=a,b", "--alertmanager-instance-namespaces=a"]);
        assert!(!manages(&scope, PROMETHEUS, "a") && manages(&scope, PROMETHEUS, "c"));
        assert!(!scope.reads(RULE, "b") && scope.reads(RULE, "c"));
        assert!(manages(&scope, ALERTMANAGER, "a") && !manages(&scope, ALERTMANAGER, "c"));
        assert_eq!(scope.in_words(), "all namespaces but a, b; Alertmanager in namespace a");
    }

    #[test]
    fn instances_of_another_controller_are_left_alone() {
        let of = |id: &str| map(&[(CONTROLLER_ID_ANNOTATION, id)]);
        let (plain, named) = (scope(BUNDLE), scope(&["--controller-id", "x"]));
        let manages = |scope: &OperatorScope, annotations| scope.manages(PROMETHEUS, "n", &map(&[]), &annotations);
        assert!(manages(&plain, of("")) && !manages(&plain, of("x")));
        assert!(manages(&named, of("x")) && !manages(&named, of("y")) && !manages(&named, map(&[])));
        assert_eq!(named.in_words(), "all namespaces; controller id x");
    }

    #[test]
    fn selectors_narrow_instances_and_a_broken_one_leaves_none() {
        let scope = scope(&[
            "--prometheus-instance-selector=team in (x, y),!old",
            "--alertmanager-instance-selector",
            "a=(",
            "--thanos-ruler-instance-selector=",
        ]);
        let manages = |kind, labels: &[_]| scope.manages(kind, "n", &map(labels), &map(&[]));
        assert!(manages(PROMETHEUS_AGENT, &[("team", "x")]));
        assert!(!manages(PROMETHEUS, &[]) && !manages(PROMETHEUS, &[("team", "x"), ("old", "")]));
        assert!(!manages(ALERTMANAGER, &[]) && manages(THANOS_RULER, &[]));
        assert_eq!(scope.in_words(), "all namespaces; Prometheus with team in (x, y),!old; Alertmanager with a=(");
    }

    #[test]
    fn other_kinds_are_neither_managed_nor_read() {
        let scope = OperatorScope::default();
        assert!(!manages(&scope, SERVICE_MONITOR, "n") && !manages(&scope, GroupKind("", "Secret"), "n"));
        assert!(!scope.reads(GroupKind("apps", "Prometheus"), "n") && !scope.reads(GroupKind("", "ConfigMap"), "n"));
    }

    #[test]
    fn kubelet_service_is_named_in_two_parts() {
        for text in ["--kubelet-service=kubelet", "--kubelet-service=a/b/c", "--kubelet-service="] {
            assert_eq!(scope(&[text]).kubelet_service(), None, "{text}");
        }
    }
}
