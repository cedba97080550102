//! The symbols of an index: every string of its labels once, sorted. Prometheus reads all of them when it starts.

use std::io;

use super::toc::{Entries, Format, Section};
use crate::tsdb::window::{MOST_AT_ONCE, Window};

/// What series may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbols {
    /// The first reference that is none of a symbol.
    pub(super) end: u64,
    pub(super) order: Order,
}

/// Whether the order of references is the order of the strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Sorted,
    Unsorted,
}

impl Symbols {
    /// Reads all of them, or says why Prometheus cannot.
    pub(super) fn read(window: &mut Window<'_>, offset: u64, format: Format) -> io::Result<Result<Self, String>> {
        let section = match Section::read(window, offset)? {
            Ok(section) => section,
            Err(fault) => return Ok(Err(format!("has a symbol table that {fault}"))),
        };
        let mut entries = Entries::new(window, section);
        let Some(count) = entries.u32()? else { return Ok(Err("has a symbol table without a count".to_owned())) };
        let (mut last, mut order) = (None::<Vec<u8>>, Order::Sorted);
        for read in 0..count {
            let Some(symbol) = entries.string()? else {
                return Ok(Err(format!("has a symbol table of {read} symbols that counts {count}")));
            };
            let last = match &mut last {
                Some(last) => {
                    // Of longer ones only the beginning is known.
                    if last.as_slice() >= symbol && symbol.len() < MOST_AT_ONCE {
                        order = Order::Unsorted;
                    }
                    last
                }
                last => last.insert(Vec::new()),
            };
            last.clear();
            last.extend_from_slice(symbol);
        }
        let end = match format {
            Format::V1 => section.end,
            Format::V2 => u64::from(count),
        };
        Ok(Ok(Self { end, order }))
    }
}
