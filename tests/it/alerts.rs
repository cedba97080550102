//! The alerts of deploy/alerts.yaml, held by promtool: they are rules, they say something at the right time, and they have
//! words for whoever is woken up.

use std::path::Path;
use std::process::Command;

use promsafe::metrics::FAMILIES;
use serde_json::Value;

use crate::support::testbed::binary;

/// The PrometheusRule that users apply.
const ALERTS: &str = include_str!("../../deploy/alerts.yaml");
const CASES: &str = include_str!("../../testdata/alerts.test.yaml");

/// Runs promtool in a directory that holds the rules as a rule file, and the cases beside it.
fn promtool(arguments: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("alerts.rules.yaml"), rule()["spec"].to_string()).unwrap();
    std::fs::write(directory.path().join("alerts.test.yaml"), CASES).unwrap();
    let output =
        Command::new(binary("promtool")).args(arguments).current_dir(directory.path() as &Path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {}: {said}", arguments.join(" "));
}

fn rule() -> Value {
    serde_saphyr::from_str(ALERTS).unwrap()
}

#[test]
fn alerts_are_rules_without_a_complaint() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "alerts.rules.yaml"]);
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    promtool(&["test", "rules", "alerts.test.yaml"]);
}

#[test]
fn every_alert_has_words_and_looks_at_metrics_that_exist() {
    let rule = rule();
    let alerts = rule["spec"]["groups"][0]["rules"].as_array().unwrap();
    assert!(alerts.len() >= 6);
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        assert!(name.starts_with("Promsafe") && alert["for"].is_string(), "{name}");
        assert!(["critical", "warning"].map(Value::from).contains(&alert["labels"]["severity"]), "{name}");
        for annotation in ["summary", "description", "runbook"] {
            assert!(
                alert["annotations"][annotation].as_str().is_some_and(|text| text.len() > 30),
                "{name} {annotation}"
            );
        }
        let expression = alert["expr"].as_str().unwrap();
        let mut words =
            expression.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.contains("promsafe_"));
        assert!(words.all(|word| FAMILIES.iter().any(|family| family.name == word)), "{name}: {expression}");
    }
}
