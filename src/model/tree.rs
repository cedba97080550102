//! The files of a copied volume: what stands in a tree object of the store. `docs/format.md` is its twin.

use serde::{Deserialize, Serialize};

use super::Sha256;

/// Size of a piece in bytes. A file is stored as pieces of this size, the last one smaller; each is an object of its own
/// under its hash. So every write is one small request that is there whole or not at all, memory is bounded by the
/// pieces in flight, and what was copied before an interruption need not be copied again.
pub const PIECE_BYTES: u64 = 8 << 20;

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TreeEntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
}

/// One file, directory or link of a copied volume: one line of a tree object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Path relative to the volume's root, parts joined by slashes; empty for the root itself.
    pub path: String,
    /// What it is.
    pub kind: TreeEntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When it was last changed, in nanoseconds since the epoch.
    pub modified_ns: i64,
    /// Size of a file in bytes; 0 for what is none.
    #[serde(default)]
    pub bytes: u64,
    /// Hashes of a file's pieces, in order; none for an empty file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Sha256>,
    /// Where a link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl TreeEntry {
    /// The pieces of a file with their sizes in bytes.
    pub fn sized_pieces(&self) -> impl Iterator<Item = (&Sha256, u64)> {
        let bytes = self.bytes;
        self.pieces.iter().zip(0_u64..).map(move |(piece, at)| {
            let begin = at.saturating_mul(PIECE_BYTES);
            (piece, bytes.saturating_sub(begin).min(PIECE_BYTES))
        })
    }

    /// Whether it has as many pieces as its size says.
    pub fn is_whole(&self) -> bool {
        self.pieces.len() as u64 == self.bytes.div_ceil(PIECE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_piece_is_what_is_left() {
        let file = |bytes: u64, count: usize| TreeEntry {
            path: "a".into(),
            kind: TreeEntryKind::File,
            mode: 0o644,
            uid: 1,
            gid: 1,
            modified_ns: 0,
            bytes,
            pieces: vec![Sha256::of(b"a"); count],
            target: None,
        };
        let sizes = |entry: &TreeEntry| entry.sized_pieces().map(|(_, bytes)| bytes).collect::<Vec<_>>();
        assert_eq!(sizes(&file(PIECE_BYTES + 1, 2)), [PIECE_BYTES, 1]);
        assert_eq!(sizes(&file(PIECE_BYTES, 1)), [PIECE_BYTES]);
        assert!(file(0, 0).is_whole() && file(PIECE_BYTES, 1).is_whole() && file(PIECE_BYTES + 1, 2).is_whole());
        assert!(!file(PIECE_BYTES + 1, 1).is_whole() && !file(1, 0).is_whole());
    }
}
