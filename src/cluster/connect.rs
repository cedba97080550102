//! From a kubeconfig, or the service account of a pod, to a [`Cluster`]. Sends nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::sync::OnceCell;

use super::Cluster;
use super::error::ClusterError;
use super::proxy::ProxySettings;
use crate::model::Timeouts;

/// Which cluster, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The kubeconfig file. `None`: `$KUBECONFIG`, else `~/.kube/config`, else the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; its current one when `None`.
    pub context: Option<String>,
}

impl ConnectOptions {
    fn source_name(&self) -> String {
        let file = match &self.kubeconfig {
            Some(path) => format!("the kubeconfig {}", path.display()),
            None => "the kubeconfig ($KUBECONFIG, ~/.kube/config)".to_owned(),
        };
        match &self.context {
            Some(context) => format!("context {context} of {file}"),
            None => file,
        }
    }
}

impl Cluster {
    /// Reads the kubeconfig and makes ready to talk. Sends nothing yet, but runs the kubeconfig's credential plugin
    /// when it names one.
    ///
    /// # Errors
    /// [`ClusterError::ReadKubeconfig`] and [`ClusterError::UseCredentials`].
    pub async fn connect(options: &ConnectOptions, timeouts: &Timeouts) -> Result<Self, ClusterError> {
        let mut config = read_config(options).await?;
        config.connect_timeout = Some(timeouts.connect);
        // Every attempt has a deadline of its own, which covers the reading too.
        config.read_timeout = None;
        // kube's retry would wait inside ours: minutes for one dead APIService.
        config.default_retry = false;
        let user_agent = HeaderValue::from_static(concat!("promsafe/", env!("CARGO_PKG_VERSION")));
        config.headers.push((USER_AGENT, user_agent));
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config)
            .map_err(|error| ClusterError::UseCredentials { server: server.clone(), cause: error.into() })?;
        Ok(Self {
            client,
            server: server.trim_end_matches('/').into(),
            timeouts: timeouts.clone().into(),
            reached: Arc::new(AtomicBool::new(false)),
            streams_lists: Arc::new(OnceCell::new()),
        })
    }
}

async fn read_config(options: &ConnectOptions) -> Result<Config, ClusterError> {
    let unreadable = |cause| ClusterError::ReadKubeconfig { source_name: options.source_name(), cause };
    let kubeconfig = match &options.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = match kubeconfig {
        Err(error) if *options == ConnectOptions::default() && is_absent(&error) && in_pod() => {
            return Config::incluster().map_err(|error| ClusterError::ReadKubeconfig {
                source_name: "the service account of this pod".to_owned(),
                cause: error.into(),
            });
        }
        other => other.map_err(|error| unreadable(without_content(error)))?,
    };
    let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let settings = ProxySettings {
        kubeconfig: proxy_url(&kubeconfig, options.context.as_deref()),
        https_proxy: variable("HTTPS_PROXY"),
        no_proxy: variable("NO_PROXY"),
    };
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &chosen).await.map_err(|error| unreadable(error.into()))?;
    config.proxy_url = match settings.proxy_for(&config.cluster_url) {
        Some(proxy) => Some(proxy.parse().map_err(|error: http::uri::InvalidUri| unreadable(error.into()))?),
        None => None,
    };
    Ok(config)
}

/// Whether there is no kubeconfig at all; a broken one is never passed over in silence.
fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(cause, _) => {
            cause.kind() == std::io::ErrorKind::NotFound && variable("KUBECONFIG").is_none()
        }
        _ => false,
    }
}

/// Parsers quote what they dislike, and a kubeconfig holds tokens and keys: only the place is told.
fn without_content(error: KubeconfigError) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(place) => format!("it is no kubeconfig at line {}, column {}", place.line(), place.column()).into(),
            None => "it is no kubeconfig".into(),
        },
        other => other.into(),
    }
}

fn in_pod() -> bool {
    variable("KUBERNETES_SERVICE_HOST").is_some()
}

/// A variable of the environment in capital or small letters, when not empty.
fn variable(name: &str) -> Option<String> {
    [name.to_owned(), name.to_ascii_lowercase()]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// `proxy-url` of the context's cluster.
fn proxy_url(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let wanted = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == wanted)?.context.as_ref()?;
    let named = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster)?;
    named.cluster.as_ref()?.proxy_url.clone()
}
