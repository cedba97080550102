//! Building the S3 client: TLS, credentials, region, endpoint. Everything here is read once, when the store is opened.

use std::path::Path;
use std::time::Duration;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds::{self, region::ImdsRegionProvider};
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    ProvideCredentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::s3_access::{CredentialsFile, Handover};
use super::s3_clock::Clock;
use super::{Cause, PathStyle, StoreError, StoreOptions};

/// The region of a server that has none: every S3-compatible server takes it.
const REGION: &str = "us-east-1";

/// Environment variables that name another server than AWS, the more particular one first.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
/// How long the machine's metadata may take to take a connection.
const METADATA_WITHIN: Duration = Duration::from_secs(1);

/// A client and what errors say about it.
pub(super) struct Connected {
    /// Sends each request once; retrying is done above it.
    pub(super) client: Client,
    /// Who asks: access key id and where it came from.
    pub(super) who: String,
    /// Where the bucket is looked for.
    pub(super) endpoint: String,
    /// What its answers say of its clock.
    pub(super) clock: Clock,
    /// What a program elsewhere needs.
    pub(super) handover: Option<Handover>,
}

/// Finds the credentials and builds the client.
pub(super) async fn connect(options: &StoreOptions) -> Result<Connected, StoreError> {
    let shared = load(options).await?;
    let who = who(&shared, options).await?;
    let endpoint = options.s3_endpoint.clone().or_else(|| endpoint_of_environment(&shared));
    let path_style = match options.s3_path_style {
        PathStyle::Auto => endpoint.is_some(),
        PathStyle::Always => true,
        PathStyle::Never => false,
    };
    let timeouts = TimeoutConfig::builder().connect_timeout(options.timeouts.connect).build();
    let clock = Clock::default();
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .interceptor(clock.clone())
        .force_path_style(path_style)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // Our own deadline covers a request with its body; a slow server within it is no error.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Other servers refuse the checksum trailers that AWS takes; the record's SHA-256 is what we rely on.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    // Only here: in the shared configuration it would redirect the requests for credentials, too.
    if let Some(endpoint) = &options.s3_endpoint {
        config = config.endpoint_url(endpoint);
    }
    let region = shared.region().map_or(REGION, Region::as_ref);
    let handover = shared.credentials_provider().map(|provider| Handover {
        endpoint: endpoint.clone(),
        region: region.to_owned(),
        path_style,
        authorities: options.ca_file.clone(),
        provider,
        patience: options.timeouts.attempts,
    });
    let endpoint = endpoint.unwrap_or_else(|| format!("AWS, region {region}"));
    Ok(Connected { client: Client::from_conf(config.build()), who, endpoint, clock, handover })
}

async fn load(options: &StoreOptions) -> Result<SdkConfig, StoreError> {
    let http = http_client(options)?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
    if let Some(file) = &options.credentials_file {
        loader = loader.credentials_provider(CredentialsFile::new(file));
    }
    let is_named = |name| std::env::var_os(name).is_some();
    let elsewhere = options.s3_endpoint.is_some() || ENDPOINTS.into_iter().any(is_named);
    let said = RegionProviderChain::first_try(options.s3_region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    // A server that is not AWS has no instance metadata to ask for a region.
    let found = if elsewhere { said } else { said.or_else(region_of_instance(http)) };
    Ok(loader.region(found.or_else(Region::from_static(REGION))).load().await)
}

/// The region of the machine this runs on, when it is one of AWS. Asked once: elsewhere nobody answers.
fn region_of_instance(http: SharedHttpClient) -> ImdsRegionProvider {
    let machine = ProviderConfig::default().with_http_client(http);
    let client = imds::Client::builder().configure(&machine).max_attempts(1).connect_timeout(METADATA_WITHIN).build();
    ImdsRegionProvider::builder().configure(&machine).imds_client(client).build()
}

fn endpoint_of_environment(shared: &SdkConfig) -> Option<String> {
    std::env::var(ENDPOINTS[0]).ok().or_else(|| shared.endpoint_url().map(str::to_owned))
}

/// Access key id and source of the credentials in use; an error when there are none.
async fn who(shared: &SdkConfig, options: &StoreOptions) -> Result<String, StoreError> {
    let denied = |source: Cause| StoreError::AccessDenied {
        doing: "open",
        object: options.url.to_string(),
        who: "nobody (no credentials in environment, AWS profile, web identity, container or instance metadata)"
            .to_owned(),
        source,
    };
    let Some(provider) = shared.credentials_provider() else {
        return Err(denied("the chain of credential sources is empty".into()));
    };
    let loading = tokio::time::timeout(options.timeouts.attempts, provider.provide_credentials());
    let credentials = loading.await.map_err(|late| denied(late.into()))?.map_err(|error| denied(error.into()))?;
    // The source's name is shown nowhere but in the Debug text, which leaves the secret out.
    let debug = format!("{credentials:?}");
    let source = debug.split_once("provider_name: \"").and_then(|(_, rest)| rest.split_once('"'));
    let source = source.map_or("credential chain", |(name, _)| name);
    Ok(format!("access key id {} (from {source})", credentials.access_key_id()))
}

fn http_client(options: &StoreOptions) -> Result<SharedHttpClient, StoreError> {
    let mut trust = TrustStore::default();
    if let Some(path) = &options.ca_file {
        let configure = |source| StoreError::Configure { option: format!("CA file {}", path.display()), source };
        trust.add_pem_certificate(authorities(path).map_err(configure)?);
    }
    let tls = TlsContext::builder().with_trust_store(trust).build();
    let tls = tls.map_err(|error| StoreError::Configure { option: "TLS".to_owned(), source: error.into() })?;
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build_https())
}

/// The PEM text of a file of authorities, found good: the HTTP client panics on any other.
fn authorities(path: &Path) -> Result<Vec<u8>, Cause> {
    let pem = std::fs::read(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() { Err("it holds no certificate in PEM".into()) } else { Ok(pem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_are_none_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        assert!(authorities(&path).is_err());
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(authorities(&path).is_err(), "{text}");
        }
    }
}
