//! Paths of fields: writing them, and finding all places in an object that a pattern leads to. Knows no kind.

use serde_json::Value;

/// A place in an object.
pub(super) struct Place<'a> {
    /// How it is written, such as `spec.volumes[1].secret.secretName`.
    pub(super) path: String,
    /// What lies there.
    pub(super) value: &'a Value,
    /// What it lies in.
    pub(super) above: &'a Value,
    /// How that is written.
    pub(super) above_path: String,
}

impl<'a> Place<'a> {
    /// The text of a field beside this one; `None` when it is missing, empty or no text.
    pub(super) fn beside(&self, name: &str) -> Option<&'a str> {
        self.above.get(name).and_then(text)
    }
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// The path of a field of what lies at a path.
pub(super) fn below(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{path}.{name}"),
        (false, _) => format!("{path}[{name}]"),
    }
}

/// The path of an item of the list at a path.
pub(super) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// One step of a pattern.
enum Step<'a> {
    /// To a field; with several names between `|`, to each of these.
    Field(&'a str),
    /// To every item of a list.
    Each,
}

/// Cuts a pattern such as `volumes[].cephfs|rbd.secretRef` or `annotations[example.org/a]` into its steps.
fn steps(pattern: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(after) = rest.strip_prefix("[]") {
            steps.push(Step::Each);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (name, after) = after.split_once(']').unwrap_or((after, ""));
            steps.push(Step::Field(name));
            rest = after;
        } else {
            let (name, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
            steps.push(Step::Field(name));
            rest = after;
        }
    }
    steps
}

/// All places that a pattern leads to, in the order of the object. The empty pattern leads nowhere.
pub(super) fn places<'a>(value: &'a Value, pattern: &str) -> Vec<Place<'a>> {
    let mut places = vec![Place { path: String::new(), value, above: &Value::Null, above_path: String::new() }];
    for step in steps(pattern) {
        places = places.iter().flat_map(|place| onward(place, &step)).collect();
    }
    places.retain(|place| !place.path.is_empty());
    places
}

fn onward<'a>(from: &Place<'a>, step: &Step<'_>) -> Vec<Place<'a>> {
    let to = |path, value| Place { path, value, above: from.value, above_path: from.path.clone() };
    match step {
        Step::Each => {
            let items = from.value.as_array().into_iter().flatten().enumerate();
            items.map(|(index, value)| to(item(&from.path, index), value)).collect()
        }
        Step::Field(names) => {
            let found = names.split('|').filter_map(|name| Some((name, from.value.as_object()?.get(name)?)));
            found.map(|(name, value)| to(below(&from.path, name), value)).collect()
        }
    }
}
