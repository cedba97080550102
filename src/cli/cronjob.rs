//! `promsafe cronjob`: manifests that take a backup on a schedule, in a pod that fits the strictest Pod Security level.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::options::manifest_format;
use super::schedule::Schedule;
use super::telemetry::pushgateway_url;
use super::workers::Volumes;
use super::{Exit, Failure, print};
use crate::access::{Account, Copies, Run};
use crate::job::UNDISTURBED;
use crate::report::{Manifest, OutputFormat, manifests, roles, service_account};
use crate::store::StoreUrl;

/// User and group of the pod: the image's own, nobody's on any node.
const USER: u32 = 65532;
/// Where the kubelet looks for a container's last words.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Where the authorities of the store are mounted.
const AUTHORITIES: &str = "/etc/promsafe";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// When to back up: five fields as in cron, or @daily and the like
    #[arg(long, env = "PROMSAFE_SCHEDULE", value_name = "SCHEDULE")]
    schedule: Schedule,
    /// Time zone of the schedule, such as Europe/Berlin [default: that of the cluster's controller manager]
    #[arg(long, env = "PROMSAFE_TIME_ZONE", value_name = "NAME")]
    time_zone: Option<String>,
    /// Where backups go: s3://BUCKET/PREFIX, or with --store-claim a directory
    #[arg(long, env = "PROMSAFE_STORE", value_name = "URL")]
    store: String,
    /// PersistentVolumeClaim to mount at the directory of --store
    #[arg(long, env = "PROMSAFE_STORE_CLAIM", value_name = "NAME")]
    store_claim: Option<String>,
    /// Back up only this namespace; may be repeated [default: all that run Prometheus or its operator]
    #[arg(short = 'n', long, env = "PROMSAFE_BACKUP_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    backup_namespace: Vec<String>,
    /// What to save of volumes
    #[arg(long, env = "PROMSAFE_VOLUMES", value_enum, default_value = "snapshot")]
    volumes: Volumes,
    /// Namespace of the CronJob itself
    #[arg(long, env = "PROMSAFE_CRONJOB_NAMESPACE", value_name = "NAME", default_value = "promsafe")]
    namespace: String,
    /// Image to run, also in the Jobs that copy volumes
    #[arg(long, env = "PROMSAFE_IMAGE", value_name = "IMAGE",
          default_value = concat!("promsafe:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// Address of an S3-compatible server [default: AWS]
    #[arg(long, env = "PROMSAFE_S3_ENDPOINT", value_name = "URL")]
    s3_endpoint: Option<String>,
    /// Region
    #[arg(long, env = "PROMSAFE_S3_REGION", value_name = "NAME")]
    s3_region: Option<String>,
    /// ConfigMap whose key ca.crt holds the certificate authorities to trust for the store
    #[arg(long, env = "PROMSAFE_CA_CONFIG_MAP", value_name = "NAME")]
    ca_config_map: Option<String>,
    /// Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long, env = "PROMSAFE_CREDENTIALS_SECRET", value_name = "NAME")]
    credentials_secret: Option<String>,
    /// Role that the service account takes on by web identity, such as arn:aws:iam::111122223333:role/promsafe
    #[arg(long, env = "PROMSAFE_WEB_IDENTITY_ROLE", value_name = "ARN", conflicts_with = "credentials_secret")]
    web_identity_role: Option<String>,
    /// Pushgateway that gets metrics of every run, such as http://pushgateway.monitoring:9091
    #[arg(long, env = "PROMSAFE_PUSHGATEWAY", value_name = "URL")]
    pushgateway: Option<String>,
    /// How to print the manifests; yaml has comments
    #[arg(short, long, env = "PROMSAFE_OUTPUT", value_parser = manifest_format(), default_value = "yaml")]
    output: OutputFormat,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    print(&manifests(&documents(args)?, args.output)?)?;
    Ok(Exit::Done)
}

fn documents(args: &Args) -> Result<Vec<Manifest>, Failure> {
    let store = checked_store(args)?;
    args.pushgateway.as_deref().map(pushgateway_url).transpose()?;
    let account = Account { namespace: args.namespace.clone(), ..Account::of(Run::Backup) };
    let role = args.web_identity_role.iter().map(|role| ("eks.amazonaws.com/role-arn".to_owned(), role.clone()));
    let mut all = vec![
        Manifest::new(
            "Printed by: promsafe cronjob\nA backup now: kubectl -n NAMESPACE create job --from=cronjob/promsafe NAME\n\
             How it ended: kubectl -n NAMESPACE describe pods"
                .replace("NAMESPACE", &args.namespace),
            json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": args.namespace,
                    "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                },
            }),
        ),
        service_account(&account, &role.collect::<Vec<_>>()),
    ];
    all.extend(roles(Run::Backup, &args.backup_namespace, &account, args.volumes.copies()));
    all.push(Manifest::new(comment(args), cron_job(args, &store, &account)));
    Ok(all)
}

/// The store's address, when the pod will have it.
fn checked_store(args: &Args) -> Result<String, Failure> {
    let url: StoreUrl = args.store.parse().map_err(|error| Failure::Option(crate::words::chain(&error)))?;
    let url = url.to_string();
    if args.volumes.copies() == Copies::Allowed && !url.starts_with("s3://") {
        return Err(Failure::Option(format!(
            "--volumes {} needs a store that its Jobs reach from any node: s3://BUCKET/PREFIX",
            args.volumes.name()
        )));
    }
    match (url.strip_prefix("file://"), url.starts_with("s3://"), &args.store_claim) {
        (_, true, Some(_)) => {
            Err(Failure::Option("--store-claim is for a store in a directory, and --store is in S3".to_owned()))
        }
        (_, true, None) | (Some(_), _, Some(_)) => Ok(url),
        (None, false, _) => {
            Err(Failure::Option(format!("--store {url} is no absolute path: say where the claim is mounted")))
        }
        (Some(path), _, None) => Err(Failure::Option(format!(
            "the directory {path} of --store goes with the pod of the CronJob; keep it in a claim with --store-claim \
             NAME, or use s3://BUCKET/PREFIX"
        ))),
    }
}

fn comment(args: &Args) -> String {
    let credentials = match (&args.credentials_secret, &args.web_identity_role) {
        _ if args.store_claim.is_some() => format!(
            "Claim {} has to be there, in namespace {}, and to be writable for group {USER}.",
            args.store_claim.as_deref().unwrap_or_default(),
            args.namespace
        ),
        (Some(secret), _) => format!(
            "Secret {secret} has to be there: kubectl -n {} create secret generic {secret} \
             --from-literal=AWS_ACCESS_KEY_ID=… --from-literal=AWS_SECRET_ACCESS_KEY=…",
            args.namespace
        ),
        (None, Some(role)) => {
            format!("The credentials for the store are those of {role}, by the service account's web identity.")
        }
        (None, None) => {
            "The credentials for the store are those that the node or the cluster gives to the pod.".to_owned()
        }
    };
    format!(
        "One backup at a time; one that fails is a failed Job and is not tried again before the next is due.\n{credentials}"
    )
}

fn cron_job(args: &Args, store: &str, account: &Account) -> Value {
    let mut spec = json!({
        "schedule": args.schedule.to_string(),
        // The snapshots of two runs at once would be cut from the same volumes for nothing.
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 600,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": deadline_seconds(args.volumes),
            "template": {
                "metadata": {"labels": labels(), "annotations": BTreeMap::from(UNDISTURBED)},
                "spec": pod(args, store, account),
            },
        }},
    });
    if let Some(time_zone) = &args.time_zone {
        spec["timeZone"] = json!(time_zone);
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "promsafe", "namespace": args.namespace, "labels": labels()},
        "spec": spec,
    })
}

/// How long a backup may take: with a copy as long as its Jobs may, and an hour for all else.
fn deadline_seconds(volumes: Volumes) -> u32 {
    if volumes.copies() == Copies::Allowed { 7 * 3600 } else { 3600 }
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": "promsafe"})
}

fn pod(args: &Args, store: &str, account: &Account) -> Value {
    let mounts = mounts(args, store);
    let mut container = json!({
        "name": "promsafe",
        "image": args.image,
        "args": command_line(args, store),
        "env": environment(args),
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
        "terminationMessagePath": TERMINATION_LOG,
        // What it could not write itself, as when its memory ends.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let mut pod = json!({
        "serviceAccountName": account.name,
        "restartPolicy": "Never",
        // Asked to stop, it deletes the snapshots of the backup it does not finish.
        "terminationGracePeriodSeconds": 60,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    });
    if !mounts.is_empty() {
        container["volumeMounts"] = mounts.iter().map(|(mount, _)| mount.clone()).collect();
        pod["volumes"] = mounts.into_iter().map(|(_, volume)| volume).collect();
    }
    pod["containers"] = json!([container]);
    pod
}

fn command_line(args: &Args, store: &str) -> Vec<String> {
    let mut line = vec!["backup".to_owned(), format!("--store={store}")];
    let copies = args.volumes.copies() == Copies::Allowed;
    line.extend((args.volumes != Volumes::Snapshot).then(|| format!("--volumes={}", args.volumes.name())));
    line.extend(copies.then(|| format!("--image={}", args.image)));
    line.extend(args.backup_namespace.iter().map(|namespace| format!("--namespace={namespace}")));
    line.extend(args.s3_endpoint.iter().map(|url| format!("--s3-endpoint={url}")));
    line.extend(args.s3_region.iter().map(|region| format!("--s3-region={region}")));
    line.extend(args.pushgateway.iter().map(|url| format!("--pushgateway={url}")));
    line.extend(args.ca_config_map.iter().map(|_| format!("--ca-file={AUTHORITIES}/ca.crt")));
    line
}

fn environment(args: &Args) -> Vec<Value> {
    let mut all = vec![json!({"name": "PROMSAFE_TERMINATION_LOG", "value": TERMINATION_LOG})];
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        let from = |secret| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}});
        all.extend(args.credentials_secret.as_ref().map(from));
    }
    all
}

/// What is mounted, each with its volume.
fn mounts(args: &Args, store: &str) -> Vec<(Value, Value)> {
    let claim = args.store_claim.as_ref().zip(store.strip_prefix("file://")).map(|(claim, path)| {
        let volume = json!({"name": "store", "persistentVolumeClaim": {"claimName": claim}});
        (json!({"name": "store", "mountPath": path}), volume)
    });
    let authorities = args.ca_config_map.as_ref().map(|name| {
        let volume = json!({"name": "authorities", "configMap": {"name": name}});
        (json!({"name": "authorities", "mountPath": AUTHORITIES, "readOnly": true}), volume)
    });
    claim.into_iter().chain(authorities).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Args {
        Line::try_parse_from(["cronjob"].iter().chain(line)).unwrap().args
    }

    fn job(line: &[&str]) -> Value {
        documents(&parse(line)).unwrap().pop().unwrap().object
    }

    const S3: [&str; 4] = ["--schedule", "0 3 * * *", "--store", "s3://prometheus-backups/cluster-a"];

    #[test]
    fn docs_deploy_cronjob_is_what_the_command_prints() {
        let args = parse(&[&S3[..], &["--credentials-secret", "promsafe-s3"]].concat());
        let text = manifests(&documents(&args).unwrap(), OutputFormat::Yaml).unwrap();
        crate::cli::options::hold_file(Path::new("deploy/cronjob.yaml"), &text);
    }

    #[test]
    fn directory_without_a_claim_is_refused_in_words() {
        let line = ["--schedule", "@daily", "--store", "/backups"];
        let refused = documents(&parse(&line)).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert!(refused.to_string().contains("--store-claim NAME"), "{refused}");
        let job = job(&[&line[..], &["--store-claim", "backups"]].concat());
        let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["volumeMounts"][0], json!({"name": "store", "mountPath": "/backups"}));
        assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "backups");
        assert_eq!(documents(&parse(&["--schedule", "@daily", "--store", "here"])).unwrap_err().exit(), Exit::Usage);
        let claim_for_s3 = parse(&[&S3[..], &["--store-claim", "backups"]].concat());
        assert!(documents(&claim_for_s3).is_err());
    }

    #[test]
    fn copies_come_with_what_their_jobs_need() {
        let line = [&S3[..], &["--volumes", "copy", "--image", "registry.example/promsafe:1"]].concat();
        let all = documents(&parse(&line)).unwrap();
        let text = serde_json::to_string(&all.iter().map(|one| one.object.clone()).collect::<Vec<_>>()).unwrap();
        assert!(text.contains("--volumes=copy") && text.contains("--image=registry.example/promsafe:1"), "{text}");
        let roles = manifests(&all, OutputFormat::Json).unwrap();
        assert!(roles.contains(r#""resources":["jobs"]"#), "{roles}");
        assert_eq!(job(&line)["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"], 25200);
        let directory = ["--schedule", "@daily", "--store", "/backups", "--store-claim", "x", "--volumes", "copy"];
        assert!(documents(&parse(&directory)).unwrap_err().to_string().contains("s3://"));
    }

    #[test]
    fn pushgateway_is_told_to_the_run() {
        let text = job(&[&S3[..], &["--pushgateway", "http://gate.monitoring:9091"]].concat()).to_string();
        assert!(text.contains("--pushgateway=http://gate.monitoring:9091"), "{text}");
        for wrong in ["gate:9091", "http://me:hunter2@gate"] {
            let refused = documents(&parse(&[&S3[..], &["--pushgateway", wrong]].concat())).unwrap_err();
            assert_eq!(refused.exit(), Exit::Usage);
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn secret_is_named_and_never_held() {
        let job = job(&[&S3[..], &["--credentials-secret", "keys"]].concat());
        let environment = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!(environment[1]["valueFrom"]["secretKeyRef"]["name"], "keys");
        assert_eq!(environment[2]["name"], "AWS_SECRET_ACCESS_KEY");
    }

    #[test]
    fn web_identity_is_an_annotation_of_the_account() {
        let line = [&S3[..], &["--web-identity-role", "arn:aws:iam::1:role/x", "-n", "monitoring"]].concat();
        let all = documents(&parse(&line)).unwrap();
        assert_eq!(all[1].object["metadata"]["annotations"]["eks.amazonaws.com/role-arn"], "arn:aws:iam::1:role/x");
        let both = [&line[..], &["--credentials-secret", "keys"]].concat();
        assert!(Line::try_parse_from(["cronjob"].iter().chain(&both)).is_err());
        let text = all.last().unwrap().object.to_string();
        assert!(text.contains("--namespace=monitoring"), "{text}");
    }
}
