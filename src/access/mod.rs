//! THE table of permissions: which run needs which verbs on which resources, where, and why.
//!
//! Pure. Roles are printed from it, preflight and `doctor` ask the API server for what it says. It lists what the code
//! does and no more: a test runs promsafe with each rule taken away in turn.
//!
//! Facts: RBAC matches `*` against every resource and every subresource (kubernetes `pkg/apis/rbac/v1/evaluation_helpers.go`).
//! So `get` on `*` includes `pods/exec` before Kubernetes 1.35 and `nodes/proxy` always: who only reads is given `list`
//! on `*`, and `get` by name. Discovery and access reviews are open to every authenticated user
//! (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`).

mod copies;
mod roles;
mod table;

pub use roles::{Account, Copies, Role, RoleRule, roles};

/// Every permission promsafe needs.
pub const TABLE: &[Permission] = &joined();

/// Both parts of the table.
const fn joined() -> [Permission; table::ROWS.len() + copies::ROWS.len()] {
    let mut all = [table::READ; table::ROWS.len() + copies::ROWS.len()];
    let mut row = 0;
    while row < all.len() {
        let of_copies = row >= table::ROWS.len();
        all[row] = if of_copies { copies::ROWS[row - table::ROWS.len()] } else { table::ROWS[row] };
        row += 1;
    }
    all
}

/// Everything, as RBAC spells it.
pub const ANY: &str = "*";

/// What promsafe is run for. Each has a role of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Run {
    /// `promsafe backup`, and `discover`.
    Backup,
    /// `promsafe restore`.
    Restore,
    /// `promsafe doctor`.
    Doctor,
}

impl Run {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Backup, Self::Restore, Self::Doctor];

    /// The command's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Doctor => "doctor",
        }
    }
}

/// Where a permission is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In the namespaces that are saved or restored; when none are named, everywhere.
    Captured,
    /// Resources outside of namespaces.
    Cluster,
    /// Resources in namespaces, in all of them, also when some are named.
    Everywhere,
    /// In the namespace promsafe itself runs in.
    Own,
}

/// When a run needs a permission, and who finds out that it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Always. The run begins with reading this and ends there when it may not.
    Reading,
    /// When what is saved names it, as far as the cluster serves it.
    Named,
    /// As far as its plan says, which preflight asks object by object.
    Plan,
    /// When volumes are snapshotted, or claims come back from snapshots.
    Snapshots,
    /// When volumes are copied to the store, or claims filled from copies. Only roles that are asked for it have it.
    Copy,
    /// When a Prometheus is asked what it holds.
    Fingerprint,
    /// When a Prometheus demands a login.
    Login,
    /// When a webhook or an `APIService` is restored, which waits for its backend.
    Endpoints,
    /// When it takes, or looks at, the run lock.
    Lock,
    /// With `doctor --snapshot-test`.
    SnapshotTest,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Permission {
    /// Who needs it.
    pub runs: &'static [Run],
    /// When.
    pub need: Need,
    /// Where.
    pub place: Place,
    /// API group, empty for core, [`ANY`] for all.
    pub group: &'static str,
    /// Plural resource names, with `/subresource` where that is meant, or [`ANY`].
    pub resources: &'static [&'static str],
    /// Names of the objects; empty means all.
    pub names: &'static [&'static str],
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Why.
    pub because: &'static str,
}

/// A single thing that a run does, as an access review asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    /// Verb.
    pub verb: &'static str,
    /// API group, empty for core; [`ANY`] for all.
    pub group: &'static str,
    /// Plural resource name; [`ANY`] for all.
    pub resource: &'static str,
    /// Subresource, such as `proxy`.
    pub subresource: Option<&'static str>,
    /// Name of the object, when only one is meant.
    pub name: Option<&'static str>,
    /// In which namespace; `None` for all of them or cluster-scoped resources.
    pub namespace: Option<String>,
    /// Why it is needed.
    pub because: &'static str,
}

/// Where a run works.
#[derive(Debug, Clone, Copy, Default)]
pub struct Where<'a> {
    /// The namespaces that are saved or restored; empty means everywhere.
    pub captured: &'a [String],
    /// The namespace promsafe runs in; `None` when it is not known, and then what is needed there is left out.
    pub own: Option<&'a str>,
}

impl Where<'_> {
    /// The namespaces of a place; `None` stands for all of them, or for none at all.
    fn namespaces(&self, place: Place) -> Vec<Option<String>> {
        match place {
            Place::Cluster | Place::Everywhere => vec![None],
            Place::Captured if self.captured.is_empty() => vec![None],
            Place::Captured => self.captured.iter().cloned().map(Some).collect(),
            Place::Own => self.own.iter().map(|own| Some((*own).to_owned())).collect(),
        }
    }
}

/// What a run does, one by one: the rows of the table with one of these needs.
pub fn accesses<'a>(run: Run, needs: &'a [Need], at: Where<'a>) -> impl Iterator<Item = Needed> + 'a {
    let rows = TABLE.iter().filter(move |row| row.runs.contains(&run) && needs.contains(&row.need));
    rows.flat_map(move |row| {
        at.namespaces(row.place).into_iter().flat_map(move |namespace| single(row, namespace.as_deref()))
    })
}

/// A row in one namespace.
fn single(row: &'static Permission, namespace: Option<&str>) -> Vec<Needed> {
    let names: Vec<Option<&str>> =
        if row.names.is_empty() { vec![None] } else { row.names.iter().copied().map(Some).collect() };
    let mut all = Vec::new();
    for resource in row.resources {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource)),
            None => (*resource, None),
        };
        for name in &names {
            all.extend(row.verbs.iter().map(|verb| Needed {
                verb,
                group: row.group,
                resource,
                subresource,
                name: *name,
                namespace: namespace.map(str::to_owned),
                because: row.because,
            }));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::RULES;

    fn needed(run: Run, need: Need, captured: &[&str], own: Option<&str>) -> Vec<String> {
        let captured: Vec<String> = captured.iter().map(|&namespace| namespace.to_owned()).collect();
        let told = |needed: Needed| {
            let place = needed.namespace.unwrap_or_else(|| "-".to_owned());
            let subresource = needed.subresource.map_or_else(String::new, |subresource| format!("/{subresource}"));
            format!("{} {}{subresource} {place}", needed.verb, needed.resource)
        };
        accesses(run, &[need], Where { captured: &captured, own }).map(told).collect()
    }

    #[test]
    fn rows_are_asked_for_in_every_namespace_they_are_needed_in() {
        assert_eq!(needed(Run::Backup, Need::Fingerprint, &["a", "b"], None), ["get pods/proxy a", "get pods/proxy b"]);
        assert_eq!(needed(Run::Backup, Need::Fingerprint, &[], None), ["get pods/proxy -"]);
        assert!(needed(Run::Backup, Need::Snapshots, &["a"], None).contains(&"create volumesnapshots a".to_owned()));
        assert!(needed(Run::Backup, Need::Lock, &["a"], None).is_empty());
        assert!(needed(Run::Backup, Need::Lock, &["a"], Some("own")).contains(&"create leases own".to_owned()));
    }

    #[test]
    fn everything_the_rules_of_a_backup_look_at_may_be_listed_and_restored() {
        for rule in RULES {
            let lower = rule.kind.1.to_lowercase();
            let plural = if lower.ends_with('s') { format!("{lower}es") } else { format!("{lower}s") };
            let may = |run, verb, narrow: &[Place]| {
                TABLE.iter().any(|row| {
                    let same = row.group == rule.kind.0 && row.resources.contains(&plural.as_str());
                    row.runs.contains(&run) && narrow.contains(&row.place) && same && row.verbs.contains(&verb)
                })
            };
            assert!(may(Run::Backup, "list", &[Place::Cluster, Place::Everywhere]), "no row lets backup list {plural}");
            assert!(may(Run::Doctor, "list", &[Place::Cluster, Place::Everywhere]), "no row lets doctor list {plural}");
            let namespaced = ["roles", "rolebindings"].contains(&plural.as_str());
            assert!(
                namespaced || may(Run::Restore, "create", &[Place::Cluster]),
                "no row lets restore create {plural}"
            );
        }
    }

    #[test]
    fn whoever_only_reads_has_no_get_on_everything() {
        for row in TABLE.iter().filter(|row| row.resources.contains(&ANY) && !row.runs.contains(&Run::Restore)) {
            assert_eq!(row.verbs, ["list"], "{}", row.because);
        }
    }

    #[test]
    fn every_row_is_whole() {
        for row in TABLE {
            let told = format!("{} {:?}", row.group, row.resources);
            assert!(!row.runs.is_empty() && !row.resources.is_empty() && !row.verbs.is_empty(), "{told}");
            assert!(!row.because.is_empty() && !row.because.ends_with('.'), "{told}");
            // The API server knows no name when it judges a create or a list.
            let nameless = row.verbs.iter().any(|verb| ["create", "list", "watch"].contains(verb));
            assert!(row.names.is_empty() || !nameless, "{told}");
            assert_eq!(row.group == ANY, row.resources == [ANY], "{told}");
        }
    }
}
