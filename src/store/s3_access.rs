//! Handing a store over to a program elsewhere: where it is and the credentials for it, as an AWS credentials file; and
//! reading such a file again and again, since whoever wrote it puts new credentials into it before the old ones expire.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use jiff::Timestamp;

use super::{Cause, StoreError};

/// For how long a file is believed before it is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(45);

/// All that a program elsewhere needs to use a store.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreAccess {
    /// URL of the store.
    pub url: String,
    /// Address of the server; `None` for AWS.
    pub s3_endpoint: Option<String>,
    /// Region.
    pub s3_region: String,
    /// `always` or `never`: whether the bucket stands in the path.
    pub s3_path_style: &'static str,
    /// Authorities to trust, in PEM.
    pub authorities: Option<String>,
    /// The credentials, as an AWS credentials file.
    pub credentials: String,
    /// When they end, if they do.
    pub expires_at: Option<Timestamp>,
}

/// Without the credentials.
impl fmt::Debug for StoreAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreAccess")
            .field("url", &self.url)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What of a store can be handed over: all but the credentials, which are asked for each time.
pub(super) struct Handover {
    pub(super) endpoint: Option<String>,
    pub(super) region: String,
    pub(super) path_style: bool,
    pub(super) authorities: Option<PathBuf>,
    pub(super) provider: SharedCredentialsProvider,
    pub(super) patience: Duration,
}

impl Handover {
    /// With the credentials as they are now.
    pub(super) async fn access(&self, url: &str) -> Result<StoreAccess, StoreError> {
        let configure = |option: &str, source: Cause| StoreError::Configure { option: option.to_owned(), source };
        let asked = tokio::time::timeout(self.patience, self.provider.provide_credentials()).await;
        let asked = asked.map_err(|late| configure("the credentials of the store", late.into()))?;
        let credentials = asked.map_err(|error| configure("the credentials of the store", error.into()))?;
        let authorities = self.authorities.as_ref().map(std::fs::read_to_string).transpose();
        Ok(StoreAccess {
            url: url.to_owned(),
            s3_endpoint: self.endpoint.clone(),
            s3_region: self.region.clone(),
            s3_path_style: if self.path_style { "always" } else { "never" },
            authorities: authorities.map_err(|error| configure("the CA file", error.into()))?,
            credentials: write(&credentials),
            expires_at: credentials.expiry().and_then(|at| Timestamp::try_from(at).ok()),
        })
    }
}

/// An AWS credentials file.
fn write(credentials: &Credentials) -> String {
    let token = credentials.session_token().map_or_else(String::new, |token| format!("aws_session_token={token}\n"));
    format!(
        "[default]\naws_access_key_id={}\naws_secret_access_key={}\n{token}",
        credentials.access_key_id(),
        credentials.secret_access_key()
    )
}

/// The credentials in an AWS credentials file, of its first profile.
fn read(text: &str, believed_until: SystemTime) -> Result<Credentials, Cause> {
    let value = |name: &str| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let mut named = pairs.filter(|(key, _)| key.trim() == name);
        named.next().map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let key = value("aws_access_key_id").ok_or("it names no aws_access_key_id")?;
    let secret = value("aws_secret_access_key").ok_or("it names no aws_secret_access_key")?;
    let token = value("aws_session_token");
    Ok(Credentials::new(key, secret, token, Some(believed_until), "credentials file"))
}

/// Credentials in a file that is read again.
#[derive(Debug)]
pub(super) struct CredentialsFile(PathBuf);

impl CredentialsFile {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn load(&self) -> Result<Credentials, CredentialsError> {
        let failed = |cause: Cause| {
            CredentialsError::provider_error(format!("read credentials from {}: {cause}", self.0.display()))
        };
        let text = std::fs::read_to_string(&self.0).map_err(|error| failed(error.into()))?;
        read(&text, SystemTime::now() + READ_AGAIN_AFTER).map_err(failed)
    }
}

impl ProvideCredentials for CredentialsFile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_new_credentials_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let file = CredentialsFile::new(&path);
        assert!(file.load().is_err());
        for (key, token) in [("AKIA1", None), ("AKIA2", Some("to=ken==".to_owned()))] {
            let given = Credentials::new(key, "se/cret+=", token.clone(), None, "test");
            std::fs::write(&path, write(&given)).unwrap();
            let read = file.load().unwrap();
            assert_eq!((read.access_key_id(), read.secret_access_key()), (key, "se/cret+="));
            assert_eq!(read.session_token().map(str::to_owned), token);
            let believed = read.expiry().unwrap().duration_since(SystemTime::now()).unwrap();
            assert!(believed <= READ_AGAIN_AFTER);
        }
        std::fs::write(&path, "[default]\naws_access_key_id=AKIA3\n").unwrap();
        assert!(format!("{:?}", file.load().unwrap_err()).contains("aws_secret_access_key"));
    }
}
