//! The table of damages: which file of a corpus, what is done to it, and where. Knows where files lie in a data directory;
//! does not know what comes of it.

use std::fs;
use std::path::{Path, PathBuf};

use super::place::{Format, Part, Place, records};
use crate::support::prometheus::copy_directory;

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A file of a block; the block itself where there is no such file.
    Block(Block, &'static str),
    /// A segment of a log, or a file of head chunks.
    Log(&'static str, Age),
    /// The data directory.
    Root,
}

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// The oldest one: samples have been deleted from it.
    Oldest,
    /// One that the head has made, and that no other block holds a part of.
    FromHead,
}

/// Which of several files, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Oldest,
    Middle,
    Newest,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// One bit is another.
    Flip(Place),
    /// The file ends before this byte.
    Cut(Place),
    /// 4 KiB from this byte on, or as many as are there, are zero.
    Zero(Place),
    /// It is not there.
    Missing,
    /// These bytes follow.
    Append(&'static [u8]),
    /// The first such text is another.
    Replace(&'static str, &'static str),
    /// The file holds this instead.
    Hold(&'static str),
    /// A directory of this name is there beside, with a file in it.
    Leftover(&'static str),
    /// A whole copy of it is there under another name.
    Twice(&'static str),
    /// It has another name.
    Renamed(&'static str),
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) target: Target,
    pub(super) damage: Damage,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.target {
            Target::Block(block, "") => write!(f, "{block:?} block"),
            Target::Block(block, file) => write!(f, "{block:?} block, {file}"),
            Target::Log(log, age) => write!(f, "{log}, {age:?} file"),
            Target::Root => f.write_str("data directory"),
        }?;
        match self.damage {
            Damage::Append(bytes) => write!(f, ": Append({} bytes)", bytes.len()),
            damage => write!(f, ": {damage:?}"),
        }
    }
}

use Damage::{Append, Cut, Flip, Hold, Leftover, Missing, Renamed, Replace, Twice, Zero};
use Place::{Byte, First, FromEnd, Last, Mid, Middle, Section};

const GARBAGE: &[u8] = b"\x17garbage that is no record \xff\xfe";
const ZEROS: &[u8] = &[0; 5000];

/// Damages of the current release's directory.
pub(super) const ROWS: &[(Target, &[Damage])] = &[
    (
        Target::Block(Block::FromHead, "meta.json"),
        &[
            Missing,
            Hold(""),
            Hold("{"),
            Cut(Middle),
            Append(b"}"),
            Replace("\"version\": 1", "\"version\": 9"),
            Replace("\"ulid\": \"01", "\"ulid\": \"00"),
            Replace("\"ulid\": \"01", "\"ulid\": \"x1"),
            Replace("\"numSamples\": ", "\"numSamples\": 1"),
            Replace("\"numSeries\": ", "\"numSeries\": 1"),
            Replace("\"minTime\": 1", "\"minTime\": 2"),
            Replace("\"maxTime\": 1", "\"maxTime\": \"1"),
        ],
    ),
    (
        Target::Block(Block::FromHead, "index"),
        &[
            Missing,
            Flip(Byte(1)),
            Flip(Byte(4)),
            Flip(Section(0, 5)),
            Flip(Section(0, 60)),
            Flip(Section(1, 3)),
            Flip(Section(1, 40)),
            Flip(Section(4, 9)),
            Flip(Section(4, 60)),
            Flip(Section(5, 2)),
            Flip(Section(5, 30)),
            Flip(Middle),
            Flip(FromEnd(50)),
            Flip(FromEnd(1)),
            Cut(Byte(0)),
            Cut(Byte(1)),
            Cut(Byte(5)),
            Cut(Middle),
            Cut(FromEnd(1)),
            Zero(Section(0, 0)),
            Zero(Section(1, 0)),
            Zero(Section(4, 0)),
            Append(GARBAGE),
        ],
    ),
    (
        Target::Block(Block::FromHead, "chunks/000001"),
        &[
            Missing,
            Flip(Byte(1)),
            Flip(Byte(4)),
            Flip(Byte(6)),
            Flip(First(Part::Head)),
            Flip(First(Part::Data)),
            Flip(First(Part::Sum)),
            Flip(Mid(Part::Data)),
            Flip(FromEnd(1)),
            Cut(Byte(0)),
            Cut(Byte(1)),
            Cut(Byte(8)),
            Cut(Middle),
            Cut(FromEnd(1)),
            Zero(Middle),
            Append(GARBAGE),
        ],
    ),
    (Target::Block(Block::FromHead, "chunks"), &[Missing, Leftover("000003"), Hold("")]),
    (
        Target::Block(Block::FromHead, ""),
        &[
            Missing,
            Twice("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            Renamed("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            Twice("01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp-for-creation"),
            Twice("01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp-for-deletion"),
        ],
    ),
    (
        Target::Block(Block::Oldest, "tombstones"),
        &[
            Missing,
            Flip(Byte(1)),
            Flip(Byte(4)),
            Flip(Byte(6)),
            Flip(FromEnd(1)),
            Cut(Byte(0)),
            Cut(Byte(1)),
            Cut(Byte(5)),
            Cut(FromEnd(1)),
            Append(GARBAGE),
        ],
    ),
    (
        Target::Log("wal", Age::Oldest),
        &[
            Flip(First(Part::Head)),
            Flip(First(Part::Data)),
            Flip(Mid(Part::Sum)),
            Flip(FromEnd(1)),
            Cut(Byte(0)),
            Cut(Middle),
            Zero(Middle),
            Append(GARBAGE),
            Missing,
        ],
    ),
    (
        Target::Log("wal", Age::Middle),
        &[
            Flip(First(Part::Head)),
            Flip(Mid(Part::Data)),
            Flip(Mid(Part::Sum)),
            Flip(Last(Part::Data)),
            Cut(Byte(0)),
            Cut(Byte(1)),
            Cut(Last(Part::Data)),
            Zero(Byte(0)),
            Append(GARBAGE),
            Append(ZEROS),
            Missing,
            Renamed("stranger"),
        ],
    ),
    (
        Target::Log("wal", Age::Newest),
        &[
            Flip(First(Part::Head)),
            Flip(First(Part::Data)),
            Flip(Mid(Part::Data)),
            Flip(Last(Part::Sum)),
            Flip(Last(Part::Data)),
            Flip(FromEnd(1)),
            Cut(Byte(0)),
            Cut(Byte(1)),
            Cut(Byte(6)),
            Cut(Middle),
            Cut(Last(Part::Data)),
            Cut(FromEnd(1)),
            Zero(Byte(0)),
            Zero(Middle),
            Zero(Last(Part::Head)),
            Append(GARBAGE),
            Append(ZEROS),
            Missing,
        ],
    ),
    (
        Target::Log("checkpoint", Age::Newest),
        &[
            Flip(First(Part::Head)),
            Flip(Mid(Part::Data)),
            Flip(Last(Part::Sum)),
            Cut(Byte(0)),
            Cut(Byte(1)),
            Cut(Middle),
            Cut(FromEnd(1)),
            Zero(Middle),
            Append(GARBAGE),
            Missing,
        ],
    ),
    (
        Target::Log("wbl", Age::Oldest),
        &[
            Flip(First(Part::Data)),
            Flip(Last(Part::Data)),
            Cut(Byte(0)),
            Cut(Middle),
            Zero(Middle),
            Append(GARBAGE),
            Missing,
        ],
    ),
    (Target::Log("wbl", Age::Middle), &[Flip(Mid(Part::Data)), Cut(Middle), Missing]),
    (
        Target::Log("wbl", Age::Newest),
        &[
            Flip(First(Part::Data)),
            Flip(Last(Part::Sum)),
            Cut(Byte(0)),
            Cut(Byte(1)),
            Cut(Last(Part::Data)),
            Append(GARBAGE),
            Append(ZEROS),
        ],
    ),
    (
        Target::Log("chunks_head", Age::Oldest),
        &[
            Flip(Byte(1)),
            Flip(Byte(4)),
            Flip(First(Part::Head)),
            Flip(First(Part::Data)),
            Flip(Mid(Part::Sum)),
            Cut(Byte(0)),
            Cut(Byte(3)),
            Cut(Byte(8)),
            Cut(Middle),
            Zero(Mid(Part::Head)),
            Append(GARBAGE),
            Missing,
        ],
    ),
    (Target::Log("chunks_head", Age::Middle), &[Flip(First(Part::Data)), Cut(Byte(0)), Missing]),
    (
        Target::Log("chunks_head", Age::Newest),
        &[
            Flip(Byte(1)),
            Flip(Byte(4)),
            Flip(First(Part::Data)),
            Flip(Last(Part::Sum)),
            Cut(Byte(0)),
            Cut(Byte(3)),
            Cut(Byte(4)),
            Cut(Byte(8)),
            Cut(Last(Part::Data)),
            Zero(Byte(0)),
            Append(GARBAGE),
            Append(ZEROS),
            Missing,
        ],
    ),
    (
        Target::Root,
        &[
            Leftover("01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp"),
            Leftover("01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp-for-creation"),
            Leftover("wal/checkpoint.00000099.tmp"),
            Leftover("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            Leftover("wal/checkpoint.00000000"),
            Leftover("lost+found"),
        ],
    ),
];

/// Damages of the older release's directory: what its formats differ in, and each kind of file once.
pub(super) const OLDER_ROWS: &[(Target, &[Damage])] = &[
    (Target::Block(Block::FromHead, "meta.json"), &[Hold("{")]),
    (
        Target::Block(Block::FromHead, "index"),
        &[
            Flip(Section(0, 60)),
            Flip(Section(1, 40)),
            Flip(Section(2, 9)),
            Flip(Section(3, 9)),
            Flip(Section(4, 9)),
            Flip(Section(5, 30)),
            Cut(Middle),
        ],
    ),
    (Target::Block(Block::FromHead, "chunks/000001"), &[Flip(Mid(Part::Data)), Cut(Middle)]),
    (Target::Block(Block::Oldest, "tombstones"), &[Flip(Byte(6))]),
    (Target::Log("wal", Age::Oldest), &[Flip(Mid(Part::Data))]),
    (Target::Log("wal", Age::Newest), &[Flip(First(Part::Data)), Cut(Last(Part::Data))]),
    (Target::Log("wbl", Age::Newest), &[Flip(First(Part::Data)), Cut(Last(Part::Data))]),
    (Target::Log("chunks_head", Age::Oldest), &[Flip(Mid(Part::Data)), Cut(Mid(Part::Data))]),
    (Target::Log("chunks_head", Age::Newest), &[Cut(Byte(4))]),
];

/// Damages of a directory that was compacting every few seconds while it scraped itself.
pub(super) const LIVE_ROWS: &[(Target, &[Damage])] = &[
    (Target::Log("wal", Age::Oldest), &[Flip(Mid(Part::Data))]),
    (Target::Log("wal", Age::Newest), &[Flip(Mid(Part::Data)), Cut(Middle), Cut(FromEnd(3))]),
    (Target::Log("checkpoint", Age::Newest), &[Flip(Mid(Part::Data)), Missing]),
    (Target::Log("chunks_head", Age::Newest), &[Flip(Mid(Part::Data)), Cut(Middle)]),
];

/// All rows of a table.
pub(super) fn rows(table: &[(Target, &[Damage])]) -> Vec<Row> {
    table
        .iter()
        .flat_map(|(target, damages)| damages.iter().map(|damage| Row { target: *target, damage: *damage }))
        .collect()
}

/// Whether nothing that could be read lies behind the damage: a write that was cut off looks like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// The end of the newest file of a log.
    Tail,
    /// The same, of the log of samples that came late.
    TailOfLate,
    /// Anything else.
    Within,
}

impl Row {
    /// Does it to a data directory.
    pub(super) fn apply(self, data: &Path) -> Extent {
        let path = self.path(data);
        let format = self.format();
        let read = || fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut extent = Extent::Within;
        match self.damage {
            Flip(place) => {
                let mut bytes = read();
                let at = place.offset(format, &bytes);
                bytes[at] ^= 0x10;
                extent = self.extent(at, &read());
                fs::write(&path, bytes).unwrap();
            }
            Cut(place) => {
                let bytes = read();
                fs::write(&path, &bytes[..place.offset(format, &bytes)]).unwrap();
                extent = self.extent(usize::MAX, &bytes);
            }
            Zero(place) => {
                let mut bytes = read();
                let at = place.offset(format, &bytes);
                let end = (at + 4096).min(bytes.len());
                extent = if end == bytes.len() { self.extent(usize::MAX, &bytes) } else { self.extent(at, &bytes) };
                bytes[at..end].fill(0);
                fs::write(&path, bytes).unwrap();
            }
            Append(more) => {
                let bytes = read();
                extent = self.extent(usize::MAX, &bytes);
                fs::write(&path, [&bytes, more].concat()).unwrap();
            }
            Replace(old, new) => {
                let text = String::from_utf8(read()).unwrap();
                assert!(text.contains(old), "{old} is not in {text}");
                fs::write(&path, text.replacen(old, new, 1)).unwrap();
            }
            Hold(text) => {
                if path.is_dir() {
                    fs::remove_dir_all(&path).unwrap();
                }
                fs::write(&path, text).unwrap();
            }
            Missing if path.is_dir() => fs::remove_dir_all(&path).unwrap(),
            Missing => fs::remove_file(&path).unwrap(),
            Leftover(name) => {
                fs::create_dir_all(path.join(name)).unwrap();
                fs::write(path.join(name).join("00000000"), "left over").unwrap();
            }
            Twice(name) => copy_directory(&path, &path.with_file_name(name)),
            Renamed(name) => fs::rename(&path, path.with_file_name(name)).unwrap(),
        }
        extent
    }

    fn format(self) -> Format {
        match self.target {
            Target::Block(_, "index") => Format::Index,
            Target::Block(_, "tombstones") => Format::Tombstones,
            Target::Block(_, file) if file.starts_with("chunks/") => Format::Chunks,
            Target::Log("chunks_head", _) => Format::HeadChunks,
            Target::Log(..) => Format::Segment,
            Target::Block(..) | Target::Root => Format::Json,
        }
    }

    fn extent(self, at: usize, bytes: &[u8]) -> Extent {
        let last = records(self.format(), bytes).last().map_or(0, |record| record.all.start);
        match self.target {
            Target::Log("wal" | "chunks_head", Age::Newest) if at >= last => Extent::Tail,
            Target::Log("wbl", Age::Newest) if at >= last => Extent::TailOfLate,
            _ => Extent::Within,
        }
    }

    /// The file or directory that is damaged.
    fn path(self, data: &Path) -> PathBuf {
        match self.target {
            Target::Root => data.to_owned(),
            Target::Block(which, file) => {
                let blocks = blocks(data);
                let alone = |at: &usize| {
                    let (from, to, _) = blocks[*at];
                    blocks.iter().filter(|(other_from, other_to, _)| *other_from < to && from < *other_to).count() == 1
                };
                let at = match which {
                    Block::Oldest => 0,
                    Block::FromHead => (0..blocks.len() - 1).rev().find(alone).expect("there is such a block"),
                };
                blocks[at].2.join(file)
            }
            Target::Log("checkpoint", age) => numbered(&checkpoint(data), age),
            Target::Log(log, age) => numbered(&data.join(log), age),
        }
    }
}

/// Blocks with the time they cover in milliseconds, oldest data first.
fn blocks(data: &Path) -> Vec<(i64, i64, PathBuf)> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let mut blocks: Vec<_> = entries
        .filter_map(|path| {
            let meta: serde_json::Value = serde_json::from_slice(&fs::read(path.join("meta.json")).ok()?).unwrap();
            Some((meta["minTime"].as_i64()?, meta["maxTime"].as_i64()?, path))
        })
        .collect();
    blocks.sort();
    blocks
}

fn checkpoint(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data.join("wal")).unwrap().map(|entry| entry.unwrap().path());
    let checkpoints = entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("checkpoint."));
    checkpoints.max().expect("there is a checkpoint")
}

/// Files whose names are numbers, oldest first.
pub(super) fn numbered_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.file_name().unwrap().to_string_lossy().parse::<u64>().is_ok()).collect();
    files.sort();
    files
}

fn numbered(directory: &Path, age: Age) -> PathBuf {
    let files = numbered_files(directory);
    let at = match age {
        Age::Oldest => 0,
        Age::Middle => files.len() / 2,
        Age::Newest => files.len() - 1,
    };
    files[at].clone()
}
