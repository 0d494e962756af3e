//! Where datagrams wait to be read.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tcpip::{Arrival, Undelivered};

use super::failure::{Failure, Failures};
use crate::arch::clock;
use crate::network::error::Error;
use crate::scheduler::Notifier;
use crate::sync::SpinLock;

/// How many bytes of datagrams wait to be read before more are dropped, where the program does not choose.
pub(super) const QUEUE_BYTES: usize = 64 << 10;
/// What a datagram in the queue counts besides its bytes, so that empty ones are bounded too.
const DATAGRAM_OVERHEAD: usize = 64;

/// What is known of a datagram besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who sent it.
    pub from: SocketAddr,
    /// The address it was sent to.
    pub to: IpAddr,
    /// The interface it came in by.
    pub interface: usize,
    /// How many more routers it could have passed.
    pub hop_limit: u8,
    /// Its class of traffic.
    pub traffic_class: u8,
    /// When it came, in nanoseconds since 1970, if the socket wanted to know then; else 0.
    pub wall_ns: u64,
}

/// A datagram that has come in.
pub(super) struct Datagram {
    pub(super) origin: Origin,
    pub(super) payload: Box<[u8]>,
}

#[derive(Default)]
pub(super) struct Inbox {
    queue: VecDeque<Datagram>,
    queued_bytes: usize,
    peer: Option<SocketAddr>,
    /// A datagram to the peer did not arrive, until a program asks.
    pub(super) error: Option<Error>,
    /// Datagrams that did not arrive, where the program wants to be told of each.
    pub(super) failures: Failures,
}

/// Where datagrams for a port wait to be read.
pub struct Mailbox {
    /// Who waits for datagrams.
    pub notifier: Notifier,
    pub(super) inbox: SpinLock<Inbox>,
    /// Others that agree to it too may have the same address.
    pub(super) is_shared: AtomicBool,
    /// How many bytes of datagrams may wait.
    pub(super) most_bytes: AtomicUsize,
    /// `IP_RECVERR`, `IPV6_RECVERR`: datagrams that did not arrive are kept.
    pub(super) is_told_of_failures: AtomicBool,
    /// The time of arrival is kept.
    pub(super) is_timed: AtomicBool,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            notifier: Notifier::new(),
            inbox: SpinLock::new(Inbox::default()),
            is_shared: AtomicBool::new(false),
            most_bytes: AtomicUsize::new(QUEUE_BYTES),
            is_told_of_failures: AtomicBool::new(false),
            is_timed: AtomicBool::new(false),
        }
    }
}

impl Inbox {
    pub(super) fn first(&self) -> Option<&Datagram> {
        self.queue.front()
    }

    pub(super) fn pop(&mut self) {
        if let Some(datagram) = self.queue.pop_front() {
            self.queued_bytes -= datagram.payload.len() + DATAGRAM_OVERHEAD;
        }
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Takes datagrams of `peer` only from now on, also of those that wait.
    pub(super) fn set_peer(&mut self, peer: Option<SocketAddr>) {
        self.peer = peer;
        if let Some(peer) = peer {
            self.queue.retain(|datagram| datagram.origin.from == peer);
            let queued = self
                .queue
                .iter()
                .map(|datagram| datagram.payload.len() + DATAGRAM_OVERHEAD);
            self.queued_bytes = queued.sum();
        }
    }
}

impl Mailbox {
    /// The oldest datagram, for tests.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Option<Box<[u8]>> {
        let mut inbox = self.inbox.lock();
        inbox.queue.pop_front().map(|datagram| datagram.payload)
    }

    /// Lets others have its address, for tests.
    #[cfg(test)]
    pub(crate) fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// Talks to a peer alone, for tests.
    #[cfg(test)]
    pub(crate) fn know(&self, peer: SocketAddr) {
        self.inbox.lock().set_peer(Some(peer));
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// How much it cares for datagrams of `remote`: 1, it talks to it alone; 0, to anybody; `None`: to another alone.
    pub(crate) fn regard(&self, remote: SocketAddr) -> Option<u8> {
        match self.inbox.lock().peer {
            None => Some(0),
            Some(peer) => (peer == remote).then_some(1),
        }
    }

    /// A datagram did not arrive. Who talks to that peer alone is told (RFC 1122, section 4.1.3.3), and who wants to be told of each.
    pub(crate) fn fail(&self, datagram: &Undelivered<'_>) {
        let mut inbox = self.inbox.lock();
        let error = Error::from(datagram.error);
        if self.is_told_of_failures.load(Ordering::Relaxed) {
            if let Some(failure) = Failure::new(datagram) {
                inbox.failures.push(failure);
            }
        } else if inbox.peer != Some(datagram.remote) || error == Error::MessageTooLong {
            return;
        }
        inbox.error = Some(error);
        drop(inbox);
        self.notifier.notify();
    }

    /// Puts a datagram in, unless the socket only talks to somebody else. Whether there was room and memory.
    pub(crate) fn deliver(&self, arrival: &Arrival<'_>, interface: usize) -> bool {
        let mut inbox = self.inbox.lock();
        let (from, payload) = (arrival.remote, arrival.payload);
        let cost = payload.len() + DATAGRAM_OVERHEAD;
        if inbox.peer.is_some_and(|peer| peer != from) {
            return true;
        }
        let mut copy = alloc::vec::Vec::new();
        let most_bytes = self.most_bytes.load(Ordering::Relaxed);
        // One of any size has its place, if no other waits.
        let has_room = inbox.queue.is_empty() || inbox.queued_bytes + cost <= most_bytes;
        if !has_room || copy.try_reserve_exact(payload.len()).is_err() {
            return false;
        }
        copy.extend_from_slice(payload);
        let wall_ns = match self.is_timed.load(Ordering::Relaxed) {
            true => clock::wall_ns(),
            false => 0,
        };
        inbox.queued_bytes += cost;
        inbox.queue.push_back(Datagram {
            origin: Origin {
                from,
                to: arrival.local.ip(),
                interface,
                hop_limit: arrival.hop_limit,
                traffic_class: arrival.traffic_class,
                wall_ns,
            },
            payload: copy.into_boxed_slice(),
        });
        drop(inbox);
        self.notifier.notify();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Mailbox, QUEUE_BYTES};
    use crate::network::error::Error;
    use core::net::SocketAddr;
    use core::sync::atomic::Ordering;
    use tcpip::{Arrival, Undelivered};

    fn arrival<'a>(remote: &str, payload: &'a [u8]) -> Arrival<'a> {
        Arrival {
            local: "10.0.2.15:53".parse().expect("an address"),
            remote: remote.parse().expect("an address"),
            hop_limit: 64,
            traffic_class: 0,
            payload,
        }
    }

    #[test]
    fn datagrams_that_find_no_room_are_told_to_who_counts() {
        let mailbox = Mailbox::default();
        let large = vec![7; QUEUE_BYTES / 2];
        assert!(mailbox.deliver(&arrival("10.0.2.2:9", &large), 1));
        assert!(!mailbox.deliver(&arrival("10.0.2.2:9", &large), 1));
        assert!(mailbox.take().is_some_and(|payload| *payload == *large));
        // Empty ones are bounded too.
        let mailbox = Mailbox::default();
        let taken = (0..10_000).filter(|_| mailbox.deliver(&arrival("10.0.2.2:9", b""), 1));
        assert!((100..2000).contains(&taken.count()));
    }

    #[test]
    fn datagrams_that_did_not_arrive_are_told_to_who_asks_for_them() {
        let lost = |port| Undelivered {
            local: "10.0.2.15:53".parse().expect("an address"),
            remote: SocketAddr::new([10, 0, 2, 2].into(), port),
            error: tcpip::Error::Refused,
            reporter: [10, 0, 2, 2].into(),
            kind: (3, 3),
            mtu: 0,
            payload: b"lost",
        };
        let mailbox = Mailbox::default();
        mailbox.fail(&lost(9));
        assert_eq!(mailbox.inbox.lock().error, None, "it talks to nobody");
        mailbox.know(lost(9).remote);
        mailbox.fail(&lost(8));
        assert_eq!(mailbox.inbox.lock().error, None, "not to that peer");
        mailbox.fail(&lost(9));
        assert_eq!(mailbox.inbox.lock().error.take(), Some(Error::Refused));
        assert!(mailbox.inbox.lock().failures.is_empty());
        // Who wants to know of each is told of each, and only so many wait.
        mailbox.is_told_of_failures.store(true, Ordering::Relaxed);
        (1..=1000).for_each(|port| mailbox.fail(&lost(port)));
        let mut inbox = mailbox.inbox.lock();
        let first = inbox.failures.pop().expect("one");
        assert_eq!((first.to.port(), &*first.payload), (937, &b"lost"[..]));
        let rest = core::iter::from_fn(|| inbox.failures.pop()).count();
        assert_eq!(rest, 63);
    }

    #[test]
    fn who_talks_to_a_peer_hears_nobody_else() {
        let mailbox = Mailbox::default();
        mailbox.deliver(&arrival("10.0.2.9:9", b"before"), 1);
        let peer: SocketAddr = "10.0.2.2:9".parse().expect("an address");
        let other: SocketAddr = "10.0.2.9:9".parse().expect("an address");
        mailbox.inbox.lock().set_peer(Some(peer));
        assert!(mailbox.deliver(&arrival("10.0.2.9:9", b"other"), 1));
        assert!(mailbox.deliver(&arrival("10.0.2.2:9", b"peer"), 1));
        assert_eq!(mailbox.take().as_deref(), Some(&b"peer"[..]));
        assert_eq!(mailbox.take(), None);
        assert_eq!(
            (mailbox.regard(peer), mailbox.regard(other)),
            (Some(1), None)
        );
    }
}
