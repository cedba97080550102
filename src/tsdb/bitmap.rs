//! A set of numbers that takes memory only where there are some.

/// Numbers in a page.
const PAGE: u64 = 1 << 15;
const WORDS: usize = (PAGE / 64) as usize;

/// A set of numbers.
#[derive(Default)]
pub(super) struct Bitmap {
    pages: Vec<Option<Box<[u64; WORDS]>>>,
    count: u64,
}

impl Bitmap {
    fn place(number: u64) -> Option<(usize, usize, u64)> {
        let page = usize::try_from(number / PAGE).ok()?;
        let word = usize::try_from(number % PAGE / 64).ok()?;
        Some((page, word, 1 << (number % 64)))
    }

    /// Takes a number in. The caller keeps the greatest one in proportion to what it read.
    pub(super) fn insert(&mut self, number: u64) {
        let Some((page, word, bit)) = Self::place(number) else { return };
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let word = &mut self.pages[page].get_or_insert_with(|| Box::new([0; WORDS]))[word];
        self.count += u64::from(*word & bit == 0);
        *word |= bit;
    }

    /// Whether a number is in it.
    #[inline]
    pub(super) fn contains(&self, number: u64) -> bool {
        let Some((page, word, bit)) = Self::place(number) else { return false };
        matches!(self.pages.get(page), Some(Some(words)) if words[word] & bit != 0)
    }

    /// How many numbers are in it.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_was_put_in_and_nothing_else(numbers in proptest::collection::vec(0_u64..200_000, 0..300)) {
            let mut bitmap = Bitmap::default();
            for number in &numbers {
                bitmap.insert(*number);
            }
            let expected: BTreeSet<_> = numbers.into_iter().collect();
            prop_assert_eq!(bitmap.count(), expected.len() as u64);
            for number in 0..201_000 {
                prop_assert_eq!(bitmap.contains(number), expected.contains(&number));
            }
        }
    }
}
