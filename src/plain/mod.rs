//! Prometheus without the operator: what a workload's pod template tells of it.
//!
//! Pure: it reads manifests, never a cluster. Whether an operator owns the workload is the caller's to know.

mod pod;
mod program;
mod sidecar;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use self::pod::WORKLOADS;
use self::pod::{Place, Source, Workload, text};
use self::program::Program;
pub use self::program::speaks_tls;
pub use self::sidecar::{LabelledObjects, ReloadFamily, ReloadSidecar, WatchedNamespaces};
use crate::container::image_tag;
use crate::model::ObjectKey;

/// Where the TSDB of a plain Prometheus lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TsdbVolume {
    /// A PersistentVolumeClaim of this name, shared by all pods.
    Claim(String),
    /// One claim a pod, made from the StatefulSet's template of this name.
    ClaimTemplate(String),
    /// Gone with the pod.
    EmptyDir,
    /// This directory of the node.
    HostPath(String),
    /// A generic ephemeral or inline CSI volume: gone with the pod.
    Ephemeral,
    /// A volume of another type, such as `nfs`.
    Other(String),
    /// Not on any volume: gone with the container.
    ContainerFilesystem,
}

/// Where a file of the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// A ConfigMap of this name, in the workload's namespace.
    ConfigMap(String),
    /// A Secret of this name, in the workload's namespace.
    Secret(String),
    /// A volume of another type, such as `emptyDir` or `persistentVolumeClaim`.
    Other(String),
}

/// A Prometheus that runs without the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainPrometheus {
    /// Name of its container.
    pub container: String,
    /// Tag of its image.
    pub version: Option<String>,
    /// Whether it only forwards samples: then it has a WAL and no TSDB.
    pub agent: bool,
    /// Port of its HTTP server.
    pub port: u16,
    /// `http`, until [`speaks_tls`] says otherwise of the file that `web_config` leads to.
    pub scheme: &'static str,
    /// Where `--web.config.file` comes from.
    pub web_config: Option<ConfigSource>,
    /// The key in that ConfigMap or Secret, or the path in that volume.
    pub web_config_key: Option<String>,
    /// Path in front of all others of its HTTP server: `/` or like `/prometheus`.
    pub route_prefix: String,
    /// Retention by time, as its flag has it.
    pub retention: Option<String>,
    /// Pods that run it.
    pub replicas: u32,
    /// Directory of its data in the container.
    pub tsdb_path: String,
    /// What that directory lies on.
    pub tsdb: TsdbVolume,
    /// Where in that volume, without a leading slash; empty for its root.
    pub tsdb_path_in_volume: String,
    /// Where the volume with its configuration file comes from: several for a projected volume, none for a file of the
    /// image.
    pub config: Vec<ConfigSource>,
    /// Sidecars that bring it its configuration.
    pub sidecars: Vec<ReloadSidecar>,
}

/// The Prometheus that a workload (Deployment, StatefulSet, DaemonSet) runs; `None` for other workloads. Those that an
/// operator owns look the same: the caller leaves them out.
pub fn plain_prometheus(key: &ObjectKey, value: &Value) -> Option<PlainPrometheus> {
    let workload = Workload::read(key, value)?;
    let mut programs = workload.pod.containers.iter().map(|container| (container, Program::read(container)));
    let (container, program) = programs.find_map(|(container, program)| Some((container, program?)))?;
    let storage = container.place(&program.storage_path);
    let config = container.place(&program.config_path).map(|place| unprocessed(&workload, place));
    let web_config = program.web_config_path.as_deref().and_then(|path| container.place(path));
    let (web_config, web_config_key) = web_config.and_then(|place| file(&workload, &place)).unzip();
    Some(PlainPrometheus {
        container: container.name.clone(),
        version: image_tag(&container.image),
        agent: program.agent,
        port: program.port,
        scheme: "http",
        web_config,
        web_config_key,
        route_prefix: program.route_prefix,
        retention: program.retention,
        replicas: workload.replicas,
        tsdb: storage.as_ref().map_or(TsdbVolume::ContainerFilesystem, |place| tsdb_volume(&workload, &place.volume)),
        tsdb_path_in_volume: storage.map(|place| place.path).unwrap_or_default(),
        tsdb_path: program.storage_path,
        config: config.map(|place| sources(&workload, &place.volume)).unwrap_or_default(),
        sidecars: sidecar::beside(&workload.pod, container),
    })
}

/// Labelled objects that the k8s-sidecars of a pod template read, whatever else it runs: dashboards of Grafana too.
pub fn sidecar_watches(key: &ObjectKey, value: &Value) -> Vec<LabelledObjects> {
    let mut watches = Vec::new();
    for container in pod::pod_spec(key, value).iter().flat_map(pod::PodSpec::all) {
        watches.extend(LabelledObjects::read(container).filter(|objects| !watches.contains(objects)));
    }
    watches
}

fn tsdb_volume(workload: &Workload, volume: &str) -> TsdbVolume {
    let name = |what: &Value, field: &str| text(what, field).unwrap_or_default().to_owned();
    match workload.source(volume) {
        Source::ClaimTemplate(template) => TsdbVolume::ClaimTemplate(template.to_owned()),
        Source::Volume("persistentVolumeClaim", claim) => TsdbVolume::Claim(name(claim, "/claimName")),
        Source::Volume("emptyDir", _) => TsdbVolume::EmptyDir,
        Source::Volume("hostPath", directory) => TsdbVolume::HostPath(name(directory, "/path")),
        Source::Volume("ephemeral" | "csi", _) => TsdbVolume::Ephemeral,
        Source::Volume(other, _) => TsdbVolume::Other(other.to_owned()),
    }
}

/// A prometheus-config-reloader can fill in variables of the environment: then the file that Prometheus reads is its
/// output, and the user's file is its input.
fn unprocessed(workload: &Workload, place: Place) -> Place {
    let input = workload.pod.all().find_map(|container| {
        let arguments = container.arguments();
        let output = container.place(arguments.value("config-envsubst-file")?)?;
        container.place(arguments.value("config-file")?).filter(|_| output == place)
    });
    input.unwrap_or(place)
}

/// Files of a ConfigMap or Secret that a volume shows: the keys, by the names they get; all keys under their own names
/// where nothing is listed.
struct Shown<'a> {
    source: ConfigSource,
    items: Option<&'a Vec<Value>>,
}

/// What a volume shows; one thing but for a projected volume.
fn shown<'a>(workload: &'a Workload, volume: &str) -> Vec<Shown<'a>> {
    let (field, what) = match workload.source(volume) {
        Source::ClaimTemplate(_) => ("persistentVolumeClaim", &Value::Null),
        Source::Volume(field, what) => (field, what),
    };
    if field != "projected" {
        let source = object(field, what).unwrap_or_else(|| ConfigSource::Other(field.to_owned()));
        return vec![Shown { source, items: what.get("items").and_then(Value::as_array) }];
    }
    let projections = what.get("sources").and_then(Value::as_array).into_iter().flatten();
    let fields = projections.filter_map(Value::as_object).flatten();
    let shown = fields.filter_map(|(field, what)| {
        Some(Shown { source: object(field, what)?, items: what.get("items").and_then(Value::as_array) })
    });
    shown.collect()
}

/// The ConfigMap or Secret of a volume or projection; a projection spells the Secret's name like the ConfigMap's.
fn object(field: &str, what: &Value) -> Option<ConfigSource> {
    let name = |fields: &[&str]| fields.iter().find_map(|field| text(what, field)).map(str::to_owned);
    match field {
        "configMap" => name(&["/name"]).map(ConfigSource::ConfigMap),
        "secret" => name(&["/secretName", "/name"]).map(ConfigSource::Secret),
        _ => None,
    }
}

fn sources(workload: &Workload, volume: &str) -> Vec<ConfigSource> {
    shown(workload, volume).into_iter().map(|shown| shown.source).collect()
}

/// Where one file comes from, and under which key. Of several possible projections the one that lists it goes first.
fn file(workload: &Workload, place: &Place) -> Option<(ConfigSource, String)> {
    let shown = shown(workload, &place.volume);
    let listed = |items: &Vec<Value>| {
        let item = items.iter().find(|item| text(item, "/path") == Some(place.path.as_str()))?;
        text(item, "/key").map(str::to_owned)
    };
    let by_list = shown.iter().find_map(|shown| Some((shown.source.clone(), listed(shown.items?)?)));
    let whole = || shown.iter().find(|shown| shown.items.is_none());
    by_list.or_else(|| whole().map(|shown| (shown.source.clone(), place.path.clone())))
}
