//! Interfaces with several queues: an engine for each, called a lane, which shares nothing with the others but hands them what is theirs.
//!
//! Which lane a connection belongs to follows from its ends alone, so that nobody has to remember it. Devices bring most frames to the
//! queue from which the last one of the same connection was sent (Virtual I/O Device 1.2, section 5.1.6.5.5), so a lane nearly always finds
//! its connection in its own table, and only what it does not find is looked at. All that is not of TCP is the business of the first lane; it
//! tells the others the addresses of the interface and the hardware addresses of neighbours.

use alloc::vec::Vec;

use crate::address::{Address, Tuple};
use crate::engine::offered::Awaited;
use crate::hash::Secret;
use crate::ip::addresses::Addresses;
use crate::wire::ethernet::Mac;

/// The first lane.
pub const FIRST: usize = 0;

/// Which lane an engine is, and which connections belong to which.
#[derive(Clone, Copy)]
pub struct Steering {
    own: usize,
    count: usize,
    secret: Secret,
}

impl Steering {
    /// For the lane `own` of `count`. The key is the same for all of them, and one that nobody can guess, so that strangers cannot have all
    /// their connections served by one.
    #[must_use]
    pub fn new(own: usize, count: usize, key: [u64; 2]) -> Self {
        Self {
            own,
            count: count.max(1),
            secret: Secret::new(key),
        }
    }

    /// The only lane.
    pub(crate) fn alone() -> Self {
        Self::new(FIRST, 1, [0; 2])
    }

    /// The lane of a connection to a peer. Our own address does not count: it may not be known yet.
    #[must_use]
    pub fn lane(&self, remote: Address, remote_port: u16, local_port: u16) -> usize {
        if self.count == 1 {
            return FIRST;
        }
        let bits = remote.bits();
        let ports = u64::from(local_port) << 16 | u64::from(remote_port);
        let hash = self.secret.hash(&[bits as u64, (bits >> 64) as u64, ports]);
        (hash % self.count as u64) as usize
    }

    /// The lane of a connection, if it is another one.
    #[inline]
    pub(crate) fn other(&self, tuple: &Tuple) -> Option<usize> {
        if self.count == 1 {
            return None;
        }
        let lane = self.lane(tuple.remote, tuple.remote_port, tuple.local_port);
        (lane != self.own).then_some(lane)
    }

    /// Whether this is the first lane.
    #[inline]
    pub(crate) fn is_first(&self) -> bool {
        self.own == FIRST
    }

    /// Whether there are others.
    #[inline]
    pub(crate) fn has_others(&self) -> bool {
        self.count > 1
    }
}

/// Whom something is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// This lane.
    Lane(usize),
    /// All but the one that sends it.
    Others,
}

/// What one lane hands to another.
#[derive(Clone)]
pub enum Parcel {
    /// An IP packet that the other has to take.
    Packet {
        /// With its header.
        bytes: Vec<u8>,
        /// Its checksums need not be looked at.
        is_verified: bool,
    },
    /// A message of ARP.
    Arp(Vec<u8>),
    /// A neighbour has told its hardware address.
    Neighbor(Address, Mac),
    /// The addresses of the interface are these now.
    Addresses(Book),
}

impl Parcel {
    /// Bytes of the packet or message that is handed over, if it is one.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        match self {
            Self::Packet { bytes, .. } | Self::Arp(bytes) => bytes.len(),
            Self::Neighbor(..) | Self::Addresses(_) => 0,
        }
    }
}

/// The addresses of an interface and the ways out of it, as its first lane knows them.
#[derive(Clone)]
pub struct Book {
    pub(crate) addresses: Addresses,
    /// An address is being looked for, of IPv4 and of IPv6.
    pub(crate) is_awaiting: bool,
    pub(crate) is_configuring_ipv6: bool,
    /// The address that a server offers and has not lent yet.
    pub(crate) awaited: Awaited,
}

#[cfg(test)]
mod tests {
    use super::Steering;
    use crate::address::{Address, Tuple};

    #[test]
    fn all_lanes_agree_on_whose_a_connection_is_and_each_gets_its_share() {
        let lanes: [Steering; 3] = core::array::from_fn(|own| Steering::new(own, 3, [1, 2]));
        let mut counts = [0; 3];
        for port in 1..3000 {
            let tuple = Tuple {
                local: Address::v4([10, 0, 2, 15]),
                remote: Address::v4([10, 0, 2, 2]),
                local_port: 80,
                remote_port: port,
            };
            let lane = lanes[0].lane(tuple.remote, tuple.remote_port, tuple.local_port);
            counts[lane] += 1;
            for (own, steering) in lanes.iter().enumerate() {
                assert_eq!(steering.other(&tuple), (own != lane).then_some(lane));
            }
        }
        assert!(counts.iter().all(|count| *count > 800), "{counts:?}");
    }

    #[test]
    fn who_is_alone_has_every_connection() {
        let alone = Steering::alone();
        assert!(alone.is_first() && !alone.has_others());
        assert_eq!(alone.lane(Address::ANY_V6, 1, 2), 0);
    }
}
