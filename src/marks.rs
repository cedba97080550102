//! What stands in a mark: pieces, trees and unfinished backups that nothing referred to when it was written. Pure.

use serde::{Deserialize, Serialize};

use crate::model::{BackupId, Sha256};

/// What a mark lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Pieces and trees.
    pub data: Vec<Sha256>,
    /// Unfinished backups.
    pub backups: Vec<BackupId>,
}

/// One line of a mark: one of both.
#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backup: Option<BackupId>,
}

impl Mark {
    /// Whether it lists nothing.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.backups.is_empty()
    }

    /// JSON lines.
    ///
    /// # Errors
    /// Never in practice: hashes and names are always JSON.
    pub fn to_lines(&self) -> Result<Vec<u8>, serde_json::Error> {
        let data = self.data.iter().map(|sha256| Row { sha256: Some(*sha256), backup: None });
        let backups = self.backups.iter().map(|backup| Row { sha256: None, backup: Some(backup.clone()) });
        let mut bytes = Vec::new();
        for row in backups.chain(data) {
            serde_json::to_writer(&mut bytes, &row)?;
            bytes.push(b'\n');
        }
        Ok(bytes)
    }

    /// Reads JSON lines.
    ///
    /// # Errors
    /// When a line is none of a mark.
    pub fn from_lines(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut mark = Self::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let row: Row = serde_json::from_slice(line)?;
            mark.data.extend(row.sha256);
            mark.backups.extend(row.backup);
        }
        Ok(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lead_back_to_their_mark() {
        let mark = Mark {
            data: vec![Sha256::of(b"abc"), Sha256::of(b"")],
            backups: vec!["20261121T090000Z-7f3c".parse().unwrap()],
        };
        let lines = String::from_utf8(mark.to_lines().unwrap()).unwrap();
        assert!(lines.starts_with("{\"backup\":\"20261121T090000Z-7f3c\"}\n{\"sha256\":\"ba7816bf"), "{lines}");
        assert_eq!((lines.lines().count(), Mark::from_lines(lines.as_bytes()).unwrap()), (3, mark));
        assert!(Mark::from_lines(b"").unwrap().is_empty());
        assert!(Mark::from_lines(b"{\"sha256\":\"ab\"}\n").is_err() && Mark::from_lines(b"x").is_err());
    }
}
