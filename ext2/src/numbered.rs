//! What belongs to numbers of blocks or inodes. A `BTreeMap` does the same, but each type of its values is another copy of its code, some
//! 4 KiB of an image; here all types share the one of `BTreeMap<u32, u32>`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Values by number.
#[derive(Debug)]
pub(crate) struct Numbered<V> {
    /// Where in `values` a number's is.
    places: BTreeMap<u32, u32>,
    /// The values, with their numbers, in no order.
    values: Vec<(u32, V)>,
}

impl<V> Default for Numbered<V> {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            values: Vec::new(),
        }
    }
}

impl<V> Numbered<V> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn contains_key(&self, number: u32) -> bool {
        self.places.contains_key(&number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&V> {
        let place = *self.places.get(&number)?;
        self.values.get(place as usize).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut V> {
        let place = *self.places.get(&number)?;
        self.values.get_mut(place as usize).map(|(_, value)| value)
    }

    /// The value of a number, made now if it has none.
    pub(crate) fn get_or_insert_with(&mut self, number: u32, make: impl FnOnce() -> V) -> &mut V {
        let place = match self.places.get(&number) {
            Some(place) => *place,
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
        let place = self.places.remove(&number)?;
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
        let numbers = self.values.iter().map(|(number, _)| *number);
        self.places = numbers.zip(0..).collect();
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
            let number = seed >> 8 & 63;
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
