//! The table of TCP connections: found by their ends in one step, whatever their number. Those that no program holds any more wait in a
//! line; the oldest gives way when there are too many.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as MapEntry;

use crate::address::Tuple;
use crate::error::Error;
use crate::hash::Seed;
use crate::path::Path;
use crate::tcp::Connection;
use crate::timers::UNSET;
use crate::wire::usual::{self, Ends};

/// Memory for more connections than these is given back when there are none.
const CROWD: usize = 1024;

/// A connection and what belongs to it.
pub(crate) struct Entry<H> {
    pub(crate) connection: Connection,
    pub(crate) tuple: Tuple,
    /// Who holds it; none when the program has given it up.
    pub(crate) holder: Option<H>,
    /// The way to the peer.
    pub(crate) path: Path,
    /// Where its timer is set.
    pub(crate) timer: u64,
    /// It waits for its neighbour's hardware address.
    pub(crate) is_waiting: bool,
    queued: Option<Place>,
}

/// A place in the line: its neighbours there.
#[derive(Clone, Copy)]
struct Place {
    older: Option<u32>,
    newer: Option<u32>,
}

/// The table.
pub(crate) struct Table<H> {
    slots: Vec<Option<Box<Entry<H>>>>,
    free: Vec<u32>,
    by_tuple: HashMap<Tuple, u32, Seed>,
    oldest: Option<u32>,
    newest: Option<u32>,
    orphans: usize,
    limit: usize,
    /// Where the next sample begins.
    sampled: u32,
    /// The slot that [`Table::find_next`] found last and by which ends, unless it has lost these since.
    last: Option<(Ends, u32)>,
}

impl<H> Table<H> {
    /// An empty table for `limit` connections; `seed` keeps strangers from choosing ends that collide.
    pub(crate) fn new(limit: usize, seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_tuple: HashMap::with_hasher(Seed::new(seed)),
            oldest: None,
            newest: None,
            orphans: 0,
            limit,
            sampled: 0,
            last: None,
        }
    }

    /// The slot of the connection between two ends.
    #[inline]
    pub(crate) fn find(&self, tuple: &Tuple) -> Option<u32> {
        self.by_tuple.get(tuple).copied()
    }

    /// The same for a usual frame that comes in: many follow one of the same connection.
    #[inline]
    pub(crate) fn find_next(&mut self, ends: &Ends) -> Option<u32> {
        if let Some((last, slot)) = &self.last
            && last == ends
        {
            return Some(*slot);
        }
        let slot = self.find(&usual::tuple(ends))?;
        self.last = Some((*ends, slot));
        Some(slot)
    }

    /// The connection in a slot.
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&Entry<H>> {
        self.slots.get(slot as usize)?.as_deref()
    }

    /// The connection in a slot, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Entry<H>> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    /// All slots, with a connection in them or not.
    pub(crate) fn slots(&self) -> core::ops::Range<u32> {
        0..self.slots.len() as u32
    }

    /// All connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<H>> {
        self.slots.iter().flatten().map(|entry| &**entry)
    }

    /// Whether one more would be too many.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() - self.free.len() >= self.limit
    }

    /// Whether no places are left but those that are kept for who is still to come, while others give way.
    pub(crate) fn is_crowded(&self) -> bool {
        self.slots.len() - self.free.len() + (self.limit / 16).clamp(1, 64) >= self.limit
    }

    /// Connections from `count` slots at even distances; the next time, from those behind them.
    pub(crate) fn sample(&mut self, count: u32) -> impl Iterator<Item = (u32, &Entry<H>)> {
        let step = (self.slots.len() as u32).div_ceil(count).max(1);
        self.sampled = (self.sampled + 1) % step;
        let slots = (self.sampled as usize..self.slots.len()).step_by(step as usize);
        slots.filter_map(|slot| Some((slot as u32, self.get(slot as u32)?)))
    }

    /// The slot that the next connection gets.
    pub(crate) fn next_slot(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.slots.len() as u32)
    }

    /// Puts a connection in.
    ///
    /// # Errors
    /// When there is no memory, or another connection has the ends.
    pub(crate) fn insert(
        &mut self,
        tuple: Tuple,
        connection: Connection,
        holder: Option<H>,
    ) -> Result<u32, Error> {
        let has_room = !self.is_full()
            && self.by_tuple.try_reserve(1).is_ok()
            && self.slots.try_reserve(1).is_ok()
            && self.free.try_reserve(1).is_ok();
        // One search finds whether the ends are free, and where they go.
        let place = match self.by_tuple.entry(tuple) {
            MapEntry::Occupied(_) => return Err(Error::AddressInUse),
            MapEntry::Vacant(_) if !has_room => return Err(Error::OutOfMemory),
            MapEntry::Vacant(place) => place,
        };
        let entry = Some(Box::new(Entry {
            connection,
            tuple,
            holder,
            path: Path::default(),
            timer: UNSET,
            is_waiting: false,
            queued: None,
        }));
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = entry;
        }
        place.insert(slot);
        Ok(slot)
    }

    /// Gives a connection other ends.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] when another connection has them.
    pub(crate) fn rename(&mut self, slot: u32, tuple: Tuple) -> Result<(), Error> {
        if self.by_tuple.contains_key(&tuple) {
            return Err(Error::AddressInUse);
        }
        let entry = self.get_mut(slot).ok_or(Error::NotConnected)?;
        let old = core::mem::replace(&mut entry.tuple, tuple);
        self.last = None;
        self.by_tuple.remove(&old);
        self.by_tuple.insert(tuple, slot);
        Ok(())
    }

    /// Frees the ends of a connection that is closed but that a program still holds.
    pub(crate) fn forget_tuple(&mut self, slot: u32) {
        self.leave_line(slot);
        self.last.take_if(|(_, last)| *last == slot);
        if let Some(tuple) = self.get(slot).map(|entry| entry.tuple)
            && self.find(&tuple) == Some(slot)
        {
            self.by_tuple.remove(&tuple);
        }
    }

    /// Where the timer of a connection is set; [`UNSET`] if there is none.
    pub(crate) fn timer(&self, slot: u32) -> u64 {
        self.get(slot).map_or(UNSET, |entry| entry.timer)
    }

    /// Takes a connection out. Its timer must have been cancelled.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Box<Entry<H>>> {
        self.forget_tuple(slot);
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        debug_assert!(entry.timer == UNSET, "a timer would go off for nobody");
        self.free.push(slot);
        if self.free.len() == self.slots.len() && self.slots.len() > CROWD {
            // A crowd has gone: so does what it took to know it. Of none nothing is copied, so that no memory is needed.
            (self.slots, self.free) = (Vec::new(), Vec::new());
            self.by_tuple.shrink_to_fit();
        }
        Some(entry)
    }

    /// Puts a connection at the end of the line of those that nobody holds.
    pub(crate) fn join_line(&mut self, slot: u32) {
        self.leave_line(slot);
        let older = self.newest;
        if let Some(entry) = self.get_mut(slot) {
            entry.queued = Some(Place { older, newer: None });
            self.link(older, Some(slot));
            self.link(Some(slot), None);
            self.orphans += 1;
        }
    }

    /// Makes two connections neighbours in the line, or one of them its end.
    fn link(&mut self, older: Option<u32>, newer: Option<u32>) {
        match older.and_then(|slot| self.get_mut(slot)?.queued.as_mut()) {
            Some(place) => place.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|slot| self.get_mut(slot)?.queued.as_mut()) {
            Some(place) => place.older = older,
            None => self.newest = older,
        }
    }

    fn leave_line(&mut self, slot: u32) {
        if let Some(place) = self.get_mut(slot).and_then(|entry| entry.queued.take()) {
            self.link(place.older, place.newer);
            self.orphans -= 1;
        }
    }

    /// How many connections nobody holds.
    pub(crate) fn orphans(&self) -> usize {
        self.orphans
    }

    /// The connection that nobody has held for longest.
    pub(crate) fn oldest_orphan(&self) -> Option<u32> {
        self.oldest
    }

    /// Connections, slots, and ends in the table.
    pub(crate) fn census(&self) -> [usize; 3] {
        [
            self.slots.len() - self.free.len(),
            self.slots.len(),
            self.by_tuple.len(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::address::{Address, Tuple};
    use crate::error::Error;
    use crate::tcp::Connection;
    use proptest::prelude::*;

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: Address::v4([10, 0, 2, 15]),
            remote: Address::v4([10, 0, 2, 2]),
            local_port: 80,
            remote_port: port,
        }
    }

    fn insert(table: &mut Table<()>, port: u16) -> Result<u32, Error> {
        table.insert(tuple(port), Connection::new(0), None)
    }

    #[test]
    fn a_connection_is_found_by_its_ends_until_removed() {
        let mut table = Table::new(3, 5);
        let first = insert(&mut table, 1).expect("room");
        let second = insert(&mut table, 2).expect("room");
        assert_eq!(table.find(&tuple(1)), Some(first));
        assert_eq!(table.find(&tuple(2)), Some(second));
        assert_eq!(insert(&mut table, 1), Err(Error::AddressInUse));
        table.remove(first);
        assert_eq!(table.find(&tuple(1)), None);
        assert!(table.get(first).is_none());
        assert_eq!(table.next_slot(), first);
        assert_eq!(insert(&mut table, 3), Ok(first), "slots are used again");
        assert!(insert(&mut table, 4).is_ok());
        assert_eq!(insert(&mut table, 5), Err(Error::OutOfMemory));
    }

    /// The ends as they stand in a frame.
    #[test]
    fn what_a_crowd_took_is_given_back_when_it_has_gone() {
        let mut table: Table<()> = Table::new(5000, 7);
        let insert = |table: &mut Table<()>, port| {
            let ends = tuple(port);
            table.insert(ends, Connection::new(0), None).expect("room")
        };
        let slots: Vec<_> = (0..2000).map(|port| insert(&mut table, port)).collect();
        for slot in &slots[1..] {
            table.remove(*slot);
        }
        assert_eq!(table.find(&tuple(0)), Some(slots[0]));
        assert!(table.by_tuple.capacity() > 1000);
        table.remove(slots[0]);
        assert_eq!(table.by_tuple.capacity(), 0);
        assert_eq!((table.slots.capacity(), table.free.capacity()), (0, 0));
        let slot = insert(&mut table, 9);
        assert_eq!(table.find(&tuple(9)), Some(slot));
    }

    fn ends(port: u16) -> [u8; 12] {
        let [high, low] = port.to_be_bytes();
        [10, 0, 2, 2, 10, 0, 2, 15, high, low, 0, 80]
    }

    #[test]
    fn what_was_found_last_is_found_again_until_it_has_lost_its_ends() {
        let mut table = Table::new(3, 5);
        let first = insert(&mut table, 1).expect("room");
        let second = insert(&mut table, 2).expect("room");
        for _ in 0..2 {
            assert_eq!(table.find_next(&ends(1)), Some(first));
        }
        assert_eq!(table.find_next(&ends(2)), Some(second));
        assert_eq!(table.rename(second, tuple(7)), Ok(()));
        assert_eq!(table.find_next(&ends(2)), None);
        assert_eq!(table.find_next(&ends(7)), Some(second));
        table.forget_tuple(second);
        assert_eq!(table.find_next(&ends(7)), None, "it is closed, and held");
        assert_eq!(table.find_next(&ends(1)), Some(first));
        table.remove(first);
        let again = insert(&mut table, 3);
        assert_eq!(again, Ok(first), "the slot is another's");
        assert_eq!(table.find_next(&ends(1)), None);
        assert_eq!(table.find_next(&ends(3)), Some(first));
    }

    #[test]
    fn ends_that_were_taken_over_stay_with_their_new_connection() {
        let mut table = Table::new(3, 5);
        let old = insert(&mut table, 1).expect("room");
        table.forget_tuple(old);
        let new = insert(&mut table, 1).expect("room");
        table.remove(old);
        assert_eq!(table.find(&tuple(1)), Some(new));
        assert_eq!(table.rename(new, tuple(7)), Ok(()));
        assert_eq!(
            (table.find(&tuple(1)), table.find(&tuple(7))),
            (None, Some(new))
        );
    }

    proptest! {
        #[test]
        fn the_line_gives_out_the_oldest_whatever_comes_and_goes(
            steps in proptest::collection::vec((0u32..6, any::<bool>()), 1..200),
        ) {
            let mut table = Table::new(6, 5);
            for port in 0..6 {
                insert(&mut table, port).expect("room");
            }
            let mut model: Vec<u32> = Vec::new();
            for (slot, is_joining) in steps {
                model.retain(|other| *other != slot);
                if is_joining {
                    table.join_line(slot);
                    model.push(slot);
                } else {
                    table.remove(slot);
                    insert(&mut table, slot as u16).expect("room");
                }
                prop_assert_eq!(table.oldest_orphan(), model.first().copied());
                prop_assert_eq!(table.orphans(), model.len());
            }
        }
    }
}
