//! `promsafe doctor`

use std::time::Duration;

use jiff::Timestamp;

use super::options::{ClusterOptions, StoreArgs, duration, output_format, unique};
use super::{Exit, Failure, interrupted, print};
use crate::discover::Scope;
use crate::doctor::{DoctorRequest, TrialRequest, doctor};
use crate::model::Timeouts;
use crate::report::{OutputFormat, diagnosed};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Check only for this namespace; may be repeated [default: all that run Prometheus or its operator]
    #[arg(short, long, env = "PROMSAFE_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    namespace: Vec<String>,
    /// How to print the result
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = output_format(), default_value = "table")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    test: TestArgs,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    store: StoreArgs,
}

/// The snapshot test.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Snapshot test")]
struct TestArgs {
    /// Also write a scratch volume, snapshot it, read it back from a clone, and remove all of that again
    #[arg(long)]
    snapshot_test: bool,
    /// Namespace of the scratch objects [default: that of promsafe's own pod, or default]
    #[arg(long, env = "PROMSAFE_TEST_NAMESPACE", value_name = "NAME")]
    test_namespace: Option<String>,
    /// StorageClass of the scratch claim [default: that of the first captured claim]
    #[arg(long, env = "PROMSAFE_STORAGE_CLASS", value_name = "NAME")]
    storage_class: Option<String>,
    /// Image of the scratch pods, with sh, sync and cat [default: that of a pod that mounts a captured claim]
    #[arg(long, env = "PROMSAFE_TEST_IMAGE", value_name = "IMAGE")]
    test_image: Option<String>,
    /// How long each step may take, such as 90s or 10m
    #[arg(long, env = "PROMSAFE_TEST_TIMEOUT", value_parser = duration, default_value = "2m", value_name = "TIME")]
    test_timeout: Duration,
}

impl TestArgs {
    fn request(&self, now: Timestamp) -> Option<TrialRequest> {
        let run = format!("{:08x}", unique());
        self.snapshot_test.then(|| TrialRequest {
            namespace: self.test_namespace.clone().unwrap_or_else(own_namespace),
            storage_class: self.storage_class.clone(),
            image: self.test_image.clone(),
            token: format!("{run}-{}", now.as_nanosecond()),
            run,
            timeout: self.test_timeout,
        })
    }
}

/// The namespace of the pod that promsafe runs in, as the kubelet mounts it.
fn own_namespace() -> String {
    let mounted = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
    mounted.map_or_else(|_| "default".to_owned(), |namespace| namespace.trim().to_owned())
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let timeouts = Timeouts::default();
    let now = Timestamp::now();
    let scope = Scope { namespaces: args.namespace.clone() };
    let request = DoctorRequest { scope, now, trial: args.test.request(now) };
    // What cannot be opened is a finding: the other half is looked at all the same.
    let cluster = match args.cluster.connect(&timeouts).await {
        Err(Failure::Cluster(error)) => Err(error),
        other => Ok(other?),
    };
    let store = match args.store.open(&timeouts).await {
        Err(failure @ Failure::Store(_)) if failure.exit() == Exit::Usage => return Err(failure),
        Err(Failure::Store(error)) => Err(error),
        other => Ok(other?),
    };
    let reporter = args.output.reporter();
    let diagnosis = doctor(cluster, store, &request, reporter.as_ref(), interrupted()).await;
    if diagnosis.checks.is_empty() {
        return Err(Failure::Interrupted);
    }
    print(&diagnosed(&diagnosis, args.output)?)?;
    Ok(super::exit::of_diagnosis(&diagnosis))
}
