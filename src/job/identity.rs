//! As whom a volume's files are read and written: as the pods that use it. Root is nobody that a restricted namespace
//! admits, and an image's own user is not known: then it is nobody's user, with the volume given to his group.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Task;
use crate::model::{CopyRecord, Placement};
use crate::mounting::container_that_mounts;

/// User and group of nobody on any node.
const NOBODY: i64 = 65534;

/// As whom a volume's files are read and written, and where such a pod may run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    /// User id of the pods; `None` when it is the image's own, 0 for root.
    pub run_as_user: Option<i64>,
    /// Group id of the pods, if it is said.
    pub run_as_group: Option<i64>,
    /// Group that owns the volume, if it is said.
    pub fs_group: Option<i64>,
    pub(super) supplemental_groups: Vec<i64>,
    pub(super) selinux_level: Option<String>,
    /// Where they run.
    pub placement: Placement,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Security {
    run_as_user: Option<i64>,
    run_as_group: Option<i64>,
    fs_group: Option<i64>,
    supplemental_groups: Vec<i64>,
    se_linux_options: Option<SeLinux>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SeLinux {
    level: Option<String>,
}

impl Security {
    /// That of a container or of a pod's spec.
    fn of(value: &Value) -> Self {
        Self::deserialize(&value["securityContext"]).unwrap_or_default()
    }
}

impl Identity {
    /// That of the container that mounts the claim in a pod given as JSON; a container's own words come before its pod's.
    pub fn of_pod(pod: &str, claim: &str) -> Self {
        let pod: Value = serde_json::from_str(pod).unwrap_or_default();
        let container = container_that_mounts(&pod, claim).map(Security::of).unwrap_or_default();
        let (placement, pod) = (Placement::deserialize(&pod["spec"]).unwrap_or_default(), Security::of(&pod["spec"]));
        let selinux = container.se_linux_options.or(pod.se_linux_options);
        Self {
            run_as_user: container.run_as_user.or(pod.run_as_user),
            run_as_group: container.run_as_group.or(pod.run_as_group),
            fs_group: pod.fs_group,
            supplemental_groups: pod.supplemental_groups,
            selinux_level: selinux.and_then(|options| options.level),
            placement,
        }
    }

    /// That of a copy.
    pub fn of_copy(copy: &CopyRecord) -> Self {
        let (run_as_user, run_as_group, fs_group) = (copy.run_as_user, copy.run_as_group, copy.fs_group);
        Self { run_as_user, run_as_group, fs_group, placement: copy.placement.clone(), ..Self::default() }
    }

    /// Why its own user is not the one that is used, if so.
    pub fn stand_in(&self) -> Option<String> {
        let because = match self.run_as_user {
            Some(0) => "its pods run as root, which no restricted namespace admits",
            None => "the user of its pods is not known: runAsUser is not set, or no pod mounts it",
            Some(_) => return None,
        };
        Some(format!("{because}; it is user {NOBODY}, with the group of the volume"))
    }

    fn user(&self) -> Option<i64> {
        self.run_as_user.filter(|user| *user != 0)
    }

    /// The security context of a pod that reads the volume as its own pods do, or that fills it for them.
    pub(super) fn security_context(&self, task: Task) -> Value {
        let mut context = json!({
            "runAsNonRoot": true,
            "runAsUser": self.user().unwrap_or(NOBODY),
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        if let Some(group) = self.run_as_group.or_else(|| self.user().is_none().then_some(NOBODY)) {
            context["runAsGroup"] = json!(group);
        }
        // A fresh volume is root's: only by its group can anybody else write to it.
        let own = self.run_as_group.or(self.user()).filter(|_| task == Task::Fill || self.user().is_none());
        let nobody = self.user().is_none().then_some(NOBODY);
        if let Some(group) = self.fs_group.or(own).or(nobody) {
            context["fsGroup"] = json!(group);
            // Else the kubelet would walk through all files of a large volume for nothing.
            context["fsGroupChangePolicy"] = json!("OnRootMismatch");
        }
        if !self.supplemental_groups.is_empty() {
            context["supplementalGroups"] = json!(self.supplemental_groups);
        }
        if let Some(level) = &self.selinux_level {
            context["seLinuxOptions"] = json!({"level": level});
        }
        context
    }

    /// Adds where such a pod may run, and how its image is pulled.
    pub(super) fn place(&self, pod: &mut Value) {
        if let (Some(pod), Value::Object(placement)) = (pod.as_object_mut(), json!(self.placement)) {
            pod.extend(placement);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pod: &Value, container: &Value) -> Identity {
        let pod = json!({"spec": {
            "securityContext": pod,
            "containers": [{"name": "other", "securityContext": {"runAsUser": 7}},
                {"name": "prometheus", "securityContext": container, "volumeMounts": [{"name": "db"}]}],
            "volumes": [{"name": "config", "secret": {}}, {"name": "db", "persistentVolumeClaim": {"claimName": "db-0"}}],
            "tolerations": [{"key": "monitoring", "operator": "Exists"}],
            "nodeSelector": {"zone": "a"},
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}, "podAntiAffinity": {}},
            "imagePullSecrets": [{"name": "registry"}],
        }});
        Identity::of_pod(&pod.to_string(), "db-0")
    }

    #[test]
    fn container_that_mounts_the_claim_speaks_before_its_pod() {
        let identity =
            of(&json!({"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000}), &json!({"runAsUser": 1001}));
        assert_eq!(
            (identity.run_as_user, identity.run_as_group, identity.fs_group),
            (Some(1001), Some(3000), Some(2000))
        );
        assert_eq!(identity.stand_in(), None);
        let context = identity.security_context(Task::Save);
        assert_eq!(
            (&context["runAsUser"], &context["runAsGroup"], &context["fsGroup"]),
            (&json!(1001), &json!(3000), &json!(2000))
        );
    }

    #[test]
    fn worker_runs_where_the_pods_of_its_volume_do_and_keeps_no_distance_to_them() {
        let place = |identity: Identity| {
            let mut spec = json!({});
            identity.place(&mut spec);
            spec
        };
        let spec = place(of(&json!({}), &json!({})));
        let expected = json!({
            "tolerations": [{"key": "monitoring", "operator": "Exists"}],
            "nodeSelector": {"zone": "a"},
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}},
            "imagePullSecrets": [{"name": "registry"}],
        });
        assert_eq!(spec, expected);
        assert_eq!(place(Identity::default()), json!({}));
    }

    #[test]
    fn root_and_unknown_users_are_nobody_with_the_group_of_the_volume() {
        let root = of(&json!({"runAsUser": 0}), &json!(null));
        assert!(root.stand_in().unwrap().contains("root"));
        for identity in [root, Identity::default()] {
            let context = identity.security_context(Task::Save);
            assert_eq!(
                (&context["runAsUser"], &context["fsGroup"], &context["runAsNonRoot"]),
                (&json!(65534), &json!(65534), &json!(true))
            );
        }
    }

    #[test]
    fn volume_that_is_filled_always_gets_a_group_and_one_that_is_read_only_its_own() {
        let without_group = of(&json!({"runAsUser": 1000}), &json!({}));
        assert_eq!(without_group.security_context(Task::Save)["fsGroup"], json!(null));
        assert_eq!(without_group.security_context(Task::Fill)["fsGroup"], json!(1000));
        assert_eq!(without_group.security_context(Task::Fill)["runAsGroup"], json!(null));
    }
}
