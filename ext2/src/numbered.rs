//! What belongs to numbers of blocks or inodes: values in a list, and where each number's is in a hash table that is the same code for all
//! types of values. A `BTreeMap` for each type is some 4 KiB of an image more, and takes eight times as long to find a number among hundreds.

use alloc::vec::Vec;

/// Values by number.
#[derive(Debug)]
pub(crate) struct Numbered<V> {
    places: Places,
    /// The values, with their numbers, in no order.
    values: Vec<(u32, V)>,
}

impl<V> Default for Numbered<V> {
    fn default() -> Self {
        Self {
            places: Places::default(),
            values: Vec::new(),
        }
    }
}

impl<V> Numbered<V> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn contains_key(&self, number: u32) -> bool {
        self.places.get(number).is_some()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&V> {
        let place = self.places.get(number)?;
        self.values.get(place as usize).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut V> {
        let place = self.places.get(number)?;
        self.values.get_mut(place as usize).map(|(_, value)| value)
    }

    /// The value of a number, made now if it has none.
    pub(crate) fn get_or_insert_with(&mut self, number: u32, make: impl FnOnce() -> V) -> &mut V {
        let place = match self.places.get(number) {
            Some(place) => place,
            None => {
                // There are no more values than numbers.
                let place = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
                self.values.push((number, make()));
                self.places.insert(number, place);
                place
            }
        };
        match self.values.get_mut(place as usize) {
            Some((_, value)) => value,
            None => unreachable!("places lead to values"),
        }
    }

    /// Gives a number a value in place of what it had.
    pub(crate) fn insert(&mut self, number: u32, value: V) -> &mut V {
        self.remove(number);
        self.get_or_insert_with(number, || value)
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<V> {
        let place = self.places.remove(number)?;
        let (_, value) = self.values.swap_remove(place as usize);
        // The last one has taken its place.
        if let Some((moved, _)) = self.values.get(place as usize) {
            self.places.insert(*moved, place);
        }
        Some(value)
    }

    /// Removes those of which `is_kept` does not hold.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&V) -> bool) {
        self.values.retain(|(_, value)| is_kept(value));
        self.places.clear();
        for ((number, _), place) in self.values.iter().zip(0..) {
            self.places.insert(*number, place);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.values.clear();
    }

    /// All numbers with their values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &V)> {
        self.values.iter().map(|(number, value)| (*number, value))
    }
}

/// A number, and what belongs to it plus one; 0 in a slot that is free.
type Slot = [u32; 2];

const FREE: Slot = [0; 2];
const FEWEST_SLOTS: usize = 8;

/// Places by number: a hash table with linear probing, at most half full (Knuth, The Art of Computer Programming, volume 3, section 6.4).
#[derive(Debug, Default)]
struct Places {
    /// None, or a power of two.
    slots: Vec<Slot>,
    len: usize,
}

impl Places {
    /// Where a number is looked for first: the upper bits of its product with 2³² divided by the golden ratio.
    fn home(&self, number: u32) -> usize {
        let product = u64::from(number.wrapping_mul(0x9E37_79B1));
        (product.wrapping_mul(self.slots.len() as u64) >> 32) as usize
    }

    /// The slot behind this one; the first is behind the last.
    fn next(&self, at: usize) -> usize {
        at.wrapping_add(1) & self.mask()
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    fn slot(&self, at: usize) -> Slot {
        self.slots.get(at).copied().unwrap_or(FREE)
    }

    fn set(&mut self, at: usize, slot: Slot) {
        if let Some(old) = self.slots.get_mut(at) {
            *old = slot;
        }
    }

    /// The slot of a number, or else the one that it would get.
    fn find(&self, number: u32) -> (usize, Slot) {
        let mut at = self.home(number);
        loop {
            let slot = self.slot(at);
            // It ends: half of the slots are free, and so is what is no slot.
            if slot[0] == number || slot[1] == 0 {
                return (at, slot);
            }
            at = self.next(at);
        }
    }

    fn get(&self, number: u32) -> Option<u32> {
        self.find(number).1[1].checked_sub(1)
    }

    /// Gives a number a place, in place of what it had.
    fn insert(&mut self, number: u32, place: u32) {
        if self.len >= self.slots.len() / 2 {
            self.grow();
        }
        let (at, slot) = self.find(number);
        self.len = self.len.saturating_add(usize::from(slot[1] == 0));
        self.set(at, [number, place.saturating_add(1)]);
    }

    fn grow(&mut self) {
        let slots = self.slots.len().saturating_mul(2).max(FEWEST_SLOTS);
        let old = core::mem::replace(&mut self.slots, alloc::vec![FREE; slots]);
        for slot in old.into_iter().filter(|slot| slot[1] != 0) {
            let (at, _) = self.find(slot[0]);
            self.set(at, slot);
        }
    }

    /// Removes a number; the place that it had. Those behind it that were pushed away by it come nearer to their homes.
    fn remove(&mut self, number: u32) -> Option<u32> {
        let (mut hole, slot) = self.find(number);
        let place = slot[1].checked_sub(1)?;
        self.len = self.len.saturating_sub(1);
        let mut at = self.next(hole);
        loop {
            let slot = self.slot(at);
            if slot[1] == 0 {
                break;
            }
            let from_home = at.wrapping_sub(self.home(slot[0])) & self.mask();
            if from_home >= at.wrapping_sub(hole) & self.mask() {
                self.set(hole, slot);
                hole = at;
            }
            at = self.next(at);
        }
        self.set(hole, FREE);
        Some(place)
    }

    fn clear(&mut self) {
        self.slots = Vec::new();
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Numbered;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    #[test]
    fn it_does_what_a_map_does() {
        let mut ours = Numbered::default();
        let mut map = BTreeMap::new();
        let mut seed = 1_u32;
        for step in 0..20_000_u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Few numbers, so that they meet, among them 0; and each eighth time one of many.
            let number = match seed >> 5 & 7 {
                0 => seed >> 8,
                _ => seed >> 8 & 63,
            };
            match seed >> 28 {
                0..6 => {
                    *ours.insert(number, step) += 1;
                    map.insert(number, step + 1);
                }
                6..12 => assert_eq!(ours.remove(number), map.remove(&number)),
                12 | 13 => {
                    *ours.get_or_insert_with(number, || step) += 1;
                    *map.entry(number).or_insert(step) += 1;
                }
                14 if seed >> 20 & 63 == 0 => {
                    ours.retain(|value| value % 3 != 0);
                    map.retain(|_, value| *value % 3 != 0);
                }
                15 if seed >> 20 & 127 == 0 => {
                    ours.clear();
                    map.clear();
                }
                _ => {}
            }
            assert_eq!(ours.len(), map.len());
            assert_eq!(ours.get(number), map.get(&number));
            assert_eq!(ours.get_mut(number), map.get_mut(&number));
            assert_eq!(ours.contains_key(number), map.contains_key(&number));
        }
        let mut all: Vec<_> = ours
            .iter()
            .map(|(number, value)| (number, *value))
            .collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(map));
    }
}
