//! Metrics that runs of the binary leave in a file, read by promtool.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::Stack;
use crate::support::control_plane::ControlPlane;
use crate::support::testbed::binary;

/// Asserts that promtool finds nothing to say.
fn is_clean(text: &str) {
    let mut promtool = Command::new(binary("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

/// The value of a line that begins so.
fn value(text: &str, beginning: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(beginning))?;
    Some(line.split_whitespace().next_back().unwrap().parse().unwrap())
}

#[tokio::test]
async fn runs_leave_metrics_in_a_file_and_a_failure_keeps_the_last_success() {
    let stack = Stack::on(ControlPlane::shared().await, "measured");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("promsafe.prom");
    let with_file = |command: &str| format!("{command} --metrics-file {}", file.display());
    let read = || std::fs::read_to_string(&file).unwrap();

    stack.promsafe.run(&with_file(&stack.backup())).await.with(0);
    let first = read();
    is_clean(&first);
    assert_eq!(value(&first, "promsafe_last_run_exit_code{command=\"backup\"}"), Some(0.0), "{first}");
    assert_eq!(value(&first, "promsafe_backup_objects{command=\"backup\"}"), Some(23.0), "{first}");
    assert!(value(&first, "promsafe_backup_bytes{command=\"backup\"}") > Some(1000.0), "{first}");
    let success = value(&first, "promsafe_last_success_timestamp_seconds{command=\"backup\"}");
    assert!(success > Some(1.7e9) && success == value(&first, "promsafe_last_run_timestamp_seconds"), "{first}");
    assert!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o444 == 0o444, "others cannot read it");

    stack.promsafe.run(&with_file("restore latest -o json")).await.with(0);
    stack.promsafe.run(&with_file("backup --volumes none -n nowhere")).await.failed(4, &["nowhere"]);
    let after = read();
    is_clean(&after);
    assert_eq!(value(&after, "promsafe_last_run_exit_code{command=\"backup\"}"), Some(4.0), "{after}");
    assert_eq!(value(&after, "promsafe_last_run_exit_code{command=\"restore\"}"), Some(0.0), "{after}");
    assert_eq!(value(&after, "promsafe_last_success_timestamp_seconds{command=\"backup\"}"), success, "{after}");
    assert_eq!(value(&after, "promsafe_backup_objects{command=\"backup\"}"), Some(23.0), "{after}");

    stack.promsafe.run(&with_file("restore latest --plan")).await.with(0);
    assert_eq!(read(), after, "a plan is no run");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "something else was left");
}

#[tokio::test]
async fn metrics_that_cannot_be_left_are_a_problem_and_the_backup_is_there() {
    let stack = Stack::on(ControlPlane::shared().await, "unmeasured");
    let ended = stack.promsafe.run(&format!("{} --pushgateway http://127.0.0.1:1", stack.backup())).await.with(3);
    let ended =
        ended.says(&["push the metrics of the run", "http://127.0.0.1:1/metrics/job/promsafe", "--pushgateway"]);
    assert_eq!(ended.json()["housekeeping"]["problems"].as_array().unwrap().len(), 1, "{ended:#?}");
    let ended = stack.promsafe.run("restore latest --metrics-file /nowhere/at/all.prom").await.with(3);
    ended.says(&["PROBLEM", "write the metrics of the run", "/nowhere/at/all.prom"]);
    let listed = stack.promsafe.run("list -o json").await.with(0).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1, "{listed}");
    // A failure stays the failure it is.
    let failed = stack.promsafe.run("backup --volumes none -n nowhere --pushgateway http://127.0.0.1:1").await;
    failed.failed(4, &["nowhere", "push the metrics of the run"]);
    let wrong = stack.promsafe.run("backup --pushgateway http://me:hunter2@127.0.0.1:1").await.with(2);
    wrong.says(&["--pushgateway", "password"]).never_says(&["hunter2"]);
}
