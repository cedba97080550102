//! Paths of the Kubernetes REST API. Knows how URLs are spelled, nothing of sending them.

use std::fmt::Write as _;

use crate::model::ObjectKey;

/// Who wrote a field, as `metadata.managedFields` shows it.
const FIELD_MANAGER: &str = "promsafe";

/// Path of a collection: all objects of a kind, in one namespace or everywhere.
pub(super) fn collection(api_version: &str, plural: &str, namespace: Option<&str>) -> String {
    // The core group alone has no slash in its apiVersion, and a root of its own.
    let root = if api_version.contains('/') { "/apis" } else { "/api" };
    match namespace {
        Some(namespace) => format!("{root}/{api_version}/namespaces/{}/{plural}", segment(namespace)),
        None => format!("{root}/{api_version}/{plural}"),
    }
}

/// Path of the collection an object is created in.
pub(super) fn collection_of(key: &ObjectKey, api_version: &str) -> String {
    collection(api_version, &key.plural, key.namespace.as_deref())
}

/// Path of one object.
pub(super) fn object(key: &ObjectKey, api_version: &str) -> String {
    format!("{}/{}", collection_of(key, api_version), segment(&key.name))
}

/// A path with the query every write carries.
pub(super) fn written(path: &str) -> String {
    format!("{path}?fieldManager={FIELD_MANAGER}")
}

/// Text as one segment of a path or one value of a query: all but RFC 3986's unreserved characters escaped. Names of
/// roles may hold colons and spaces.
pub(super) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_group_has_its_own_root() {
        let secret = ObjectKey::namespaced("", "Secret", "secrets", "monitoring", "web");
        assert_eq!(object(&secret, "v1"), "/api/v1/namespaces/monitoring/secrets/web");
        let role = ObjectKey::cluster_scoped("rbac.authorization.k8s.io", "ClusterRole", "clusterroles", "system:a b");
        assert_eq!(
            object(&role, "rbac.authorization.k8s.io/v1"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa%20b"
        );
    }
}
