//! Finds what runs without being a custom resource: Prometheus Operators, and Prometheus that no operator manages. Reads
//! the workloads of the whole cluster page by page and keeps only these.

use serde::Deserialize;
use serde_json::Value;

use super::{DiscoverError, Found, Lister};
use crate::data_directory::{AGENT_FLAG, TSDB_FLAG};
use crate::model::{ObjectKey, Operator};
use crate::operator_scope::{self, OperatorScope};
use crate::plain::{self, PlainPrometheus, WORKLOADS};

/// No workload without one of these can be what is looked for: the others of a large cluster need not be parsed.
const TELLING: &[&str] = &["prometheus", TSDB_FLAG, AGENT_FLAG];

/// An operator and whose business it is.
pub(super) struct RunningOperator {
    pub(super) operator: Operator,
    pub(super) scope: OperatorScope,
}

/// What was found among the workloads.
#[derive(Default)]
pub(super) struct Running {
    pub(super) operators: Vec<RunningOperator>,
    pub(super) plain: Vec<(ObjectKey, PlainPrometheus)>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Workload {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    template: Template,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    image: String,
    command: Vec<String>,
    args: Vec<String>,
}

impl Container {
    fn arguments(&self) -> impl Iterator<Item = &str> {
        self.command.iter().chain(&self.args).map(String::as_str)
    }
}

/// Looks through the workloads of the scope.
pub(super) async fn find(lister: &Lister<'_>) -> Result<Running, DiscoverError> {
    let served = WORKLOADS.iter().filter_map(|kind| lister.served.find(*kind));
    let mut running = Running::default();
    for mut pages in served.flat_map(|kind| lister.pages(kind)).collect::<Vec<_>>() {
        while let Some(page) = pages.next().await? {
            page.filter(|found| TELLING.iter().any(|text| found.text.contains(text)))
                .try_for_each(|found| running.take(&found))?;
        }
    }
    Ok(running)
}

impl Running {
    fn take(&mut self, found: &Found) -> Result<(), DiscoverError> {
        let workload: Workload = found.pick()?;
        let containers = &workload.spec.template.spec.containers;
        let operator = containers.iter().find(|one| operator_scope::is_operator(&one.image, one.arguments()));
        if let Some(container) = operator {
            let scope = OperatorScope::from_args(container.arguments());
            let version = operator_scope::image_tag(&container.image);
            let operator = Operator { key: found.key.clone(), version, scope: scope.in_words() };
            self.operators.push(RunningOperator { operator, scope });
            return Ok(());
        }
        let value: Value = found.pick()?;
        // What a controller owns comes back by its owner, and is found as that.
        if found.why_left_out()?.is_none() {
            self.plain.extend(plain::plain_prometheus(&found.key, &value).map(|plain| (found.key.clone(), plain)));
        }
        Ok(())
    }
}
