//! Files to pieces in the store: read, hashed and sent, so many at once as memory is given.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::buffers::Buffers;
use super::walk::{Fate, Item};
use super::{CopyError, Copying};
use crate::files::{LocalDirectory, SourceFile, Stamp};
use crate::model::{PIECE_BYTES, Sha256};
use crate::store::Written;

/// A file that is opened when its first piece is read, and closed after its last.
struct Lazy {
    source: Arc<LocalDirectory>,
    path: String,
    file: OnceLock<io::Result<SourceFile>>,
}

impl Lazy {
    fn open(&self) -> Result<&SourceFile, Fate> {
        self.file.get_or_init(|| self.source.open_source(&self.path)).as_ref().map_err(fate)
    }
}

/// A piece to be read: of the item at `at`, from `offset` on.
struct Job {
    at: usize,
    file: Arc<Lazy>,
    offset: u64,
    bytes: u64,
}

/// A piece that was read.
struct Read {
    at: usize,
    file: Arc<Lazy>,
    /// `None` of an empty file.
    piece: Result<Option<Sha256>, Fate>,
}

impl Copying<'_> {
    /// Reads all files that have no fate yet and gives them their pieces and one.
    pub(super) async fn read(&self, items: &mut [Item]) -> Result<(), CopyError> {
        let jobs: Vec<usize> = (0..items.len()).filter(|at| items[*at].fate.is_none()).collect();
        let sizes: Vec<(usize, String, u64)> =
            jobs.into_iter().map(|at| (at, items[at].entry.path.clone(), items[at].entry.bytes)).collect();
        let jobs = sizes.into_iter().flat_map(|(at, path, bytes)| self.jobs(at, path, bytes));
        let reads = futures::stream::iter(jobs.map(|job| self.piece(job)));
        let mut reads = reads.buffered(self.request.pieces_in_flight.max(1));
        while let Some(Read { at, file, piece }) = reads.try_next().await? {
            let item = &mut items[at];
            match (piece, &item.fate) {
                // The first thing that went wrong counts.
                (_, Some(_)) => {}
                (Err(fate), None) => item.fate = Some(fate),
                (Ok(piece), None) => {
                    item.entry.pieces.extend(piece);
                    if item.entry.is_whole() {
                        item.fate = Some(at_end(&file, item));
                    }
                }
            }
        }
        Ok(())
    }

    fn jobs(&self, at: usize, path: String, bytes: u64) -> impl Iterator<Item = Job> + use<> {
        let file = Arc::new(Lazy { source: self.source.clone(), path, file: OnceLock::new() });
        // An empty file is opened, too: it may have vanished.
        let pieces = bytes.div_ceil(PIECE_BYTES).max(1);
        (0..pieces).map(move |piece| {
            let offset = piece * PIECE_BYTES;
            Job { at, file: file.clone(), offset, bytes: bytes.saturating_sub(offset).min(PIECE_BYTES) }
        })
    }

    /// Reads a piece and sends it, unless the store has it.
    async fn piece(&self, job: Job) -> Result<Read, CopyError> {
        let Job { at, file, offset, bytes } = job;
        let (reading, buffers) = (file.clone(), self.buffers.clone());
        let read = tokio::task::spawn_blocking(move || read(&reading, offset, bytes, &buffers)).await;
        let read = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let piece = match read {
            Err(fate) => Err(fate),
            Ok(None) => Ok(None),
            Ok(Some((sha256, content))) => {
                let sent = if self.is_there(&sha256, bytes)? { 0 } else { self.send(&sha256, content).await? };
                self.progress.done(bytes, sent);
                Ok(Some(sha256))
            }
        };
        Ok(Read { at, file, piece })
    }

    /// Sends a piece; how many bytes went.
    async fn send(&self, sha256: &Sha256, content: Bytes) -> Result<u64, CopyError> {
        let bytes = content.len() as u64;
        if let Some(throttle) = &self.throttle {
            throttle.take(bytes).await;
        }
        let written = self.store.put_data(sha256, content).await?;
        self.there.lock().unwrap_or_else(PoisonError::into_inner).insert(*sha256, bytes);
        let sent = if written == Written::New { bytes } else { 0 };
        self.sent_bytes.fetch_add(sent, Ordering::Relaxed);
        Ok(sent)
    }
}

fn read(file: &Lazy, offset: u64, bytes: u64, buffers: &Buffers) -> Result<Option<(Sha256, Bytes)>, Fate> {
    let source = file.open()?;
    if bytes == 0 {
        return Ok(None);
    }
    let whole = usize::try_from(bytes).unwrap_or(usize::MAX);
    let content = buffers.lend(|buffer| source.read(offset, &mut buffer[..whole])).map_err(|error| fate(&error))?;
    if content.len() == whole {
        Ok(Some((Sha256::of(&content), content)))
    } else {
        Err(Fate::Gone("it became shorter while it was read".to_owned()))
    }
}

fn fate(error: &io::Error) -> Fate {
    // A link may have taken its place.
    let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    if is_link || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        Fate::Gone("it vanished while it was to be read".to_owned())
    } else {
        Fate::Unreadable(error.to_string())
    }
}

/// Whether a file that has been read is still what it was when it was looked at.
fn at_end(file: &Lazy, item: &Item) -> Fate {
    let Ok(source) = file.open() else { return Fate::Whole };
    match source.stamp() {
        Ok(stamp) if stamp == Stamp::of(&item.entry) || item.is_appended() => Fate::Whole,
        _ => Fate::Changed,
    }
}
