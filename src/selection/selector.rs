//! A label selector as Kubernetes evaluates it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::text::{self, SelectorParseError};

/// A LabelSelector (apimachinery `pkg/apis/meta/v1/helpers.go`): the labels and the expressions of it, all of which
/// must hold. The default selects everything. One that Kubernetes refuses to evaluate (an unknown operator, `In` without
/// values, what is no label) selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Written")]
pub struct LabelSelector(Vec<Requirement>);

/// What must hold of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) key: String,
    pub(super) test: Test,
}

/// Tests of a label (apimachinery `pkg/labels/selector.go`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    In(BTreeSet<String>),
    /// Holds too where the label is missing.
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
    /// Only in the text form.
    GreaterThan(i64),
    /// Only in the text form.
    LessThan(i64),
    Never,
}

/// A selector as it stands in JSON.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Expression>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Expression {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

impl From<Written> for LabelSelector {
    fn from(written: Written) -> Self {
        let labels = written.match_labels.unwrap_or_default().into_iter();
        let labels = labels.map(|(key, value)| Requirement::new(key, Test::In(BTreeSet::from([value]))));
        let expressions = written.match_expressions.unwrap_or_default().into_iter();
        let expressions = expressions.map(|expression| {
            let test = expression_test(&expression.operator, expression.values.unwrap_or_default());
            Requirement::new(expression.key, test)
        });
        Self(labels.chain(expressions).collect())
    }
}

fn expression_test(operator: &str, values: Vec<String>) -> Test {
    match (operator, values.is_empty()) {
        ("In", false) => Test::In(values.into_iter().collect()),
        ("NotIn", false) => Test::NotIn(values.into_iter().collect()),
        ("Exists", true) => Test::Exists,
        ("DoesNotExist", true) => Test::DoesNotExist,
        _ => Test::Never,
    }
}

impl Requirement {
    /// A requirement that can never hold where key or values could not be a label's.
    fn new(key: String, test: Test) -> Self {
        let possible = match &test {
            Test::In(values) | Test::NotIn(values) => values.iter().all(|value| is_label_value(value)),
            _ => true,
        };
        let test = if possible && is_label_key(&key) { test } else { Test::Never };
        Self { key, test }
    }

    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Test::LessThan(bound) => number().is_some_and(|number| number < *bound),
            Test::Never => false,
        }
    }
}

impl LabelSelector {
    /// Selects nothing.
    pub fn nothing() -> Self {
        Self(vec![Requirement { key: String::new(), test: Test::Never }])
    }

    /// From the text form `a=b,c in (d,e),!f`, as flags of operators have it (apimachinery `pkg/labels/selector.go`,
    /// `Parse`); an empty text selects everything.
    ///
    /// # Errors
    /// [`SelectorParseError`] where Kubernetes would refuse the text too.
    pub fn parse(text: &str) -> Result<Self, SelectorParseError> {
        text::parse(text).map(Self)
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

/// Longest name of a label and longest value, in characters.
const LONGEST: usize = 63;

/// Longest prefix of a label's key, in characters.
const LONGEST_PREFIX: usize = 253;

/// `name` or `prefix/name` (apimachinery `pkg/api/validate/content/kube.go`, `IsLabelKey`).
pub(super) fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => {
            let part = |part: &str| is_framed(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), "-");
            prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(part) && is_name(name)
        }
        None => is_name(key),
    }
}

/// Empty or like a name (apimachinery `pkg/util/validation/validation.go`, `IsValidLabelValue`).
pub(super) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST && is_framed(name, |c| c.is_ascii_alphanumeric(), "-_.")
}

/// Begins and ends with characters of one sort; between them there may be others too.
fn is_framed(text: &str, outer: fn(char) -> bool, inner: &str) -> bool {
    text.starts_with(outer) && text.ends_with(outer) && text.chars().all(|c| outer(c) || inner.contains(c))
}
