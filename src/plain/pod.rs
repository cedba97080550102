//! The parts of a workload's pod template that tell where a container's files come from.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::container::Arguments;
use crate::model::{GroupKind, ObjectKey};

const STATEFUL_SET: GroupKind = GroupKind("apps", "StatefulSet");

/// Kinds of workload that run a Prometheus on its own.
pub const WORKLOADS: &[GroupKind] = &[GroupKind("apps", "Deployment"), STATEFUL_SET, GroupKind("apps", "DaemonSet")];

/// Where kinds that make pods have the pod's `spec`; a Pod has it itself.
const TEMPLATES: &[&str] = &["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];

/// A workload as far as it matters here.
pub(super) struct Workload {
    pub(super) pod: PodSpec,
    /// Pods it has: replicas, or for a DaemonSet the nodes it wanted to be on when it was read.
    pub(super) replicas: u32,
    /// Names of the volumes that a StatefulSet claims for each pod.
    claim_templates: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) containers: Vec<Container>,
    pub(super) init_containers: Vec<Container>,
    volumes: Vec<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) command: Vec<String>,
    pub(super) args: Vec<String>,
    pub(super) working_dir: Option<String>,
    env: Vec<Variable>,
    volume_mounts: Vec<VolumeMount>,
    restart_policy: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Variable {
    name: String,
    value: Option<String>,
    value_from: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeMount {
    name: String,
    mount_path: String,
    sub_path: Option<String>,
}

/// What is known of a variable of a container.
pub(super) enum Setting<'a> {
    Unset,
    Text(&'a str),
    /// The namespace the pod runs in.
    OwnNamespace,
    /// Read from elsewhere when the container starts.
    Unknown,
}

/// A place in a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The volume's name in the pod.
    pub(super) volume: String,
    /// The path in the volume, without a leading slash; empty for its root.
    pub(super) path: String,
}

/// What a volume is.
pub(super) enum Source<'a> {
    /// Of a claim template with this name.
    ClaimTemplate(&'a str),
    /// The field of the volume that says what it is, such as `configMap`, and what stands there.
    Volume(&'a str, &'a Value),
}

impl Workload {
    /// A workload of a kind that runs Prometheus; `None` for others and for what cannot be read.
    pub(super) fn read(key: &ObjectKey, value: &Value) -> Option<Self> {
        if !WORKLOADS.iter().any(|kind| key.is(*kind)) {
            return None;
        }
        let templates = value.pointer("/spec/volumeClaimTemplates").filter(|_| key.is(STATEFUL_SET));
        let templates = templates.and_then(Value::as_array).into_iter().flatten();
        let pods =
            ["/spec/replicas", "/status/desiredNumberScheduled"].into_iter().find_map(|path| value.pointer(path));
        Some(Self {
            pod: pod_spec(key, value)?,
            replicas: pods.and_then(Value::as_u64).and_then(|pods| pods.try_into().ok()).unwrap_or(1),
            claim_templates: templates
                .filter_map(|template| text(template, "/metadata/name"))
                .map(str::to_owned)
                .collect(),
        })
    }

    /// What the volume of this name is. A claim template goes before a volume of the same name, as in the StatefulSet
    /// controller (kubernetes `pkg/controller/statefulset/stateful_set_utils.go`, `updateStorage`).
    pub(super) fn source(&self, volume: &str) -> Source<'_> {
        if let Some(template) = self.claim_templates.iter().find(|template| *template == volume) {
            return Source::ClaimTemplate(template);
        }
        let named = |fields: &&Map<String, Value>| fields.get("name").and_then(Value::as_str) == Some(volume);
        let fields = self.pod.volumes.iter().find(named).into_iter().flatten();
        let mut described = fields.filter(|(field, _)| *field != "name");
        // The API server turns a volume without any description into an emptyDir.
        described.next().map_or(Source::Volume("emptyDir", &Value::Null), |(field, what)| Source::Volume(field, what))
    }
}

/// The pod `spec` in any object that makes pods, or in a Pod.
pub(super) fn pod_spec(key: &ObjectKey, value: &Value) -> Option<PodSpec> {
    let own = value.get("spec").filter(|_| key.is(GroupKind("", "Pod")));
    let spec = own.or_else(|| TEMPLATES.iter().find_map(|path| value.pointer(path)))?;
    PodSpec::deserialize(spec).ok()
}

impl PodSpec {
    /// Containers that run as long as the pod does: also init containers with `restartPolicy: Always`.
    pub(super) fn lasting(&self) -> impl Iterator<Item = &Container> {
        let lasting = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        self.containers.iter().chain(self.init_containers.iter().filter(lasting))
    }

    /// All containers.
    pub(super) fn all(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().chain(&self.init_containers)
    }
}

impl Container {
    /// Words of the command line as the template has them.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.command.iter().chain(&self.args).map(String::as_str)
    }

    pub(super) fn arguments(&self) -> Arguments<'_> {
        Arguments::new(self.words())
    }

    /// A variable; an empty one counts as unset.
    pub(super) fn setting(&self, name: &str) -> Setting<'_> {
        let Some(variable) = self.env.iter().rfind(|variable| variable.name == name) else { return Setting::Unset };
        match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => Setting::Text(value),
            (_, Some(from)) if text(from, "/fieldRef/fieldPath") == Some("metadata.namespace") => Setting::OwnNamespace,
            (_, Some(_)) => Setting::Unknown,
            _ => Setting::Unset,
        }
    }

    /// Where a file or directory lies: in the mount with the longest path above it. `None` in the container's own file
    /// system.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        let wanted = parts(path);
        let mounts = self.volume_mounts.iter().map(|mount| (parts(&mount.mount_path), mount));
        let above = mounts.filter(|(mounted, _)| wanted.starts_with(mounted));
        let (mounted, mount) = above.max_by_key(|(mounted, _)| mounted.len())?;
        let inside = parts(mount.sub_path.as_deref().unwrap_or_default());
        let path = inside.into_iter().chain(wanted[mounted.len()..].iter().copied()).collect::<Vec<_>>().join("/");
        Some(Place { volume: mount.name.clone(), path })
    }
}

/// A path made absolute and plain.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    format!("/{}", parts(&whole).join("/"))
}

/// Components of a path, without `.` and with `..` taken.
fn parts(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}
