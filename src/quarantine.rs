//! Takes out of a data directory that was just brought back what Prometheus would not start on: a block by itself, of the
//! logs all of the head. The copy keeps it.

use std::{fs, io};

use crate::data_directory::is_head;
use crate::tsdb::{Finding, Grade, Report};
use crate::verify::Verified;

/// Removes it; what was removed and why, one for each.
///
/// # Errors
/// When something cannot be removed.
pub fn quarantine(verified: &Verified) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    for (part, why) in unstartable(&verified.report) {
        let directories = match part {
            Part::Block(name) => vec![name],
            Part::Head => head(verified)?,
        };
        for name in &directories {
            fs::remove_dir_all(verified.path.join(name))?;
        }
        removed.push(format!("{}: {why}; left out", directories.join(", ")));
    }
    // The claim will say that it is filled: what is gone has to stay gone after a power cut.
    fs::File::open(&verified.path)?.sync_all()?;
    Ok(removed)
}

/// What Prometheus would not start on.
enum Part {
    Block(String),
    /// Logs and head chunks lean on each other.
    Head,
}

/// Each with the reason.
fn unstartable(report: &Report) -> Vec<(Part, String)> {
    let blocks =
        report.blocks.iter().filter_map(|block| Some((Part::Block(block.name.clone()), why(&block.findings)?)));
    let log = report.logs.iter().find_map(|log| Some((Part::Head, why(&log.findings)?)));
    blocks.chain(log).collect()
}

fn why(findings: &[Finding]) -> Option<String> {
    let fatal = findings.iter().find(|finding| finding.grade == Grade::Fatal)?;
    Some(format!("{}: {}", fatal.path, fatal.what))
}

/// The directories of the head that are there.
fn head(verified: &Verified) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(&verified.path)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && is_head(&name)
            && entry.file_type()?.is_dir()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::tsdb::Subset;
    use crate::verify::{VerifyRequest, verify_directory};

    fn look(path: &Path) -> Verified {
        let request = VerifyRequest {
            subset: Subset::ALL,
            now_ms: 1_800_000_000_000,
            threads: NonZeroUsize::MIN,
            stop: Arc::new(AtomicBool::new(false)),
        };
        verify_directory(path, &request).unwrap()
    }

    fn names(path: &Path) -> Vec<String> {
        let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for name in names(from) {
            let (from, to) = (from.join(&name), to.join(&name));
            if from.is_dir() { copy(&from, &to) } else { assert!(fs::copy(from, to).is_ok()) }
        }
    }

    #[test]
    fn only_what_prometheus_would_not_start_on_goes() {
        let volume = tempfile::tempdir().unwrap();
        let home = volume.path();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tsdb/two-blocks"), home);
        let all = names(home);
        assert_eq!(quarantine(&look(home)).unwrap(), [""; 0]);
        assert_eq!(names(home), all);

        let bad = look(home).report.blocks[0].name.clone();
        fs::write(home.join(&bad).join("index"), b"no index").unwrap();
        fs::create_dir_all(home.join("wal/checkpoint.00000003")).unwrap();
        fs::write(home.join("wal/00000001"), b"").unwrap();
        fs::write(home.join("wal/00000005"), b"").unwrap();
        fs::create_dir_all(home.join("chunks_head")).unwrap();
        let damaged = look(home);
        assert_eq!(damaged.report.grade, Grade::Fatal);
        let removed = quarantine(&damaged).unwrap();
        assert!(removed[0].starts_with(&format!("{bad}: {bad}/index: ")), "{removed:?}");
        assert!(look(home).report.grade < Grade::Fatal, "{removed:?}");
        assert!(!names(home).contains(&bad));
    }
}
