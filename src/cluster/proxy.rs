//! Which HTTP proxy leads to the API server. kube compares `NO_PROXY` with the address of the proxy itself; here the
//! address of the API server counts, as in client-go: `proxy-url` of the kubeconfig always, else `HTTPS_PROXY` unless
//! `NO_PROXY` names the server.

use std::net::IpAddr;

use http::Uri;

/// What the surroundings say about proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProxySettings {
    /// `proxy-url` of the kubeconfig's cluster.
    pub(super) kubeconfig: Option<String>,
    /// `HTTPS_PROXY` of the environment.
    pub(super) https_proxy: Option<String>,
    /// `NO_PROXY` of the environment.
    pub(super) no_proxy: Option<String>,
}

impl ProxySettings {
    /// The proxy for this server, if any.
    pub(super) fn proxy_for(&self, server: &Uri) -> Option<&str> {
        let set = |setting: &'_ Option<String>| setting.as_ref().is_some_and(|text| !text.trim().is_empty());
        if set(&self.kubeconfig) {
            return self.kubeconfig.as_deref();
        }
        let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
        let address: Option<IpAddr> = host.parse().ok();
        let local = host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback());
        if local || server.scheme_str() != Some("https") || !set(&self.https_proxy) {
            return None;
        }
        let port = server.port_u16().unwrap_or(443);
        let exempt =
            self.no_proxy.iter().flat_map(|list| list.split(',')).any(|entry| exempts(entry.trim(), host, port));
        if exempt { None } else { self.https_proxy.as_deref() }
    }
}

/// Whether one entry of `NO_PROXY` names this host: `*`, an address, a network, a domain with all below it, or with a
/// leading dot only what is below it; a port narrows it.
fn exempts(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let address: Option<IpAddr> = host.parse().ok();
    if let (Some((network, bits)), Some(address)) = (entry.split_once('/'), address) {
        return in_network(address, network, bits);
    }
    if let Ok(named) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(named) == address;
    }
    let (name, only_port) = match entry.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) => (name, Some(port)),
        _ => (entry, None),
    };
    if name.is_empty() || only_port.is_some_and(|only| only != port) {
        return false;
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let name = name.trim_matches(['[', ']']).trim_start_matches('*').to_ascii_lowercase();
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(&name),
        None => host == name || host.ends_with(&format!(".{name}")),
    }
}

/// Whether an address lies in a network written as `10.0.0.0/8`.
fn in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(server: &str, no_proxy: &str) -> bool {
        let settings = ProxySettings {
            kubeconfig: None,
            https_proxy: Some("http://10.1.1.1:3128".to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
        };
        settings.proxy_for(&server.parse().unwrap()).is_some()
    }

    #[test]
    fn no_proxy_is_compared_with_the_api_server() {
        assert!(!proxied("https://10.96.0.1:6443", "10.96.0.0/12"));
        assert!(!proxied("https://10.96.0.1:6443", "svc, 10.96.0.1,"));
        assert!(!proxied("https://k8s.corp.example:6443", "corp.example"));
        assert!(!proxied("https://k8s.corp.example:6443", "*.corp.example"));
        assert!(!proxied("https://k8s.corp.example:6443", "k8s.corp.example:6443"));
        assert!(!proxied("https://[fd00::1]:6443", "fd00::/8"));
        assert!(!proxied("https://anything", "*"));
    }

    #[test]
    fn no_proxy_that_names_only_the_proxy_changes_nothing() {
        assert!(proxied("https://192.0.2.7:6443", "10.0.0.0/8"));
        assert!(proxied("https://192.0.2.7:6443", ""));
        assert!(proxied("https://k8s.corp.example:6443", "k8s.corp.example:443,mycorp.example,.k8s.corp.example,/,:"));
        assert!(proxied("https://notcorp.example", "corp.example"));
    }

    #[test]
    fn loopback_and_plain_http_take_no_proxy_from_the_environment() {
        assert!(!proxied("https://127.0.0.1:6443", ""));
        assert!(!proxied("http://k8s.corp.example:8001", ""));
    }

    #[test]
    fn proxy_of_the_kubeconfig_always_counts() {
        let settings = ProxySettings {
            kubeconfig: Some("socks5://10.2.2.2:1080".to_owned()),
            https_proxy: None,
            no_proxy: Some("*".to_owned()),
        };
        assert_eq!(settings.proxy_for(&"https://127.0.0.1".parse().unwrap()), Some("socks5://10.2.2.2:1080"));
        assert_eq!(ProxySettings::default().proxy_for(&"https://192.0.2.7".parse().unwrap()), None);
    }
}
