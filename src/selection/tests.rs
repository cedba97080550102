//! Selectors against the cases of Kubernetes and against a naive evaluation of the same JSON.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read(selector: &Value) -> LabelSelector {
    LabelSelector::deserialize(selector).unwrap()
}

fn instance(kind: &str, spec: &Value) -> Vec<Selects> {
    let key = ObjectKey::namespaced(OPERATOR_GROUP, kind, "x", "own", "k8s");
    selects(&key, &json!({"metadata": {"name": "k8s"}, "spec": spec}))
}

fn of<'a>(selects: &'a [Selects], kind: &str) -> &'a Selects {
    selects.iter().find(|selects| selects.kind.1 == kind).unwrap()
}

#[test]
fn empty_selector_selects_everything() {
    for selector in [json!({}), json!({"matchLabels": {}}), json!({"matchLabels": null, "matchExpressions": null})] {
        assert!(read(&selector).matches(&map(&[])));
        assert!(read(&selector).matches(&map(&[("a", "b")])));
        assert_eq!(read(&selector), LabelSelector::default());
    }
}

#[test]
fn labels_and_expressions_must_all_hold() {
    let selector = read(&json!({
        "matchLabels": {"team": "x"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["1", "2"]},
            {"key": "env", "operator": "NotIn", "values": ["dev"]},
            {"key": "app", "operator": "Exists"},
            {"key": "old", "operator": "DoesNotExist", "values": []},
        ],
    }));
    assert!(selector.matches(&map(&[("team", "x"), ("tier", "2"), ("app", "")])));
    assert!(!selector.matches(&map(&[("team", "y"), ("tier", "2"), ("app", "")])));
    assert!(!selector.matches(&map(&[("team", "x"), ("app", "")])));
    assert!(!selector.matches(&map(&[("team", "x"), ("tier", "2"), ("app", ""), ("env", "dev")])));
    assert!(!selector.matches(&map(&[("team", "x"), ("tier", "2")])));
    assert!(!selector.matches(&map(&[("team", "x"), ("tier", "2"), ("app", ""), ("old", "")])));
}

#[test]
fn selector_that_kubernetes_refuses_selects_nothing() {
    for expression in [
        json!({"key": "a", "operator": "Gt", "values": ["1"]}),
        json!({"key": "a", "operator": "in", "values": ["1"]}),
        json!({"key": "a", "values": ["1"]}),
        json!({"key": "a", "operator": "NotIn", "values": []}),
        json!({"key": "a", "operator": "DoesNotExist", "values": ["1"]}),
        json!({"key": "a", "operator": "NotIn", "values": ["no value of a label"]}),
        json!({"key": "", "operator": "DoesNotExist"}),
        json!({"key": "/a", "operator": "DoesNotExist"}),
    ] {
        let selector = read(&json!({"matchExpressions": [expression]}));
        assert!(!selector.matches(&map(&[])) && !selector.matches(&map(&[("a", "1")])), "{expression}");
    }
    assert!(!LabelSelector::nothing().matches(&map(&[])));
}

#[test]
fn text_form_is_read_as_kubernetes_reads_it() {
    for (text, labels, expected) in [
        ("", &[][..], true),
        (" \t", &[("a", "b")], true),
        ("a=b", &[("a", "b")], true),
        ("a==b", &[("a", "c")], false),
        ("a=", &[("a", "")], true),
        ("a=,b", &[("a", ""), ("b", "x")], true),
        ("a!=b", &[], true),
        ("a != b", &[("a", "b")], false),
        ("x in (foo,,baz),y,z notin ()", &[("x", ""), ("y", "1"), ("z", "2")], true),
        ("x in (foo,,baz),y,z notin ()", &[("x", ""), ("y", "1"), ("z", "")], false),
        ("a in(b , c)", &[("a", "c")], true),
        ("in in (notin)", &[("in", "notin")], true),
        ("!a", &[], true),
        ("! a , example.com/b", &[("example.com/b", "")], true),
        ("a>1", &[("a", "2")], true),
        ("a > 1", &[("a", "1")], false),
        ("a<1", &[("a", "zero")], false),
        ("a<1", &[], false),
        ("a=b,c in (d,e),!f", &[("a", "b"), ("c", "e")], true),
    ] {
        let selector = LabelSelector::parse(text).unwrap();
        assert_eq!(selector.matches(&map(labels)), expected, "{text} {labels:?}");
    }
}

#[test]
fn text_that_kubernetes_refuses_is_refused() {
    for (text, expected) in [
        ("a,", "found the end, expected the key of a label"),
        (",a", "found `,`"),
        ("a b", "found `b`"),
        ("a=b c", "found `c`, expected `,` or the end"),
        ("!a=b", "found `=`"),
        ("a in b", "found `b`, expected `(`"),
        ("a in (b", "found the end"),
        ("a in (b c)", "found `c`"),
        ("a===b", "found `=`, expected a value"),
        ("a<=1", "found `=`"),
        ("-a=b", "`-a` is no key of a label"),
        ("a=-b", "`-b` is no value of a label"),
        ("a>b", "`b` is no integer"),
        ("a>", "`` is no integer"),
        ("ä=b", "`ä` is no key of a label"),
    ] {
        let told = LabelSelector::parse(text).unwrap_err().to_string();
        assert!(told.contains(expected) && told.contains(&format!("`{text}`")), "{text}: {told}");
    }
}

#[test]
fn each_kind_of_instance_has_its_selectors() {
    let kinds = |kind| instance(kind, &json!({})).iter().map(|selects| selects.kind.1).collect::<Vec<_>>();
    assert_eq!(kinds("Prometheus"), ["ServiceMonitor", "PodMonitor", "Probe", "ScrapeConfig", "PrometheusRule"]);
    assert_eq!(kinds("PrometheusAgent"), ["ServiceMonitor", "PodMonitor", "Probe", "ScrapeConfig"]);
    assert_eq!(kinds("Alertmanager"), ["AlertmanagerConfig"]);
    assert_eq!(kinds("ThanosRuler"), ["PrometheusRule"]);
    assert_eq!(kinds("ServiceMonitor"), [""; 0]);
    let core = ObjectKey::namespaced("", "Prometheus", "x", "own", "k8s");
    assert!(selects(&core, &json!({"spec": {"ruleSelector": {}}})).is_empty());
}

#[test]
fn null_selects_no_object_and_the_own_namespace_and_empty_selects_all() {
    let (none, labels) = (map(&[]), map(&[("team", "x")]));
    let selects = instance(
        "Prometheus",
        &json!({
            "serviceMonitorSelector": {},
            "podMonitorSelector": {}, "podMonitorNamespaceSelector": {},
            "probeNamespaceSelector": {}, "probeSelector": null,
            "scrapeConfigSelector": {"matchLabels": {"team": "x"}}, "scrapeConfigNamespaceSelector": null,
            "ruleSelector": {}, "ruleNamespaceSelector": {"matchLabels": {"team": "x"}},
        }),
    );
    let monitors = of(&selects, "ServiceMonitor");
    assert_eq!(monitors.field, "serviceMonitorSelector");
    assert!(monitors.matches("own", "own", &none, &none) && !monitors.matches("own", "other", &labels, &labels));
    assert!(of(&selects, "PodMonitor").matches("own", "other", &none, &none));
    assert!(!of(&selects, "Probe").matches("own", "own", &labels, &labels));
    let scrape_configs = of(&selects, "ScrapeConfig");
    assert!(scrape_configs.matches("own", "own", &none, &labels));
    assert!(!scrape_configs.matches("own", "own", &labels, &none));
    let rules = of(&selects, "PrometheusRule");
    assert!(rules.matches("own", "other", &labels, &none) && !rules.matches("own", "own", &none, &none));
}

#[test]
fn selector_that_cannot_be_read_selects_nothing() {
    let none = map(&[]);
    let selects = instance("ThanosRuler", &json!({"ruleSelector": {}, "ruleNamespaceSelector": "all"}));
    assert!(!selects[0].matches("own", "own", &none, &none));
    let selects = instance("ThanosRuler", &json!({"ruleSelector": {"matchLabels": [1]}}));
    assert!(!selects[0].matches("own", "own", &none, &none));
}

const KEYS: &[&str] = &["a", "b", "example.com/c"];
const VALUES: &[&str] = &["", "1", "x"];

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let word = |words: &'static [&'static str]| proptest::sample::select(words).prop_map(str::to_owned);
    proptest::collection::btree_map(word(KEYS), word(VALUES), 0..4)
}

/// Key, operator, values.
type Part = (&'static str, &'static str, Vec<&'static str>);

fn parts(operators: &'static [&'static str]) -> impl Strategy<Value = Vec<Part>> {
    let values = proptest::sample::subsequence(VALUES, 0..=VALUES.len());
    let part = (proptest::sample::select(KEYS), proptest::sample::select(operators), values);
    proptest::collection::vec(part, 0..4)
}

/// One expression as the documentation of the API words it.
fn naive((key, operator, values): &Part, labels: &BTreeMap<String, String>) -> Option<bool> {
    let held = labels.get(*key);
    let listed = held.is_some_and(|value| values.contains(&value.as_str()));
    match *operator {
        "In" if !values.is_empty() => Some(listed),
        "NotIn" if !values.is_empty() => Some(!listed),
        "Exists" if values.is_empty() => Some(held.is_some()),
        "DoesNotExist" if values.is_empty() => Some(held.is_none()),
        _ => None,
    }
}

fn as_text((key, operator, values): &Part) -> String {
    let values = values.join(",");
    match *operator {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => (*key).to_owned(),
        _ => format!("!{key}"),
    }
}

proptest! {
    #[test]
    fn selection_agrees_with_a_naive_evaluation(
        wanted in labels(),
        parts in parts(&["In", "NotIn", "Exists", "DoesNotExist", "Gt"]),
        labels in labels(),
    ) {
        let expressions: Vec<_> =
            parts.iter().map(|(key, operator, values)| json!({"key": key, "operator": operator, "values": values})).collect();
        let selector = read(&json!({"matchLabels": wanted, "matchExpressions": expressions}));
        let expected = wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
            && parts.iter().all(|part| naive(part, &labels) == Some(true));
        prop_assert_eq!(selector.matches(&labels), expected);
    }

    #[test]
    fn text_form_says_the_same_as_json(mut parts in parts(&["In", "NotIn", "Exists", "DoesNotExist"]), labels in labels()) {
        for (_, operator, values) in &mut parts {
            match *operator {
                "In" | "NotIn" if values.is_empty() => values.push(""),
                "In" | "NotIn" => {}
                _ => values.clear(),
            }
        }
        let text = parts.iter().map(as_text).collect::<Vec<_>>().join(",");
        let expected = parts.iter().all(|part| naive(part, &labels) == Some(true));
        prop_assert_eq!(LabelSelector::parse(&text).unwrap().matches(&labels), expected, "{}", text);
    }

    #[test]
    fn no_text_panics(text in "[ab=!(),<>\\sin1ä]{0,12}") {
        let _ = LabelSelector::parse(&text);
    }
}
