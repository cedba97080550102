//! Recognises Prometheus Operators among Deployments: by image path or argument, under any name and label.

use serde::Deserialize;

use super::Found;
use crate::model::Operator;

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
    args: Vec<String>,
}

impl Container {
    /// prometheus-operator `cmd/operator/main.go`: no other program takes this argument.
    fn is_operator(&self) -> bool {
        image_path(&self.image).ends_with("/prometheus-operator")
            || self.args.iter().any(|arg| arg.trim_start_matches('-').starts_with("prometheus-config-reloader="))
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

fn image_path(image: &str) -> &str {
    let without_digest = image.split('@').next().unwrap_or(image);
    match without_digest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => path,
        _ => without_digest,
    }
}

fn image_tag(image: &str) -> Option<String> {
    let without_digest = image.split('@').next().unwrap_or(image);
    let (_, tag) = without_digest.rsplit_once(':')?;
    (!tag.contains('/')).then(|| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_of_a_registry_is_no_tag() {
        assert_eq!(
            image_path("registry:5000/prometheus-operator/prometheus-operator"),
            "registry:5000/prometheus-operator/prometheus-operator"
        );
        assert_eq!(image_tag("registry:5000/x/prometheus-operator"), None);
        assert_eq!(image_tag("r/x/prometheus-operator:v0.93.0@sha256:00").as_deref(), Some("v0.93.0"));
    }

    #[test]
    fn operator_is_known_by_image_or_argument() {
        let by = |image: &str, arg: &str| Container { image: image.into(), args: vec![arg.into()] }.is_operator();
        assert!(by("quay.io/prometheus-operator/prometheus-operator:v0.93.0", ""));
        assert!(by("mirror/renamed:1", "--prometheus-config-reloader=mirror/reloader:1"));
        assert!(!by("quay.io/prometheus/prometheus:v3", "--config.file=x"));
    }
}
