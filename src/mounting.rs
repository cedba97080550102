//! Which container of a pod mounts a claim, and whether its data is on it.

use std::path::Path;

use serde_json::Value;

use crate::container::Arguments;
use crate::data_directory::{AGENT_FLAG, RULER_FLAG, TSDB_FLAG};

/// The container, as it stands in the pod's JSON.
pub fn container_that_mounts<'a>(pod: &'a Value, claim: &str) -> Option<&'a Value> {
    let is_it = |volume: &&Value| volume.pointer("/persistentVolumeClaim/claimName").is_some_and(|name| name == claim);
    let volume = items(pod, "/spec/volumes").find(is_it)?;
    items(pod, "/spec/containers")
        .find(|container| items(container, "/volumeMounts").any(|mount| mount["name"] == volume["name"]))
}

/// Whether the flags of a pod, given as JSON, say that its data lies on another claim than this. Where they say nothing that
/// is understood, such as a relative path, it may lie on this one; and where it lies on no claim, it should perhaps.
pub fn keeps_data_on_another_claim(pod: &str, claim: &str) -> bool {
    let pod: Value = serde_json::from_str(pod).unwrap_or_default();
    let claim_of = |volume: &str| {
        let named = items(&pod, "/spec/volumes").find(|one| one["name"] == volume)?;
        named.pointer("/persistentVolumeClaim/claimName")?.as_str()
    };
    let mut claims = items(&pod, "/spec/containers").filter_map(data_volume).filter_map(claim_of).peekable();
    claims.peek().is_some() && claims.all(|other| other != claim)
}

/// The volume that a container's flags name a path on: that of the innermost mount.
fn data_volume(container: &Value) -> Option<&str> {
    let words = ["/command", "/args"].into_iter().flat_map(|part| items(container, part)).filter_map(Value::as_str);
    let arguments = Arguments::new(words);
    let path = Path::new([TSDB_FLAG, AGENT_FLAG, RULER_FLAG].iter().find_map(|flag| arguments.value(flag))?);
    let mounts = items(container, "/volumeMounts").filter_map(|mount| Some((mount["mountPath"].as_str()?, mount)));
    let (_, mount) = mounts.filter(|(at, _)| path.starts_with(at)).max_by_key(|(at, _)| at.len())?;
    mount["name"].as_str()
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(args: &[&str]) -> String {
        json!({"spec": {
            "volumes": [
                {"name": "db", "persistentVolumeClaim": {"claimName": "db-0"}},
                {"name": "rules", "persistentVolumeClaim": {"claimName": "rules"}},
                {"name": "out", "emptyDir": {}},
            ],
            "containers": [
                {"name": "sidecar", "args": ["sidecar", "--tsdb.path=/out"], "volumeMounts": [{"name": "out", "mountPath": "/out"}]},
                {"name": "prometheus", "args": args, "volumeMounts": [
                    {"name": "out", "mountPath": "/"},
                    {"name": "db", "mountPath": "/prometheus", "subPath": "prometheus-db"},
                    {"name": "rules", "mountPath": "/prometheus/rules"},
                ]},
            ],
        }})
        .to_string()
    }

    #[test]
    fn data_is_where_the_flags_of_the_pod_say() {
        for (args, of_db, of_rules) in [
            (&["--storage.tsdb.path=/prometheus"][..], false, true),
            (&["--storage.agent.path", "/prometheus/wal"], false, true),
            (&["rule", "--data-dir=/prometheus/rules/data"], true, false),
            (&["--storage.tsdb.path=/prometheus-2"], false, false),
            (&["--storage.tsdb.path=data"], false, false),
            (&[], false, false),
        ] {
            let pod = pod(args);
            assert_eq!(
                [keeps_data_on_another_claim(&pod, "db-0"), keeps_data_on_another_claim(&pod, "rules")],
                [of_db, of_rules],
                "{args:?}"
            );
        }
        assert!(!keeps_data_on_another_claim("", "db-0"));
    }
}
