//! What a row of the table is, and how it is read: which fields it leads to and what they name. Knows no kind but those
//! that hold data.

use serde_json::Value;

use super::path::{Place, below, item, places, text};
use super::{CONFIG_MAP, Need, Reference, SECRET};
use crate::model::{GroupKind, ObjectKey};

/// Objects that refer to others, and the part of them that does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Referrer {
    pub(super) kinds: &'static [GroupKind],
    /// Path of the part; empty for the whole object.
    pub(super) base: &'static str,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub(super) by: &'static [&'static [Referrer]],
    /// Below the base: the field that holds the name. `[]` is every item of a list, `a|b` either field, `[a.b/c]` a key
    /// of a map.
    pub(super) at: &'static str,
    pub(super) target: Target,
    pub(super) need: Need,
    /// What happens without the object named, with the source of that.
    pub because: &'static str,
}

/// What the name means. A field `optional: true` beside it makes any of them optional.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// An object in the namespace of the one that refers to it.
    Own(GroupKind),
    /// A cluster-scoped object.
    Cluster(GroupKind),
    /// An object in the namespace that a field beside the name tells.
    Beside(GroupKind),
    /// An object written `namespace/name`.
    Written(GroupKind),
    /// One of these, told by the fields `kind` and `apiGroup` or `group` beside the name; the first when these are
    /// missing.
    Typed(&'static [Target]),
}

impl Target {
    fn kind(self) -> Option<GroupKind> {
        match self {
            Self::Own(kind) | Self::Cluster(kind) | Self::Beside(kind) | Self::Written(kind) => Some(kind),
            Self::Typed(_) => None,
        }
    }

    /// Kind, namespace and name of what is named at a place by an object of this namespace.
    fn resolve(self, own: Option<&str>, place: &Place<'_>) -> Option<(GroupKind, Option<String>, String)> {
        let name = text(place.value)?;
        let (kind, namespace, name) = match self {
            Self::Own(kind) => (kind, Some(own?), name),
            Self::Cluster(kind) => (kind, None, name),
            Self::Beside(kind) => (kind, Some(place.beside("namespace")?), name),
            Self::Written(kind) => {
                let (namespace, name) = name.split_once('/').filter(|(a, b)| !a.is_empty() && !b.is_empty())?;
                (kind, Some(namespace), name)
            }
            Self::Typed(targets) => {
                let told = |kind: GroupKind| {
                    let group = place.beside("apiGroup").or_else(|| place.beside("group"));
                    place.beside("kind").is_none_or(|told| told == kind.1) && group.is_none_or(|told| told == kind.0)
                };
                return targets.iter().find(|target| target.kind().is_some_and(told))?.resolve(own, place);
            }
        };
        Some((kind, namespace.map(str::to_owned), name.to_owned()))
    }
}

impl Row {
    /// The kinds that the row holds for.
    pub fn referring_kinds(&self) -> impl Iterator<Item = GroupKind> {
        self.by.iter().copied().flatten().flat_map(|by| by.kinds.iter().copied())
    }

    /// Every object that this row finds named.
    pub(super) fn references(&self, key: &ObjectKey, value: &Value) -> Vec<Reference> {
        let by = self.by.iter().copied().flatten().filter(|by| by.kinds.iter().any(|kind| key.is(*kind)));
        let patterns = by.map(|by| format!("{}.{}", by.base, self.at));
        let found = patterns.flat_map(|pattern| places(value, &pattern));
        found.flat_map(|place| self.at_place(key.namespace.as_deref(), &place)).collect()
    }

    /// What is named at one place: the object, and the keys of its data that are asked for beside the name.
    fn at_place(&self, own: Option<&str>, place: &Place<'_>) -> Vec<Reference> {
        let Some((kind, namespace, name)) = self.target.resolve(own, place) else { return Vec::new() };
        let optional = place.above.get("optional").and_then(Value::as_bool) == Some(true);
        let need = if optional { Need::Optional } else { self.need };
        let object = Reference { kind, namespace, name, key: None, field: place.path.clone(), need };
        if kind != SECRET && kind != CONFIG_MAP {
            return vec![object];
        }
        if let Some(data_key) = place.beside("key") {
            return vec![Reference { key: Some(data_key.to_owned()), field: place.above_path.clone(), ..object }];
        }
        let items = place.above.get("items").and_then(Value::as_array).into_iter().flatten().enumerate();
        let list = below(&place.above_path, "items");
        let keys = items.filter_map(|(index, value)| Some((index, value.get("key").and_then(text)?)));
        let keys = keys.map(|(index, data_key)| Reference {
            key: Some(data_key.to_owned()),
            field: below(&item(&list, index), "key"),
            ..object.clone()
        });
        let keys: Vec<_> = keys.collect();
        [object].into_iter().chain(keys).collect()
    }
}
