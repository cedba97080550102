//! From the table of permissions to roles: what goes into one role, and what another rule of it says already.

use super::{ANY, Need, Permission, Place, Run, TABLE};

/// Who is given the roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name of the service account.
    pub name: String,
    /// Its namespace: the one promsafe runs in.
    pub namespace: String,
}

/// The namespace promsafe runs in, unless told otherwise.
const HOME: &str = "promsafe";

impl Account {
    /// The account of a run, where nothing else is asked for. Each run has its own: who backs up every night should not be
    /// able to restore.
    pub fn of(run: Run) -> Self {
        Self { name: format!("promsafe-{}", run.name()), namespace: HOME.to_owned() }
    }

    /// Name of the roles and bindings of this account for a run. Two accounts never share one: they may differ in which
    /// namespaces they see.
    fn role_name(&self, run: Run) -> String {
        let plain = format!("promsafe-{}", run.name());
        if *self == Self::of(run) { plain } else { format!("{plain}:{}:{}", self.namespace, self.name) }
    }
}

/// A rule of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRule {
    /// API group, empty for core.
    pub group: &'static str,
    /// Plural resource names.
    pub resources: Vec<&'static str>,
    /// Names of the objects; empty means all.
    pub names: Vec<&'static str>,
    /// Verbs.
    pub verbs: Vec<&'static str>,
    /// Why.
    pub because: &'static str,
}

/// A role and where it holds. It is bound by a binding of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its namespace; `None` is a `ClusterRole`.
    pub namespace: Option<String>,
    /// What it is for, in words.
    pub purpose: String,
    /// Its rules.
    pub rules: Vec<RoleRule>,
}

/// Whether roles let volumes be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// They do: Jobs, their Secrets and claims may be made and deleted.
    Allowed,
    /// They do not.
    Left,
}

/// The roles of a run. Without namespaces one for the whole cluster, else a small one for the cluster and one in each of
/// them; and one in the account's own namespace.
pub fn roles(run: Run, namespaces: &[String], account: &Account, copies: Copies) -> Vec<Role> {
    let rules = |places: &[Place]| rules(run, places, copies);
    let name = account.role_name(run);
    let command = format!("promsafe {}", run.name());
    let mut all = Vec::new();
    if namespaces.is_empty() {
        let places = [Place::Captured, Place::Cluster, Place::Everywhere];
        let purpose = format!("What {command} does in the whole cluster.");
        all.push(Role { name: name.clone(), namespace: None, purpose, rules: rules(&places) });
    } else {
        let purpose = format!("What {command} does outside of the namespaces it is given. It reads no Secret there.");
        let rules_outside = rules(&[Place::Cluster, Place::Everywhere]);
        all.push(Role { name: name.clone(), namespace: None, purpose, rules: rules_outside });
        for namespace in namespaces {
            let purpose = format!("What {command} does in namespace {namespace}.");
            let rules = rules(&[Place::Captured]);
            all.push(Role { name: name.clone(), namespace: Some(namespace.clone()), purpose, rules });
        }
    }
    let own = rules(&[Place::Own]);
    let purpose = format!("What {command} does in the namespace it runs in.");
    all.push(Role { name: format!("{name}-own"), namespace: Some(account.namespace.clone()), purpose, rules: own });
    all.retain(|role| !role.rules.is_empty());
    all
}

/// The rules of one role: rows of these places, less what a rule before says already.
fn rules(run: Run, places: &[Place], copies: Copies) -> Vec<RoleRule> {
    let mut rules: Vec<RoleRule> = Vec::new();
    let is_asked = |row: &&Permission| row.need != Need::Copy || copies == Copies::Allowed;
    for row in TABLE.iter().filter(|row| row.runs.contains(&run) && places.contains(&row.place)).filter(is_asked) {
        let is_new = |verb: &&'static str| !row.resources.iter().all(|resource| granted(&rules, row, resource, verb));
        let verbs: Vec<&str> = row.verbs.iter().copied().filter(is_new).collect();
        if !verbs.is_empty() {
            let (resources, names) = (row.resources.to_vec(), row.names.to_vec());
            rules.push(RoleRule { group: row.group, resources, names, verbs, because: row.because });
        }
    }
    rules
}

fn granted(rules: &[RoleRule], row: &Permission, resource: &str, verb: &str) -> bool {
    rules.iter().filter(|rule| rule.names.is_empty() && rule.verbs.contains(&verb)).any(|rule| {
        let everything = rule.group == ANY && rule.resources.contains(&ANY);
        everything || rule.group == row.group && rule.resources.contains(&resource)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(run: Run, namespaces: &[&str]) -> Vec<Role> {
        let namespaces: Vec<String> = namespaces.iter().map(|&namespace| namespace.to_owned()).collect();
        roles(run, &namespaces, &Account::of(run), Copies::Left)
    }

    fn copying(run: Run, namespaces: &[&str]) -> Vec<Role> {
        let namespaces: Vec<String> = namespaces.iter().map(|&namespace| namespace.to_owned()).collect();
        roles(run, &namespaces, &Account::of(run), Copies::Allowed)
    }

    /// Whether a role grants it.
    fn grants(role: &Role, verb: &str, group: &str, resource: &str) -> bool {
        role.rules.iter().any(|rule| {
            let everything = rule.group == ANY;
            rule.verbs.contains(&verb) && (everything || rule.group == group && rule.resources.contains(&resource))
        })
    }

    #[test]
    fn cluster_role_of_named_namespaces_reads_no_secret() {
        for run in Run::ALL {
            let roles = of(run, &["monitoring"]);
            let [cluster, monitoring, ..] = roles.as_slice() else { panic!("{roles:?}") };
            assert_eq!((&cluster.namespace, monitoring.namespace.as_deref()), (&None, Some("monitoring")));
            for verb in ["get", "list", "watch", "create"] {
                assert!(!grants(cluster, verb, "", "secrets"), "{run:?} may {verb} secrets");
            }
            assert!(grants(monitoring, if run == Run::Restore { "get" } else { "list" }, "", "secrets"));
        }
    }

    #[test]
    fn no_rule_says_what_another_says() {
        for run in Run::ALL {
            let copying = copying(run, &[]).into_iter().chain(copying(run, &["a"]));
            for role in of(run, &[]).into_iter().chain(of(run, &["a"])).chain(copying) {
                for (index, rule) in role.rules.iter().enumerate() {
                    for verb in &rule.verbs {
                        let mut others = role.clone();
                        others.rules.remove(index);
                        let all = rule.resources.iter().all(|resource| grants(&others, verb, rule.group, resource));
                        assert!(!all || !rule.names.is_empty(), "{}: {verb} {:?} is granted twice", role.name, rule);
                    }
                }
            }
        }
    }

    #[test]
    fn only_a_restore_may_escalate_and_only_a_backup_may_retain() {
        let may = |run, verb: &str| of(run, &[]).iter().any(|role| role.rules.iter().any(|r| r.verbs.contains(&verb)));
        assert!(may(Run::Restore, "escalate") && !may(Run::Backup, "escalate") && !may(Run::Doctor, "escalate"));
        assert!(!of(Run::Restore, &[]).iter().any(|role| grants(
            role,
            "patch",
            "snapshot.storage.k8s.io",
            "volumesnapshotcontents"
        )));
    }

    #[test]
    fn only_roles_that_are_asked_for_it_make_jobs_and_secrets() {
        let may = |roles: &[Role], verb, group, resource| roles.iter().any(|role| grants(role, verb, group, resource));
        for (verb, group, resource) in
            [("create", "batch", "jobs"), ("create", "", "secrets"), ("delete", "", "secrets")]
        {
            assert!(!may(&of(Run::Backup, &[]), verb, group, resource), "{verb} {resource}");
            assert!(may(&copying(Run::Backup, &[]), verb, group, resource), "{verb} {resource}");
        }
        assert!(!may(&of(Run::Restore, &[]), "delete", "batch", "jobs"));
        assert!(may(&copying(Run::Restore, &["a"]), "delete", "batch", "jobs"));
        assert_eq!(copying(Run::Doctor, &[]), of(Run::Doctor, &[]));
    }

    #[test]
    fn roles_of_two_accounts_have_two_names() {
        let other = Account { name: "x".to_owned(), namespace: "team".to_owned() };
        assert_eq!(other.role_name(Run::Backup), "promsafe-backup:team:x");
        assert_eq!(Account::of(Run::Backup).role_name(Run::Backup), "promsafe-backup");
        assert_ne!(Account::of(Run::Backup).role_name(Run::Restore), Account::of(Run::Restore).role_name(Run::Restore));
    }
}
