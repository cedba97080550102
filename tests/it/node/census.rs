//! Counts and compares every object of the cluster, past promsafe. Objects whose names are made up anew each time are known by
//! what they are for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::cluster::{name_of, objects, resources};

/// Resources that are not the cluster's but the storage's: they have tests of their own.
const NOT_COUNTED: &[&str] =
    &["volumesnapshots.snapshot.storage.k8s.io", "volumesnapshotcontents.snapshot.storage.k8s.io"];

/// Kinds of which only the number is compared, and why.
const ONLY_COUNTED: &[(&str, &str)] = &[
    ("Pod", "its node, addresses and token volumes are written by others"),
    ("Endpoints", "addresses of pods"),
    ("EndpointSlice", "addresses of pods"),
    ("IPAddress", "the address of a Service, and when it was made"),
    ("PersistentVolume", "names the storage's volume, which is a new one"),
    ("Node", "tells of images and pods"),
];

/// Fields that are others after a restore, by kind and end of the name, and why.
const CHANGED: &[(&str, &str, &str, &str)] = &[
    ("Service", "", "/spec/clusterIP", "chosen by the API server"),
    ("Service", "", "/spec/clusterIPs", "chosen by the API server"),
    ("PersistentVolumeClaim", "", "/spec/volumeName", "a new volume"),
    ("PersistentVolumeClaim", "", "/spec/dataSource", "the snapshot it was filled from"),
    ("PersistentVolumeClaim", "", "/spec/dataSourceRef", "the snapshot it was filled from"),
    ("ConfigMap", "-rulefiles-0", "/data", "files named by the UID of their rule"),
];

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was there and is not any more.
    Lost,
    /// It was not there.
    New,
    /// It is another one than before.
    Other,
}

/// An object that is not as it was.
#[derive(Debug)]
pub(super) struct Difference {
    /// `Kind namespace/name`.
    pub(super) object: String,
    /// What became of it.
    pub(super) change: Change,
    /// For people: both sides of another one.
    #[expect(dead_code, reason = "shown when a test fails")]
    sides: String,
}

/// All objects, by what they are called or are for.
pub(super) struct Census(BTreeMap<String, Vec<Value>>);

impl Census {
    /// Looks at all objects there are.
    pub(super) fn take() -> Self {
        let mut resources = resources();
        resources.retain(|name| !NOT_COUNTED.contains(&name.as_str()));
        let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for object in objects(&resources.join(","), "") {
            all.entry(identity(&object)).or_default().push(essence(object));
        }
        Self(all)
    }

    /// Every object that is not the same in both.
    pub(super) fn differences(&self, after: &Self) -> Vec<Difference> {
        let names: BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        let mut differences = Vec::new();
        for name in names {
            let [then, now] = [self, after].map(|census| census.0.get(name).map_or(&[][..], Vec::as_slice));
            let change = match then.len().cmp(&now.len()) {
                std::cmp::Ordering::Greater => Change::Lost,
                std::cmp::Ordering::Less => Change::New,
                std::cmp::Ordering::Equal if then == now => continue,
                std::cmp::Ordering::Equal => Change::Other,
            };
            let sides = if change == Change::Other { sides(&then[0], &now[0]) } else { String::new() };
            differences.push(Difference { object: name.clone(), change, sides });
        }
        differences
    }

    /// How many there are of each kind in each namespace, before and after.
    pub(super) fn table(&self, after: &Self) -> String {
        let mut rows: BTreeMap<(String, String), [usize; 2]> = BTreeMap::new();
        for (side, census) in [self, after].into_iter().enumerate() {
            for object in census.0.values().flatten() {
                let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
                rows.entry((text("/metadata/namespace"), text("/kind"))).or_default()[side] += 1;
            }
        }
        let mut table = format!("{:<20} {:<32} {:>6} {:>6}\n", "NAMESPACE", "KIND", "BEFORE", "AFTER");
        for ((namespace, kind), [before, after]) in rows {
            let mark = if before == after { "" } else { "  *" };
            writeln!(table, "{namespace:<20} {kind:<32} {before:>6} {after:>6}{mark}").unwrap();
        }
        table
    }
}

fn sides(then: &Value, now: &Value) -> String {
    let (Value::Object(then), Value::Object(now)) = (then, now) else { return String::new() };
    let fields: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let mut sides = String::new();
    for field in fields.into_iter().filter(|field| then.get(*field) != now.get(*field)) {
        write!(sides, "{field}: {:?} then, {:?} now; ", then.get(field), now.get(field)).unwrap();
    }
    sides
}

/// `Kind namespace/name`, or what a made-up name stands for.
fn identity(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap();
    match kind {
        "PersistentVolume" => {
            let claim = ["namespace", "name"].map(|field| text(&format!("/spec/claimRef/{field}")).unwrap_or("none"));
            format!("PersistentVolume of {}", claim.join("/"))
        }
        "IPAddress" => {
            let service =
                ["namespace", "name"].map(|field| text(&format!("/spec/parentRef/{field}")).unwrap_or("none"));
            format!("IPAddress of {}", service.join("/"))
        }
        // A StatefulSet gives its pods names of their own, though it says generateName too.
        "Pod" | "EndpointSlice" if text("/metadata/ownerReferences/0/kind") != Some("StatefulSet") => {
            match text("/metadata/generateName") {
                Some(prefix) => format!("{kind} {}/{prefix}*", text("/metadata/namespace").unwrap()),
                None => name_of(object),
            }
        }
        _ => name_of(object),
    }
}

/// The object less what differs between two objects that are the same to their user. No value of a Secret stays readable.
fn essence(mut object: Value) -> Value {
    let kind = object["kind"].as_str().unwrap().to_owned();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    if ONLY_COUNTED.iter().any(|(counted, _)| *counted == kind) {
        let namespace = object["metadata"]["namespace"].take();
        return serde_json::json!({"kind": kind, "metadata": {"namespace": namespace}});
    }
    for (_, _, field, _) in CHANGED.iter().filter(|(of, end, ..)| *of == kind && name.ends_with(end)) {
        let (parent, last) = field.rsplit_once('/').unwrap();
        object.pointer_mut(parent).and_then(Value::as_object_mut).map(|fields| fields.remove(last));
    }
    if kind == "Secret" {
        let data = object["data"].as_object_mut().into_iter().flatten();
        data.for_each(|(_, value)| *value = checksum(value.as_str().unwrap_or_default()).into());
    }
    let fields = object.as_object_mut().unwrap();
    fields.remove("status");
    fields["metadata"]
        .as_object_mut()
        .unwrap()
        .retain(|field, _| ["name", "namespace", "labels"].contains(&field.as_str()));
    object
}

/// A number that tells one text from another.
pub(super) fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
