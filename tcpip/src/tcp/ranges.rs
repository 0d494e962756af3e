//! Parts of the sequence that are here already though something before them is missing.

use alloc::vec::Vec;

use crate::seq::Seq;

/// A sorted list of ranges that neither overlap nor touch, each from a number to the one after its last.
#[derive(Default)]
#[cfg_attr(test, derive(Clone, Debug))]
pub(crate) struct Ranges {
    list: Vec<(Seq, Seq)>,
}

impl Ranges {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Gives the memory of the list back.
    pub(crate) fn clear(&mut self) {
        self.list = Vec::new();
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (Seq, Seq)> {
        self.list.iter().copied()
    }

    /// Adds a range, unless that makes the list longer than `limit`; whether it was added.
    pub(crate) fn insert(&mut self, start: Seq, end: Seq, limit: usize) -> bool {
        if !start.is_before(end) {
            return true;
        }
        let first = self
            .list
            .iter()
            .position(|range| !range.1.is_before(start))
            .unwrap_or(self.list.len());
        let behind = self.list[first..]
            .iter()
            .position(|range| range.0.is_after(end))
            .map_or(self.list.len(), |count| first + count);
        let joined = self.list[first..behind]
            .iter()
            .fold((start, end), |all, one| {
                (all.0.min(one.0), all.1.max(one.1))
            });
        if first == behind && self.list.len() >= limit {
            return false;
        }
        self.list.splice(first..behind, [joined]);
        true
    }

    /// Forgets what lies before `seq`.
    pub(crate) fn trim(&mut self, seq: Seq) {
        if self.list.is_empty() {
            return;
        }
        self.list.retain(|range| range.1.is_after(seq));
        if let Some(first) = self.list.first_mut() {
            first.0 = first.0.max(seq);
        } else {
            self.clear();
        }
    }

    /// The range that contains `seq`.
    pub(crate) fn around(&self, seq: Seq) -> Option<(Seq, Seq)> {
        self.iter()
            .find(|range| !range.0.is_after(seq) && range.1.is_after(seq))
    }

    /// Where the first range after `seq` begins.
    pub(crate) fn next_start(&self, seq: Seq) -> Option<Seq> {
        self.iter()
            .map(|range| range.0)
            .find(|start| start.is_after(seq))
    }

    /// How much of what lies between two numbers is in the ranges.
    pub(crate) fn covered(&self, start: Seq, end: Seq) -> u32 {
        self.iter()
            .map(|range| range.1.min(end).ahead_of(range.0.max(start)))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;
    use crate::seq::Seq;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_are_a_set_of_numbers(
            base: u32,
            steps in proptest::collection::vec((0u32..200, 0u32..30), 1..50),
            cut in 0u32..200,
        ) {
            let base = Seq(base);
            let (mut ranges, mut model) = (Ranges::default(), [false; 240]);
            for (start, len) in steps {
                prop_assert!(ranges.insert(base + start, base + (start + len), 1000));
                model[start as usize..(start + len) as usize].fill(true);
            }
            ranges.trim(base + cut);
            model[..cut as usize].fill(false);
            for (at, is_in) in model.iter().enumerate() {
                prop_assert_eq!(ranges.around(base + at as u32).is_some(), *is_in);
            }
            let list: Vec<_> = ranges.iter().collect();
            prop_assert!(list.windows(2).all(|two| two[0].1.is_before(two[1].0)));
            let count = model[50..150].iter().filter(|is_in| **is_in).count() as u32;
            prop_assert_eq!(ranges.covered(base + 50, base + 150), count);
        }
    }

    #[test]
    fn a_full_list_takes_only_what_joins() {
        let mut ranges = Ranges::default();
        assert!(ranges.insert(Seq(10), Seq(20), 2) && ranges.insert(Seq(30), Seq(40), 2));
        assert!(!ranges.insert(Seq(50), Seq(60), 2));
        assert!(ranges.insert(Seq(20), Seq(30), 2));
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(Seq(10), Seq(40))]);
        assert_eq!(ranges.next_start(Seq(9)), Some(Seq(10)));
    }
}
