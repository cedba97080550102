//! Nothing is forgotten: every object of the cluster before the disaster is there again after the restore, or the table below
//! says why not; and what the objects carry is there too: history, files, a webhook that refuses, a claim without a pod.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::census::{Census, Change, Difference, checksum};
use super::cluster::{kubectl, objects, output, try_kubectl, until, volume_directory};
use super::program::Program;
use super::stack::{CLAIMS, LEFTOVER, Stack};
use super::witness::{Seed, Witness, history_is_whole, query};

/// Every difference that is right, and why. A row that no difference matches fails the test as well.
const EXPLAINED: &[(&str, Change, &str)] = &[
    ("Secret apps/unreferenced", Change::Lost, "named by nothing, so not captured: lost with its namespace"),
    ("Secret teams/unreferenced", Change::Lost, "named by nothing, so not captured: lost with its namespace"),
    ("StorageClass plain", Change::Lost, "no claim is of this class, so it is not captured"),
];

const LEGACY: &str = "/api/v1/namespaces/legacy/services/prometheus:web/proxy";
const SECURE: &str = "/api/v1/namespaces/secure/pods/https:prometheus-secure-0:9090/proxy";
/// How many seeded samples there are, and what they sum up to at the end of the history.
const PROBES: [&str; 2] =
    [r#"sum(count_over_time({__name__=~"seed_.+"}[15d]))"#, r#"sum by (__name__) ({__name__=~"seed_.+"})"#];

#[test]
fn node_restore_brings_back_every_object_and_what_it_carries() {
    let stack = Stack::healthy();
    let witness = Witness::once_settled();
    broken_rule_is_refused();
    let program = Program::with_s3("closure");
    let (before, carried) = (Census::take(), Carried::now());
    let leftover = blocks_of(LEFTOVER);
    assert!(!leftover.is_empty(), "the leftover claim holds no block");
    let record = program.backup();

    stack.destroy();
    program.restore(record["id"].as_str().unwrap());
    history_is_whole();
    witness.is_here_again();
    until("what the objects carry is there again", Duration::from_mins(1), || {
        let now = Carried::try_now()?;
        if now == carried { Ok(()) } else { Err(format!("{now:?}, not {carried:?}")) }
    });
    broken_rule_is_refused();
    leftover_is_found_by_the_next_replica(&leftover);

    let (after, differences) = until("every difference is explained", Duration::from_mins(1), || {
        let after = Census::take();
        let differences = before.differences(&after);
        let unexplained: Vec<_> = differences.iter().filter(|difference| why(difference).is_none()).collect();
        if !unexplained.is_empty() {
            return Err(format!("{unexplained:#?}\n{}", before.table(&after)));
        }
        Ok((after, differences))
    });
    show(&before.table(&after), &differences);
    for (object, change, _) in EXPLAINED {
        let is_there = differences.iter().any(|one| one.object == *object && one.change == *change);
        assert!(is_there, "{object} is explained as {change:?} and is not: {differences:?}");
    }
    let kept = objects("volumesnapshotcontents", "");
    let id = record["id"].as_str().unwrap();
    let of_this = |content: &&Value| content.to_string().contains(&id.to_lowercase());
    assert_eq!(kept.iter().filter(of_this).count(), CLAIMS.len(), "the backup has not kept its snapshots: {kept:?}");
}

fn why(difference: &Difference) -> Option<&'static str> {
    let row = EXPLAINED.iter().find(|(object, change, _)| difference.object == *object && difference.change == *change);
    row.map(|(.., why)| *why)
}

#[expect(clippy::print_stdout, reason = "the table is what this test shows; the runner prints it with --nocapture")]
fn show(table: &str, differences: &[Difference]) {
    println!("{table}");
    for difference in differences {
        println!("{:?} {}: {}", difference.change, difference.object, why(difference).unwrap_or("unexplained"));
    }
}

/// What is in the volumes and configurations, asked of those who serve it.
#[derive(Debug, PartialEq)]
struct Carried {
    /// Seeded samples by Prometheus.
    history: BTreeMap<&'static str, Value>,
    /// What the dashboards' pod serves from its volume.
    files: Vec<(usize, u64)>,
    /// Those of Alertmanager, one of them from an `AlertmanagerConfig` and its Secret.
    receivers: String,
}

impl Carried {
    fn now() -> Self {
        until("everybody answers", Duration::from_mins(1), Self::try_now)
    }

    fn try_now() -> Result<Self, String> {
        let end = Seed::read().end;
        let mut history = BTreeMap::new();
        for (name, api) in [("legacy", LEGACY), ("secure", SECURE)] {
            let mut answers = Vec::new();
            for probe in PROBES {
                let answer = query(api, probe, end)?;
                let series = answer.pointer("/data/result").filter(|series| **series != json!([]));
                answers.push(series.cloned().ok_or_else(|| format!("{name} has no history: {answer}"))?);
            }
            history.insert(name, Value::Array(answers));
        }
        history.insert("guarded", guarded_history(end)?);
        let dashboards = "/api/v1/namespaces/monitoring/services/dashboards:http/proxy";
        let file = |name: &str| {
            let text = try_kubectl(&["get", "--raw", &format!("{dashboards}/{name}")])?;
            Ok::<_, String>((text.len(), checksum(&text)))
        };
        let alertmanager = "/api/v1/namespaces/monitoring/pods/alertmanager-main-0:9093/proxy/api/v2/receivers";
        let receivers = try_kubectl(&["get", "--raw", alertmanager])?;
        if !receivers.contains("teams/team-b/hook") {
            return Err(format!("Alertmanager has not what teams/team-b adds: {receivers}"));
        }
        Ok(Self { history, files: vec![file("dashboards/overview.json")?, file("library.txt")?], receivers })
    }
}

/// The API server's proxy hands on no password, so this one is asked at its own address.
fn guarded_history(at: i64) -> Result<Value, String> {
    let directory = tempfile::tempdir().unwrap();
    let login = directory.path().join("http.yml");
    let password = secret("secure", "prometheus-auth", "password")?;
    let basic = json!({"username": secret("secure", "prometheus-auth", "username")?, "password": password});
    let settings = json!({"basic_auth": basic, "tls_config": {"insecure_skip_verify": true}});
    std::fs::write(&login, settings.to_string()).unwrap();
    let address = try_kubectl(&[
        "--namespace=secure",
        "get",
        "pod",
        "--selector=app=guarded",
        "--output=jsonpath={.items[0].status.podIP}",
    ])?;
    let mut answers = Vec::new();
    for probe in PROBES {
        let mut promtool = Command::new("promtool");
        promtool
            .args(["query", "instant", "--format=json", &format!("--time={at}")])
            .arg("--http.config.file")
            .arg(&login);
        let answer = output(promtool.arg(format!("https://{address}:9090")).arg(probe), "")?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
        if answer == json!([]) {
            return Err("guarded has no history".to_owned());
        }
        answers.push(answer);
    }
    Ok(Value::Array(answers))
}

fn secret(namespace: &str, name: &str, key: &str) -> Result<String, String> {
    let template = format!("--output=go-template={{{{index .data {key:?} | base64decode}}}}");
    try_kubectl(&["--namespace", namespace, "get", "secret", name, &template])
}

/// The webhook admits by what is in a rule, not by its mere shape.
fn broken_rule_is_refused() {
    let rule = |expression: &str| {
        json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
            "metadata": {"name": "tried", "namespace": "apps"},
            "spec": {"groups": [{"name": "tried", "rules": [{"record": "tried", "expr": expression}]}]},
        })
        .to_string()
    };
    let create = |expression: &str| {
        output(Command::new("kubectl").args(["create", "--dry-run=server", "-f", "-"]), &rule(expression))
    };
    let refused = create("sum(").expect_err("the webhook admits a broken rule");
    assert!(refused.contains("could not parse expression"), "{refused}");
    create("sum(up)").unwrap();
}

/// Files of all blocks in the volume of a claim in `monitoring`, with what is in them.
fn blocks_of(claim: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let data = volume_directory("monitoring", claim).join("prometheus-db");
    for block in std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()) {
        for file in ["meta.json", "index", "chunks/000001"] {
            if let Ok(bytes) = std::fs::read(block.join(file)) {
                files.insert(format!("{}/{file}", block.file_name().unwrap().to_str().unwrap()), bytes);
            }
        }
    }
    files
}

/// Scales Prometheus up as a user does: the replica finds what the last one of its number left. And down again.
fn leftover_is_found_by_the_next_replica(blocks: &BTreeMap<String, Vec<u8>>) {
    let scale = |replicas: u32| {
        let patch = json!({"spec": {"replicas": replicas}}).to_string();
        kubectl(&["--namespace=monitoring", "patch", "prometheus", "k8s", "--type=merge", "--patch", &patch]);
    };
    let replica = "/api/v1/namespaces/monitoring/pods/prometheus-k8s-2:9090/proxy";
    let early = Seed::read().start + 3600;
    scale(3);
    until("the third replica shows the leftover history", Duration::from_mins(2), || {
        let answer = query(replica, r#"count({__name__=~"seed_.+"})"#, early)?;
        if answer.pointer("/data/result/0/value/1") == Some(&json!("300")) { Ok(()) } else { Err(answer.to_string()) }
    });
    let now = blocks_of(LEFTOVER);
    for (file, bytes) in blocks {
        assert!(now.get(file) == Some(bytes), "{file} of the leftover claim is not what it was");
    }
    scale(2);
    until("the third replica is gone", Duration::from_mins(2), || {
        match try_kubectl(&["--namespace=monitoring", "get", "pod", "prometheus-k8s-2"]) {
            Err(error) if error.contains("not found") => Ok(()),
            Err(state) | Ok(state) => Err(state),
        }
    });
}
