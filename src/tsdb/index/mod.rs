//! The index of a block: which series there are, which labels they have and where their chunks are (prometheus
//! `tsdb/index`, versions 1 to 3). Read in windows, never whole.

mod postings;
mod series;
mod symbols;
mod toc;

use std::io;

pub(super) use postings::{All, Postings};
pub(super) use series::{ChunkMeta, Series};

use super::Directory;
use super::bitmap::Bitmap;
use super::window::Window;
use symbols::Symbols;
use toc::{Section, Toc};

/// An index that Prometheus can open, but perhaps for its postings offset table.
pub(super) struct Index<'a> {
    directory: &'a dyn Directory,
    path: String,
    toc: Toc,
    symbols: Symbols,
}

/// What all series come to.
#[derive(Default)]
pub(super) struct SeriesFound {
    /// Where those are that can be read.
    pub(super) places: Bitmap,
    /// Stretches that cannot be read.
    pub(super) damaged: u64,
    /// Offset of the first of them.
    pub(super) first_damaged: Option<u64>,
    /// Series out of order, or with labels out of order.
    pub(super) unsorted: u64,
    /// Labels of all series that can be read.
    pub(super) labels: u64,
}

impl<'a> Index<'a> {
    /// Reads beginning, table of contents and symbols; the inner error says why Prometheus cannot open the index.
    /// `version` is there when Prometheus would write it before.
    pub(super) fn open(
        directory: &'a dyn Directory,
        block: &str,
        version: Option<u8>,
    ) -> io::Result<Result<Self, String>> {
        let path = format!("{block}/index");
        let file = match super::open(directory, &path)? {
            Ok(file) => file,
            Err(absent) => return Ok(Err(absent.to_string())),
        };
        let mut window = Window::new(file);
        let toc = match Toc::read(&mut window, version)? {
            Ok(toc) => toc,
            Err(fault) => return Ok(Err(fault)),
        };
        let symbols = Symbols::read(&mut window, toc.symbols, toc.format)?;
        Ok(symbols.map(|symbols| Self { directory, path, toc, symbols }))
    }

    /// Its path below the data directory.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn window(&self) -> io::Result<Window<'a>> {
        Ok(Window::new(self.directory.open(&self.path)?))
    }

    /// Visits every series that can be read, in the order of the index.
    pub(super) fn series(&self, mut visit: impl FnMut(&Series) -> io::Result<()>) -> io::Result<SeriesFound> {
        let mut found = SeriesFound::default();
        let borders = (self.toc.series, self.toc.end_of(self.toc.series));
        let mut walk = series::Walk::new(self.window()?, self.toc.format, self.symbols, borders);
        while let Some(step) = walk.next()? {
            match step {
                series::Step::Whole(place) => {
                    found.places.insert(place);
                    visit(&walk.series)?;
                }
                series::Step::Damaged(offset) => {
                    found.damaged += 1;
                    found.first_damaged.get_or_insert(offset);
                }
            }
        }
        (found.unsorted, found.labels) = (walk.unsorted, walk.labels);
        Ok(found)
    }

    /// Reads the postings; the inner error says why Prometheus cannot open the index.
    pub(super) fn postings(&self, series: &Bitmap) -> io::Result<Result<Postings, String>> {
        postings::read((&mut self.window()?, &mut self.window()?), &self.toc, series)
    }

    /// Offset of the first label section that does not hold its checksum. Prometheus before 3.8 wrote them and none reads
    /// them since 2.15.
    pub(super) fn damaged_label_section(&self) -> io::Result<Option<u64>> {
        let mut window = self.window()?;
        // The lists are aligned, and padding stands before the first of them.
        let starts = [(self.toc.label_indices, 4), (self.toc.label_offset_table, 1)];
        for (start, alignment) in starts.into_iter().filter(|(start, _)| *start != 0) {
            let taken = [self.toc.postings, self.toc.postings_offset_table, self.toc.end].contains(&start);
            let end = if taken { start } else { self.toc.end_of(start) };
            let mut at = start.checked_next_multiple_of(alignment).unwrap_or(end);
            while at < end {
                match Section::read(&mut window, at)? {
                    Ok(section) => at = (section.end + 4).next_multiple_of(4),
                    Err(_) => return Ok(Some(at)),
                }
            }
        }
        Ok(None)
    }
}
