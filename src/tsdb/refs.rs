//! A compact set of series references: they are handed out one after the other, so pages of bits by number hold them.

use std::collections::HashMap;

/// References in a page: 8 KiB of bits.
const PAGE_REFS: u64 = 65_536;
/// 64 MiB of bits: half a milliard references that lie side by side. Beyond it the set counts everything as known.
const MAX_PAGES: usize = 8192;

/// Which series are known.
#[derive(Debug, Default)]
pub(super) struct RefSet {
    by_number: HashMap<u64, usize>,
    pages: Vec<Box<[u64; 1024]>>,
    /// The page used last: references that follow each other are of the same scrape.
    last: Option<(u64, usize)>,
    len: u64,
    overflowed: bool,
}

impl RefSet {
    /// Takes one in.
    pub(super) fn insert(&mut self, reference: u64) {
        let number = reference / PAGE_REFS;
        let page = match self.find(number) {
            Some(page) => page,
            None if self.pages.len() >= MAX_PAGES => {
                self.overflowed = true;
                return;
            }
            None => {
                self.pages.push(Box::new([0; 1024]));
                self.by_number.insert(number, self.pages.len() - 1);
                self.pages.len() - 1
            }
        };
        self.last = Some((number, page));
        let (word, bit) = place(reference);
        let bits = &mut self.pages[page][word];
        self.len += u64::from(*bits & bit == 0);
        *bits |= bit;
    }

    /// Whether it is in; yes for all once there were too many to remember.
    pub(super) fn contains(&mut self, reference: u64) -> bool {
        let number = reference / PAGE_REFS;
        let Some(page) = self.find(number) else { return self.overflowed };
        self.last = Some((number, page));
        let (word, bit) = place(reference);
        self.pages[page][word] & bit != 0 || self.overflowed
    }

    /// How many are in.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    fn find(&self, number: u64) -> Option<usize> {
        match self.last {
            Some((last, page)) if last == number => Some(page),
            _ => self.by_number.get(&number).copied(),
        }
    }
}

/// The word in its page, at most 1023, and the bit in the word.
fn place(reference: u64) -> (usize, u64) {
    let within = reference % PAGE_REFS;
    (usize::try_from(within / 64).unwrap_or(0), 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in_and_nothing_else() {
        let mut set = RefSet::default();
        for reference in [0, 1, 63, 64, 65_535, 65_536, u64::MAX, 1] {
            set.insert(reference);
        }
        assert_eq!(set.len(), 7);
        for reference in [0, 1, 63, 64, 65_535, 65_536, u64::MAX] {
            assert!(set.contains(reference), "{reference}");
        }
        for reference in [2, 62, 65, 65_537, 131_072, u64::MAX - 1] {
            assert!(!set.contains(reference), "{reference}");
        }
    }

    #[test]
    fn too_many_far_apart_are_all_taken_for_known_in_bounded_memory() {
        let mut set = RefSet::default();
        for page in 0..=MAX_PAGES as u64 {
            set.insert(page * PAGE_REFS);
        }
        assert_eq!(set.pages.len(), MAX_PAGES);
        assert!(set.contains(5) && set.contains(u64::MAX));
    }
}
