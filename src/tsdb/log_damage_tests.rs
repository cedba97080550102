//! What Prometheus does with its logs once they are damaged.

use super::log_tree::Tree;
use super::verdict::Grade;

/// What was done to the files of `snappy`, how that is judged, where, and with which words. Last comes how many samples a
/// query to Prometheus 3.13.1 lacked of 7077 when it had opened what was left, or `None` when it did not start.
type Case = (&'static str, fn(&mut Tree), Grade, &'static str, &'static str, Option<u64>);

const NEWEST: &str = "wal/00000006";
const CHECKPOINT: &str = "wal/checkpoint.00000002/00000000";

const WAL_CASES: &[Case] = &[
    (
        "flip in the newest",
        |t| t.flip(NEWEST, 3000),
        Grade::Degraded,
        NEWEST,
        "drops the rest of this segment",
        Some(480),
    ),
    (
        "zeros at the end",
        |t| t.file(NEWEST)[4000..].fill(0),
        Grade::TornTail,
        NEWEST,
        "nothing is behind it",
        Some(360),
    ),
    ("pages of zeros", |t| t.file(NEWEST).resize(99_000, 0), Grade::TornTail, NEWEST, "ends in zeros", Some(0)),
    ("flip in an older", |t| t.flip("wal/00000004", 5000), Grade::Degraded, "wal/00000004", "and 2 newer", Some(1710)),
    (
        "flip in the oldest",
        |t| t.flip("wal/00000003", 5000),
        Grade::Degraded,
        "wal/00000003",
        "and 3 newer",
        Some(2085),
    ),
    ("padding", |t| t.flip("wal/00000004", 32_760), Grade::Degraded, "wal/00000004", "in the padding", Some(837)),
    (
        "page of zeros",
        |t| t.file("wal/00000004").fill(0),
        Grade::Degraded,
        "wal/00000004",
        "a page of zeros",
        Some(1245),
    ),
    ("no middle", |t| t.remove("wal/00000004"), Grade::Fatal, "wal", "missing between 00000003 and 00000005", None),
    ("no oldest", |t| t.remove("wal/00000003"), Grade::Fatal, "wal", "segment 00000003 is missing", None),
    (
        "no segments",
        |t| t.remove("wal/0"),
        Grade::Degraded,
        "wal",
        "no segment follows checkpoint.00000002",
        Some(2045),
    ),
    ("no checkpoint", |t| t.remove("wal/checkpoint"), Grade::Fatal, "wal", "segment 00000000 is missing", None),
    (
        "checkpoint flip",
        |t| t.flip(CHECKPOINT, 3000),
        Grade::Fatal,
        CHECKPOINT,
        "deletes 4 segments of wal, and does not",
        None,
    ),
    ("checkpoint cut", |t| t.file(CHECKPOINT).truncate(3000), Grade::Fatal, CHECKPOINT, "does not start", None),
    (
        "checkpoint file",
        |t| t.add("wal/checkpoint.00000009"),
        Grade::Fatal,
        "wal/checkpoint.00000009",
        "no directory",
        None,
    ),
    ("misnamed", |t| t.rename(NEWEST, "wal/6"), Grade::Fatal, "wal", "segment 00000006 is missing", None),
    ("no wal", |t| t.remove("wal/"), Grade::Degraded, "chunks_head", "series that wal does not know", Some(4541)),
];

const OTHER_CASES: &[Case] = &[
    ("wbl flip", |t| t.flip("wbl/00000006", 200), Grade::Degraded, "wbl/00000006", "drops the rest", Some(35)),
    (
        "wbl torn",
        |t| t.file("wbl/00000006").truncate(1430),
        Grade::TornTail,
        "wbl/00000006",
        "nothing is behind it",
        Some(1),
    ),
    ("wbl gap", |t| t.add("wbl/00000008"), Grade::Fatal, "wbl", "missing between 00000006 and 00000008", None),
    ("chunk", |t| t.flip(CHUNKS, 100), Grade::Ok, CHUNKS, "makes the chunks again from wal", Some(0)),
    ("magic", |t| t.flip(CHUNKS, 0), Grade::Fatal, CHUNKS, "is no file of head chunks", None),
    ("version", |t| t.flip("chunks_head/000006", 4), Grade::Fatal, "chunks_head/000006", "unknown version", None),
    ("empty", |t| t.file("chunks_head/000006").clear(), Grade::Ok, "chunks_head/000006", "never written", Some(0)),
    ("zeros", |t| t.file("chunks_head/000006").fill(0), Grade::Ok, "chunks_head/000006", "never written", Some(0)),
    ("short", |t| t.file("chunks_head/000006").truncate(6), Grade::Fatal, "chunks_head/000006", "too short", None),
    ("middle empty", |t| t.file(CHUNKS).clear(), Grade::Fatal, CHUNKS, "too short", None),
    ("gap", |t| t.remove(CHUNKS), Grade::Fatal, "chunks_head", "missing between 000004 and 000006", None),
];

const CHUNKS: &str = "chunks_head/000005";

#[test]
fn damage_to_the_write_ahead_log_is_judged_by_what_prometheus_did() {
    judge(WAL_CASES);
}

#[test]
fn damage_to_other_logs_is_judged_by_what_prometheus_did() {
    judge(OTHER_CASES);
}

fn judge(cases: &[Case]) {
    for (name, damage, grade, path, words, lacking) in cases {
        let mut tree = Tree::snappy();
        damage(&mut tree);
        let findings = tree.findings();
        let there = findings.iter().find(|finding| finding.path == *path && finding.what.contains(words));
        assert_eq!(there.map(|finding| finding.grade), Some(*grade), "{name}: {findings:#?}");
        assert_eq!(tree.grade() == Grade::Fatal, lacking.is_none(), "{name}: {findings:#?}");
        let counted = there.and_then(|finding| finding.loss.as_ref()?.samples).filter(|_| path.contains('/'));
        let (Some(_), Some(lacking)) = (counted, lacking) else { continue };
        let told: u64 = findings.iter().filter_map(|finding| finding.loss.as_ref()?.samples).sum();
        // The record that is hit has 20 samples at most, and nobody can count them; a tombstone may be lost, which hid 3.
        assert!(told + 24 >= *lacking, "{name}: {told} told, {lacking} lacking");
        // Out-of-order samples are in both logs; the first hours are in chunks_head too, and stay.
        let twice = if path.ends_with('3') { 1000 } else { 64 };
        assert!(told <= lacking + twice, "{name}: {told} told, {lacking} lacking");
    }
}

#[test]
fn of_a_segment_cut_short_only_what_is_there_is_counted() {
    let mut tree = Tree::snappy();
    tree.file("wal/00000004").truncate(9000);
    let findings = tree.findings();
    assert_eq!((findings[0].grade, &*findings[0].path), (Grade::Degraded, "wal/00000004"));
    // What is in the newer segments; Prometheus lacked 1398 with what had been cut off.
    assert_eq!(findings[0].loss.as_ref().unwrap().samples, Some(840));
}

#[test]
fn what_a_repair_drops_has_its_times() {
    let mut tree = Tree::snappy();
    tree.flip(NEWEST, 3000);
    let loss = tree.findings()[0].loss.clone().unwrap();
    // Prometheus had everything up to 1790018220019 afterwards.
    // 22 scrapes of 20 series were missing, and as many out-of-order samples, which wbl has too.
    assert_eq!((loss.samples, loss.series), (Some(462), Some(0)));
    assert_eq!((loss.from_ms, loss.to_ms), (Some(1_790_014_680_001), Some(1_790_019_540_019)));
}

#[test]
fn the_log_of_out_of_order_samples_is_not_replayed_where_wal_is_repaired() {
    let mut tree = Tree::snappy();
    tree.file(NEWEST)[4000..].fill(0);
    let reports = tree.inspect();
    let wbl = reports.iter().find(|report| report.name == "wbl").unwrap();
    assert_eq!((wbl.grade, wbl.findings[0].loss.as_ref().unwrap().samples), (Grade::Degraded, Some(40)));
    tree.remove("wbl");
    assert_eq!(tree.grade(), Grade::TornTail);
}

#[test]
fn segments_before_the_checkpoint_are_not_read() {
    let mut tree = Tree::snappy();
    for number in 0..3 {
        tree.0.insert(format!("wal/{number:08}"), vec![0xff; 100]);
    }
    assert_eq!(tree.grade(), Grade::Ok);
    // A damaged checkpoint now finds a segment of its own number to repair.
    tree.flip(CHECKPOINT, 3000);
    let findings = tree.findings();
    assert_eq!((findings[0].grade, &*findings[0].path), (Grade::Degraded, CHECKPOINT), "{findings:#?}");
}

#[test]
fn head_chunks_that_wal_lost_too_are_gone() {
    let mut tree = Tree::snappy();
    tree.flip(CHUNKS, 100);
    assert_eq!(tree.grade(), Grade::Ok);
    tree.flip("wal/00000003", 5000);
    let findings = tree.findings();
    let chunks = findings.iter().find(|finding| finding.path == CHUNKS).unwrap();
    assert_eq!(chunks.grade, Grade::Degraded, "{findings:#?}");
}

#[test]
fn segment_that_ends_within_a_header_is_a_torn_tail_or_a_loss() {
    for (segment, grade) in [(NEWEST, Grade::TornTail), ("wal/00000004", Grade::Degraded)] {
        let mut tree = Tree::snappy();
        tree.file(segment).truncate(1);
        let findings = tree.findings();
        let found = findings.iter().find(|finding| finding.what.contains("ends within the header of a record"));
        let found = found.unwrap_or_else(|| panic!("{segment}: {findings:#?}"));
        assert_eq!((found.grade, found.path.as_str(), found.offset), (grade, segment, Some(0)));
        // Cut to nothing it tells nothing.
        tree.file(segment).clear();
        assert!(!tree.findings().iter().any(|finding| finding.path == segment), "{segment}");
    }
}
