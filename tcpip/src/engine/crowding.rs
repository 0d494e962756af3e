//! What gives way when there are as many connections as there may be, so that no stranger can keep others out by holding all of them.
//!
//! A few places are kept for those to come. When only these are left, each newcomer whose handshake is through has one other give way: one
//! that no program holds any more; else one of the network that has the largest part of all, the one that has got no further for longest;
//! else, where no network stands out, the one of all that has got no further for longest. A peer gets further when it acknowledges
//! something new, or sends a good deal ([`crate::tcp`]); single bytes now and then do not count. Nobody displaces a connection that got
//! further a moment ago but those of a network that has too many, for one of another network.
//!
//! Who has which part is told by a sample, so a newcomer costs the same whatever the number of connections.

use alloc::vec::Vec;

use crate::address::Address;
use crate::device::Device;
use crate::engine::Engine;
use crate::error::Error;
use crate::sockets::Sockets;

/// Connections of which one is chosen.
const SAMPLE: u32 = 64;
/// A network that has one of so many of a sample stands out.
const LARGE_PART: usize = 8;
/// A connection that got further since then stays, unless its network stands out.
const REST_US: u64 = 5_000_000;

/// A connection that may give way.
#[derive(Clone, Copy)]
struct Candidate {
    network: u128,
    /// When it last got further.
    moved_at: u64,
    slot: u32,
}

/// What one subscriber has: an address of IPv4, the first 64 bits of one of IPv6 (RFC 6177).
fn network_of(address: Address) -> u128 {
    match address.is_v4() {
        true => address.bits(),
        false => address.bits() >> 64 << 64,
    }
}

/// Who gives way to a connection of `newcomer`, which is none if the connection is begun here.
fn choose(candidates: &mut [Candidate], newcomer: Option<Address>, now: u64) -> Option<u32> {
    candidates.sort_unstable_by_key(|one| one.network);
    let networks = candidates.chunk_by(|a, b| a.network == b.network);
    let largest = networks.max_by_key(|members| members.len())?;
    let stands_out = largest.len() > (candidates.len() / LARGE_PART).max(1);
    let among = if stands_out { largest } else { candidates };
    let oldest = among.iter().min_by_key(|one| one.moved_at)?;
    let is_other = newcomer.map(network_of) != Some(oldest.network);
    let is_at_rest = oldest.moved_at + REST_US <= now;
    (is_at_rest || stands_out && is_other).then_some(oldest.slot)
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// Has a connection give way if there are too many, for one that is begun here, or by a peer; whether one did, or there was room.
    pub(super) fn make_room(&mut self, newcomer: Option<Address>, now: u64) -> bool {
        if !self.table.is_crowded() {
            return true;
        }
        if let Some(slot) = self.table.oldest_orphan() {
            self.give_up(slot, now);
            return true;
        }
        // All places that were kept are taken: those that gave way are still held by their programs.
        if self.table.is_full() {
            return false;
        }
        let sample = self.table.sample(SAMPLE);
        let candidates = sample.filter(|(_, entry)| entry.connection.was_accepted());
        let mut candidates: Vec<_> = candidates
            .map(|(slot, entry)| Candidate {
                network: network_of(entry.tuple.remote),
                moved_at: entry.connection.moved_at(),
                slot,
            })
            .collect();
        let Some(slot) = choose(&mut candidates, newcomer, now) else {
            return false;
        };
        self.stats.gave_way += 1;
        self.reset_peer(slot, now);
        self.fail(slot, Error::Aborted, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, REST_US, choose, network_of};
    use crate::address::Address;

    const NOW: u64 = 100_000_000;

    fn host(last: u8) -> Address {
        Address::v4([10, 0, 0, last])
    }

    /// Connections of hosts, each with how long ago it got further; their slots are their places.
    fn chosen(all: &[(u8, u64)], newcomer: Option<u8>) -> Option<u32> {
        let candidates = all.iter().zip(0..).map(|((from, ago), slot)| Candidate {
            network: network_of(host(*from)),
            moved_at: NOW - ago,
            slot,
        });
        let mut candidates: Vec<_> = candidates.collect();
        choose(&mut candidates, newcomer.map(host), NOW)
    }

    #[test]
    fn of_the_network_with_the_largest_part_the_one_at_rest_for_longest_gives_way() {
        let mut all: Vec<_> = (10..20).map(|from| (from, 60_000_000)).collect();
        all.extend([(1, 30), (1, 50), (1, 40)]);
        for newcomer in [Some(2), Some(10), None] {
            assert_eq!(chosen(&all, newcomer), Some(11), "{newcomer:?}");
        }
        // Its own newcomers displace none that is in use.
        assert_eq!(chosen(&all, Some(1)), None);
        all.push((1, REST_US));
        assert_eq!(chosen(&all, Some(1)), Some(13));
    }

    #[test]
    fn where_no_network_stands_out_only_who_is_at_rest_gives_way() {
        let mut all: Vec<_> = (10..30).map(|from| (from, REST_US - 1)).collect();
        // Two of twenty are no large part.
        all.push((10, 0));
        assert_eq!(chosen(&all, Some(1)), None);
        all[7].1 = REST_US + 1;
        all[8].1 = REST_US;
        assert_eq!(chosen(&all, Some(1)), Some(7));
        assert_eq!(chosen(&[], Some(1)), None);
    }

    #[test]
    fn a_subscriber_of_ipv6_has_64_bits() {
        let v6 = |last: [u8; 2]| {
            let [a, b] = last;
            let octets = [0x20, 1, 0xD, 0xB8, 0, 0, 0, a, 0, 0, 0, 0, 0, 0, 0, b];
            network_of(Address::v6(octets))
        };
        assert_eq!(v6([1, 2]), v6([1, 3]));
        assert_ne!(v6([1, 2]), v6([2, 2]));
        assert_ne!(network_of(host(1)), network_of(host(2)));
    }
}
