//! Manifests to `manifests.tar.gz` and back. The bytes are a function of the manifests and their order alone: no clock, no
//! owner. Knows nothing of where the bytes are kept, and never writes to a disk.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Write};

use flate2::read::{GzDecoder, MultiGzDecoder};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};

use crate::layout;
use crate::model::{CapturedManifest, Collector, ObjectKey, Sha256};

/// Why a bundle could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// An object whose name fits no path.
    #[error("pack the bundle")]
    NameObject(#[from] layout::LayoutError),
    /// The same object twice.
    #[error("pack {0}: it is there twice")]
    Duplicate(ObjectKey),
    /// The JSON of an object does not say its kind, or says another than its key.
    #[error("read the kind of {object}: its JSON says {found}, not {expected}")]
    KindDiffers {
        /// The object, or its path in the bundle.
        object: String,
        /// The kind expected; empty when any would do.
        expected: String,
        /// What its JSON says.
        found: String,
    },
    /// An object that is no JSON with a kind.
    #[error("read {object} in the bundle as JSON")]
    ReadJson {
        /// The object, or its path in the bundle.
        object: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// The archive could not be written; memory is all it needs.
    #[error("write the bundle")]
    Write(#[source] io::Error),
    /// The bytes are no tar.gz.
    #[error("read the bundle as tar.gz")]
    Read(#[source] io::Error),
    /// The bundle holds no inventory.
    #[error("read the bundle: inventory.json is missing")]
    NoInventory,
    /// The same file twice.
    #[error("read the bundle: {0} is there twice")]
    FileTwice(String),
    /// An object the inventory does not list.
    #[error("read the bundle: {0} is not listed in inventory.json")]
    Unlisted(String),
    /// A row of the inventory whose object is missing.
    #[error("read the bundle: inventory.json lists {0}, which is missing")]
    Missing(String),
}

/// One line of `inventory.json`.
#[derive(Serialize, Deserialize)]
struct Row {
    path: String,
    reason: String,
}

#[derive(Deserialize)]
struct KindOnly {
    kind: String,
}

/// One line of `left-out.json`.
#[derive(Serialize, Deserialize)]
struct LeftOutRow {
    object: String,
    because: String,
}

/// Packs manifests as they come: of what was packed only compressed bytes stay in memory, however many objects there are.
/// An object that cannot be packed is told by [`Packer::finish`].
pub struct Packer {
    tar: tar::Builder<GzEncoder<Vec<u8>>>,
    /// `inventory.json` in the making, compressed: it comes last in the archive, since its size stands in front of it.
    inventory: Spool,
    left_out: Spool,
    /// Beginnings of hashes of the paths packed: an object is packed once.
    paths: HashSet<[u8; 16]>,
    failed: Option<BundleError>,
}

impl Default for Packer {
    fn default() -> Self {
        let left_out = Spool::default();
        let inventory = Spool::default();
        Self { tar: tar::Builder::new(gzip()), inventory, left_out, paths: HashSet::new(), failed: None }
    }
}

impl Packer {
    fn pack(&mut self, manifest: &CapturedManifest) -> Result<(), BundleError> {
        let path = layout::object_path(&manifest.key)?;
        let kind = kind_of(&manifest.key.to_string(), &manifest.json)?;
        if kind != manifest.key.kind {
            let (object, expected) = (manifest.key.to_string(), manifest.key.kind.clone());
            return Err(BundleError::KindDiffers { object, expected, found: kind });
        }
        let mut beginning = [0; 16];
        beginning.copy_from_slice(&Sha256::of(path.as_bytes()).as_bytes()[..16]);
        if !self.paths.insert(beginning) {
            return Err(BundleError::Duplicate(manifest.key.clone()));
        }
        append(&mut self.tar, &path, manifest.json.len() as u64, manifest.json.as_bytes())
            .map_err(BundleError::Write)?;
        self.inventory.add(&Row { path, reason: manifest.reason.clone() }).map_err(BundleError::Write)
    }

    /// The bundle's bytes: a tar.gz of one JSON file per object, each with its text exactly as captured, and then
    /// `left-out.json` and `inventory.json`. The same objects in the same order give the same bytes.
    ///
    /// # Errors
    /// When an object came twice, has a name unfit for a path, or its JSON does not say the kind of its key.
    pub fn finish(self) -> Result<Vec<u8>, BundleError> {
        let Self { mut tar, inventory, left_out, failed, .. } = self;
        if let Some(error) = failed {
            return Err(error);
        }
        let close = || {
            left_out.append_to(&mut tar, layout::LEFT_OUT)?;
            inventory.append_to(&mut tar, layout::INVENTORY)?;
            tar.finish()
        };
        close().and_then(|()| tar.into_inner()?.finish()).map_err(BundleError::Write)
    }
}

impl Collector for Packer {
    fn keep(&mut self, manifest: CapturedManifest) {
        if self.failed.is_none() {
            self.failed = self.pack(&manifest).err();
        }
    }

    fn leave_out(&mut self, key: &ObjectKey, because: &str) {
        let row = LeftOutRow { object: key.to_string(), because: because.to_owned() };
        let added = self.left_out.add(&row).map_err(BundleError::Write);
        self.failed = self.failed.take().or(added.err());
    }
}

/// A JSON array in the making, compressed.
struct Spool {
    gzip: GzEncoder<Vec<u8>>,
    /// Bytes before compression.
    bytes: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self { gzip: gzip(), bytes: 0 }
    }
}

impl Spool {
    fn add(&mut self, row: &impl Serialize) -> io::Result<()> {
        let mut line = if self.bytes == 0 { b"[\n".to_vec() } else { b",\n".to_vec() };
        serde_json::to_writer(&mut line, row)?;
        self.write(&line)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.gzip.write_all(bytes)
    }

    fn append_to(mut self, tar: &mut tar::Builder<GzEncoder<Vec<u8>>>, path: &str) -> io::Result<()> {
        self.write(if self.bytes == 0 { b"[]\n" } else { b"\n]\n" })?;
        append(tar, path, self.bytes, GzDecoder::new(self.gzip.finish()?.as_slice()))
    }
}

/// 255 means "unknown system"; with it and without a time the gzip header says nothing about this run.
fn gzip() -> GzEncoder<Vec<u8>> {
    GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(6))
}

/// All manifests as a tar.gz, in the order of their keys: the same manifests in any order give the same bytes.
///
/// # Errors
/// As for [`Packer::finish`].
pub fn pack(manifests: &[CapturedManifest]) -> Result<Vec<u8>, BundleError> {
    let mut sorted: Vec<&CapturedManifest> = manifests.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut packer = Packer::default();
    for manifest in sorted {
        packer.keep(manifest.clone());
    }
    packer.finish()
}

/// The manifests of a bundle, in the order of its inventory. Files that are neither inventory nor object are ignored.
///
/// # Errors
/// When the bytes are no tar.gz, when an object has no row or a row no object, or when an object is no JSON.
pub fn unpack(bytes: &[u8]) -> Result<Vec<CapturedManifest>, BundleError> {
    let mut objects = files(bytes)?;
    objects.remove(layout::LEFT_OUT);
    let inventory = objects.remove(layout::INVENTORY).ok_or(BundleError::NoInventory)?;
    let rows: Vec<Row> = serde_json::from_str(&inventory)
        .map_err(|source| BundleError::ReadJson { object: layout::INVENTORY.to_owned(), source })?;
    let mut manifests = Vec::with_capacity(rows.len());
    for Row { path, reason } in rows {
        let parts = layout::parse_object_path(&path).ok_or_else(|| BundleError::Missing(path.clone()))?;
        let json = objects.remove(&path).ok_or_else(|| BundleError::Missing(path.clone()))?;
        let key = parts.with_kind(kind_of(&path, &json)?);
        manifests.push(CapturedManifest { key, reason, json: json.into_boxed_str() });
    }
    match objects.into_keys().next() {
        Some(path) => Err(BundleError::Unlisted(path)),
        None => Ok(manifests),
    }
}

/// What the run that made a bundle looked at and left out: each object and why. Nothing for bundles that do not say it.
///
/// # Errors
/// When the bytes are no tar.gz, or the file in it is no such list.
pub fn left_out(bytes: &[u8]) -> Result<Vec<(String, String)>, BundleError> {
    let Some(text) = files(bytes)?.remove(layout::LEFT_OUT) else { return Ok(Vec::new()) };
    let rows: Vec<LeftOutRow> = serde_json::from_str(&text)
        .map_err(|source| BundleError::ReadJson { object: layout::LEFT_OUT.to_owned(), source })?;
    Ok(rows.into_iter().map(|row| (row.object, row.because)).collect())
}

fn kind_of(object: &str, json: &str) -> Result<String, BundleError> {
    let KindOnly { kind } =
        serde_json::from_str(json).map_err(|source| BundleError::ReadJson { object: object.to_owned(), source })?;
    Ok(kind)
}

fn append(tar: &mut tar::Builder<GzEncoder<Vec<u8>>>, path: &str, size: u64, bytes: impl io::Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    // Whoever unpacks by hand should not publish the Secrets to the machine's other users.
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    tar.append_data(&mut header, path, bytes)
}

/// The inventory and all objects of a bundle by path; strangers left out.
fn files(bytes: &[u8]) -> Result<BTreeMap<String, String>, BundleError> {
    // All of the gzip stream is read, so that its checksum is held even if the tar inside ends early.
    let mut tar = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut tar).map_err(BundleError::Read)?;
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(BundleError::Read)? {
        let mut entry = entry.map_err(BundleError::Read)?;
        let Ok(path) = String::from_utf8(entry.path_bytes().into_owned()) else { continue };
        let wanted = [layout::INVENTORY, layout::LEFT_OUT].contains(&path.as_str())
            || layout::parse_object_path(&path).is_some();
        if !wanted || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(BundleError::Read)?;
        if files.insert(path.clone(), text).is_some() {
            return Err(BundleError::FileTwice(path));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest(key: ObjectKey) -> CapturedManifest {
        let json = format!(r#"{{ "kind" : "{}", "z":1,"a":1.50,"apiVersion":"v1"}}"#, key.kind).into_boxed_str();
        CapturedManifest { reason: format!("why {}", key.name), key, json }
    }

    fn some() -> Vec<CapturedManifest> {
        let long = "n".repeat(253);
        vec![
            manifest(ObjectKey::namespaced("", "Secret", "secrets", "monitoring", "tls")),
            manifest(ObjectKey::cluster_scoped("", "Namespace", "namespaces", "monitoring")),
            manifest(ObjectKey::namespaced("monitoring.coreos.com", "Probe", "probes", &"s".repeat(63), &long)),
            manifest(ObjectKey::cluster_scoped(
                "rbac.authorization.k8s.io",
                "ClusterRole",
                "clusterroles",
                "system:foo",
            )),
        ]
    }

    fn archive_of(files: &[(&str, &str)]) -> Vec<u8> {
        let gzip = GzBuilder::new().write(Vec::new(), Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        for (path, text) in files {
            append(&mut tar, path, text.len() as u64, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn manifests_come_back_in_the_order_of_their_keys() {
        let mut sorted = some();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(unpack(&pack(&some()).unwrap()).unwrap(), sorted);
        assert_eq!(unpack(&pack(&[]).unwrap()).unwrap(), []);
    }

    #[test]
    fn bytes_depend_on_the_manifests_alone() {
        let mut other_order = some();
        other_order.reverse();
        let bytes = pack(&some()).unwrap();
        assert_eq!(bytes, pack(&other_order).unwrap());
        assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn what_is_left_out_is_told() {
        let mut packer = Packer::default();
        packer.leave_out(&some()[0].key, "made again");
        packer.leave_out(&some()[1].key, "made again");
        let told = left_out(&packer.finish().unwrap()).unwrap();
        assert_eq!(
            told,
            [
                ("Secret monitoring/tls".to_owned(), "made again".to_owned()),
                ("Namespace monitoring".to_owned(), "made again".to_owned()),
            ]
        );
    }

    #[test]
    fn an_object_is_packed_once() {
        let mut twice = some();
        twice.push(twice[0].clone());
        assert!(matches!(pack(&twice), Err(BundleError::Duplicate(key)) if key == twice[0].key));
    }

    #[test]
    fn a_kind_that_would_not_come_back_is_refused() {
        let mut odd = some();
        odd[0].json = r#"{"kind":"ConfigMap"}"#.into();
        assert!(matches!(pack(&odd), Err(BundleError::KindDiffers { .. })));
        odd[0].json = "{}".into();
        assert!(matches!(pack(&odd), Err(BundleError::ReadJson { .. })));
    }

    #[test]
    fn strangers_are_tolerated() {
        let inventory = r#"[{"path":"cluster/core/nodes/a.json","reason":"r"}]"#;
        let object = ("cluster/core/nodes/a.json", r#"{"kind":"Node"}"#);
        let bytes = archive_of(&[("README", "hello"), ("inventory.json", inventory), object, ("cluster/x.txt", "")]);
        assert_eq!(unpack(&bytes).unwrap().len(), 1);
    }

    #[test]
    fn rows_and_objects_must_match() {
        let inventory = ("inventory.json", r#"[{"path":"cluster/core/nodes/a.json","reason":"r"}]"#);
        let object = ("cluster/core/nodes/a.json", r#"{"kind":"Node"}"#);
        assert!(matches!(unpack(&archive_of(&[inventory])), Err(BundleError::Missing(_))));
        assert!(matches!(unpack(&archive_of(&[object])), Err(BundleError::NoInventory)));
        assert!(matches!(unpack(&archive_of(&[("inventory.json", "[]"), object])), Err(BundleError::Unlisted(_))));
        assert!(matches!(unpack(&archive_of(&[inventory, object, object])), Err(BundleError::FileTwice(_))));
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let bytes = pack(&some()).unwrap();
        for end in 0..bytes.len() {
            assert!(unpack(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let _may_be_harmless_in_the_gzip_header = unpack(&flipped);
        }
    }

    fn keys() -> impl Strategy<Value = ObjectKey> {
        let part = "[a-z0-9.:_-]{0,150}[a-z0-9]";
        (proptest::option::of(part), proptest::option::of("[a-z]{1,9}\\.[a-z]{2}"), "[A-Z][a-z]{1,9}", part, part)
            .prop_map(|(namespace, group, kind, plural, name)| ObjectKey {
                namespace,
                group: group.unwrap_or_default(),
                kind,
                plural,
                name,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_is_packed_comes_back(
            keys in proptest::collection::btree_set(keys(), 0..8), reason in ".*", text in ".*",
        ) {
            let manifests: Vec<CapturedManifest> = keys.into_iter().map(|key| CapturedManifest {
                json: serde_json::json!({"kind": key.kind, "data": text}).to_string().into_boxed_str(),
                reason: reason.clone(),
                key,
            }).collect();
            prop_assert_eq!(unpack(&pack(&manifests).unwrap()).unwrap(), manifests);
        }
    }
}
