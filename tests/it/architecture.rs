//! Holds the architecture: reads the source and says what breaks it. Which module is in which layer stands in
//! `src/lib.rs` and nowhere else; the rules stand here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Most lines a file may have without its tests.
const MOST_LINES: usize = 400;

/// The layer of the gateways, which do not know each other.
const GATEWAYS: u8 = 2;

/// Words that only some modules may use.
struct Reserved {
    words: &'static [&'static str],
    to: To,
    because: &'static str,
}

/// Who may use words.
enum To {
    /// These modules.
    Modules(&'static [&'static str]),
    /// Modules of this layer and of those above.
    LayersFrom(u8),
}

const RESERVED: &[Reserved] = &[
    Reserved {
        words: &["kube::", "kube_runtime::", "k8s_openapi::"],
        to: To::Modules(&["cluster"]),
        because: "only cluster/ talks to the API server",
    },
    Reserved { words: &["aws_"], to: To::Modules(&["store"]), because: "only store/ talks to S3" },
    Reserved {
        words: &["reqwest::", "ureq::"],
        to: To::Modules(&["prometheus_api"]),
        because: "only prometheus_api.rs speaks HTTP by itself",
    },
    Reserved {
        words: &["hyper::", "hyper_util::", "tokio_rustls::"],
        to: To::Modules(&["cluster", "pushgateway"]),
        because: "only cluster/ and pushgateway.rs speak HTTP over connections of their own",
    },
    Reserved { words: &["clap::"], to: To::Modules(&["cli", "main"]), because: "only cli/ reads the command line" },
    Reserved {
        words: &["print!", "println!", "eprint!", "eprintln!", "dbg!", "stdout()", "stderr()"],
        to: To::Modules(&["cli", "report", "main"]),
        because: "only cli/ and report/ speak to the user",
    },
    Reserved {
        words: &["async", "await", "tokio", "futures", "spawn", "thread"],
        to: To::LayersFrom(GATEWAYS),
        because: "knowledge is synchronous",
    },
    Reserved {
        words: &["Timestamp::now", "Zoned::now", "SystemTime", "Instant", "RandomState", "rand::", "env::", "fs::"],
        to: To::LayersFrom(GATEWAYS),
        because: "knowledge gets time, chance and environment as arguments",
    },
];

/// A file of `src`.
struct Source {
    /// Its path below `src`, such as `store/local.rs`.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The module of the crate's root that it belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Names of the modules between the crate's root and its items: 1 for `store.rs` and `store/mod.rs`.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// Where the `mod` that names it has to stand, in any of these files; `None` for the roots.
    fn named_in(&self) -> Option<(Vec<String>, String)> {
        let whole = self.path.trim_end_matches(".rs").trim_end_matches("/mod").to_owned();
        match whole.rsplit_once('/') {
            Some((above, name)) => Some((vec![format!("{above}/mod.rs"), format!("{above}.rs")], name.to_owned())),
            None if whole == "lib" || whole == "main" => None,
            None => Some((vec!["lib.rs".to_owned()], whole)),
        }
    }

    /// Its lines without what is only compiled for tests.
    fn lines(&self) -> Vec<&str> {
        let mut kept = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if line.trim() != "#[cfg(test)]" {
                kept.push(line);
                continue;
            }
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indent}}}");
            let ends = |line: &str| {
                let rest = line.strip_prefix(indent).filter(|rest| !rest.starts_with(' '));
                line == end || rest.is_some_and(|rest| rest.ends_with(';'))
            };
            lines.by_ref().find(|line| ends(line));
        }
        kept
    }

    /// Its code: no comments, no tests.
    fn code(&self) -> String {
        let lines = self.lines().into_iter().filter(|line| !line.trim_start().starts_with("//"));
        lines.map(|line| line.split(" // ").next().unwrap()).collect::<Vec<_>>().join("\n")
    }

    /// Modules that are compiled for tests alone.
    fn test_modules(&self) -> BTreeSet<&str> {
        let lines: Vec<_> = self.text.lines().map(str::trim).collect();
        let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
        pairs.filter_map(|pair| declared(pair[1])).collect()
    }
}

/// The module that a line declares in a file of its own.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim();
    let rest = ["pub(crate) mod ", "pub(super) mod ", "pub mod ", "mod "].iter().find_map(|by| line.strip_prefix(by));
    rest?.strip_suffix(';')
}

/// Layers by module, as the comments of `lib.rs` have them; modules above the first such comment are in none.
fn layers(lib: &str) -> BTreeMap<&str, Option<u8>> {
    let mut layer = None;
    let mut layers = BTreeMap::new();
    for line in lib.lines() {
        if let Some(number) = line.strip_prefix("// L").and_then(|rest| rest.split(':').next()) {
            layer = number.parse().ok();
        }
        if let Some(module) = declared(line) {
            layers.insert(module, layer);
        }
    }
    layers
}

/// Whether a text holds a word that no letter runs into.
fn holds(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let after = text[at + word.len()..].chars().next();
        let runs_on = word.ends_with(part) && !word.ends_with('_') && after.is_some_and(part);
        !text[..at].ends_with(part) && !runs_on
    })
}

/// Modules of the crate's root that a code names: `crate::a::B`, `use crate::{a, b::C}`.
fn named_modules(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let name: fn(&str) -> String =
            |text| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(group) = rest.strip_prefix('{') else {
            named.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let outer: String = group
            .chars()
            .take_while(|c| {
                depth += i32::from(*c == '{') - i32::from(*c == '}');
                depth >= 0
            })
            .collect();
        named.extend(split_outside_braces(&outer).iter().map(|item| name(item)).filter(|name| !name.is_empty()));
    }
    named
}

fn split_outside_braces(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for c in text.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
        }
    }
    parts
}

/// Everything that breaks the architecture.
fn complaints(sources: &[Source]) -> Vec<String> {
    let lib = sources.iter().find(|source| source.path == "lib.rs").expect("src/lib.rs is read");
    let layers = layers(&lib.text);
    let unplaced = layers.iter().filter(|(_, layer)| layer.is_none());
    let mut complaints: Vec<_> = unplaced.map(|(module, _)| format!("{module} is in no layer of lib.rs")).collect();
    for source in sources {
        let told = about_file(source, sources).into_iter();
        complaints.extend(told.map(|complaint| format!("{}: {complaint}", source.path)));
        if is_for_tests(source, sources) {
            continue;
        }
        let told = about_words(source, &layers).into_iter().chain(about_arrows(source, &layers));
        complaints.extend(told.map(|complaint| format!("{}: {complaint}", source.path)));
    }
    complaints
}

fn is_for_tests(source: &Source, sources: &[Source]) -> bool {
    let Some((files, name)) = source.named_in() else { return false };
    sources.iter().any(|other| files.contains(&other.path) && other.test_modules().contains(name.as_str()))
}

fn about_file(source: &Source, sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    if !source.text.starts_with("//! ") {
        complaints.push("does not begin with what it knows (//!)".to_owned());
    }
    let lines = source.lines().len();
    if lines > MOST_LINES {
        complaints.push(format!("has {lines} lines without its tests, more than {MOST_LINES}"));
    }
    if let Some((files, name)) = source.named_in() {
        let parents = sources.iter().filter(|other| files.contains(&other.path));
        if !parents.flat_map(|parent| parent.text.lines()).any(|line| declared(line) == Some(name.as_str())) {
            complaints.push("no mod names it".to_owned());
        }
    }
    complaints
}

fn about_words(source: &Source, layers: &BTreeMap<&str, Option<u8>>) -> Vec<String> {
    let (code, module) = (source.code(), source.module());
    let layer = layers.get(module).copied().flatten();
    let allowed = |to: &To| match to {
        To::Modules(modules) => modules.contains(&module),
        To::LayersFrom(lowest) => layer.is_none_or(|layer| layer >= *lowest),
    };
    let broken = RESERVED.iter().filter(|reserved| !allowed(&reserved.to));
    let words = broken.flat_map(|reserved| reserved.words.iter().map(move |word| (word, reserved.because)));
    words.filter(|(word, _)| holds(&code, word)).map(|(word, because)| format!("uses {word}: {because}")).collect()
}

fn about_arrows(source: &Source, layers: &BTreeMap<&str, Option<u8>>) -> Vec<String> {
    let (code, module) = (source.code(), source.module());
    let Some(Some(own)) = layers.get(module) else { return Vec::new() };
    let mut complaints = Vec::new();
    for named in named_modules(&code) {
        match layers.get(named.as_str()).copied().flatten() {
            None => complaints.push(format!("names crate::{named}, which is in no layer")),
            Some(other) if other > *own => complaints.push(format!("names crate::{named}, which is above it")),
            Some(GATEWAYS) if *own == GATEWAYS && named != module => {
                complaints.push(format!("names crate::{named}: gateways do not know each other"));
            }
            Some(_) => {}
        }
    }
    if code.contains(&"super::".repeat(source.depth())) {
        complaints.push("reaches the crate's root by super::, past the layers".to_owned());
    }
    complaints
}

fn read(directory: &Path, above: &str, into: &mut Vec<Source>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{above}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            read(&path, &format!("{name}/"), into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(Source { path: name, text: std::fs::read_to_string(path).unwrap() });
        }
    }
}

#[test]
fn source_holds_the_architecture() {
    let mut sources = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut sources);
    assert!(sources.len() > 50, "only {} files read", sources.len());
    let complaints = complaints(&sources);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

const LIB: &str = "//! Lib.\n// L0: nouns\npub mod model;\n// L1: knowledge\npub mod plan;\n// L2: gateways\n\
                   pub mod cluster;\npub mod store;\n// L5: words\npub mod cli;\n";

/// What is said of one file beside a sound crate.
fn said_of(path: &str, text: &str) -> Vec<String> {
    let mut sources: Vec<_> = ["model", "plan", "cluster", "store", "cli"]
        .iter()
        .map(|module| Source::new(&format!("{module}.rs"), "//! Sound.\nmod inner;\n"))
        .filter(|source| source.path != path)
        .collect();
    sources.push(Source::new("lib.rs", LIB));
    sources.push(Source::new(path, text));
    complaints(&sources)
}

#[test]
fn sound_files_are_not_complained_of() {
    for (path, text) in [
        ("cluster/inner.rs", "//! Sound.\nuse kube::Client;\nuse crate::{model::A, plan};\nasync fn f() {}\n"),
        ("plan.rs", "//! Not async, no kube::Client.\nuse crate::model;\n// println!\nfn f() {} // tokio\n"),
        ("plan.rs", "//! Sound.\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n"),
        ("cli.rs", "//! Sound.\nuse clap::Parser;\nfn f() {\n    println!();\n}\n"),
    ] {
        assert_eq!(said_of(path, text), [""; 0], "{text}");
    }
}

#[test]
fn each_breach_is_named() {
    for (path, text, expected) in [
        ("store.rs", "//! X.\nuse kube::Client;\n", "store.rs: uses kube::: only cluster/ talks to the API server"),
        ("cluster/inner.rs", "//! X.\nuse aws_sdk_s3::Client;\n", "uses aws_: only store/ talks to S3"),
        ("cluster.rs", "//! X.\nuse ureq::Agent;\n", "only prometheus_api.rs speaks HTTP"),
        ("store.rs", "//! X.\nuse hyper::Request;\n", "only cluster/ and pushgateway.rs speak HTTP"),
        ("plan.rs", "//! X.\n#[derive(clap::Args)]\nstruct A;\n", "only cli/ reads the command line"),
        ("store.rs", "//! X.\nfn f() {\n    eprintln!();\n}\n", "uses eprintln!: only cli/ and report/"),
        ("store.rs", "//! X.\nfn f() {\n    io::stdout();\n}\n", "uses stdout(): only cli/ and report/"),
        ("plan.rs", "//! X.\nasync fn f() {}\n", "uses async: knowledge is synchronous"),
        ("model.rs", "//! X.\nfn f() {\n    jiff::Timestamp::now();\n}\n", "uses Timestamp::now: knowledge gets"),
        ("plan.rs", "//! X.\nuse std::time::Instant;\n", "uses Instant: knowledge gets"),
        ("model.rs", "//! X.\nuse crate::plan::Step;\n", "model.rs: names crate::plan, which is above it"),
        ("plan.rs", "//! X.\nuse crate::{model::{A, B}, cli};\n", "plan.rs: names crate::cli, which is above it"),
        ("plan.rs", "//! X.\nfn f() {\n    crate::store::g();\n}\n", "names crate::store, which is above it"),
        ("store.rs", "//! X.\nuse crate::cluster::A;\n", "names crate::cluster: gateways do not know each other"),
        ("plan.rs", "//! X.\nuse crate::Nowhere;\n", "names crate::Nowhere, which is in no layer"),
        ("plan.rs", "//! X.\nuse super::store;\n", "reaches the crate's root by super::"),
        ("plan/inner.rs", "//! X.\nuse super::super::store;\n", "reaches the crate's root by super::"),
        ("plan.rs", "use crate::model;\n", "does not begin with what it knows"),
        ("plan/orphan.rs", "//! X.\n", "plan/orphan.rs: no mod names it"),
    ] {
        let said = said_of(path, text);
        assert!(said.len() == 1 && said[0].contains(expected), "{path}: {expected}\n{said:?}\n{text}");
    }
}

#[test]
fn long_files_are_named_without_counting_their_tests() {
    let lines = "//! X.\n".to_owned() + &"const A: u8 = 1;\n".repeat(MOST_LINES - 1);
    let tests = "#[cfg(test)]\nmod tests {\n    const B: u8 = 1;\n}\n";
    assert_eq!(said_of("plan.rs", &format!("{lines}{tests}")), [""; 0]);
    assert_eq!(said_of("plan.rs", &format!("{lines}const C: u8 = 1;\n{tests}")).len(), 1);
}

#[test]
fn module_without_a_layer_is_named() {
    let lib = "//! Lib.\npub mod lost;\n// L0: nouns\npub mod model;\n";
    let sources = [("lib.rs", lib), ("lost.rs", "//! X.\n"), ("model.rs", "//! X.\n")];
    let sources: Vec<_> = sources.iter().map(|(path, text)| Source::new(path, text)).collect();
    assert_eq!(complaints(&sources), ["lost is in no layer of lib.rs"]);
}
