//! Options that several commands share.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use super::Failure;
use crate::cluster::{Cluster, ConnectOptions};
use crate::model::Timeouts;
use crate::report::OutputFormat;
use crate::store::{PathStyle, Store, StoreOptions, StoreUrl};

/// Which cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClusterOptions {
    /// Kubeconfig file [default: KUBECONFIG, ~/.kube/config, or the service account of the pod]
    #[arg(long, env = "PROMSAFE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, env = "PROMSAFE_CONTEXT", value_name = "NAME")]
    context: Option<String>,
}

impl ClusterOptions {
    pub(super) async fn connect(&self, timeouts: &Timeouts) -> Result<Cluster, Failure> {
        let options = ConnectOptions { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        Ok(Cluster::connect(&options, timeouts).await?)
    }
}

/// Which store.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Store")]
pub(super) struct StoreArgs {
    /// Where backups live: s3://BUCKET/PREFIX or a directory [default: promsafe in the user's data directory]
    #[arg(long, env = "PROMSAFE_STORE", value_name = "URL")]
    store: Option<String>,
    /// Address of an S3-compatible server [default: AWS_ENDPOINT_URL, or AWS itself]
    #[arg(long, env = "PROMSAFE_S3_ENDPOINT", value_name = "URL")]
    s3_endpoint: Option<String>,
    /// Region [default: the standard AWS chain, or us-east-1]
    #[arg(long, env = "PROMSAFE_S3_REGION", value_name = "NAME")]
    s3_region: Option<String>,
    /// PEM file of certificate authorities to trust for the store and the Pushgateway
    #[arg(long, env = "PROMSAFE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Whether the bucket stands in the path of a URL; auto: yes when an endpoint is given
    #[arg(long, env = "PROMSAFE_S3_PATH_STYLE", value_enum, default_value = "auto")]
    s3_path_style: PathStyleArg,
    /// AWS credentials file that is read again every minute, for whoever renews it [default: the standard AWS chain]
    #[arg(long, env = "PROMSAFE_CREDENTIALS_FILE", value_name = "FILE")]
    credentials_file: Option<PathBuf>,
}

/// Whether the bucket stands in the path.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PathStyleArg {
    /// When an endpoint is given.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl StoreArgs {
    /// File of authorities to trust.
    pub(super) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    pub(super) async fn open(&self, timeouts: &Timeouts) -> Result<Store, Failure> {
        let url = match &self.store {
            Some(url) => url.clone(),
            None => default_store()?,
        };
        let url: StoreUrl = url.parse().map_err(|error| Failure::Option(crate::words::chain(&error)))?;
        let options = StoreOptions {
            url,
            s3_endpoint: self.s3_endpoint.clone(),
            s3_region: self.s3_region.clone(),
            ca_file: self.ca_file.clone(),
            s3_path_style: match self.s3_path_style {
                PathStyleArg::Auto => PathStyle::Auto,
                PathStyleArg::Always => PathStyle::Always,
                PathStyleArg::Never => PathStyle::Never,
            },
            credentials_file: self.credentials_file.clone(),
            timeouts: timeouts.clone(),
        };
        Ok(Store::open(&options).await?)
    }
}

/// The data directory of the XDG base directory specification.
fn default_store() -> Result<String, Failure> {
    let data = std::env::var_os("XDG_DATA_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let directory = data.or_else(home).map(|base| base.join("promsafe"));
    let none =
        || Failure::Option("there is no home directory to keep backups in: name a place with --store".to_owned());
    directory.and_then(|path| path.into_os_string().into_string().ok()).ok_or_else(none)
}

/// Reads `90s`, `10m`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error| format!("{error}; write it like 90s or 10m"))?;
    Duration::try_from(parsed).map_err(|error| error.to_string())
}

/// Reads a number of bytes a second: `50MiB`, `50Mi`, `1000000`.
pub(super) fn bandwidth(text: &str) -> Result<NonZeroU64, String> {
    let amount = text.strip_suffix("/s").unwrap_or(text);
    let bytes = crate::quantity::bytes(amount.strip_suffix('B').unwrap_or(amount));
    bytes.and_then(NonZeroU64::new).ok_or_else(|| "write it like 50MiB, more than nothing".to_owned())
}

/// A random number that keeps the runs of one second apart. Std's hasher keys are random.
pub(super) fn unique() -> u32 {
    use std::hash::BuildHasher;
    let [a, b, c, d, ..] = std::hash::RandomState::new().hash_one(std::process::id()).to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

/// Reads an output format.
pub(super) fn output_format() -> impl TypedValueParser<Value = OutputFormat> {
    PossibleValuesParser::new(OutputFormat::NAMES).try_map(|text| text.parse::<OutputFormat>())
}

/// Reads the output format of a command that prints manifests.
pub(super) fn manifest_format() -> impl TypedValueParser<Value = OutputFormat> {
    PossibleValuesParser::new(["yaml", "json"]).try_map(|text| text.parse::<OutputFormat>())
}

/// Holds a file of the repository to a text; `UPDATE_DOCS=1` writes it anew.
#[cfg(test)]
pub(super) fn hold_file(name: &std::path::Path, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{} is not what the code says; run: UPDATE_DOCS=1 cargo test docs_", name.display());
}
