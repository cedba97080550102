//! Which blocks are looked at whole.

use std::fmt;
use std::str::FromStr;

use super::checksum::crc32c;

/// So many percent of the blocks, always the same ones of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset(u8);

impl Subset {
    /// Every block.
    pub const ALL: Self = Self(100);
    /// No block: only what `meta.json` files and names say.
    pub const NONE: Self = Self(0);

    /// How many percent, 0 to 100.
    pub fn percent(self) -> u8 {
        self.0
    }

    /// Chooses among names; at least one when any is wanted.
    pub(super) fn of(self, mut names: Vec<&str>) -> Vec<&str> {
        let wanted = (names.len() * usize::from(self.0)).div_ceil(100);
        // A checksum spreads the chosen over the whole time, and a block stays chosen while others come and go.
        names.sort_by_key(|name| (crc32c(name.as_bytes()), *name));
        names.truncate(wanted);
        names
    }
}

impl FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent = text.strip_suffix('%').unwrap_or(text).parse().ok().filter(|percent| *percent <= 100);
        percent.map(Self).ok_or_else(|| format!("{text:?} is no whole number of percent; write it like 5%"))
    }
}

impl fmt::Display for Subset {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_percent_are_chosen_and_always_the_same() {
        let names: Vec<_> = (0..40).map(|number| format!("block {number}")).collect();
        let chosen = |text: &str| text.parse::<Subset>().unwrap().of(names.iter().map(String::as_str).collect());
        let counts = ["0%", "1%", "5", "50%", "100%"].map(|text| chosen(text).len());
        assert_eq!(counts, [0, 1, 2, 20, 40]);
        assert!(chosen("5%").iter().all(|name| chosen("50%").contains(name)));
        assert!(Subset::ALL.of(Vec::new()).is_empty());
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "%", "101%", "-1%", "0.5%", "half"] {
            assert!(text.parse::<Subset>().is_err(), "{text}");
        }
    }
}
