//! What a pod is told, and what is refused before it could be one.

use super::OwnStore;
use crate::support::promsafe::Promsafe;

#[tokio::test]
async fn termination_log_holds_the_exit_code_and_the_last_words() {
    let store = OwnStore::new();
    let log = store.directory.path().join("termination-log");
    for (command, code, words) in [
        ("restore 2020", 5, "find backup 2020"),
        ("backup --volumes none", 7, "127.0.0.1:1"),
        ("restore latest -o json", 7, "127.0.0.1:1"),
    ] {
        let ended = store.promsafe.run(&format!("{command} --termination-log {}", log.display())).await.with(code);
        let told = std::fs::read_to_string(&log).unwrap();
        assert!(told.starts_with(&format!("exit code {code}: ")), "{told}");
        assert!(told.contains("\nerror: ") && told.contains("\nhint: ") && told.contains(words), "{told} {ended:#?}");
        std::fs::remove_file(&log).unwrap();
    }
}

#[tokio::test]
async fn termination_log_that_cannot_be_written_does_not_change_how_the_run_ends() {
    let store = OwnStore::new();
    let ended = store.promsafe.run("restore 2020 --termination-log /no/such/directory/log").await.with(5);
    ended.says(&["cannot write the termination message to /no/such/directory/log"]);
}

#[tokio::test]
async fn cronjob_that_the_cluster_would_refuse_or_that_loses_its_backups_is_wrong_usage() {
    let promsafe = Promsafe::default();
    for (line, words) in [
        ("cronjob --schedule @reboot --store s3://b/p", "@daily"),
        ("cronjob --schedule @daily --store /backups", "--store-claim NAME"),
        ("cronjob --schedule @daily", "--store"),
        (
            "cronjob --schedule @daily --store s3://b --credentials-secret s --web-identity-role r",
            "--web-identity-role",
        ),
    ] {
        promsafe.run(line).await.with(2).says(&[words]);
    }
    let printed =
        promsafe.run("cronjob --schedule @daily --store s3://b/p --namespace team -o json").await.with(0).json();
    let kinds: Vec<_> =
        printed["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("Namespace", "CronJob"));
    assert!(printed["items"].as_array().unwrap().iter().skip(1).all(|item| {
        let cluster_scoped = item["kind"].as_str().unwrap().starts_with("Cluster");
        cluster_scoped || item["metadata"]["namespace"] == "team"
    }));
}
