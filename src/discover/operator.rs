//! Recognises Prometheus Operators among Deployments: by image path or argument, under any name and label.

use serde::Deserialize;

use super::Found;
use crate::model::Operator;
use crate::operator_scope::{image_tag, is_operator};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Deployment {
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
    fn is_operator(&self) -> bool {
        is_operator(&self.image, self.command.iter().chain(&self.args).map(String::as_str))
    }
}

/// Operators among these Deployments. One that cannot be read is none: reading it whole is the lister's business.
pub(super) fn find(deployments: &[Found]) -> Vec<Operator> {
    deployments
        .iter()
        .filter_map(|found| {
            let deployment: Deployment = found.pick().ok()?;
            let container = deployment.spec.template.spec.containers.into_iter().find(Container::is_operator)?;
            Some(Operator { key: found.key.clone(), version: image_tag(&container.image) })
        })
        .collect()
}
