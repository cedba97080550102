//! Names of all files in the store and in the bundle; nothing else builds a path. Knows no storage and reads nothing.
//! `docs/format.md` is its twin.

use jiff::Timestamp;

use crate::model::{BackupId, ObjectKey, Sha256, StoreLockKind, StoreSign};

/// Name of the record inside a backup's directory: written last, present means complete.
pub const RECORD: &str = "backup.json";

/// Name of the bundle of all captured objects inside a backup's directory.
pub const BUNDLE: &str = "manifests.tar.gz";

/// Name of the inventory inside the bundle: its last entry.
pub const INVENTORY: &str = "inventory.json";

/// Name of the list of what was left out, inside the bundle.
pub const LEFT_OUT: &str = "left-out.json";

/// Path of the file that tells this store from all others.
pub const STORE: &str = "store.json";

/// What every backup's directory begins with.
pub const BACKUPS: &str = "backups/";

/// What the pieces and trees of copied volumes begin with.
pub const DATA: &str = "data/";

/// What the signs of life of runs that use a store begin with.
pub const LOCKS: &str = "locks/";

/// What the lists of pieces that are to be removed begin with.
pub const MARKS: &str = "marks/";

/// What the names of files in a directory begin with before they are whole.
pub const UNFINISHED: &str = ".unfinished-";

/// What the names of probes begin with.
pub const PROBES: &str = "probes/";

/// What the paths of all files of a store begin with; a slash ends a directory.
pub const PLACES: [&str; 6] = [BACKUPS, DATA, LOCKS, MARKS, PROBES, UNFINISHED];

/// How a time stands in the name of a mark or probe.
const NAME_TIME: &str = "%Y%m%dT%H%M%SZ";
/// What the names of marks end with.
const MARK_END: &str = ".jsonl";

const CLUSTER: &str = "cluster";
const NAMESPACES: &str = "namespaces";
const CORE: &str = "core";
const JSON: &str = ".json";

/// A name that cannot be part of a path.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// A part of an object's identity that would not survive the way into a path and back.
    #[error("name a file for {object}: {part:?} cannot be part of a path")]
    UnfitObject {
        /// The object, as `Kind namespace/name`.
        object: String,
        /// The offending part.
        part: String,
    },
    /// A name no file of a backup may have.
    #[error("name a file of a backup: {name:?} is not made of letters, digits, '.', '_' and '-', or is taken")]
    UnfitFile {
        /// The name asked for.
        name: String,
    },
}

/// An object's identity as far as its path in the bundle tells it: all but the kind, which stands in its JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPath {
    /// Namespace, `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    /// API group, empty for the core group.
    pub group: String,
    /// The resource's plural name.
    pub plural: String,
    /// Name of the object.
    pub name: String,
}

impl ObjectPath {
    /// The object's key, once its kind is known.
    pub fn with_kind(self, kind: String) -> ObjectKey {
        ObjectKey { namespace: self.namespace, group: self.group, kind, plural: self.plural, name: self.name }
    }
}

/// `backups/<id>/`: what every file of a backup begins with.
pub fn backup_prefix(id: &BackupId) -> String {
    format!("{BACKUPS}{id}/")
}

/// `backups/<id>/backup.json`.
pub fn record_path(id: &BackupId) -> String {
    format!("{BACKUPS}{id}/{RECORD}")
}

/// `backups/<id>/<name>` for a file beside the record.
///
/// # Errors
/// When the name is the record's own, is hidden, or holds anything but letters, digits, `.`, `_` and `-`.
pub fn file_path(id: &BackupId, name: &str) -> Result<String, LayoutError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name == RECORD || name.starts_with('.') || !name.chars().all(plain) {
        return Err(LayoutError::UnfitFile { name: name.to_owned() });
    }
    Ok(format!("{BACKUPS}{id}/{name}"))
}

/// `data/<aa>/<sha256>`: a piece or a tree. `<aa>` are its first two digits.
pub fn data_path(sha256: &Sha256) -> String {
    let text = sha256.to_string();
    format!("{DATA}{}/{text}", &text[..2])
}

/// The hash a path in the store stands for; `None` for strangers.
pub fn parse_data_path(path: &str) -> Option<Sha256> {
    let (directory, name) = path.strip_prefix(DATA)?.split_once('/')?;
    let sha256 = name.parse().ok()?;
    name.starts_with(directory).then_some(sha256).filter(|_| directory.len() == 2)
}

/// `locks/<kind>-<run>-<sequence>`: a sign of life.
pub fn sign_path(sign: &StoreSign) -> String {
    format!("{LOCKS}{}-{}-{}", sign.kind, sign.run, sign.sequence)
}

/// The sign of life a path in the store stands for; `None` for strangers.
pub fn parse_sign_path(path: &str) -> Option<StoreSign> {
    let (kind, rest) = path.strip_prefix(LOCKS)?.split_once('-')?;
    let (run, sequence) = rest.rsplit_once('-')?;
    let kind = [StoreLockKind::Use, StoreLockKind::Prune].into_iter().find(|known| known.as_str() == kind)?;
    let plain = !run.is_empty() && run.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    plain.then_some(StoreSign { kind, run: run.to_owned(), sequence: sequence.parse().ok()? })
}

/// `marks/<time>-<sha256>.jsonl`: what nothing referred to at that time; named by the SHA-256 of its bytes.
pub fn mark_path(at: Timestamp, sha256: &Sha256) -> String {
    format!("{MARKS}{}-{sha256}{MARK_END}", at.strftime(NAME_TIME))
}

/// The time and the hash of the mark a path in the store stands for; `None` for strangers.
pub fn parse_mark_path(path: &str) -> Option<(Timestamp, Sha256)> {
    let (time, sha256) = path.strip_prefix(MARKS)?.strip_suffix(MARK_END)?.split_once('-')?;
    Some((time_in_name(time)?, sha256.parse().ok()?))
}

/// `probes/<time>-<unique>`: a file that is written only to see whether the store takes it, and deleted at once; one of
/// long ago was left by a run that was killed meanwhile.
pub fn probe_path(at: Timestamp, unique: &str) -> String {
    format!("{PROBES}{}-{unique}", at.strftime(NAME_TIME))
}

/// When the probe was written that a path in the store stands for; `None` for strangers.
pub fn parse_probe_path(path: &str) -> Option<Timestamp> {
    time_in_name(path.strip_prefix(PROBES)?.split_once('-')?.0)
}

fn time_in_name(time: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime(NAME_TIME, time).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// The backup a path belongs to and the file's name inside it; `None` for strangers.
pub fn parse_backup_path(path: &str) -> Option<(BackupId, &str)> {
    let (id, name) = path.strip_prefix(BACKUPS)?.split_once('/')?;
    if name.is_empty() { None } else { Some((id.parse().ok()?, name)) }
}

/// Path of an object inside the bundle: `cluster/<group|core>/<plural>/<name>.json` or
/// `namespaces/<namespace>/<group|core>/<plural>/<name>.json`.
///
/// # Errors
/// When a part is empty, `.`, `..`, or holds a slash or a NUL, or when the group is literally `core`. Kubernetes itself
/// allows no such name, so this is met only in damaged data.
pub fn object_path(key: &ObjectKey) -> Result<String, LayoutError> {
    let parts = [key.namespace.as_deref().unwrap_or(CORE), group_part(&key.group), &key.plural, &key.name];
    let bad = parts.into_iter().find(|part| !is_part(part)).or((key.group == CORE).then_some(CORE));
    if let Some(part) = bad {
        return Err(LayoutError::UnfitObject { object: key.to_string(), part: part.to_owned() });
    }
    let tail = format!("{}/{}/{}{JSON}", group_part(&key.group), key.plural, key.name);
    Ok(match &key.namespace {
        Some(namespace) => format!("{NAMESPACES}/{namespace}/{tail}"),
        None => format!("{CLUSTER}/{tail}"),
    })
}

/// The object a path inside the bundle stands for; `None` for strangers.
pub fn parse_object_path(path: &str) -> Option<ObjectPath> {
    let parts: Vec<&str> = path.strip_suffix(JSON)?.split('/').collect();
    if !parts.iter().all(|part| is_part(part)) {
        return None;
    }
    let (namespace, group, plural, name) = match parts[..] {
        [CLUSTER, group, plural, name] => (None, group, plural, name),
        [NAMESPACES, namespace, group, plural, name] => (Some(namespace.to_owned()), group, plural, name),
        _ => return None,
    };
    Some(ObjectPath {
        namespace,
        group: if group == CORE { String::new() } else { group.to_owned() },
        plural: plural.to_owned(),
        name: name.to_owned(),
    })
}

fn group_part(group: &str) -> &str {
    if group.is_empty() { CORE } else { group }
}

fn is_part(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> BackupId {
        "20261121T090000Z-7f3c".parse().unwrap()
    }

    #[test]
    fn object_paths_lead_back_to_their_keys() {
        let role = ObjectKey::cluster_scoped("rbac.authorization.k8s.io", "ClusterRole", "clusterroles", "system:node");
        let secret = ObjectKey::namespaced("", "Secret", "secrets", "monitoring", "a.b-c");
        let role_path = "cluster/rbac.authorization.k8s.io/clusterroles/system:node.json";
        for (key, path) in [(role, role_path), (secret, "namespaces/monitoring/core/secrets/a.b-c.json")] {
            assert_eq!(object_path(&key).as_deref(), Ok(path));
            assert_eq!(parse_object_path(path).unwrap().with_kind(key.kind.clone()), key);
        }
    }

    #[test]
    fn names_that_leave_their_directory_are_refused() {
        for name in ["", ".", "..", "a/b", "/etc", "a\0"] {
            let key = ObjectKey::namespaced("", "Secret", "secrets", "monitoring", name);
            assert!(object_path(&key).is_err(), "{name:?}");
            let key = ObjectKey::namespaced("", "Secret", "secrets", name, "x");
            assert!(object_path(&key).is_err(), "{name:?}");
        }
        assert!(object_path(&ObjectKey::cluster_scoped("core", "Node", "nodes", "a")).is_err());
    }

    #[test]
    fn strangers_in_the_bundle_are_no_objects() {
        for path in [
            "inventory.json",
            "README.md",
            "cluster/core/nodes/a",
            "cluster/a.json",
            "x/core/nodes/a.json",
            "a//b.json",
        ] {
            assert_eq!(parse_object_path(path), None, "{path}");
        }
    }

    #[test]
    fn data_paths_lead_back_to_their_hashes() {
        let sha256 = Sha256::of(b"abc");
        let path = data_path(&sha256);
        assert_eq!(path, "data/ba/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(parse_data_path(&path), Some(sha256));
        for stranger in ["data/ba/x", "data/x", &path.replace("data/ba/", "data/bb/"), &path.replace("/ba/", "/b/")] {
            assert_eq!(parse_data_path(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn paths_of_signs_lead_back_to_them() {
        let sign = StoreSign { kind: StoreLockKind::Use, run: "20261121T090000Z-7f3c".into(), sequence: 12 };
        assert_eq!(sign_path(&sign), "locks/use-20261121T090000Z-7f3c-12");
        assert_eq!(parse_sign_path(&sign_path(&sign)), Some(sign));
        for stranger in ["locks/use-a", "locks/keep-a-1", "locks/use--1", "locks/use-a-b", "locks/use-a/b-1", "use-a-1"]
        {
            assert_eq!(parse_sign_path(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn paths_of_marks_lead_back_to_time_and_hash() {
        let (at, sha256) = ("2026-11-21T09:00:07Z".parse().unwrap(), Sha256::of(b"abc"));
        let path = mark_path(at, &sha256);
        assert_eq!(path, format!("marks/20261121T090007Z-{sha256}.jsonl"));
        assert_eq!(parse_mark_path(&path), Some((at, sha256)));
        for stranger in
            ["marks/x", "marks/20261121T090007Z-ab.jsonl", &path.replace("20261121", "20261321"), &path[6..]]
        {
            assert_eq!(parse_mark_path(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn files_of_a_backup_are_named_and_found() {
        assert_eq!(record_path(&id()), "backups/20261121T090000Z-7f3c/backup.json");
        let bundle = file_path(&id(), BUNDLE).unwrap();
        assert_eq!(bundle, "backups/20261121T090000Z-7f3c/manifests.tar.gz");
        assert_eq!(parse_backup_path(&bundle), Some((id(), BUNDLE)));
        for name in ["", RECORD, ".hidden", "a/b", "..", "a b"] {
            assert!(file_path(&id(), name).is_err(), "{name:?}");
        }
        for stranger in ["backups/x/backup.json", "backups/20261121T090000Z-7f3c/", "backups/lost+found", "a"] {
            assert_eq!(parse_backup_path(stranger), None, "{stranger}");
        }
    }
}
