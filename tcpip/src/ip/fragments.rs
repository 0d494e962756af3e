//! Packets that come in parts (RFC 791, section 3.2; RFC 8200, section 4.5), put together within limits. Parts that overlap make the
//! whole packet go (RFC 5722), in both versions.

use alloc::vec::Vec;

use crate::address::Address;
use crate::wire::ip::{Fragment, Packet};

/// How long the parts may take.
const PATIENCE_US: u64 = 30_000_000;
/// Packets put together at once.
const MAX_PACKETS: usize = 64;
/// Parts of a packet.
const MAX_PARTS: usize = 64;
/// What a part counts for besides its bytes.
const PART_BYTES: usize = 64;
/// Largest payload of a packet.
const MAX_BYTES: usize = 0xFFFF;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    source: Address,
    destination: Address,
    protocol: u8,
    id: u32,
}

struct Partial {
    key: Key,
    since: u64,
    hop_limit: u8,
    /// Where the parts begin, and what is in them, in any order.
    parts: Vec<(usize, Vec<u8>)>,
    /// Length of the whole, once the last part is here.
    total: Option<usize>,
    /// Bytes of the parts.
    len: usize,
}

impl Partial {
    /// What it counts for. Only bytes that came count: one part far behind is no large packet yet.
    fn cost(&self) -> usize {
        self.len + self.parts.len() * PART_BYTES
    }

    /// All parts one behind the other, if there is memory for that.
    fn joined(mut self) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        whole.try_reserve_exact(self.len).ok()?;
        self.parts.sort_unstable_by_key(|part| part.0);
        self.parts
            .iter()
            .for_each(|(_, bytes)| whole.extend_from_slice(bytes));
        Some(whole)
    }
}

/// A packet that is whole again.
pub(crate) struct Whole {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) payload: Vec<u8>,
}

/// What came of a part.
pub(crate) enum Outcome {
    /// Others are missing.
    Waiting,
    /// All are here.
    Whole(Whole),
    /// It was dropped, maybe with all the others.
    Lost,
}

/// Packets that lack parts. When there are too many, or their parts take too much, the oldest give way: else whoever begins packets and
/// never ends them would keep all others out.
pub(crate) struct Fragments {
    /// In the order of their first parts.
    partial: Vec<Partial>,
    used: usize,
    limit: usize,
    /// Parts that did not fit, and packets that were given up.
    lost: u64,
}

impl Fragments {
    /// None yet, and never more than `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            partial: Vec::new(),
            used: 0,
            limit,
            lost: 0,
        }
    }

    /// How much was lost so far: parts that did not fit or lied, and packets that never were whole.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Bytes kept.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    fn remove(&mut self, at: usize) -> Partial {
        let partial = self.partial.remove(at);
        self.used -= partial.cost();
        partial
    }

    /// Gives a packet up.
    fn give_up(&mut self, at: usize) {
        self.remove(at);
        self.lost += 1;
    }

    /// Takes a part.
    pub(crate) fn insert(&mut self, packet: &Packet<'_>, part: Fragment, now: u64) -> Outcome {
        let key = Key {
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            id: part.id,
        };
        let (start, len) = (usize::from(part.offset), packet.payload.len());
        let end = start + len;
        // Only the last part may have any length.
        let is_sane = end <= MAX_BYTES && len != 0 && (!part.has_more || len % 8 == 0);
        let known = self.partial.iter().position(|partial| partial.key == key);
        let cost = len + PART_BYTES;
        if !is_sane || cost > self.limit {
            match known {
                Some(at) => self.give_up(at),
                None => self.lost += 1,
            }
            return Outcome::Lost;
        }
        let mut at = known.unwrap_or_else(|| {
            if self.partial.len() >= MAX_PACKETS {
                self.give_up(0);
            }
            self.partial.push(Partial {
                key,
                since: now,
                hop_limit: packet.hop_limit,
                parts: Vec::new(),
                total: None,
                len: 0,
            });
            self.partial.len() - 1
        });
        let Some(partial) = self.partial.get(at) else {
            return Outcome::Lost;
        };
        let is_it = |part: &(usize, Vec<u8>)| part.0 == start && part.1.len() == len;
        if partial.parts.iter().any(is_it) {
            return Outcome::Waiting;
        }
        let mut others = partial
            .parts
            .iter()
            .map(|(start, bytes)| (*start, *start + bytes.len()));
        let overlaps = others.clone().any(|one| start < one.1 && one.0 < end);
        let beyond = partial
            .total
            .is_some_and(|total| end > total || !part.has_more)
            || !part.has_more && others.any(|one| one.1 > end);
        let is_too_much = partial.parts.len() >= MAX_PARTS || partial.cost() + cost > self.limit;
        if overlaps || beyond || is_too_much {
            self.give_up(at);
            return Outcome::Lost;
        }
        // There is room without all the others.
        while self.used + cost > self.limit {
            let oldest = usize::from(at == 0);
            self.give_up(oldest);
            at -= usize::from(oldest < at);
        }
        let mut bytes = Vec::new();
        let has_memory = bytes.try_reserve_exact(len).is_ok();
        let Some(partial) = self.partial.get_mut(at).filter(|_| has_memory) else {
            self.give_up(at);
            return Outcome::Lost;
        };
        bytes.extend_from_slice(packet.payload);
        partial.parts.push((start, bytes));
        partial.len += len;
        self.used += cost;
        if !part.has_more {
            partial.total = Some(end);
        }
        if partial.total != Some(partial.len) {
            return Outcome::Waiting;
        }
        let whole = self.remove(at);
        let hop_limit = whole.hop_limit;
        let Some(payload) = whole.joined() else {
            self.lost += 1;
            return Outcome::Lost;
        };
        Outcome::Whole(Whole {
            source: key.source,
            destination: key.destination,
            protocol: key.protocol,
            hop_limit,
            payload,
        })
    }

    /// Forgets what has taken too long; when to look again.
    pub(crate) fn tick(&mut self, now: u64) -> Option<u64> {
        let before = self.partial.len();
        self.partial
            .retain(|partial| partial.since + PATIENCE_US > now);
        self.used = self.partial.iter().map(Partial::cost).sum();
        self.lost += (before - self.partial.len()) as u64;
        self.partial.first().map(|one| one.since + PATIENCE_US)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fragments, Outcome, PATIENCE_US};
    use crate::address::Address;
    use crate::wire::ip::{Fragment, Packet};
    use proptest::prelude::*;

    fn insert(
        table: &mut Fragments,
        id: u32,
        offset: usize,
        bytes: &[u8],
        has_more: bool,
    ) -> Option<Option<Vec<u8>>> {
        let place = Fragment {
            id,
            offset: offset as u16,
            has_more,
        };
        let packet = Packet {
            source: Address::v4([10, 0, 2, 2]),
            destination: Address::v4([10, 0, 2, 15]),
            protocol: 17,
            hop_limit: 64,
            payload: bytes,
            fragment: Some(place),
            whole: bytes,
            has_router_alert: false,
        };
        match table.insert(&packet, place, 0) {
            Outcome::Waiting => Some(None),
            Outcome::Whole(whole) => Some(Some(whole.payload)),
            Outcome::Lost => None,
        }
    }

    proptest! {
        #[test]
        fn parts_in_any_order_make_the_whole(len in 1usize..3000, step in 1usize..20, order: u64) {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
            let mut parts: Vec<_> = bytes.chunks(step * 8 + 40).enumerate().collect();
            let width = step * 8 + 40;
            let width = width - width % 8;
            let _ = parts;
            parts = bytes.chunks(width).enumerate().collect();
            let count = parts.len();
            parts.sort_by_key(|(at, _)| (*at as u64 + 1).wrapping_mul(order | 1));
            let mut table = Fragments::new(1 << 20);
            for (seen, (at, part)) in parts.into_iter().enumerate() {
                let result = insert(&mut table, 1, at * width, part, at + 1 != count);
                let expected = (seen + 1 == count).then(|| bytes.clone());
                prop_assert_eq!(result, Some(expected));
            }
            prop_assert_eq!(table.used(), 0);
        }

        #[test]
        fn memory_is_bounded_whatever_comes(parts in proptest::collection::vec((0u32..90, 0usize..8192, 1usize..2000, any::<bool>()), 1..300)) {
            let mut table = Fragments::new(10_000);
            for (id, offset, len, has_more) in parts {
                insert(&mut table, id, offset * 8, &vec![0; len], has_more);
                prop_assert!(table.used() <= 10_000 && table.partial.len() <= 64);
            }
            table.tick(PATIENCE_US);
            prop_assert_eq!(table.used(), 0);
        }
    }

    #[test]
    fn packets_that_never_end_give_way_to_new_ones() {
        let mut table = Fragments::new(10_000);
        // One part far behind takes no more memory than others.
        assert_eq!(insert(&mut table, 1, 9_000, &[0; 4_000], true), Some(None));
        assert_eq!(insert(&mut table, 2, 0, &[1; 4_000], true), Some(None));
        assert_eq!(insert(&mut table, 3, 60_000, &[1; 800], true), Some(None));
        assert_eq!((table.partial.len(), table.lost()), (3, 0));
        // The one that grows is not the one that goes.
        assert_eq!(insert(&mut table, 2, 4_000, &[1; 4_000], true), Some(None));
        assert_eq!((table.partial.len(), table.lost()), (2, 1));
        assert_eq!(
            insert(&mut table, 2, 8_000, &[1; 8], false),
            Some(Some(vec![1; 8_008]))
        );
        assert_eq!(
            insert(&mut table, 4, 0, &[0; 10_000], true),
            None,
            "too much"
        );
        table.tick(PATIENCE_US);
        assert_eq!((table.used(), table.lost()), (0, 3));
        // Of many, one that was begun lately stays for as long as those before it.
        for id in 0..100 {
            assert_eq!(insert(&mut table, id, 0, &[0; 8], true), Some(None));
        }
        assert_eq!(insert(&mut table, 100, 0, &[1; 8], true), Some(None));
        for id in 101..163 {
            assert_eq!(insert(&mut table, id, 0, &[0; 8], true), Some(None));
        }
        assert_eq!(
            insert(&mut table, 100, 8, &[1; 8], false),
            Some(Some(vec![1; 16]))
        );
    }

    #[test]
    fn parts_that_overlap_or_lie_take_the_packet_with_them() {
        let mut table = Fragments::new(10_000);
        assert_eq!(insert(&mut table, 1, 0, &[0; 16], true), Some(None));
        assert_eq!(
            insert(&mut table, 1, 0, &[0; 16], true),
            Some(None),
            "a repetition"
        );
        assert_eq!(insert(&mut table, 1, 8, &[0; 16], true), None);
        assert_eq!(insert(&mut table, 1, 0, &[0; 15], true), None);
        assert_eq!(
            insert(&mut table, 1, 0xFFF8, &[0; 16], false),
            None,
            "ping of death"
        );
        assert_eq!(insert(&mut table, 1, 64, &[0; 8], false), Some(None));
        assert_eq!(
            insert(&mut table, 1, 72, &[0; 8], true),
            None,
            "beyond the end"
        );
        assert_eq!(table.used(), 0);
    }
}
