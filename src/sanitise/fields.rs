//! Walking through JSON objects by path. Knows no kind and no rule.

use serde_json::{Map, Value};

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// Path of the annotations of any object.
pub(super) const ANNOTATIONS: &[&str] = &["metadata", "annotations"];

/// Path of the labels of any object.
pub(super) const LABELS: &[&str] = &["metadata", "labels"];

/// The value at a path.
pub(super) fn at<'a>(object: &'a Object, path: &[&str]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    parents.iter().try_fold(object, |object, name| object.get(*name)?.as_object())?.get(*last)
}

/// The text at a path.
pub(super) fn text_at<'a>(object: &'a Object, path: &[&str]) -> Option<&'a str> {
    at(object, path)?.as_str()
}

/// The object at a path, to be changed. The empty path is the object itself.
pub(super) fn object_at<'a>(object: &'a mut Object, path: &[&str]) -> Option<&'a mut Object> {
    path.iter().try_fold(object, |object, name| object.get_mut(*name)?.as_object_mut())
}

/// The list at a path, to be changed.
pub(super) fn list_at<'a>(object: &'a mut Object, path: &[&str]) -> Option<&'a mut Vec<Value>> {
    let (last, parents) = path.split_last()?;
    object_at(object, parents)?.get_mut(*last)?.as_array_mut()
}

/// Takes fields out of the object at a path.
pub(super) fn remove(object: &mut Object, path: &[&str], names: &[&str]) {
    if let Some(object) = object_at(object, path) {
        for name in names {
            object.remove(*name);
        }
    }
}

/// Takes the field at a path away when nothing is in it: the API server drops such fields, or fills them again.
pub(super) fn remove_empty(object: &mut Object, path: &[&str]) {
    let empty = at(object, path).is_some_and(|value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    });
    if let (true, Some((last, parents))) = (empty, path.split_last()) {
        remove(object, parents, &[last]);
    }
}
