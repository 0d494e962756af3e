//! Sets of numbers kept as runs: blocks that lie one after the other cost one entry.

use alloc::collections::BTreeMap;

/// A set of numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// The end (exclusive) of each run by its start. Runs neither overlap nor touch.
    ends: BTreeMap<u32, u32>,
}

impl Runs {
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Is any of `count` numbers from `start` on in the set?
    pub(crate) fn overlaps(&self, start: u32, count: u32) -> bool {
        let end = start.saturating_add(count);
        self.ends
            .range(..end)
            .next_back()
            .is_some_and(|(_, run_end)| *run_end > start)
    }

    /// Adds `count` numbers from `start` on.
    pub(crate) fn insert(&mut self, start: u32, count: u32) {
        let (mut start, mut end) = (start, start.saturating_add(count));
        while let Some((other, other_end)) = self
            .ends
            .range(..=end)
            .next_back()
            .map(|(other, other_end)| (*other, *other_end))
            .filter(|(_, other_end)| *other_end >= start)
        {
            self.ends.remove(&other);
            start = start.min(other);
            end = end.max(other_end);
        }
        self.ends.insert(start, end);
    }

    /// Start and length of each run.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.ends
            .iter()
            .map(|(start, end)| (*start, end.saturating_sub(*start)))
    }
}

#[cfg(test)]
mod tests {
    use super::Runs;
    use alloc::vec::Vec;

    #[test]
    fn runs_that_touch_become_one() {
        let mut runs = Runs::default();
        for (start, count) in [(10, 2), (14, 1), (12, 2), (30, 1), (5, 1)] {
            runs.insert(start, count);
        }
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(5, 1), (10, 5), (30, 1)]);
        runs.insert(0, 40);
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(0, 40)]);
    }

    #[test]
    fn overlap_counts_neither_neighbour() {
        let mut runs = Runs::default();
        runs.insert(10, 5);
        assert!(!runs.overlaps(8, 2));
        assert!(runs.overlaps(8, 3));
        assert!(runs.overlaps(14, 1));
        assert!(!runs.overlaps(15, 9));
    }
}
