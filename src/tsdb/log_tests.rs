//! What is read in logs that Prometheus wrote, and in any others.

use proptest::prelude::*;

use super::checksum::crc32c;
use super::log_tree::Tree;
use super::logs::inspect;
use super::verdict::{Grade, LogReport};

/// Name, segments, records, series, samples, oldest and newest.
type Line<'a> = (&'a str, u64, u64, u64, u64, Option<i64>, Option<i64>);

fn lines(reports: &[LogReport]) -> Vec<Line<'_>> {
    let line = |report: &LogReport| (report.segments, report.records, report.series, report.samples);
    let all = reports.iter().map(|report| {
        let (segments, records, series, samples) = line(report);
        (&*report.name, segments, records, series, samples, report.min_time_ms, report.max_time_ms)
    });
    all.collect()
}

#[test]
fn counts_and_times_are_those_that_prometheus_own_reader_gives() {
    let head = ("chunks_head", 3, 25, 24, 2499, Some(1_790_006_400_000), Some(1_790_013_540_019));
    for tree in [Tree::snappy(), Tree::zstd()] {
        let reports = tree.inspect();
        let expected: [Line<'_>; 4] = [
            ("wal", 4, 341, 0, 3376, Some(1_790_006_400_001), Some(1_790_019_540_019)),
            ("wal/checkpoint.00000002", 1, 115, 24, 1248, Some(1_790_006_400_000), Some(1_790_009_940_019)),
            ("wbl", 2, 45, 0, 40, Some(1_790_013_600_001), Some(1_790_015_940_001)),
            head,
        ];
        assert_eq!(lines(&reports), expected);
        assert!(reports.iter().all(|report| report.grade == Grade::Ok && report.findings.is_empty()), "{reports:#?}");
        assert_eq!(reports[3].bytes, 3 * 131_072);
    }
}

#[test]
fn logs_of_running_servers_of_two_releases_are_sound() {
    let old = Tree::of(include_bytes!("../../testdata/tsdb-logs/prometheus-2.42.tar.gz"));
    let new = Tree::of(include_bytes!("../../testdata/tsdb-logs/prometheus-3.13.tar.gz"));
    for (tree, expected) in [
        (old, ("wal", 1, 21, 155, 2939, Some(1_795_894_948_612), Some(1_795_894_966_618))),
        (new, ("wal", 1, 14, 98, 583, Some(1_795_894_991_644), Some(1_795_894_996_644))),
    ] {
        let reports = inspect(&tree, None).unwrap();
        assert_eq!(lines(&reports)[0], expected);
        assert!(reports.iter().all(|report| report.findings.is_empty()), "{reports:#?}");
    }
}

#[test]
fn samples_that_a_block_covers_are_counted_apart_and_are_no_loss() {
    let mut tree = Tree::snappy();
    tree.flip("wal/00000003", 100);
    let all = inspect(&tree, None).unwrap();
    let beside_blocks = inspect(&tree, Some(1_790_019_540_000)).unwrap();
    assert_eq!(all[0].samples_in_blocks, 0);
    assert_eq!(beside_blocks[1].samples_in_blocks, 1248);
    let loss = |reports: &[LogReport]| reports[0].findings.last().unwrap().loss.clone().unwrap();
    assert!(loss(&all).samples.unwrap() > 3000, "{:?}", loss(&all));
    assert_eq!(loss(&beside_blocks).samples, Some(20));
    assert_eq!(
        (loss(&beside_blocks).from_ms, loss(&beside_blocks).to_ms),
        (Some(1_790_019_540_000), Some(1_790_019_540_019))
    );
}

const PLACES: &[&str] = &[
    "wal",
    "wal/checkpoint.00000001",
    "wal/checkpoint.9223372036854775807",
    "wbl",
    "chunks_head",
    "chunk_snapshot.000001.0000000001",
    "x",
];
const NAMES: &[&str] = &["00000000", "00000001", "000001", "2", "-1", "9223372036854775807"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_a_verdict(
        files in prop::collection::vec((prop::sample::select(PLACES), prop::sample::select(NAMES), prop::collection::vec(any::<u8>(), 0..2000)), 0..8),
    ) {
        let named = files.into_iter().map(|(place, name, bytes)| (format!("{place}/{name}"), bytes));
        Tree(named.collect()).inspect();
    }

    #[test]
    fn real_logs_changed_anywhere_give_a_verdict_and_never_more_samples(
        zstd in any::<bool>(),
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut tree = if zstd { Tree::zstd() } else { Tree::snappy() };
        let sound: u64 = tree.inspect().iter().map(|report| report.samples).sum();
        let paths: Vec<_> = tree.0.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(path, _)| path.clone()).collect();
        let bytes = tree.file(which.get::<String>(&paths));
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let reports = tree.inspect();
        prop_assert!(reports.iter().map(|report| report.samples).sum::<u64>() <= sound);
    }

    #[test]
    fn records_of_any_bytes_in_sound_fragments_give_a_verdict(
        records in prop::collection::vec((1..16_u8, any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 1..20),
    ) {
        let mut segment = Vec::new();
        for (kind, packed, bytes) in records {
            let mut record = vec![kind];
            record.extend(bytes);
            let packed = packed.then(|| snap::raw::Encoder::new().compress_vec(&record).unwrap());
            let head = if packed.is_some() { 1 | 8 } else { 1 };
            let record = packed.unwrap_or(record);
            segment.push(head);
            segment.extend_from_slice(&u16::try_from(record.len()).unwrap().to_be_bytes());
            segment.extend_from_slice(&crc32c(&record).to_be_bytes());
            segment.extend_from_slice(&record);
        }
        let files = ["wal/00000000", "wbl/00000000", "wal/checkpoint.00000000/00000000"];
        Tree(files.map(|path| (path.to_owned(), segment.clone())).into()).inspect();
    }
}
