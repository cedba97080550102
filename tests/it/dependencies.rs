//! Holds the choice of one TLS stack, one HTTP stack and one time crate over all that Cargo.lock brings in.

/// Crates that must not come in, with the version where only one is meant, and why.
const BANNED: &[(&str, &str, &str)] = &[
    ("openssl-sys", "", "rustls with ring is the one TLS stack: the binary stays static"),
    ("native-tls", "", "rustls with ring is the one TLS stack: the binary stays static"),
    ("aws-lc-sys", "", "ring is the one provider of cryptography: no C build beside it"),
    ("rustls", "0.21", "the AWS SDK's old HTTP stack, with known advisories"),
    ("hyper", "0.14", "the AWS SDK's old HTTP stack, with known advisories"),
    ("reqwest", "", "kube and the AWS SDK bring their HTTP clients; a third is not needed"),
    ("chrono", "", "jiff is the one time crate"),
];

fn packages() -> Vec<(String, String)> {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let value = |line: &str, key: &str| line.strip_prefix(key)?.strip_suffix('"').map(str::to_owned);
    let mut packages = Vec::new();
    let mut name = None;
    for line in lock.lines() {
        name = value(line, "name = \"").or(name);
        if let (Some(version), Some(name)) = (value(line, "version = \""), &name) {
            packages.push((name.clone(), version));
        }
    }
    packages
}

#[test]
fn no_banned_crate_comes_in() {
    let packages = packages();
    assert!(packages.iter().any(|(name, _)| name == "ring"), "Cargo.lock was not read as it is written");
    let came_in: Vec<String> = BANNED
        .iter()
        .flat_map(|(banned, version, because)| {
            let hits = packages.iter().filter(move |(name, v)| name == banned && v.starts_with(version));
            hits.map(move |(name, v)| format!("{name} {v}: {because}"))
        })
        .collect();
    assert!(came_in.is_empty(), "see `cargo tree -i`:\n{}", came_in.join("\n"));
}
