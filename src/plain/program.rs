//! How a Prometheus is started, from its container (prometheus `cmd/prometheus/main.go`, `Dockerfile`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::pod::{Container, absolute};
use crate::container::image_name;
use crate::data_directory::{AGENT_FLAG, TSDB_FLAG};

/// Where the image starts the program, when the container does not say.
const WORKING_DIRECTORY: &str = "/prometheus";

/// Port when `--web.listen-address` does not say.
const PORT: u16 = 9090;

/// What the command line of a Prometheus says. Paths are absolute.
pub(super) struct Program {
    pub(super) agent: bool,
    pub(super) port: u16,
    pub(super) route_prefix: String,
    pub(super) retention: Option<String>,
    pub(super) storage_path: String,
    pub(super) config_path: String,
    pub(super) web_config_path: Option<String>,
}

impl Program {
    /// The Prometheus that a container runs. `None` for any other program: others take `--config.file` too (Alertmanager,
    /// exporters), but none of them takes the storage flags of Prometheus.
    pub(super) fn read(container: &Container) -> Option<Self> {
        let arguments = container.arguments();
        let named = image_name(&container.image) == "prometheus";
        let configured = arguments.has("config.file");
        let stores = arguments.has(TSDB_FLAG) || arguments.has(AGENT_FLAG);
        // Without any argument the image brings its own, which name both files.
        let bare = named && arguments.is_empty();
        if !(configured && stores || named && (configured || stores) || bare) {
            return None;
        }
        let agent = arguments.is_on("agent")
            || arguments.values("enable-feature").flat_map(|features| features.split(',')).any(|name| name == "agent");
        let (flag, default_storage) = match (bare, agent) {
            (true, _) => (TSDB_FLAG, WORKING_DIRECTORY),
            (_, true) => (AGENT_FLAG, "data-agent/"),
            (_, false) => (TSDB_FLAG, "data/"),
        };
        let default_config = if bare { "/etc/prometheus/prometheus.yml" } else { "prometheus.yml" };
        let directory = container.working_dir.as_deref().unwrap_or(WORKING_DIRECTORY);
        let retention = ["storage.tsdb.retention.time", "storage.tsdb.retention"];
        Some(Self {
            agent,
            port: arguments.values("web.listen-address").next().and_then(port).unwrap_or(PORT),
            route_prefix: route_prefix(arguments.value("web.route-prefix"), arguments.value("web.external-url")),
            retention: retention.into_iter().find_map(|flag| arguments.value(flag)).map(str::to_owned),
            storage_path: absolute(directory, arguments.value(flag).unwrap_or(default_storage)),
            config_path: absolute(directory, arguments.value("config.file").unwrap_or(default_config)),
            web_config_path: arguments
                .value("web.config.file")
                .filter(|path| !path.is_empty())
                .map(|path| absolute(directory, path)),
        })
    }
}

/// Port of `0.0.0.0:9090`, `:9090`, `[::]:9090`.
fn port(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

/// As Prometheus computes it: never empty, one slash in front, none behind.
fn route_prefix(prefix: Option<&str>, external_url: Option<&str>) -> String {
    let prefix = prefix.filter(|prefix| !prefix.is_empty());
    let prefix = prefix.or_else(|| external_url.map(path_of_url)).unwrap_or_default();
    format!("/{}", prefix.trim_matches('/'))
}

fn path_of_url(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => url,
    }
}

/// Fields of `tls_server_config` of which any makes the server speak TLS; with none of them it stays with plain HTTP
/// (exporter-toolkit `web/tls_config.go`, `validateTLSPaths`).
const TLS_FIELDS: &[&str] =
    &["cert", "cert_file", "key", "key_file", "client_ca", "client_ca_file", "client_auth_type"];

#[derive(Deserialize)]
struct WebConfig {
    tls_server_config: Option<BTreeMap<String, Value>>,
}

/// Whether a server with this `--web.config.file` speaks TLS; not with one it could not read.
pub fn speaks_tls(web_config_text: &str) -> bool {
    let Ok(config) = serde_saphyr::from_str::<WebConfig>(web_config_text) else { return false };
    let fields = config.tls_server_config.unwrap_or_default();
    TLS_FIELDS.iter().any(|name| fields.get(*name).and_then(Value::as_str).is_some_and(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_known_by_the_web_configuration() {
        assert!(speaks_tls("tls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n"));
        assert!(speaks_tls("basic_auth_users:\n  a: b\ntls_server_config: {cert: x, min_version: TLS13}\n"));
        for plain in [
            "",
            "basic_auth_users:\n  a: $2y$10$x\n",
            "tls_server_config:\n",
            "tls_server_config: {min_version: TLS13, cert_file: \"\"}\n",
            "http_server_config:\n  tls_server_config: {cert_file: x}\n",
            "tls_server_config: [",
            "- a",
        ] {
            assert!(!speaks_tls(plain), "{plain}");
        }
    }
}
