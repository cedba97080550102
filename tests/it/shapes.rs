//! What discovery says of Prometheus as people run it: the shapes of `testdata/clusters`, each on an API server of its own.
//!
//! `applied.yaml` is what somebody applied, `made.json` what the real controllers and operators made of it, and `settled.json`
//! what became of what was applied; both captured by `testdata/clusters/capture`. Of what was made only the claims are data:
//! [`Shape::take`] holds that for every shape.

mod operators;
mod plain;
mod served_kinds;
mod versions;
mod volumes;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use promsafe::discover::{Scope, discover};
use promsafe::model::{DataVolume, Decisions, Instance, Inventory, ObjectKey, Silent};
use serde_json::{Value, json};

use crate::support::control_plane::{ControlPlane, Start, User};
use crate::support::promsafe::Promsafe;

/// The namespaced kinds of what was made that are data, not consequence.
const DATA: &[&str] = &["PersistentVolumeClaim"];

/// A cluster of one shape, and what discovery says of it.
struct Shape {
    control_plane: ControlPlane,
    inventory: Inventory,
    decisions: Decisions,
    /// Objects that controllers and operators made, as `Kind namespace/name`.
    made: BTreeSet<String>,
}

impl Shape {
    /// Brings a shape onto an API server and looks at it. `first` is applied before all else; of what was made, `kept` are
    /// in though they are no claims, as `Kind namespace/name`.
    async fn take(name: &str, first: &str, kept: &[&str]) -> Self {
        let control_plane = ControlPlane::start(Start::WithCrds).await;
        let file = |file: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/clusters").join(name).join(file);
            std::fs::read_to_string(path)
        };
        let later = file("then.yaml").unwrap_or_default();
        control_plane.apply(&[first, &file("applied.yaml").unwrap(), &later].join("\n---\n"));
        let items = |name: &str| -> Vec<Value> {
            let list: Value = serde_json::from_str(&file(name).unwrap()).unwrap();
            list["items"].as_array().unwrap().clone()
        };
        let made = items("made.json");
        apply_with_status(&control_plane, &[items("settled.json"), made.clone()].concat());
        let mut decisions = Decisions::default();
        let cluster = control_plane.cluster().await;
        let (inventory, _) = discover(&cluster, &Scope::default(), &mut decisions, &Silent).await.unwrap();
        decisions.kept.sort();
        decisions.left_out.sort();
        let made = made.iter().map(named).collect();
        let shape = Self { control_plane, inventory, decisions, made };
        shape.holds_of_every_shape(kept);
        shape
    }

    fn holds_of_every_shape(&self, kept: &[&str]) {
        let is_in: BTreeSet<String> = self.decisions.kept.iter().map(|(key, _)| key.to_string()).collect();
        let is_out: BTreeSet<String> = self.decisions.left_out.iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(is_in.len(), self.decisions.kept.len(), "an object is in twice");
        assert_eq!(is_in.intersection(&is_out).collect::<Vec<_>>(), Vec::<&String>::new(), "in and out");
        let is_data = |object: &String| DATA.iter().any(|kind| object.starts_with(&format!("{kind} ")));
        let unexpected: Vec<_> =
            self.made.iter().filter(|object| is_in.contains(*object) && !is_data(object)).map(String::as_str).collect();
        assert_eq!(unexpected, kept, "made by a controller, and in all the same");
        let home = |object: &&String| {
            let namespace = object.split_once(' ').and_then(|(_, name)| Some(name.split_once('/')?.0));
            namespace.is_some_and(|namespace| self.inventory.namespaces.iter().any(|home| home == namespace))
        };
        let overlooked: Vec<_> = self.made.iter().filter(home).collect();
        let overlooked: Vec<_> =
            overlooked.into_iter().filter(|object| !is_in.contains(*object) && !is_out.contains(*object)).collect();
        assert_eq!(overlooked, Vec::<&String>::new(), "in a namespace captured whole, and not looked at");
        let definitions = self.decisions.kept.iter().filter(|(key, _)| key.kind == "CustomResourceDefinition");
        assert_eq!(definitions.count(), 10, "the operator's definitions");
    }

    /// Why an object is in; `None` when it is not.
    fn reason(&self, object: &str) -> Option<&str> {
        why(&self.decisions.kept, object)
    }

    /// Why an object that was looked at is out; `None` when it is not.
    fn why_left_out(&self, object: &str) -> Option<&str> {
        why(&self.decisions.left_out, object)
    }

    /// Whether the object was not even looked at: nothing of it is in.
    fn is_elsewhere(&self, object: &str) -> bool {
        self.reason(object).is_none() && self.why_left_out(object).is_none()
    }

    fn instance(&self, object: &str) -> &Instance {
        let found = self.inventory.instances.iter().find(|instance| instance.key.to_string() == object);
        found.unwrap_or_else(|| panic!("{object} is not found among {:#?}", self.inventory.instances))
    }

    fn volume(&self, claim: &str) -> &DataVolume {
        let found = self.inventory.volumes.iter().find(|volume| volume.qualified_name() == claim);
        found.unwrap_or_else(|| panic!("{claim} is not found among {:#?}", self.inventory.volumes))
    }

    /// Whether the operators made a StatefulSet for the instance.
    fn runs(&self, instance: &Instance) -> bool {
        let kind = instance.key.kind.to_lowercase();
        self.made.contains(&format!("StatefulSet {}", instance.key.qualified_name().replace('/', &format!("/{kind}-"))))
    }

    /// The binary on this cluster.
    fn promsafe(&self) -> Promsafe {
        Promsafe::default().with_kubeconfig(&self.control_plane.kubeconfig(User::Admin))
    }

    /// All that discovery says, but for the ten definitions.
    fn told(&self) -> String {
        let mut page = String::new();
        for operator in &self.inventory.operators {
            writeln!(page, "OPERATOR  {} {:?}: {}", operator.key, operator.version, operator.scope).unwrap();
        }
        for instance in &self.inventory.instances {
            let operators = instance.operators.join(", ");
            let at = format!("{}://:{}{}", instance.scheme, instance.port, instance.route_prefix);
            let run = format!("{:?} {}x{}", instance.version, instance.replicas, instance.shards);
            let pods = instance.pods.join(", ");
            let lasts = instance.volatile.as_ref().map_or_else(String::new, |volatile| format!(", on {volatile}"));
            writeln!(page, "INSTANCE  {} {run} {at} by [{operators}] as [{pods}]{lasts}", instance.key).unwrap();
        }
        for volume in &self.inventory.volumes {
            let used_by = volume.used_by.as_ref().map_or_else(String::new, |instance| format!(" of {instance}"));
            let leftover = volume.leftover_of.as_ref().map_or_else(String::new, |of| format!(" left by {of}"));
            let handle = format!("{:?} {:?}", volume.driver, volume.volume_handle);
            writeln!(page, "VOLUME    {} {} {handle}{used_by}{leftover}", volume.qualified_name(), volume.phase)
                .unwrap();
        }
        for reference in &self.inventory.missing_references {
            writeln!(page, "MISSING   {}: {}, {}", reference.object, reference.why, reference.needed_by()).unwrap();
        }
        for group in &self.inventory.failed_groups {
            writeln!(page, "FAILED    {group}").unwrap();
        }
        let kept = self.decisions.kept.iter().filter(|(key, _)| key.kind != "CustomResourceDefinition");
        // An API server that starts slowly leaves an Event of its own, under a name of the moment.
        let out = self.decisions.left_out.iter().filter(|(key, _)| key.kind != "Event");
        for (word, decided) in [("IN", kept.collect::<Vec<_>>()), ("OUT", out.collect())] {
            for (key, because) in decided {
                writeln!(page, "{word:10}{key}: {because}").unwrap();
            }
        }
        page
    }
}

/// Creates objects with the status that they had.
fn apply_with_status(control_plane: &ControlPlane, items: &[Value]) {
    let list = |items: Vec<&Value>| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    control_plane.apply(&list(items.iter().collect()));
    let with_status = items.iter().filter(|item| item["status"].as_object().is_some_and(|status| !status.is_empty()));
    let status = list(with_status.collect());
    control_plane
        .kubectl(&["apply", "--server-side", "--force-conflicts", "--subresource=status", "--filename=-"], &status);
}

/// `Kind namespace/name`.
fn named(item: &Value) -> String {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

fn why<'a>(decided: &'a [(ObjectKey, String)], object: &str) -> Option<&'a str> {
    Some(&decided.iter().find(|(key, _)| key.to_string() == object)?.1)
}
