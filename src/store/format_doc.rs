//! Holds docs/format.md to the code: every name that stands in a backup stands on that page.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{envelope, samples};
use crate::layout;
use crate::model::{FORMAT, ObjectKey, PIECE_BYTES, Sha256, StoreLockKind, StoreSign, TreeEntry, TreeEntryKind};

const PAGE: &str = include_str!("../../docs/format.md");

/// Fields whose keys are data, not names.
const MAPS: [&str; 3] = ["left_out", "without_fingerprint", "content_annotations"];

fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, below) in fields {
                found.insert(name.clone());
                if !MAPS.contains(&name.as_str()) {
                    names(below, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        Value::Null => panic!("the full record leaves something out"),
        _ => {}
    }
}

#[test]
fn every_field_of_a_backup_is_documented() {
    let bytes = envelope::seal(&samples::full_record()).unwrap();
    let mut found = BTreeSet::new();
    // An operator's key has a namespace, so nothing in the full record is null.
    names(&serde_json::from_slice(&bytes).unwrap(), &mut found);
    assert!(found.len() > 60, "{found:?}");
    let missing: Vec<_> = found.iter().filter(|name| !PAGE.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_path_is_documented() {
    let id = samples::small_record().id;
    let documented = |path: &str, id: &str| path.replace(id, "<id>");
    let object = ObjectKey::namespaced("<group>", "K", "<plural>", "<namespace>", "<name>");
    let sign = StoreSign { kind: StoreLockKind::Use, run: "run".into(), sequence: 7 };
    let paths = [
        documented(&layout::record_path(&id), id.as_str()),
        documented(&layout::file_path(&id, layout::BUNDLE).unwrap(), id.as_str()),
        layout::probe_path("2026-11-21T09:00:00Z".parse().unwrap(), "<unique>").replace("20261121T090000Z", "<time>"),
        layout::STORE.to_owned(),
        layout::data_path(&Sha256::of(b"abc"))
            .replace("/ba/", "/<aa>/")
            .replace(&Sha256::of(b"abc").to_string(), "<sha256>"),
        layout::sign_path(&sign).replace("use-run-7", "<kind>-<run>-<sequence>"),
        layout::mark_path("2026-11-21T09:00:00Z".parse().unwrap(), &Sha256::of(b"abc"))
            .replace("20261121T090000Z", "<time>")
            .replace(&Sha256::of(b"abc").to_string(), "<sha256>"),
        layout::INVENTORY.to_owned(),
        layout::object_path(&object).unwrap(),
        layout::object_path(&ObjectKey { namespace: None, ..object }).unwrap(),
    ];
    for path in paths {
        assert!(PAGE.contains(&format!("`{path}`")), "{path}");
    }
    assert!(PAGE.contains(&format!("format {FORMAT}")));
}

#[test]
fn every_field_of_a_tree_is_documented() {
    let entry = TreeEntry {
        path: "a".into(),
        kind: TreeEntryKind::Link,
        mode: 0,
        uid: 0,
        gid: 0,
        modified_ns: 0,
        bytes: 1,
        pieces: vec![Sha256::of(b"a")],
        target: Some("b".into()),
    };
    let mut found = BTreeSet::new();
    names(&serde_json::to_value(entry).unwrap(), &mut found);
    let kinds = [TreeEntryKind::Directory, TreeEntryKind::File, TreeEntryKind::Link];
    found.extend(kinds.map(|kind| serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned()));
    let missing: Vec<_> = found.iter().filter(|name| !PAGE.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, [""; 0]);
    assert!(PAGE.contains(&format!("{PIECE_BYTES} bytes")));
}

#[test]
fn the_envelope_begins_as_documented() {
    let text = String::from_utf8(envelope::seal(&samples::small_record()).unwrap()).unwrap();
    let (before, hash_and_rest) = text.split_once(r#""sha256":""#).unwrap();
    assert!(PAGE.contains(before), "{before}");
    assert!(hash_and_rest[64..].starts_with("\",\"record\":{\n  \"id\": \"20261121T090000Z-7f3c0a1b\",\n"));
    assert!(text.ends_with("\n}}\n"));
}
