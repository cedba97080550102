//! Credentials for a server inside a pod, read from a Secret. Their values leave this module only as a header of a request.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;

use super::Cluster;
use super::error::ClusterError;
use crate::model::ObjectKey;

/// What makes a server answer: the value of an `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(HeaderValue);

/// The Secret as served; a missing key is an empty text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Secret {
    data: SecretData,
}

/// The keys of `kubernetes.io/basic-auth`, or a token alone.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SecretData {
    username: String,
    password: String,
    token: String,
}

impl Credentials {
    fn from_secret(json: &str) -> Result<Self, &'static str> {
        let Secret { data } = serde_json::from_str(json).map_err(|_| "it cannot be read")?;
        let decoded = |text: &str| STANDARD.decode(text).map_err(|_| "a value in it is not base64");
        let header = if data.token.is_empty() {
            if data.username.is_empty() || data.password.is_empty() {
                return Err("it has neither the keys username and password nor the key token");
            }
            let pair = [decoded(&data.username)?, b":".to_vec(), decoded(&data.password)?].concat();
            format!("Basic {}", STANDARD.encode(pair)).into_bytes()
        } else {
            let token = decoded(&data.token)?;
            [b"Bearer ", token.trim_ascii()].concat()
        };
        let mut header = HeaderValue::from_bytes(&header).map_err(|_| "the token in it cannot be a header")?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Never the value.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Cluster {
    /// The credentials in a Secret: `username` and `password`, or `token`.
    ///
    /// # Errors
    /// [`ClusterError::UseLogin`] when the Secret is not there or lacks these keys, or any other [`ClusterError`].
    pub async fn credentials(&self, secret: &ObjectKey) -> Result<Credentials, ClusterError> {
        let unusable = |why: &'static str| ClusterError::UseLogin { secret: secret.to_string(), why };
        let text = self.get(secret, "v1").await?.ok_or_else(|| unusable("it does not exist"))?;
        Credentials::from_secret(&text).map_err(unusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(data: &str) -> Result<String, &'static str> {
        let login = Credentials::from_secret(&format!(r#"{{"kind":"Secret","data":{data}}}"#))?;
        assert_eq!(format!("{login:?} {:?}", login.header()), "Credentials Sensitive");
        Ok(login.header().to_str().unwrap().to_owned())
    }

    #[test]
    fn secrets_become_headers_that_are_never_shown() {
        let basic = header(r#"{"username": "cHJvbQ==", "password": "c2FmZQ=="}"#);
        assert_eq!(basic.unwrap(), "Basic cHJvbTpzYWZl");
        assert_eq!(header(r#"{"token": "YWJjCg=="}"#).unwrap(), "Bearer abc");
    }

    #[test]
    fn secrets_without_credentials_are_told_without_their_values() {
        assert!(header(r#"{"username": "cHJvbQ=="}"#).unwrap_err().contains("neither"));
        assert!(header(r#"{"token": "%%%"}"#).unwrap_err().contains("base64"));
        assert!(header(r#"{"token": "YQpi"}"#).unwrap_err().contains("header"));
    }
}
