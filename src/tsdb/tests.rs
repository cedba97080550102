//! Real blocks, made by promtool, and every way to damage them: the grades are those of what Prometheus does.

use std::path::Path;

use proptest::prelude::*;

use super::checksum::crc32c;
use super::testing::Tree;
use super::*;

const FIRST: &str = "01M8HTH72QCSX3QT7WWV9CAHRM";
const SECOND: &str = "01M8HTH7BKGNHM94P83E99DN4W";

fn two_blocks() -> Tree {
    let mut tree = Tree::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tsdb/two-blocks");
    for block in [FIRST, SECOND] {
        for file in ["meta.json", "index", "tombstones", "chunks/000001"] {
            let path = format!("{block}/{file}");
            tree.0.insert(path.clone(), std::fs::read(root.join(&path)).unwrap());
        }
    }
    tree
}

fn grade(tree: &Tree) -> Grade {
    inspect_block(tree, FIRST).unwrap().grade
}

/// The grade with one byte of a file of the first block changed.
fn flipped(tree: &mut Tree, file: &str, at: usize, bit: usize) -> Grade {
    let path = format!("{FIRST}/{file}");
    tree.bytes_of(&path)[at] ^= 1 << bit;
    let grade = grade(tree);
    tree.bytes_of(&path)[at] ^= 1 << bit;
    grade
}

/// Offsets of symbols, series, label indices, label offset table, postings, postings offset table, and contents.
fn sections(index: &[u8]) -> [usize; 7] {
    let contents = index.len() - 52;
    let mut offsets = [contents; 7];
    for (offset, bytes) in offsets.iter_mut().zip(index[contents..contents + 48].chunks(8)) {
        *offset = usize::try_from(u64::from_be_bytes(bytes.try_into().unwrap())).unwrap();
    }
    offsets
}

#[test]
fn real_blocks_are_whole_and_counted() {
    let report = inspect(&two_blocks(), Some(1_800_000_000_000), Subset::ALL).unwrap();
    assert_eq!(report.all_findings().collect::<Vec<_>>(), [] as [&Finding; 0]);
    assert_eq!(report.grade, Grade::Ok);
    for (block, newest) in report.blocks.iter().zip([1_700_013_570_000, 1_700_020_770_000]) {
        assert_eq!((block.series, block.chunks, block.samples), (24, 48, 5760));
        assert_eq!((block.newest_sample_ms, block.max_time_ms), (Some(newest), Some(newest + 1)));
        assert_eq!(block.looked, Looked::Whole);
    }
    assert_eq!(report.blocks[0].bytes, 298 + 2334 + 9 + 7214);
}

#[test]
fn flipped_bits_of_an_index_are_fatal_where_prometheus_reads_at_start_and_degrade_elsewhere() {
    let mut tree = two_blocks();
    let index = tree.bytes_of(&format!("{FIRST}/index")).clone();
    let [_, series, _, _, postings, table, _] = sections(&index);
    for at in (0..index.len()).step_by(2) {
        let grade = flipped(&mut tree, "index", at, at / 2 % 8);
        let expected = if at < series || at >= table { Grade::Fatal } else { Grade::Degraded };
        // Between sections and series lies padding that nobody reads.
        let padding = (series..postings + 16).contains(&at) && grade == Grade::Ok;
        assert!(grade == expected || padding, "byte {at}: {grade:?}, expected {expected:?}");
    }
    assert_eq!(flipped(&mut tree, "index", 4, 0), Grade::Ok, "version 3 is read as version 2");
    assert!((postings.next_multiple_of(4)..table).all(|at| flipped(&mut tree, "index", at, 7) == Grade::Degraded));
}

#[test]
fn flipped_bits_of_a_segment_are_fatal_in_its_beginning_and_degrade_elsewhere() {
    let mut tree = two_blocks();
    for at in (0..300).chain((300..7214).step_by(23)) {
        let expected = match at {
            0..5 => Grade::Fatal,
            5..8 => Grade::Ok,
            _ => Grade::Degraded,
        };
        assert_eq!(flipped(&mut tree, "chunks/000001", at, at % 8), expected, "byte {at}");
    }
}

#[test]
fn flipped_bits_of_tombstones_are_fatal_and_of_meta_json_never() {
    let mut tree = two_blocks();
    for at in 0..9 {
        assert_eq!(flipped(&mut tree, "tombstones", at, at % 8), Grade::Fatal, "byte {at}");
    }
    for at in 0..298 {
        assert!(flipped(&mut tree, "meta.json", at, at % 8) <= Grade::Degraded, "byte {at}");
    }
}

#[test]
fn missing_files_are_graded_as_prometheus_minds_them() {
    for (file, expected) in [
        ("meta.json", Grade::Degraded),
        ("index", Grade::Fatal),
        ("tombstones", Grade::Ok),
        // Without the only segment the directory is gone too.
        ("chunks/000001", Grade::Fatal),
    ] {
        let mut tree = two_blocks();
        tree.0.remove(&format!("{FIRST}/{file}"));
        assert_eq!(grade(&tree), expected, "{file}");
        let mut tree = two_blocks();
        tree.bytes_of(&format!("{FIRST}/{file}")).clear();
        let emptied = if file == "tombstones" { Grade::Fatal } else { expected };
        assert_eq!(grade(&tree), emptied, "empty {file}");
    }
    // A segment that is missing is only noticed when a chunk of it is asked for.
    let mut tree = two_blocks();
    let segment = tree.0.remove(&format!("{FIRST}/chunks/000001")).unwrap();
    tree.0.insert(format!("{FIRST}/chunks/notes"), segment);
    let report = inspect_block(&tree, FIRST).unwrap();
    assert_eq!(report.grade, Grade::Degraded);
    assert_eq!(report.findings[0].loss.as_ref().unwrap().samples, Some(5760));
}

#[test]
fn cut_files_are_graded_as_prometheus_minds_them() {
    let whole = two_blocks();
    for (file, length, cut_to, expected) in [
        ("index", 2334, 2333, Grade::Fatal),
        ("index", 2334, 1200, Grade::Fatal),
        ("index", 2334, 4, Grade::Fatal),
        ("chunks/000001", 7214, 7, Grade::Fatal),
        ("chunks/000001", 7214, 8, Grade::Degraded),
        ("chunks/000001", 7214, 7213, Grade::Degraded),
        ("tombstones", 9, 8, Grade::Fatal),
        ("meta.json", 298, 297, Grade::Degraded),
    ] {
        let mut tree = whole.clone();
        let bytes = tree.bytes_of(&format!("{FIRST}/{file}"));
        assert_eq!(bytes.len(), length, "{file}");
        bytes.truncate(cut_to);
        assert_eq!(grade(&tree), expected, "{file} cut to {cut_to}");
    }
}

#[test]
fn zeroed_series_are_lost_and_counted() {
    let mut tree = two_blocks();
    let index = tree.bytes_of(&format!("{FIRST}/index"));
    let series = sections(index)[1].next_multiple_of(16);
    // Three series of 48 bytes or less each begin in the first 96 bytes.
    index[series..series + 96].fill(0);
    let report = inspect_block(&tree, FIRST).unwrap();
    let loss = report.findings[0].loss.clone().unwrap();
    assert_eq!((report.grade, report.series + loss.series.unwrap()), (Grade::Degraded, 24));
    assert_eq!(report.samples + loss.samples.unwrap(), 5760, "chunks of lost series are counted");
}

#[test]
fn a_damaged_chunk_says_what_is_lost() {
    let mut tree = two_blocks();
    tree.bytes_of(&format!("{FIRST}/chunks/000001"))[20] ^= 1;
    let report = inspect_block(&tree, FIRST).unwrap();
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((finding.path.as_str(), finding.offset), ("01M8HTH72QCSX3QT7WWV9CAHRM/chunks/000001", Some(8)));
    assert!(
        finding.what.starts_with("1 of 48 chunks cannot be read, at the first its checksum is wrong"),
        "{}",
        finding.what
    );
    let loss = finding.loss.clone().unwrap();
    assert_eq!((loss.series, loss.samples), (Some(1), Some(120)));
    assert_eq!((loss.from_ms, loss.to_ms), (Some(1_700_006_400_000), Some(1_700_009_970_000)));
}

#[test]
fn a_block_without_meta_json_tells_what_it_holds() {
    let mut tree = two_blocks();
    tree.0.remove(&format!("{FIRST}/meta.json"));
    let report = inspect_block(&tree, FIRST).unwrap();
    let loss = report.findings[0].loss.clone().unwrap();
    assert_eq!((loss.series, loss.samples), (Some(24), Some(5760)));
    assert_eq!((loss.from_ms, loss.to_ms), (Some(1_700_006_400_000), Some(1_700_013_570_000)));
}

#[test]
fn wrong_time_ranges_and_counts_are_told_apart_by_what_they_cost() {
    for (from, to, expected) in [
        ("\"maxTime\": 1700013570001", "\"maxTime\": 1700010000001", Grade::Degraded),
        ("\"minTime\": 1700006400000", "\"minTime\": 1700009999999", Grade::Degraded),
        ("\"minTime\": 1700006400000", "\"minTime\": 1700006000000", Grade::Ok),
        ("\"numSeries\": 24", "\"numSeries\": 25", Grade::Ok),
        ("\"version\": 1", "\"version\": 2", Grade::Ok),
    ] {
        let mut tree = two_blocks();
        let meta = tree.bytes_of(&format!("{FIRST}/meta.json"));
        let text = String::from_utf8(meta.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        *meta = text.replace(from, to).into_bytes();
        assert_eq!(grade(&tree), expected, "{to}");
    }
}

/// The directory with a changed `meta.json` of the second block.
fn with_second(from: &str, to: &str) -> Tree {
    let mut tree = two_blocks();
    let meta = tree.bytes_of(&format!("{SECOND}/meta.json"));
    let text = String::from_utf8(meta.clone()).unwrap();
    assert!(text.contains(from), "{from}");
    *meta = text.replacen(from, to, 1).into_bytes();
    tree
}

#[test]
fn a_parent_is_forgiven_when_its_child_can_be_loaded_and_only_then() {
    let parents = format!("\"parents\": [{{\"ulid\": \"{FIRST}\", \"minTime\": 0, \"maxTime\": 1}}], \"level\": 2");
    let mut tree = with_second("\"level\": 1", &parents);
    tree.0.remove(&format!("{FIRST}/index"));
    let report = inspect(&tree, None, Subset::ALL).unwrap();
    assert_eq!(report.grade, Grade::Ok, "{:?}", report.findings);
    assert!(report.blocks[0].findings.iter().any(|finding| finding.what.contains("is replaced by block")));
    tree.0.remove(&format!("{SECOND}/index"));
    assert_eq!(inspect(&tree, None, Subset::ALL).unwrap().grade, Grade::Fatal);
}

#[test]
fn what_lies_beside_blocks_is_graded() {
    let moved = |name: &str| {
        let mut tree = two_blocks();
        for file in ["meta.json", "index", "chunks/000001"] {
            let bytes = tree.0.remove(&format!("{FIRST}/{file}")).unwrap();
            tree.0.insert(format!("{name}/{file}"), bytes);
        }
        tree.0.remove(&format!("{FIRST}/tombstones"));
        inspect(&tree, None, Subset::ALL).unwrap()
    };
    let leftover = moved(&format!("{FIRST}.tmp-for-deletion"));
    assert_eq!((leftover.grade, leftover.blocks.len(), leftover.findings.len()), (Grade::Ok, 1, 1));
    let renamed = moved("old-block");
    assert_eq!((renamed.grade, renamed.findings[0].path.as_str()), (Grade::Degraded, "old-block"));
    assert_eq!(renamed.findings[0].loss.as_ref().unwrap().samples, Some(5760));
    let other = moved("01M8HTH72QCSX3QT7WWV9CAHRN");
    assert_eq!((other.grade, other.blocks[0].findings.len()), (Grade::Ok, 1));
}

#[test]
fn directory_without_any_file_of_a_block_is_no_block() {
    let mut tree = two_blocks();
    tree.0.insert("01ARZ3NDEKTSV4RRFFQ69G5FAV/00000000".to_owned(), b"left over".to_vec());
    let report = inspect(&tree, None, Subset::ALL).unwrap();
    assert_eq!((report.grade, report.blocks.len()), (Grade::Ok, 2));
    assert!(report.findings.iter().any(|finding| finding.what.contains("holds no file of a block")), "{report:#?}");
    // One file of a block is enough to miss the others.
    tree.0.insert("01ARZ3NDEKTSV4RRFFQ69G5FAV/index".to_owned(), b"x".to_vec());
    let report = inspect(&tree, None, Subset::ALL).unwrap();
    assert_eq!((report.grade, report.blocks.len()), (Grade::Degraded, 3));
}

#[test]
fn blocks_that_are_not_chosen_are_told_by_their_meta_json() {
    let mut tree = two_blocks();
    tree.0.remove(&format!("{FIRST}/meta.json"));
    tree.0.remove(&format!("{SECOND}/index"));
    let report = inspect(&tree, None, Subset::NONE).unwrap();
    assert_eq!(report.grade, Grade::Degraded);
    let second = &report.blocks[1];
    assert_eq!((second.looked, second.samples, second.grade), (Looked::Meta, 5760, Grade::Ok));
    let looked = inspect(&two_blocks(), None, "1%".parse().unwrap()).unwrap();
    assert_eq!(looked.blocks.iter().filter(|block| block.looked == Looked::Whole).count(), 1);
}

#[test]
fn data_is_found_where_volumes_have_it() {
    for (above, expected) in
        [("", Some("")), ("prometheus-db/", Some("prometheus-db")), ("data/", Some("data")), ("x/", None)]
    {
        let mut volume = Tree::default();
        volume.0.insert("lost+found/x".to_owned(), Vec::new());
        for (path, bytes) in two_blocks().0 {
            volume.0.insert(format!("{above}{path}"), bytes);
        }
        let found = locate(&volume).unwrap();
        assert_eq!(found.as_deref(), expected);
        if let Some(path) = found {
            let report = inspect(&Below::new(&volume, path), None, Subset::ALL).unwrap();
            assert_eq!((report.grade, report.blocks.len()), (Grade::Ok, 2));
        }
    }
}

fn files() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("meta.json"), Just("index"), Just("tombstones"), Just("chunks/000001")]
}

/// A checksum put right, so that what it covers is believed.
fn put_right(bytes: &mut [u8], start: usize) {
    let Some(length) = bytes.get(start..start + 4) else { return };
    let end = start + 4 + usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
    if end + 4 <= bytes.len() {
        let crc = crc32c(&bytes[start + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_change_gives_a_verdict(
        file in files(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        cut in any::<prop::sample::Index>(),
        cuts: bool,
        zeros in any::<prop::sample::Index>(),
    ) {
        let mut tree = two_blocks();
        let bytes = tree.bytes_of(&format!("{FIRST}/{file}"));
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let from = zeros.index(bytes.len());
        let to = (from + 40).min(bytes.len());
        bytes[from..to].fill(0);
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        inspect(&tree, Some(0), Subset::ALL).unwrap();
    }

    #[test]
    fn any_index_with_right_checksums_gives_a_verdict(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut tree = two_blocks();
        let bytes = tree.bytes_of(&format!("{FIRST}/index"));
        let [symbols, _, _, _, postings, table, contents] = sections(bytes);
        for (at, byte) in changes {
            let at = at.index(contents + 48);
            bytes[at] = byte;
        }
        put_right(bytes, symbols);
        put_right(bytes, postings);
        put_right(bytes, table);
        let crc = crc32c(&bytes[contents..contents + 48]);
        bytes[contents + 48..].copy_from_slice(&crc.to_be_bytes());
        inspect(&tree, Some(0), Subset::ALL).unwrap();
    }

    #[test]
    fn any_files_give_a_verdict(contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 4)) {
        let mut tree = two_blocks();
        for (file, bytes) in ["meta.json", "index", "tombstones", "chunks/000001"].into_iter().zip(contents) {
            *tree.bytes_of(&format!("{FIRST}/{file}")) = bytes;
        }
        inspect(&tree, Some(0), Subset::ALL).unwrap();
    }
}
