//! A map in a sorted vector, for tables that hold few entries at a time.
//!
//! Looking up halves; what is put in or taken out moves what lies behind it. The code of a B-tree is five kilobytes for each pair of types, in
//! every image that has the table, so maps that may hold many entries are B-trees and others are these.

use alloc::vec::Vec;

/// The entries, by ascending keys.
#[derive(Debug)]
pub(crate) struct SortedMap<K, V>(Vec<(K, V)>);

impl<K: Ord, V> SortedMap<K, V> {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Where a key is, or would be.
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }

    /// What belongs to a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (_, value) = self.0.get(self.place(key).ok()?)?;
        Some(value)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(key).ok()?;
        let (_, value) = self.0.get_mut(place)?;
        Some(value)
    }

    /// The same, made where there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let place = self.place(&key).unwrap_or_else(|place| {
            self.0.insert(place, (key, make()));
            place
        });
        &mut self.0[place].1
    }

    /// Lets a value belong to a key; what did before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(place) => Some(core::mem::replace(&mut self.0[place].1, value)),
            Err(place) => {
                self.0.insert(place, (key, value));
                None
            }
        }
    }

    /// Takes a key out, with what belongs to it.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.place(key).ok()?;
        Some(self.0.remove(place).1)
    }

    /// How many entries there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// All entries, by ascending keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::SortedMap;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    #[test]
    fn it_does_what_a_b_tree_does() {
        let (mut map, mut tree) = (SortedMap::new(), BTreeMap::new());
        let mut number = 1_u32;
        for _ in 0..2_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (key, value) = (number >> 8 & 63, number);
            match number >> 28 {
                0..8 => assert_eq!(map.insert(key, value), tree.insert(key, value)),
                8..12 => assert_eq!(map.remove(&key), tree.remove(&key)),
                12..14 => {
                    let ours = map.get_or_insert_with(key, || value);
                    let theirs = tree.entry(key).or_insert(value);
                    assert_eq!(ours, theirs);
                    (*ours, *theirs) = (number + 1, number + 1);
                }
                _ => {
                    assert_eq!(map.get(&key), tree.get(&key));
                    assert_eq!(map.get_mut(&key), tree.get_mut(&key));
                }
            }
            assert!(map.iter().eq(tree.iter()));
            assert_eq!(map.len(), tree.len());
        }
        let keys: Vec<_> = map.iter().map(|(key, _)| *key).collect();
        assert!(!keys.is_empty() && keys.is_sorted());
    }
}
