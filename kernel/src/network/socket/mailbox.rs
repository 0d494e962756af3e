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

/// How many bytes of datagrams wait to be read before more are dropped, where the program does not choose: as many as on Linux
/// (`net.core.rmem_default`), for which programs were written.
pub(super) const QUEUE_BYTES: usize = 208 << 10;
/// What a datagram in the queue counts besides its bytes, so that empty ones are bounded too. More than it takes; Linux counts 768 bytes for a
/// short one.
const DATAGRAM_OVERHEAD: usize = 256;

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
    /// The length of each datagram but the last, if several were received at once; else 0.
    pub segment_bytes: u16,
}

/// As many datagrams as are received at once (Linux: `UDP_GRO_CNT_MAX`).
const MAX_ALIKE: usize = 64;

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
    /// Its socket will be told when the device of an interface has room ([`Stack::call_when_room`](crate::network::stack::Stack::call_when_room)).
    pub(crate) waits_for_room: AtomicBool,
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
            waits_for_room: AtomicBool::new(false),
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

    /// Takes the datagrams that follow one of `len` bytes and came on the same way, as long as they are as long, and one that is shorter, as far
    /// as they fit: how many bytes they have.
    pub(super) fn take_alike(&mut self, first: &Origin, len: usize, buf: &mut [u8]) -> usize {
        let mut total = 0;
        for _ in 1..MAX_ALIKE {
            let Some(Datagram { origin, payload }) = self.first() else {
                break;
            };
            let on_same_way = |other: &Origin| {
                (first.from, first.to, first.interface) == (other.from, other.to, other.interface)
                    && (first.hop_limit, first.traffic_class)
                        == (other.hop_limit, other.traffic_class)
            };
            let count = payload.len();
            let is_alike = count != 0 && count <= len && on_same_way(origin);
            let Some(place) = buf.get_mut(total..total + count).filter(|_| is_alike) else {
                break;
            };
            place.copy_from_slice(payload);
            total += count;
            self.pop();
            if count < len {
                break;
            }
        }
        total
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
                segment_bytes: 0,
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
    fn datagrams_that_are_alike_are_taken_at_once() {
        let mailbox = Mailbox::default();
        for (from, len) in [
            (2, 5),
            (2, 5),
            (2, 3),
            (2, 5),
            (3, 5),
            (3, 6),
            (3, 6),
            (3, 0),
        ] {
            let from = alloc::format!("10.0.2.{from}:9");
            let payload = &b"abcdef"[..len];
            assert!(mailbox.deliver(&arrival(&from, payload), 1));
        }
        let mut inbox = mailbox.inbox.lock();
        let mut buf = [0; 20];
        let mut take = |room: usize| {
            let first = inbox.first().expect("one");
            let (origin, len) = (first.origin, first.payload.len());
            inbox.pop();
            inbox.take_alike(&origin, len, &mut buf[..room])
        };
        // A shorter one is the last; another sender's, a longer one, an empty one, and what does not fit, are not taken.
        assert_eq!([take(20), take(20), take(20)], [8, 0, 0]);
        assert_eq!([take(5), take(20), take(20)], [0, 0, 0]);
        assert!(inbox.first().is_none());
        assert_eq!(inbox.queued_bytes, 0);
        assert_eq!(buf[..8], *b"abcdeabc");
        drop(inbox);
        for _ in 0..100 {
            mailbox.deliver(&arrival("10.0.2.2:9", b"a"), 1);
        }
        let mut inbox = mailbox.inbox.lock();
        let origin = inbox.first().expect("one").origin;
        assert_eq!(inbox.take_alike(&origin, 1, &mut [0; 200]), 63);
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
