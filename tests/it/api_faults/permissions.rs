//! What RBAC refuses, by a token that may do less.

use std::fmt::Write as _;
use std::time::Duration;

use promsafe::access::{self, Account, Run};
use promsafe::cluster::Access;
use tokio::time::Instant;

use super::{LOST, RESTORE, Stack, created};
use crate::support::control_plane::{ControlPlane, User};

/// Groups of namespaced kinds besides the core.
const GROUPS: &str = "apps, autoscaling, batch, coordination.k8s.io, discovery.k8s.io, events.k8s.io, \
                      monitoring.coreos.com, networking.k8s.io, policy, rbac.authorization.k8s.io, resource.k8s.io, \
                      snapshot.storage.k8s.io, storage.k8s.io";
/// Namespaced kinds of the core, but for Secrets and Services.
const CORE: &str = "configmaps, endpoints, events, limitranges, persistentvolumeclaims, pods, podtemplates, \
                    replicationcontrollers, resourcequotas, serviceaccounts";

/// A rule of a role.
fn rule(groups: &str, resources: &str, verbs: &str) -> String {
    format!("- {{apiGroups: [{groups}], resources: [{resources}], verbs: [{verbs}]}}\n")
}

/// Grants rules to the restricted user, in both namespaces of a stack.
fn grant(stack: &Stack<'_>, name: &str, rules: &str) {
    let api = "apiVersion: rbac.authorization.k8s.io/v1";
    let mut text = format!("{api}\nkind: ClusterRole\nmetadata: {{name: N-{name}}}\nrules:\n{rules}");
    for namespace in ["N-monitoring", "N-apps"] {
        write!(
            text,
            "---\n{api}\nkind: RoleBinding\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: N-{name}}}\n\
             subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: restricted}}]\n"
        )
        .unwrap();
    }
    stack.control_plane.apply(&stack.named(&text));
}

/// Lets the restricted user read what a backup and a restore read outside of namespaces. It may stay, since no test forbids that.
fn let_read_the_cluster(stack: &Stack<'_>) {
    let printed = access::roles(Run::Backup, &[String::new()], &Account::of(Run::Backup), access::Copies::Left);
    let rules = printed[0].rules.iter();
    let quoted = |group: &str| if group.is_empty() { "''".to_owned() } else { group.to_owned() };
    let rules: Vec<String> =
        rules.map(|one| rule(&quoted(one.group), &one.resources.join(", "), "get, list")).collect();
    let api = "apiVersion: rbac.authorization.k8s.io/v1";
    stack.control_plane.apply(&format!(
        "{api}\nkind: ClusterRole\nmetadata: {{name: restricted-reads}}\nrules:\n{}---\n\
         {api}\nkind: ClusterRoleBinding\nmetadata: {{name: restricted-reads}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: restricted-reads}}\n\
         subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: restricted}}]\n",
        rules.concat()
    ));
}

/// Waits until what was granted has come through.
async fn wait_until_allowed(stack: &Stack<'_>, verb: &str, group: &str, resource: &str, namespace: Option<&str>) {
    let restricted = stack.control_plane.cluster_as(User::Restricted).await;
    let access = Access {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: None,
        namespace: namespace.map(|namespace| stack.named(namespace)),
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !restricted.allowed(&access).await.unwrap() {
        assert!(Instant::now() < deadline, "{access} never took effect");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn backup_that_may_not_list_one_kind_is_code_4_and_leaves_nothing() {
    let stack = Stack::on(ControlPlane::shared().await, "unlisted");
    let_read_the_cluster(&stack);
    grant(
        &stack,
        "reads",
        &[rule(GROUPS, "'*'", "get, list"), rule("''", &format!("{CORE}, services"), "get, list")].concat(),
    );
    wait_until_allowed(&stack, "list", "apiregistration.k8s.io", "apiservices", None).await;
    wait_until_allowed(&stack, "list", "", "services", Some("N-apps")).await;
    let restricted = stack.promsafe.clone().with_kubeconfig(&stack.control_plane.kubeconfig(User::Restricted));
    let ended = restricted.run(&stack.backup()).await;
    ended.failed(4, &["not allowed to list secrets in namespace unlisted-", "nothing was changed", "permissions"]);
    assert_eq!(stack.files(), 0);

    grant(&stack, "reads-secrets", &rule("''", "secrets", "get, list"));
    wait_until_allowed(&stack, "list", "", "secrets", Some("N-apps")).await;
    wait_until_allowed(&stack, "list", "", "secrets", Some("N-monitoring")).await;
    restricted.run(&stack.backup()).await.with(0);
}

#[tokio::test]
async fn restore_that_may_not_create_one_kind_is_code_4_and_creates_nothing() {
    let stack = Stack::on(ControlPlane::shared().await, "uncreated");
    stack.back_up().await;
    stack.lose();
    let_read_the_cluster(&stack);
    let cluster_scoped = "clusterroles, clusterrolebindings, roles, rolebindings";
    grant(
        &stack,
        "writes",
        &[
            rule("''", &format!("{CORE}, secrets"), "get, create"),
            rule("''", "services", "get"),
            rule("monitoring.coreos.com", "'*'", "get, create"),
            rule("rbac.authorization.k8s.io", cluster_scoped, "get, create, escalate, bind"),
        ]
        .concat(),
    );
    wait_until_allowed(&stack, "create", "", "secrets", Some("N-apps")).await;
    wait_until_allowed(&stack, "get", "", "services", Some("N-monitoring")).await;
    let restricted = stack.promsafe.clone().with_kubeconfig(&stack.control_plane.kubeconfig(User::Restricted));
    let ended = restricted.run("restore --include-cluster-scoped").await.with(4);
    ended
        .says(&["no permission to create services in namespace uncreated-monitoring", "grant the verb create"])
        .says(&[
            "no permission to create clusterroles.rbac.authorization.k8s.io at cluster scope",
            "nothing was changed",
        ])
        .never_says(&["create secrets", "create configmaps"]);
    assert_eq!(stack.versions(), "");

    grant(&stack, "writes-services", &rule("''", "services", "create"));
    wait_until_allowed(&stack, "create", "", "services", Some("N-monitoring")).await;
    // The two of the cluster, which this user still may not create, are there.
    stack.control_plane.apply(&stack.named(super::CLUSTER_SCOPED));
    let ended = restricted.run(RESTORE).await.with(0);
    created(&ended, LOST - 2);
}
