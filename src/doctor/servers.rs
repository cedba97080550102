//! Whether every Prometheus answers, as a backup asks it for its fingerprint and a restore for its proof.

use futures::future::join_all;

use super::Check;
use super::check::Group;
use super::retention::Kept;
use crate::cluster::Cluster;
use crate::model::{Instance, InstanceKind};
use crate::prometheus_api::{PrometheusApi, Readiness};
use crate::reach;

/// One line a server pod, and how long each instance keeps its samples.
pub(super) async fn checks(cluster: &Cluster, instances: &[Instance]) -> (Vec<Check>, Vec<Kept>) {
    let servers = instances.iter().filter(|instance| instance.kind == InstanceKind::Prometheus);
    let pods: Vec<(&Instance, &String)> =
        servers.flat_map(|instance| instance.pods.iter().map(move |pod| (instance, pod))).collect();
    let asked = join_all(pods.into_iter().map(async |(instance, pod)| {
        let api = reach::prometheus(cluster, instance, pod);
        (pod_check(&api, instance, pod).await, kept(&api, instance).await)
    }));
    let (checks, mut kept): (Vec<Check>, Vec<Option<Kept>>) = asked.await.into_iter().unzip();
    kept.dedup_by(|a, b| a.as_ref().map(|a| &a.instance) == b.as_ref().map(|b| &b.instance));
    (checks, kept.into_iter().flatten().collect())
}

async fn pod_check(api: &PrometheusApi, instance: &Instance, pod: &str) -> Check {
    let name = format!("{}/{pod}", instance.key.namespace.as_deref().unwrap_or_default());
    let hint = "a backup is taken all the same, but a restore of it cannot be proven";
    match (api.ready().await, api.version().await) {
        (Readiness::Ready, Ok(version)) => {
            Group::Prometheus.ok(format!("Prometheus {name} answers over {}: {version}", instance.scheme))
        }
        (Readiness::Ready, Err(error)) => {
            Group::Prometheus.warning(format!("Prometheus {name}: {}", crate::words::chain(&error)), hint)
        }
        (Readiness::Replaying { min, max, current }, _) => Group::Prometheus.warning(
            format!("Prometheus {name} replays its write-ahead log, segment {current} of {min}..{max}"),
            "wait until it is ready: before, it cannot be asked for its fingerprint",
        ),
        (Readiness::Unreachable(why), _) => {
            Group::Prometheus.warning(format!("Prometheus {name} does not answer: {why}"), hint)
        }
    }
}

/// What Prometheus itself says it keeps: its flags, its configuration file and their defaults have been weighed there.
async fn kept(api: &PrometheusApi, instance: &Instance) -> Option<Kept> {
    let told = api.retention().await.ok().or_else(|| instance.retention.clone())?;
    Some(Kept { instance: instance.key.qualified_name(), told })
}
