//! Whether a plain Prometheus speaks TLS: its `--web.config.file` tells, which lies in a ConfigMap or a Secret.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{DiscoverError, Found};
use crate::model::{GroupKind, ObjectKey};
use crate::plain::{ConfigSource, PlainPrometheus, speaks_tls};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Holder {
    data: BTreeMap<String, String>,
}

/// `http` or `https`. Without a source that can be read it stays what the arguments say.
pub(super) fn scheme(
    key: &ObjectKey,
    plain: &PlainPrometheus,
    everything: &[Found],
) -> Result<&'static str, DiscoverError> {
    let (kind, name) = match &plain.web_config {
        Some(ConfigSource::ConfigMap(name)) => (GroupKind("", "ConfigMap"), name),
        Some(ConfigSource::Secret(name)) => (GroupKind("", "Secret"), name),
        Some(ConfigSource::Other(_)) | None => return Ok(plain.scheme),
    };
    let holder = everything
        .iter()
        .find(|found| found.key.is(kind) && &found.key.name == name && found.key.namespace == key.namespace);
    let (Some(holder), Some(data_key)) = (holder, &plain.web_config_key) else { return Ok(plain.scheme) };
    let Some(text) = holder.pick::<Holder>()?.data.remove(data_key) else { return Ok(plain.scheme) };
    let text = match kind.1 {
        "Secret" => STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default(),
        _ => text,
    };
    Ok(if speaks_tls(&text) { "https" } else { plain.scheme })
}
