//! The doctor pipeline: looks at everything a backup and a restore will need and says what is missing. Changes nothing but
//! a probe in the store, and with a snapshot test scratch objects that it removes again.

mod check;
mod cluster;
mod gitops;
mod listing;
mod machinery;
mod noted;
mod permissions;
mod retention;
mod servers;
mod store;
mod trial;
mod volumes;

use std::future::Future;

use jiff::Timestamp;

pub use check::{Check, Group, Verdict};
pub use trial::TrialRequest;

use crate::cluster::{Cluster, ClusterError};
use crate::discover::{DiscoverError, Scope, discover};
use crate::model::{BackupRecord, Event, Inventory, Reporter, ServedKinds};
use crate::store::{Store, StoreError};
use crate::words;
use noted::Noted;

/// What to look at.
#[derive(Debug, Clone)]
pub struct DoctorRequest {
    /// Namespaces as for a backup.
    pub scope: Scope,
    /// When it began: ages are counted from here.
    pub now: Timestamp,
    /// The snapshot test, where one is asked for.
    pub trial: Option<TrialRequest>,
}

/// All that the doctor saw.
#[derive(Debug, Default)]
pub struct Diagnosis {
    /// In the order of [`Group`].
    pub checks: Vec<Check>,
    /// Why the cluster could not be looked at.
    pub no_cluster: Option<ClusterError>,
    /// Why the store could not be looked at.
    pub no_store: Option<StoreError>,
    /// Whether it was asked to stop before it was done.
    pub interrupted: bool,
}

impl Diagnosis {
    /// How many checks came out so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}

/// Looks at the cluster and the store, each also when the other cannot be reached; then tests snapshots where that is asked
/// for. Asked to stop it ends at once, but for removing what the test made.
pub async fn doctor(
    cluster: Result<Cluster, ClusterError>,
    store: Result<Store, StoreError>,
    request: &DoctorRequest,
    reporter: &dyn Reporter,
    interrupted: impl Future<Output = ()>,
) -> Diagnosis {
    tokio::pin!(interrupted);
    let halves = async { tokio::join!(of_cluster(cluster, request, reporter), store::check(store, request)) };
    let (cluster_half, store_half) = tokio::select! {
        halves = halves => halves,
        () = &mut interrupted => return Diagnosis { interrupted: true, ..Diagnosis::default() },
    };
    let mut checks = cluster_half.checks;
    checks.extend(store_half.checks);
    checks.extend(retention::checks(&cluster_half.retentions, &store_half.backups, request.now));
    checks.sort_by_key(|check| check.group);
    let mut stopped = false;
    match (&request.trial, &cluster_half.seen) {
        (Some(trial), Some(Seen { cluster, served, inventory })) => {
            let place = trial::Place { cluster, served, inventory, reporter };
            let tested = trial::run(&place, trial, interrupted).await;
            if let Some(driver) = &tested.proven_driver {
                machinery::proven(&mut checks, driver);
            }
            checks.extend(tested.checks);
            stopped = tested.interrupted;
        }
        (Some(_), None) => checks.push(Group::SnapshotTest.skipped("the cluster cannot be reached")),
        (None, _) => {}
    }
    Diagnosis { checks, no_cluster: cluster_half.error, no_store: store_half.error, interrupted: stopped }
}

/// What was seen of the cluster.
#[derive(Default)]
struct ClusterHalf {
    checks: Vec<Check>,
    retentions: Vec<retention::Kept>,
    seen: Option<Seen>,
    error: Option<ClusterError>,
}

/// A cluster that could be looked at.
struct Seen {
    cluster: Cluster,
    served: ServedKinds,
    inventory: Inventory,
}

/// What was seen of the store.
#[derive(Default)]
struct StoreHalf {
    checks: Vec<Check>,
    /// Records of the complete backups, oldest first.
    backups: Vec<BackupRecord>,
    error: Option<StoreError>,
}

async fn of_cluster(
    cluster: Result<Cluster, ClusterError>,
    request: &DoctorRequest,
    reporter: &dyn Reporter,
) -> ClusterHalf {
    let (cluster, served, mut checks) = match contact(cluster).await {
        Ok(contact) => contact,
        Err(error) => return ClusterHalf::without(error),
    };
    checks.extend(cluster::api_services(&cluster, &served).await);
    let mut noted = Noted::default();
    let inventory = match discover(&cluster, &request.scope, &mut noted, reporter).await {
        Ok((inventory, _)) => inventory,
        Err(error) => {
            checks.push(undiscovered(&error));
            Inventory::default()
        }
    };
    checks.extend(cluster::found(&inventory, &served));
    reporter.event(&Event::Step { doing: "checking snapshots, permissions and every Prometheus".to_owned() });
    let (machinery, claims, permissions, (servers, retentions), owners) = tokio::join!(
        machinery::checks(&cluster, &served, &inventory),
        volumes::checks(&cluster, &served, &inventory, &noted.modes),
        permissions::checks(&cluster, &served, &inventory, &noted.keys),
        servers::checks(&cluster, &inventory.instances),
        gitops::checks(&cluster, &served, &noted.marked),
    );
    checks.extend([machinery, claims, permissions, servers, owners].into_iter().flatten());
    ClusterHalf { checks, retentions, seen: Some(Seen { cluster, served, inventory }), error: None }
}

/// The cluster, what it serves, and which one it is.
async fn contact(cluster: Result<Cluster, ClusterError>) -> Result<(Cluster, ServedKinds, Vec<Check>), ClusterError> {
    let cluster = cluster?;
    let identity = match cluster.identity().await {
        Err(error) if !error.is_forbidden() => return Err(error),
        answer => cluster::identity(answer),
    };
    let served = cluster.served_kinds().await?;
    Ok((cluster, served, vec![identity]))
}

fn undiscovered(error: &DiscoverError) -> Check {
    let seen = format!("what belongs to a backup cannot be found out: {}", words::chain(error));
    Group::Prometheus.failed(
        seen,
        match error {
            DiscoverError::NoSuchNamespace { .. } => {
                "kubectl get namespaces shows what there is; name another: --namespace"
            }
            _ => "see the missing permissions below; promsafe discover tries it again",
        },
    )
}

impl ClusterHalf {
    fn without(error: ClusterError) -> Self {
        let hint = "check the address, the credentials and the network: --kubeconfig, --context";
        let rest = [Group::Prometheus, Group::Snapshots, Group::Claims, Group::Permissions, Group::Gitops];
        let mut checks = vec![Group::Cluster.failed(words::chain(&error), hint)];
        checks.extend(rest.map(|group| group.skipped("the cluster cannot be reached")));
        Self { checks, error: Some(error), ..Self::default() }
    }
}
