//! Holds the choice of one TLS stack, one HTTP stack and one time crate over all that the binary is made of.

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

/// `name version` of everything in the binary, as cargo resolves it; what only tests need does not count.
fn packages() -> Vec<(String, String)> {
    let arguments = ["tree", "--offline", "--locked", "-e", "normal", "--prefix", "none", "-f", "{p}"];
    let tree = std::process::Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let lines = String::from_utf8(tree.stdout).unwrap();
    let packages = lines.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    packages.collect()
}

#[test]
fn no_banned_crate_comes_in() {
    let packages = packages();
    assert!(packages.iter().any(|(name, _)| name == "ring"), "the output of cargo tree was not understood");
    let came_in: Vec<String> = BANNED
        .iter()
        .flat_map(|(banned, version, because)| {
            let hits = packages.iter().filter(move |(name, v)| name == banned && v.starts_with(version));
            hits.map(move |(name, v)| format!("{name} {v}: {because}"))
        })
        .collect();
    assert!(came_in.is_empty(), "see `cargo tree -i`:\n{}", came_in.join("\n"));
}
