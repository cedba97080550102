//! A fuzz target with a bounded number of inputs: real files, spoiled at random, checksums made right again every other
//! time so that what lies behind them is reached. Whatever the bytes are, there is a verdict, soon, and no panic.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use promsafe::tsdb::{Directory, Entry, EntryKind, ReadAt, Subset, inspect};

use super::corpus::{CURRENT, Corpus, OLDER};
use super::place::{Format, records};

/// Inputs for each corpus.
const INPUTS: usize = 150;
/// No verdict on one of these small directories may take longer, on a busy machine and without optimisation.
const LONGEST: Duration = Duration::from_secs(20);
/// No read may ask for more at once, however long a damaged file says that something is.
const LARGEST_READ: usize = 8 << 20;

/// A directory in memory that remembers the largest piece that was asked for.
#[derive(Clone, Default)]
struct Memory {
    files: BTreeMap<String, Arc<Vec<u8>>>,
    largest_read: Arc<AtomicUsize>,
}

struct MemoryFile(Arc<Vec<u8>>, Arc<AtomicUsize>);

impl ReadAt for MemoryFile {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.1.fetch_max(into.len(), Ordering::Relaxed);
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Directory for Memory {
    fn list(&self, path: &str) -> io::Result<Vec<Entry>> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut entries = BTreeMap::new();
        for (name, bytes) in &self.files {
            let Some(rest) = name.strip_prefix(&prefix) else { continue };
            let (name, kind, bytes) = match rest.split_once('/') {
                Some((directory, _)) => (directory, EntryKind::Directory, 0),
                None => (rest, EntryKind::File, bytes.len() as u64),
            };
            entries.insert(name.to_owned(), Entry { name: name.to_owned(), kind, bytes });
        }
        if entries.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(entries.into_values().collect()) }
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn ReadAt + '_>> {
        let bytes = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile(bytes.clone(), self.largest_read.clone())))
    }
}

impl Memory {
    fn read(directory: &Path, above: &str, into: &mut Self) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{above}{}", path.file_name().unwrap().to_string_lossy());
            if path.is_dir() {
                Self::read(&path, &format!("{name}/"), into);
            } else if !matches!(name.as_str(), "lock" | "queries.active") {
                into.files.insert(name, Arc::new(std::fs::read(&path).unwrap()));
            }
        }
    }

    /// The block or the logs that a file is of, without all else.
    fn around(&self, file: &str) -> Self {
        let unit = |name: &str| name.split('/').next().filter(|top| top.starts_with("01")).map(str::to_owned);
        let wanted = unit(file);
        let files = self.files.iter().filter(|(name, _)| unit(name) == wanted);
        Self { files: files.map(|(name, bytes)| (name.clone(), bytes.clone())).collect(), ..Self::default() }
    }
}

/// Numbers that are the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

fn format_of(name: &str) -> Format {
    match name.rsplit('/').nth(1).unwrap_or_default() {
        "chunks" => Format::Chunks,
        "chunks_head" => Format::HeadChunks,
        "wal" | "wbl" => Format::Segment,
        directory if directory.starts_with("checkpoint.") => Format::Segment,
        _ if name.ends_with("/index") => Format::Index,
        _ if name.ends_with("/tombstones") => Format::Tombstones,
        _ => Format::Json,
    }
}

/// Spoils bytes.
fn spoil(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let at = chance.below(bytes.len());
    let length = 1 + chance.below(12);
    let end = (at + length).min(bytes.len());
    match chance.below(7) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
        1 => bytes[at..end].fill(0xff),
        2 => bytes[at..end].fill(0),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => bytes[at..end].iter_mut().for_each(|byte| *byte = chance.below(256).to_le_bytes()[0]),
    }
}

/// Spoils the data of a record, or a section of an index, and makes its checksum right again.
fn spoil_knowingly(format: Format, bytes: &mut [u8], chance: &mut Chance) {
    let summed = match format {
        Format::Json => return,
        Format::Index => {
            let Some(toc) = bytes.len().checked_sub(52) else { return };
            let number = chance.below(6);
            let entry = toc + 8 * number;
            let start = u64::from_be_bytes(bytes[entry..entry + 8].try_into().unwrap());
            let Some(start) = usize::try_from(start).ok().filter(|start| *start > 0 && start + 8 < toc) else { return };
            let length = u32::from_be_bytes(bytes[start..start + 4].try_into().unwrap()) as usize;
            if number == 1 || length == 0 || start + 8 + length > toc {
                (toc..toc + 48, toc + 48)
            } else {
                (start + 4..start + 4 + length, start + 4 + length)
            }
        }
        Format::Tombstones => (5..bytes.len() - 4, bytes.len() - 4),
        _ => {
            let records = records(format, bytes);
            let Some(record) = records.get(chance.below(records.len())) else { return };
            (record.summed(format), record.sum)
        }
    };
    let (data, sum) = summed;
    for _ in 0..=chance.below(3) {
        let at = data.start + chance.below(data.len());
        bytes[at] = match chance.below(4) {
            0 => 0xff,
            1 => 0,
            2 => bytes[at] ^ 1 << chance.below(8),
            _ => chance.below(256).to_le_bytes()[0],
        };
    }
    let right = crc32c(&bytes[data]);
    bytes[sum..sum + 4].copy_from_slice(&right.to_be_bytes());
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ (sum & 1).wrapping_mul(0x82f6_3b78))
    })
}

fn survives(corpus: &Corpus, seed: u64) {
    let mut whole = Memory::default();
    Memory::read(&corpus.data, "", &mut whole);
    let names: Vec<String> = whole.files.keys().cloned().collect();
    let mut chance = Chance(seed);
    for input in 0..INPUTS {
        let name = &names[chance.below(names.len())];
        let mut spoiled = whole.around(name);
        let bytes = Arc::make_mut(spoiled.files.get_mut(name).unwrap());
        if input % 2 == 0 {
            spoil_knowingly(format_of(name), bytes, &mut chance);
        } else {
            (0..=chance.below(3)).for_each(|_| spoil(bytes, &mut chance));
        }
        let began = Instant::now();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inspect(&spoiled, None, Subset::ALL)));
        let what = format!("{} {name}, input {input} of seed {seed}", corpus.name);
        assert!(outcome.is_ok_and(|report| report.is_ok()), "{what}: there is no verdict");
        assert!(began.elapsed() < LONGEST, "{what}: took {:?}", began.elapsed());
        let largest = spoiled.largest_read.load(Ordering::Relaxed);
        assert!(largest <= LARGEST_READ, "{what}: {largest} bytes were read at once");
    }
}

#[test]
fn truth_any_bytes_of_the_current_release_get_a_verdict() {
    survives(&CURRENT, 0x9e37_79b9);
}

#[test]
fn truth_any_bytes_of_an_older_release_get_a_verdict() {
    survives(&OLDER, 0x7f4a_7c15);
}

#[test]
fn checksum_is_the_one_of_castagnoli() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
