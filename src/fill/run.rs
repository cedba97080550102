//! The run itself: compare what is there, fetch what is not, leave out what is damaged, and dress everything at last.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures::{StreamExt, TryStreamExt};
use tokio::task::JoinSet;

use super::check::{There, check};
use super::contents::{Contents, Unit};
use super::{FillError, FillRequest, Filled, OnDamage};
use crate::copy::progress::Progress;
use crate::copy::throttle::Throttle;
use crate::files::{LocalDirectory, Owner, TargetDirectory, UnfinishedFile};
use crate::model::{Event, PIECE_BYTES, Problem, Reporter, Sha256, TreeEntry, TreeEntryKind};
use crate::store::{FetchError, Store, StoreError};
use crate::words;

/// Files that are brought to disk at once.
const FINISHING: usize = 16;

pub(super) async fn fill(store: &Store, request: &FillRequest, reporter: &dyn Reporter) -> Result<Filled, FillError> {
    reporter.event(&Event::Step { doing: format!("bringing {} to {}", request.name, request.directory.display()) });
    let contents = Arc::new(read_tree(store, request).await?);
    let there = look(request, &contents).await?;
    let target = TargetDirectory::open_or_make(&request.directory).map_err(|error| write_error(request, "", error))?;
    let filling = Filling {
        store,
        request,
        target: Arc::new(target),
        progress: Progress::new(&request.name, reporter),
        throttle: request.bytes_per_second.map(Throttle::new),
        lost: Mutex::new(Vec::new()),
        written_bytes: AtomicU64::new(0),
        not_owned: Mutex::new(Vec::new()),
        contents,
    };
    filling.run(there).await
}

async fn read_tree(store: &Store, request: &FillRequest) -> Result<Contents, FillError> {
    let tree = request.tree;
    let bytes = store.get_data(&tree).await;
    let bytes = bytes.map_err(|source| FillError::Read { object: format!("tree of {}", request.name), source })?;
    Contents::read(&bytes[..], request.head).map_err(|source| FillError::ReadTree { tree, source })
}

async fn look(request: &FillRequest, contents: &Arc<Contents>) -> Result<There, FillError> {
    let (directory, contents) = (LocalDirectory::new(&request.directory), contents.clone());
    let there = tokio::task::spawn_blocking(move || check(&directory, &contents.entries)).await;
    let there = there.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    there.map_err(|error| write_error(request, "", error))?.map_err(FillError::Refused)
}

fn write_error(request: &FillRequest, path: &str, source: io::Error) -> FillError {
    FillError::Write { path: request.directory.join(path).display().to_string(), source }
}

/// A run under way.
struct Filling<'a> {
    store: &'a Store,
    request: &'a FillRequest,
    contents: Arc<Contents>,
    target: Arc<TargetDirectory>,
    progress: Progress<'a>,
    throttle: Option<Throttle>,
    /// What is left out, and why.
    lost: Mutex<Vec<(Unit, String)>>,
    written_bytes: AtomicU64,
    /// What could not be given its owner.
    not_owned: Mutex<Vec<String>>,
}

/// A file being written; begun with its first piece.
struct Growing {
    entry: TreeEntry,
    file: OnceLock<Result<UnfinishedFile, String>>,
    /// Held while a part is written: the kernel lets one write into a file at a time, and who waits there spins.
    writing: Mutex<()>,
    /// Set when it is left out: its other pieces need not come.
    left_out: AtomicBool,
}

struct Job {
    growing: Arc<Growing>,
    /// Its piece and where it goes; `None` of an empty file.
    piece: Option<(Sha256, u64, u64)>,
    is_last: bool,
}

impl Filling<'_> {
    async fn run(self, there: There) -> Result<Filled, FillError> {
        let files = || self.contents.entries.iter().filter(|entry| entry.kind == TreeEntryKind::File);
        self.progress.total(files().map(|entry| entry.bytes).sum());
        self.prepare(&there)?;
        let equal = self.equal(&there).await?;
        let missing: Vec<&TreeEntry> = files().filter(|entry| !equal.contains(&entry.path)).collect();
        self.fetch(&missing).await?;
        self.remove_lost()?;
        self.dress(&equal)?;
        self.progress.end();
        Ok(self.outcome())
    }

    /// Makes the directories and removes what an interrupted run left unfinished.
    fn prepare(&self, there: &There) -> Result<(), FillError> {
        for path in &there.unfinished {
            self.target.remove(path).map_err(|error| write_error(self.request, path, error))?;
        }
        let directories = self.contents.entries.iter().filter(|entry| entry.kind == TreeEntryKind::Directory);
        for entry in directories.filter(|entry| !entry.path.is_empty()) {
            self.target.make_directory(&entry.path).map_err(|error| write_error(self.request, &entry.path, error))?;
        }
        Ok(())
    }

    /// Paths of files that are there with the same content.
    async fn equal(&self, there: &There) -> Result<std::collections::HashSet<String>, FillError> {
        let candidates =
            self.contents.entries.iter().filter(|entry| {
                entry.kind == TreeEntryKind::File && there.files.get(&entry.path) == Some(&entry.bytes)
            });
        let compared = futures::stream::iter(candidates.map(|entry| {
            let (target, entry) = (self.target.clone(), entry.clone());
            async move {
                let path = entry.path.clone();
                let bytes = entry.bytes;
                let same = tokio::task::spawn_blocking(move || is_equal(&target, &entry)).await;
                let same = same.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                if matches!(same, Ok(true)) {
                    self.progress.done(bytes, 0);
                }
                same.map(|same| same.then_some(path.clone())).map_err(|error| write_error(self.request, &path, error))
            }
        }));
        let compared = compared.buffer_unordered(self.request.pieces_in_flight.max(1));
        compared.try_filter_map(async |path| Ok(path)).try_collect().await
    }

    /// Fetches and writes files.
    async fn fetch(&self, files: &[&TreeEntry]) -> Result<(), FillError> {
        let jobs: Vec<Arc<Growing>> = files
            .iter()
            .map(|entry| {
                Arc::new(Growing {
                    entry: (*entry).clone(),
                    file: OnceLock::new(),
                    writing: Mutex::new(()),
                    left_out: AtomicBool::new(false),
                })
            })
            .collect();
        let jobs = jobs.into_iter().flat_map(jobs_of);
        let fetched = futures::stream::iter(jobs.map(|job| self.piece(job)));
        let mut fetched = fetched.buffered(self.request.pieces_in_flight.max(1));
        let mut finishing = JoinSet::new();
        while let Some(Job { growing, is_last, .. }) = fetched.try_next().await? {
            if !is_last {
                continue;
            }
            while finishing.len() >= FINISHING {
                self.finished(finishing.join_next().await)?;
            }
            finishing.spawn_blocking(move || finish(&growing));
        }
        while !finishing.is_empty() {
            self.finished(finishing.join_next().await)?;
        }
        Ok(())
    }

    fn finished(
        &self,
        joined: Option<Result<(String, io::Result<Owner>), tokio::task::JoinError>>,
    ) -> Result<(), FillError> {
        let Some(joined) = joined else { return Ok(()) };
        let (path, owner) = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        self.note_owner(path, owner)
    }

    fn note_owner(&self, path: String, owner: io::Result<Owner>) -> Result<(), FillError> {
        match owner.map_err(|error| write_error(self.request, &path, error))? {
            Owner::AsWanted => {}
            Owner::NotPermitted => self.not_owned.lock().unwrap_or_else(PoisonError::into_inner).push(path),
        }
        Ok(())
    }

    /// Brings a piece to its place, or leaves out what it belongs to.
    async fn piece(&self, job: Job) -> Result<Job, FillError> {
        let entry = &job.growing.entry;
        if job.growing.left_out.load(Ordering::Relaxed) || self.is_lost(&entry.path) {
            job.growing.left_out.store(true, Ordering::Relaxed);
            return Ok(job);
        }
        match self.bring(&job).await {
            Ok(bytes) => {
                self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
                self.progress.done(bytes, bytes);
            }
            Err(FetchError::Read(error @ StoreError::Damaged { .. })) if self.request.on_damage == OnDamage::Skip => {
                job.growing.left_out.store(true, Ordering::Relaxed);
                self.lose(&entry.path, &error);
            }
            Err(FetchError::Read(source)) => return Err(FillError::Read { object: entry.path.clone(), source }),
            Err(FetchError::Write(error)) => return Err(write_error(self.request, &entry.path, error)),
        }
        Ok(job)
    }

    /// Brings a piece to its place; how many bytes it has.
    async fn bring(&self, job: &Job) -> Result<u64, FetchError> {
        let (growing, target) = (job.growing.clone(), self.target.clone());
        let Some((piece, offset, bytes)) = job.piece else {
            let made = tokio::task::spawn_blocking(move || write(&growing, &target, 0, &[])).await;
            let made = made.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            return made.map(|()| 0).map_err(FetchError::Write);
        };
        if let Some(throttle) = &self.throttle {
            throttle.take(bytes).await;
        }
        let to_its_place = move |at, part: &[u8]| write(&growing, &target, offset + at, part);
        self.store.fetch_data(&piece, bytes, to_its_place).await.map(|()| bytes)
    }

    fn is_lost(&self, path: &str) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(unit, _)| unit.holds(path))
    }

    /// Leaves out what is of no use without this file.
    fn lose(&self, path: &str, error: &StoreError) {
        let unit = self.contents.unit(path);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if !lost.iter().any(|(other, _)| other.holds(path)) {
            lost.push((unit, words::chain(error)));
        }
    }

    /// Removes what was written of it before.
    fn remove_lost(&self) -> Result<(), FillError> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        for (unit, _) in lost.iter() {
            let paths = self.contents.entries.iter().filter(|entry| unit.holds(&entry.path));
            for entry in paths {
                self.target.remove(&entry.path).map_err(|error| write_error(self.request, &entry.path, error))?;
            }
        }
        Ok(())
    }

    /// Makes the links; gives files that were there before, and directories, mode, owner and time. Directories come last,
    /// and the inner ones first: what is written into one changes its time.
    fn dress(&self, equal: &std::collections::HashSet<String>) -> Result<(), FillError> {
        let kept = || self.contents.entries.iter().filter(|entry| !self.is_lost(&entry.path));
        for link in kept().filter(|entry| entry.kind == TreeEntryKind::Link) {
            self.note_owner(link.path.clone(), self.target.link(link))?;
        }
        for file in kept().filter(|entry| equal.contains(&entry.path)) {
            self.note_owner(file.path.clone(), self.target.dress(file))?;
        }
        let directories: Vec<_> = kept().filter(|entry| entry.kind == TreeEntryKind::Directory).collect();
        for directory in directories.into_iter().rev() {
            self.note_owner(directory.path.clone(), self.target.dress(directory))?;
        }
        Ok(())
    }

    fn outcome(self) -> Filled {
        let kept: Vec<_> = self
            .contents
            .entries
            .iter()
            .filter(|entry| entry.kind == TreeEntryKind::File && !self.is_lost(&entry.path))
            .collect();
        let name = &self.request.name;
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = lost.iter().map(|(unit, cause)| Problem {
            object: format!("{name}: {}", unit.words()),
            tried: "bring back".to_owned(),
            cause: cause.clone(),
            hint: "it was left out and all else brought back; another backup may hold it whole".to_owned(),
        });
        let not_owned = self.not_owned.lock().unwrap_or_else(PoisonError::into_inner);
        let which = |first: &String| match not_owned.len() {
            1 => format!("{first:?}"),
            more => format!("{more} entries, such as {first:?}"),
        };
        let problems = not_owned.first().map(|first| Problem {
            object: format!("{name}: {}", which(first)),
            tried: "set the owner of".to_owned(),
            cause: "the system does not permit it; they belong to the user who ran this".to_owned(),
            hint: "run it as root, or chown them to the user that Prometheus runs as".to_owned(),
        });
        Filled {
            files: kept.len() as u64,
            bytes: kept.iter().map(|entry| entry.bytes).sum(),
            written_bytes: self.written_bytes.load(Ordering::Relaxed),
            left_out: left_out.collect(),
            problems: problems.into_iter().collect(),
        }
    }
}

fn jobs_of(growing: Arc<Growing>) -> impl Iterator<Item = Job> {
    let pieces: Vec<_> = growing.entry.sized_pieces().map(|(piece, bytes)| (*piece, bytes)).collect();
    let count = pieces.len().max(1);
    (0..count).map(move |at| Job {
        growing: growing.clone(),
        piece: pieces.get(at).map(|(piece, bytes)| (*piece, at as u64 * PIECE_BYTES, *bytes)),
        is_last: at + 1 == count,
    })
}

fn write(growing: &Growing, target: &TargetDirectory, offset: u64, content: &[u8]) -> io::Result<()> {
    let file = growing.file.get_or_init(|| target.create(&growing.entry.path).map_err(|error| error.to_string()));
    match file {
        Ok(file) => {
            let _alone = growing.writing.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_at(offset, content)
        }
        Err(error) => Err(io::Error::other(error.clone())),
    }
}

/// Gives a file that is whole its name, and removes one that is left out.
fn finish(growing: &Growing) -> (String, io::Result<Owner>) {
    let path = growing.entry.path.clone();
    let finished = match growing.file.get() {
        Some(Ok(file)) if growing.left_out.load(Ordering::Relaxed) => file.give_up().map(|()| Owner::AsWanted),
        Some(Ok(file)) => file.finish(&growing.entry),
        _ => Ok(Owner::AsWanted),
    };
    (path, finished)
}

/// Whether the file that is there has these pieces.
fn is_equal(target: &TargetDirectory, entry: &TreeEntry) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let file = target.open(&entry.path)?;
    let mut buffer = Vec::new();
    for (at, (piece, bytes)) in entry.sized_pieces().enumerate() {
        buffer.resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
        match file.read_exact_at(&mut buffer, at as u64 * PIECE_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if Sha256::of(&buffer) != *piece {
            return Ok(false);
        }
    }
    Ok(true)
}
