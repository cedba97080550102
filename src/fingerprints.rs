//! Asks all Prometheus of a backup for their fingerprints, all at once.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::Timestamp;

use crate::cluster::Cluster;
use crate::fingerprint;
use crate::model::{Event, Fingerprint, Instance, InstanceKind, Reporter};
use crate::reach;
use crate::words;

/// Asks every Prometheus for what a restore will be measured by. One that does not answer is named, not fatal.
pub(crate) async fn of_all(
    cluster: &Cluster,
    instances: &[Instance],
    reporter: &dyn Reporter,
) -> (Vec<Fingerprint>, BTreeMap<String, String>) {
    let servers = instances.iter().filter(|instance| instance.kind == InstanceKind::Prometheus);
    let pods: Vec<(&Instance, &String)> =
        servers.flat_map(|instance| instance.pods.iter().map(move |pod| (instance, pod))).collect();
    if !pods.is_empty() {
        reporter.event(&Event::Step { doing: format!("asking {} Prometheus pods for their fingerprint", pods.len()) });
    }
    let asked = join_all(pods.iter().map(async |(instance, pod)| {
        let api = reach::prometheus(cluster, instance, pod);
        let namespace = instance.key.namespace.as_deref().unwrap_or_default();
        fingerprint::take(&api, &instance.key.qualified_name(), namespace, pod, Timestamp::now()).await
    }))
    .await;
    let mut taken = Vec::new();
    let mut without = BTreeMap::new();
    for ((instance, pod), answer) in pods.into_iter().zip(asked) {
        match answer {
            Ok(fingerprint) => taken.push(fingerprint),
            Err(cause) => {
                let pod = format!("Pod {}/{pod}", instance.key.namespace.as_deref().unwrap_or_default());
                drop(without.insert(pod, words::chain(&cause)));
            }
        }
    }
    (taken, without)
}
