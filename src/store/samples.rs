//! Records for the tests of the store: a small one, and one with every field filled.

use std::collections::BTreeMap;

use crate::model::{
    BackupId, BackupRecord, BlockMeta, ClusterIdentity, CopyRecord, DataVolume, DirectorySource, FileRecord,
    Fingerprint, Head, Instance, InstanceKind, MissingReference, ObjectKey, Operator, Placement, Probe, Sha256,
    SnapshotRecord, VolumeRecord,
};

/// A backup of an empty cluster.
pub(super) fn small_record() -> BackupRecord {
    let at = "2026-11-21T09:00:00Z".parse().unwrap();
    let cluster = ClusterIdentity { uid: "u".into(), version: "v1.36.3".into(), server: "https://a".into() };
    BackupRecord { tool_version: "0.1.0".into(), ..BackupRecord::empty(BackupId::new(at, 0x7f3c_0a1b), cluster, at) }
}

/// A backup in which no list is empty and no option missing.
pub(super) fn full_record() -> BackupRecord {
    BackupRecord {
        asked_namespaces: vec!["monitoring".into()],
        namespaces: vec!["monitoring".into()],
        operators: vec![Operator {
            key: ObjectKey::namespaced("apps", "Deployment", "deployments", "monitoring", "prometheus-operator"),
            version: Some("v0.93.0".into()),
            scope: "all namespaces".into(),
        }],
        instances: vec![instance()],
        objects: 2,
        cluster_scoped_objects: 1,
        left_out: BTreeMap::from([("made by the operator".to_owned(), 3)]),
        missing_references: vec![MissingReference {
            object: "Secret apps/token".into(),
            named_by: "ServiceMonitor apps/app".into(),
            field: "spec.endpoints[0].bearerTokenSecret".into(),
            named_elsewhere: 1,
            why: "does not exist".into(),
            fix: "create it".into(),
        }],
        volumes: vec![VolumeRecord { volume: volume(), snapshot: Some(snapshot()), copy: Some(copy()) }],
        directory: Some(DirectorySource { host: "prom-1".into(), path: "/var/lib/prometheus".into() }),
        fingerprints: vec![fingerprint()],
        without_fingerprint: BTreeMap::from([("monitoring/agent".to_owned(), "no queries".to_owned())]),
        files: vec![FileRecord { name: "manifests.tar.gz".into(), bytes: 7, sha256: "ab".repeat(32) }],
        ..small_record()
    }
}

fn instance() -> Instance {
    Instance {
        key: ObjectKey::namespaced("monitoring.coreos.com", "Prometheus", "prometheuses", "monitoring", "k8s"),
        kind: InstanceKind::Prometheus,
        version: Some("3.13.1".into()),
        replicas: 2,
        shards: 1,
        pods: vec!["prometheus-k8s-0".into()],
        port: 9090,
        scheme: "http".into(),
        route_prefix: "/".into(),
        retention: Some("30d".into()),
        operators: vec!["monitoring/prometheus-operator".into()],
        volatile: Some("emptyDir".into()),
    }
}

fn volume() -> DataVolume {
    DataVolume {
        namespace: "monitoring".into(),
        claim: "prometheus-k8s-db-prometheus-k8s-0".into(),
        uid: "c".into(),
        used_by: Some("Prometheus monitoring/k8s".into()),
        pod: Some("prometheus-k8s-0".into()),
        phase: "Bound".into(),
        storage_class: Some("standard".into()),
        requested_bytes: 1,
        capacity_bytes: 2,
        driver: Some("csi.example".into()),
        volume_handle: Some("v".into()),
        leftover_of: Some("Prometheus monitoring/k8s".into()),
    }
}

fn snapshot() -> SnapshotRecord {
    SnapshotRecord {
        driver: "csi.example".into(),
        snapshot_handle: "h".into(),
        restore_size_bytes: 2,
        cut_at: "2026-11-21T09:00:01Z".parse().unwrap(),
        source_volume_mode: Some("Filesystem".into()),
        class: "snap".into(),
        namespace: "monitoring".into(),
        name: "promsafe-a".into(),
        content: "snapcontent-a".into(),
        content_annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        ready_after_ms: 1200,
    }
}

fn copy() -> CopyRecord {
    CopyRecord {
        tree: Sha256::of(b"abc"),
        tree_bytes: 3,
        files: 1,
        bytes: 4,
        sent_bytes: 4,
        cut_at: "2026-11-21T09:00:01Z".parse().unwrap(),
        volume_mode: "Filesystem".into(),
        run_as_user: Some(1000),
        run_as_group: Some(1000),
        fs_group: Some(2000),
        placement: Placement::default(),
        problems: vec!["read wal/00000007: Permission denied".into()],
    }
}

fn fingerprint() -> Fingerprint {
    let at = "2026-11-21T08:00:00Z".parse().unwrap();
    Fingerprint {
        instance: "monitoring/k8s".into(),
        namespace: "monitoring".into(),
        pod: "prometheus-k8s-0".into(),
        version: "3.13.1".into(),
        taken_at: at,
        blocks: vec![BlockMeta {
            ulid: "01".into(),
            min_time_ms: 0,
            max_time_ms: 1,
            samples: 5,
            series: 1,
            sources: vec!["01".into()],
        }],
        head: Head { min_time_ms: 1, max_time_ms: 2, series: 3 },
        probes: vec![Probe { query: "count(up)".into(), at, value: Some("7".into()) }],
        rule_groups: vec!["a: b".into()],
        scrape_pools: vec!["c".into()],
    }
}
