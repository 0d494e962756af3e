//! Who has which port of this machine: listeners, bound sockets, and where datagrams go. One table for all interfaces.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use tcpip::{Admission, Tuple};

use super::LOOPBACK;
use super::binding::{self, Binding};
use super::error::{Error, Result};
use super::messages::Post;
use super::random::{Random, mixed};
use super::socket::mailbox::Mailbox;
use crate::scheduler::Notifier;
use crate::sync::{OnceCell, SpinLock};

/// Longest queue of connections that nobody has accepted yet, whatever a program asks for (Linux's `somaxconn`).
pub const MAX_BACKLOG: usize = 4096;
/// Who asks for so many wants many: it is what std asks for, whose programs cannot say it. With fewer, of a thousand clients that come at once some
/// would have to ask again a second later, since the thread that accepts has its turn with those it has started.
const MANY: usize = 128;
/// Ports that sockets get that ask for none in particular (RFC 6335, section 6).
pub const EPHEMERAL: RangeInclusive<u16> = 0xC000..=0xFFFF;

/// The two ends of a connection, from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourTuple {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

impl FourTuple {
    /// The ends of a connection over the interface at an index.
    pub(super) fn from_tuple(tuple: &Tuple, index: usize) -> Self {
        Self {
            local: binding::end(tuple.local(), index),
            remote: binding::end(tuple.remote(), index),
        }
    }
}

/// A connection that waits to be accepted.
pub struct Pending {
    /// Which interface it came in by.
    pub interface: usize,
    /// Which of that interface's lanes has it.
    pub lane: usize,
    /// Its place in that lane's table.
    pub slot: u32,
    /// Both ends.
    pub tuple: FourTuple,
    /// Where its socket will wait.
    pub notifier: Arc<Notifier>,
}

/// A socket that accepts connections.
pub struct Listener {
    /// Where it listens.
    pub binding: Binding,
    /// Who waits for connections.
    pub notifier: Arc<Notifier>,
    /// Bytes of payload that segments of its connections have at most; 0: as many as fit.
    pub segment_bytes: AtomicU16,
    /// For so many seconds a peer that has said nothing yet is not taken.
    pub deferred_s: AtomicU32,
    queue: SpinLock<Queue>,
}

struct Queue {
    ready: VecDeque<Pending>,
    backlog: usize,
    is_closed: bool,
}

/// How many connections may wait where a program asks for so many.
fn bounded(backlog: usize) -> usize {
    match backlog {
        MANY.. => MAX_BACKLOG,
        few => few.max(1),
    }
}

impl Listener {
    fn new(binding: Binding, backlog: usize, notifier: Arc<Notifier>) -> Arc<Self> {
        Arc::new(Self {
            binding,
            notifier,
            segment_bytes: AtomicU16::new(0),
            deferred_s: AtomicU32::new(0),
            queue: SpinLock::new(Queue {
                ready: VecDeque::new(),
                backlog: bounded(backlog),
                is_closed: false,
            }),
        })
    }

    /// Whether one more connection may wait.
    pub(super) fn has_room(&self) -> bool {
        let queue = self.queue.lock();
        !queue.is_closed && queue.ready.len() < queue.backlog
    }

    /// Queues a connection; gives it back when the listener was closed meanwhile.
    pub(super) fn push(&self, pending: Pending) -> core::result::Result<(), Pending> {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            return Err(pending);
        }
        queue.ready.push_back(pending);
        drop(queue);
        self.notifier.notify();
        Ok(())
    }

    /// Takes the connection that waits longest; until `deadline_ns` if there is none.
    pub(super) fn pop(&self, is_nonblocking: bool, deadline_ns: Option<u64>) -> Result<Pending> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(pending) = queue.ready.pop_front() {
                return Ok(pending);
            }
            if queue.is_closed {
                return Err(Error::Invalid);
            }
            queue = super::socket::wait(&self.notifier, queue, is_nonblocking, deadline_ns)?;
        }
    }

    /// Whether a connection waits.
    pub(super) fn is_ready(&self) -> bool {
        !self.queue.lock().ready.is_empty()
    }

    /// How many connections wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().ready.len()
    }

    /// How many may wait.
    #[cfg(test)]
    pub(super) fn bound(&self) -> usize {
        self.queue.lock().backlog
    }

    /// Changes how many may wait.
    pub(super) fn set_backlog(&self, backlog: usize) {
        self.queue.lock().backlog = bounded(backlog);
    }

    /// Accepts no more; gives out what waits, to be closed.
    pub(super) fn close(&self) -> VecDeque<Pending> {
        let mut queue = self.queue.lock();
        queue.is_closed = true;
        core::mem::take(&mut queue.ready)
    }
}

/// What a TCP port is used for.
struct TcpUse {
    /// None as long as it is bound and nothing else.
    listener: Option<Arc<Listener>>,
    /// Others that agree to it too may have the same address (`SO_REUSEPORT`), and get connections by turns.
    is_shared: bool,
    /// The one interface where it listens, and the lane it likes best; none for all of them.
    place: Option<(usize, usize)>,
    /// Somebody outside asked for it in vain, and the program's developer was told.
    is_missed: bool,
}

impl TcpUse {
    /// Whether connections that come in by an interface are for it. By the loopback come those of this machine, for all.
    fn hears(&self, interface: usize) -> bool {
        self.place
            .is_none_or(|(own, _)| own == interface || interface == LOOPBACK)
    }

    /// How welcome connections of a lane are.
    fn preference(&self, lane: usize) -> u8 {
        match self.place {
            Some((_, own)) if own == lane => 2,
            None => 1,
            Some(_) => 0,
        }
    }
}

/// What is entered at a port.
pub(super) trait Entry {
    /// Whether it and another entry can have the same address.
    fn can_share(&self, other: &Self) -> bool;
}

impl Entry for TcpUse {
    fn can_share(&self, other: &Self) -> bool {
        let is_apart = matches!((self.place, other.place), (Some(a), Some(b)) if a != b);
        is_apart || self.is_shared && other.is_shared
    }
}

impl Entry for Arc<Mailbox> {
    fn can_share(&self, other: &Self) -> bool {
        self.is_shared() && other.is_shared()
    }
}

struct Tables {
    tcp: BTreeMap<u16, Vec<(Binding, TcpUse)>>,
    udp: BTreeMap<u16, Vec<(Binding, Arc<Mailbox>)>>,
    random: Random,
    /// By which of several sockets that share a port each peer is heard.
    flow_key: u64,
}

/// The table of ports.
pub struct Ports {
    tables: SpinLock<Tables>,
    /// Who gets messages of ICMP, once somebody wants any.
    pub(super) messages: OnceCell<Box<dyn Post>>,
}

/// Which of the entries of a port listens for an address on an interface: one bound to it before one bound to all, then one of the same
/// lane before others, then of several that share it one that has room, then the first.
fn listening(
    entries: &[(Binding, TcpUse)],
    ip: IpAddr,
    (interface, lane): (usize, usize),
) -> Option<usize> {
    let mut best = None;
    for (at, (binding, entry)) in entries.iter().enumerate() {
        let Some(listener) = entry.listener.as_ref().filter(|_| entry.hears(interface)) else {
            continue;
        };
        if let Some(fit) = binding.suits(ip, interface) {
            let has_room = !entry.is_shared || listener.has_room();
            let rank = (fit, entry.preference(lane), has_room);
            if best.is_none_or(|(_, known)| rank > known) {
                best = Some((at, rank));
            }
        }
    }
    best.map(|(at, _)| at)
}

/// A number that is the same for all that a peer sends: its port alone would not do, as some systems give out even ones only.
fn flow(key: u64, remote: SocketAddr) -> u64 {
    let ip = match remote.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => mixed(ip.to_bits() as u64) ^ (ip.to_bits() >> 64) as u64,
    };
    mixed(key ^ mixed(ip) ^ u64::from(remote.port()))
}

/// Enters `entry` at the wanted port, or at a free one if 0 is wanted; what it is bound to then.
pub(super) fn claim<T: Entry>(
    table: &mut BTreeMap<u16, Vec<(Binding, T)>>,
    random: &mut Random,
    binding: Binding,
    entry: T,
) -> Result<Binding> {
    /// Tries at random before the search goes through in order.
    const TRIES: usize = 32;
    let is_free = |port: u16| {
        table.get(&port).is_none_or(|entries| {
            !entries
                .iter()
                .any(|(bound, other)| bound.overlaps(&binding) && !entry.can_share(other))
        })
    };
    let port = match binding.address.port() {
        0 => (0..TRIES)
            .map(|_| random.next_port())
            .chain(EPHEMERAL)
            .find(|port| is_free(*port)),
        port => Some(port).filter(|port| is_free(*port)),
    };
    let binding = binding.with_port(port.ok_or(Error::AddressInUse)?);
    let entries = table.entry(binding.address.port()).or_default();
    entries.push((binding, entry));
    Ok(binding)
}

/// Takes the first entry for an address that `is_wanted`.
pub(super) fn remove<T>(
    table: &mut BTreeMap<u16, Vec<(Binding, T)>>,
    binding: &Binding,
    is_wanted: impl Fn(&T) -> bool,
) {
    let port = binding.address.port();
    if let Some(entries) = table.get_mut(&port) {
        let is_it = |(bound, entry): &(Binding, T)| bound == binding && is_wanted(entry);
        if let Some(at) = entries.iter().position(is_it) {
            entries.remove(at);
        }
        if entries.is_empty() {
            table.remove(&port);
        }
    }
}

impl Ports {
    /// An empty table; `seed` makes free ports hard to guess.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            tables: SpinLock::new(Tables {
                tcp: BTreeMap::new(),
                udp: BTreeMap::new(),
                flow_key: random.next_u64(),
                random,
            }),
            messages: OnceCell::new(),
        }
    }

    /// Keeps a TCP port (any free one if it is 0); what it is bound to then. If it `is_shared`, others that are may have it too.
    pub fn bind_tcp(&self, binding: Binding, is_shared: bool) -> Result<Binding> {
        let tables = &mut *self.tables.lock();
        let entry = TcpUse {
            listener: None,
            is_shared,
            place: None,
            is_missed: false,
        };
        claim(&mut tables.tcp, &mut tables.random, binding, entry)
    }

    /// Makes a bound port a listening one.
    pub fn listen(
        &self,
        binding: Binding,
        backlog: usize,
        notifier: Arc<Notifier>,
    ) -> Result<Arc<Listener>> {
        let mut tables = self.tables.lock();
        let entries = tables.tcp.get_mut(&binding.address.port());
        let entry = entries
            .ok_or(Error::Invalid)?
            .iter_mut()
            .find(|(bound, entry)| *bound == binding && entry.listener.is_none())
            .ok_or(Error::Invalid)?;
        let listener = Listener::new(binding, backlog, notifier);
        entry.1.listener = Some(listener.clone());
        Ok(listener)
    }

    /// Keeps a TCP port (any free one if it is 0) on one interface alone, whatever its address, and listens there. Other interfaces, and
    /// other lanes of it, may have listeners of their own at the same port; as long as a lane has none, any of them gets its connections.
    pub fn listen_on(
        &self,
        (interface, lane): (usize, usize),
        port: u16,
        backlog: usize,
        notifier: Arc<Notifier>,
    ) -> Result<Arc<Listener>> {
        let tables = &mut *self.tables.lock();
        let entry = TcpUse {
            listener: None,
            is_shared: false,
            place: Some((interface, lane)),
            is_missed: false,
        };
        let binding = claim(
            &mut tables.tcp,
            &mut tables.random,
            Binding::all(port),
            entry,
        )?;
        let listener = Listener::new(binding, backlog, notifier);
        let entries = tables.tcp.get_mut(&binding.address.port());
        let entries = entries.ok_or(Error::Invalid)?;
        let (_, entry) = entries.last_mut().ok_or(Error::Invalid)?;
        entry.listener = Some(listener.clone());
        Ok(listener)
    }

    /// Frees a TCP port of a socket that does not listen.
    pub fn release_tcp(&self, binding: &Binding) {
        let is_wanted = |entry: &TcpUse| entry.listener.is_none();
        remove(&mut self.tables.lock().tcp, binding, is_wanted);
    }

    /// Frees the TCP port of a listener.
    pub fn release_listener(&self, listener: &Arc<Listener>) {
        let is_wanted = |entry: &TcpUse| {
            let known = entry.listener.as_ref();
            known.is_some_and(|known| Arc::ptr_eq(known, listener))
        };
        remove(&mut self.tables.lock().tcp, &listener.binding, is_wanted);
    }

    /// Who accepts the next connection to `address` that comes in by an interface: of several that share it, one after the other.
    pub(super) fn listener(
        &self,
        address: SocketAddr,
        interface: usize,
        lane: usize,
    ) -> Option<Arc<Listener>> {
        let tables = &mut *self.tables.lock();
        let entries = tables.tcp.get_mut(&address.port())?;
        let at = listening(entries, address.ip(), (interface, lane))?;
        let listener = entries[at].1.listener.clone();
        if entries[at].1.is_shared {
            entries[at..].rotate_left(1);
        }
        listener
    }

    /// Whether a connection to `address` that comes in by an interface would be taken now.
    pub(super) fn admits(&self, address: SocketAddr, interface: usize, lane: usize) -> Admission {
        let tables = self.tables.lock();
        let Some(entries) = tables.tcp.get(&address.port()) else {
            return Admission::Refused;
        };
        let listener = listening(entries, address.ip(), (interface, lane))
            .and_then(|at| entries.get(at)?.1.listener.as_ref());
        match listener {
            None => {
                drop(tables);
                self.tell_if_only_here(address, interface);
                Admission::Refused
            }
            Some(listener) if listener.has_room() => Admission::Open {
                segment_bytes: listener.segment_bytes.load(Ordering::Relaxed),
                deferred_s: listener.deferred_s.load(Ordering::Relaxed),
            },
            Some(_) => Admission::Full,
        }
    }

    /// Many programs listen at the loopback alone unless they are told otherwise, and nobody else sees a difference to none that listens: the
    /// console says so, once for a listener.
    #[cold]
    fn tell_if_only_here(&self, address: SocketAddr, interface: usize) {
        if let Some(own) = self.first_miss(address, interface) {
            log::warn!(
                "network: a connection to port {} is refused: the program listens at {own}, which nobody outside of the machine reaches; let it listen at 0.0.0.0",
                own.port()
            );
        }
    }

    /// The address of a listener at the port of `address` that hears the loopback alone, when somebody outside asks for it for the first time.
    fn first_miss(&self, address: SocketAddr, interface: usize) -> Option<SocketAddr> {
        if interface == LOOPBACK {
            return None;
        }
        let tables = &mut *self.tables.lock();
        let entries = tables.tcp.get_mut(&address.port())?;
        let (binding, entry) = entries.iter_mut().find(|(binding, entry)| {
            entry.listener.is_some() && binding.address.ip().is_loopback()
        })?;
        let is_first = !core::mem::replace(&mut entry.is_missed, true);
        is_first.then_some(binding.address)
    }

    /// A port for an outgoing connection that no socket is bound to and that `is_free` agrees with.
    pub(super) fn ephemeral_tcp(&self, is_free: impl Fn(u16) -> bool) -> Option<u16> {
        const TRIES: usize = 64;
        let tables = &mut *self.tables.lock();
        let random = &mut tables.random;
        (0..TRIES)
            .map(|_| random.next_port())
            .chain(EPHEMERAL)
            .find(|port| !tables.tcp.contains_key(port) && is_free(*port))
    }

    /// Has datagrams for an address (any free port if it is 0) go to `mailbox`; what it is bound to then.
    pub fn bind_udp(&self, binding: Binding, mailbox: Arc<Mailbox>) -> Result<Binding> {
        let tables = &mut *self.tables.lock();
        claim(&mut tables.udp, &mut tables.random, binding, mailbox)
    }

    /// Frees the UDP port of a mailbox.
    pub fn release_udp(&self, binding: &Binding, mailbox: &Arc<Mailbox>) {
        let is_wanted = |known: &Arc<Mailbox>| Arc::ptr_eq(known, mailbox);
        remove(&mut self.tables.lock().udp, binding, is_wanted);
    }

    /// Who gets datagrams for `address` from `remote`: who talks to that peer alone before others, who is bound to the address before
    /// who is bound to all, and of those that share it whom the peer's address leads to.
    pub(super) fn mailbox(
        &self,
        address: SocketAddr,
        remote: SocketAddr,
        interface: usize,
    ) -> Option<Arc<Mailbox>> {
        let tables = self.tables.lock();
        let entries = tables.udp.get(&address.port())?;
        let rank = |(binding, mailbox): &(Binding, Arc<Mailbox>)| {
            let fit = binding.suits(address.ip(), interface)?;
            Some((mailbox.regard(remote)?, fit))
        };
        if let [entry] = entries.as_slice() {
            return rank(entry).map(|_| entry.1.clone());
        }
        let best = entries.iter().filter_map(rank).max()?;
        let mut equals = entries.iter().filter(|entry| rank(entry) == Some(best));
        let count = equals.clone().count();
        let turn = match count {
            1 => 0,
            _ => flow(tables.flow_key, remote) as usize % count,
        };
        equals.nth(turn).map(|(_, mailbox)| mailbox.clone())
    }

    /// All who get datagrams for a group, or for all stations.
    pub(super) fn mailboxes(
        &self,
        address: SocketAddr,
        remote: SocketAddr,
        interface: usize,
    ) -> Vec<Arc<Mailbox>> {
        let tables = self.tables.lock();
        let entries = tables.udp.get(&address.port()).into_iter().flatten();
        entries
            .filter(|(binding, mailbox)| {
                binding.suits(address.ip(), interface).is_some() && mailbox.regard(remote).is_some()
            })
            .map(|(_, mailbox)| mailbox.clone())
            .collect()
    }

    /// A number that is hard to guess.
    pub fn random_u64(&self) -> u64 {
        self.tables.lock().random.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Binding, Error, FourTuple, Mailbox, Pending, Ports};
    use alloc::sync::Arc;
    use core::net::{IpAddr, SocketAddr};

    fn at(address: [u8; 4], port: u16) -> Binding {
        to(address, port).into()
    }

    fn to(address: [u8; 4], port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from(address), port)
    }

    #[test]
    fn a_port_is_given_once_and_again_after_release() {
        let ports = Ports::new(1);
        let any = at([0; 4], 80);
        assert_eq!(ports.bind_tcp(any, false), Ok(any));
        assert_eq!(ports.bind_tcp(any, false), Err(Error::AddressInUse));
        assert_eq!(
            ports.bind_tcp(at([127, 0, 0, 1], 80), false),
            Err(Error::AddressInUse)
        );
        ports.release_tcp(&any);
        assert_eq!(ports.bind_tcp(any, false), Ok(any));
    }

    #[test]
    fn who_shares_a_port_and_accepts_nothing_holds_up_no_others() {
        let ports = Ports::new(1);
        let any = at([0; 4], 80);
        let share = |backlog| {
            ports.bind_tcp(any, true).expect("shared");
            ports.listen(any, backlog, Arc::default()).expect("bound")
        };
        let (stuck, _other) = (share(1), share(8));
        let to = to([10, 0, 2, 15], 80);
        for slot in 0..9 {
            assert!(matches!(ports.admits(to, 1, 0), Admission::Open { .. }));
            let taken = ports.listener(to, 1, 0).expect("one of both");
            let tuple = FourTuple {
                local: to,
                remote: to,
            };
            let pending = Pending {
                interface: 1,
                lane: 0,
                slot,
                tuple,
                notifier: Arc::default(),
            };
            assert!(taken.push(pending).is_ok());
        }
        assert_eq!(stuck.waiting(), 1);
        assert_eq!(ports.admits(to, 1, 0), Admission::Full);
    }

    #[test]
    fn peers_with_even_ports_are_heard_by_all_who_share_one() {
        let ports = Ports::new(1);
        let both = [(), ()].map(|()| {
            let mailbox = Arc::new(Mailbox::default());
            mailbox.share();
            ports
                .bind_udp(at([0; 4], 53), mailbox.clone())
                .expect("shared");
            mailbox
        });
        let here = to([10, 0, 2, 15], 53);
        let hears = |port: u16| {
            let heard = |_| {
                ports
                    .mailbox(here, to([10, 0, 2, 2], port), 1)
                    .expect("one")
            };
            let [first, again] = [0, 1].map(heard);
            assert!(Arc::ptr_eq(&first, &again), "the same each time");
            Arc::ptr_eq(&first, &both[0])
        };
        let count = (0..1000).filter(|at| hears(40_000 + 2 * at)).count();
        assert!((400..600).contains(&count), "{count}");
    }

    #[test]
    fn a_listener_at_the_loopback_that_others_ask_for_is_told_of_once() {
        let ports = Ports::new(1);
        let (own, outside) = (to([127, 0, 0, 1], 80), to([10, 0, 2, 15], 80));
        assert_eq!(ports.first_miss(outside, 1), None, "nobody listens");
        ports.bind_tcp(own.into(), false).expect("free");
        assert_eq!(ports.first_miss(outside, 1), None, "bound only");
        let _listener = ports.listen(own.into(), 1, Arc::default()).expect("bound");
        assert_eq!(ports.first_miss(own, 0), None, "from inside");
        assert_eq!(ports.first_miss(outside, 1), Some(own));
        assert_eq!(ports.first_miss(outside, 1), None, "told before");
        let other = to([10, 0, 2, 15], 81);
        ports.bind_tcp(other.into(), false).expect("free");
        let _listener = ports
            .listen(other.into(), 1, Arc::default())
            .expect("bound");
        assert_eq!(
            ports.first_miss(to([10, 0, 2, 16], 81), 1),
            None,
            "not the loopback"
        );
    }

    #[test]
    fn listeners_that_share_a_port_take_turns() {
        let ports = Ports::new(1);
        let any = at([0; 4], 80);
        let listen = || {
            ports.bind_tcp(any, true).expect("shared");
            ports.listen(any, 1, Arc::default()).expect("bound")
        };
        let (first, second) = (listen(), listen());
        assert_eq!(ports.bind_tcp(any, false), Err(Error::AddressInUse));
        let next = || {
            ports
                .listener(to([10, 0, 2, 15], 80), 1, 0)
                .expect("listening")
        };
        assert!(Arc::ptr_eq(&next(), &first));
        assert!(Arc::ptr_eq(&next(), &second));
        assert!(Arc::ptr_eq(&next(), &first));
        ports.release_listener(&first);
        assert!(Arc::ptr_eq(&next(), &second) && Arc::ptr_eq(&next(), &second));
        ports.release_listener(&second);
        assert_eq!(ports.bind_tcp(any, false), Ok(any));
        assert_eq!(ports.bind_tcp(any, true), Err(Error::AddressInUse));
    }

    #[test]
    fn each_interface_can_have_a_listener_of_its_own_at_a_port() {
        let ports = Ports::new(1);
        let any = at([0; 4], 80);
        let listen = |interface| ports.listen_on((interface, 0), 80, 1, Arc::default());
        let (first, second) = (listen(1).expect("free"), listen(2).expect("free"));
        assert_eq!(listen(2).err(), Some(Error::AddressInUse));
        assert_eq!(ports.bind_tcp(any, true), Err(Error::AddressInUse));
        let at_interface = |interface| ports.listener(to([10, 0, 2, 15], 80), interface, 0);
        assert!(Arc::ptr_eq(&at_interface(1).expect("listening"), &first));
        assert!(Arc::ptr_eq(&at_interface(2).expect("listening"), &second));
        assert!(at_interface(3).is_none());
        assert!(at_interface(super::LOOPBACK).is_some());
        ports.release_listener(&first);
        ports.release_listener(&second);
        assert_eq!(ports.bind_tcp(any, false), Ok(any));
        assert_eq!(listen(1).err(), Some(Error::AddressInUse));
    }

    #[test]
    fn each_lane_has_its_own_listener_and_one_without_gets_that_of_another() {
        let ports = Ports::new(1);
        let listen = |lane| ports.listen_on((1, lane), 80, 1, Arc::default());
        let (first, third) = (listen(0).expect("free"), listen(2).expect("free"));
        assert_eq!(listen(2).err(), Some(Error::AddressInUse));
        let of_lane = |lane| {
            let found = ports.listener(to([10, 0, 2, 15], 80), 1, lane);
            found.expect("listening")
        };
        assert!(Arc::ptr_eq(&of_lane(0), &first) && Arc::ptr_eq(&of_lane(2), &third));
        assert!(Arc::ptr_eq(&of_lane(1), &first), "of those that there are");
        ports.release_listener(&first);
        assert!(Arc::ptr_eq(&of_lane(0), &third));
    }

    #[test]
    fn port_0_gets_a_free_dynamic_port() {
        let ports = Ports::new(7);
        let first = ports.bind_tcp(at([0; 4], 0), false).expect("free ports");
        let second = ports.bind_tcp(at([0; 4], 0), false).expect("free ports");
        assert!(first.address.port() >= 0xC000 && second.address.port() >= 0xC000);
        assert_ne!(first.address.port(), second.address.port());
    }

    #[test]
    fn a_listener_on_one_address_hears_only_that_address() {
        let ports = Ports::new(1);
        let local = at([127, 0, 0, 1], 80);
        ports.bind_tcp(local, false).expect("free");
        assert!(
            ports.listener(local.address, 0, 0).is_none(),
            "bound is not listening"
        );
        ports.listen(local, 1, Arc::default()).expect("bound");
        assert!(ports.listener(local.address, 0, 0).is_some());
        assert!(ports.listener(to([10, 0, 2, 15], 80), 1, 0).is_none());
    }

    #[test]
    fn each_version_of_ip_has_its_own_listener_unless_one_hears_both() {
        let ports = Ports::new(1);
        let v6 = |text: &str, is_dual| Binding {
            address: text.parse().expect("an address"),
            is_dual,
            device: None,
        };
        let (four, six) = (at([0; 4], 80), v6("[::]:80", false));
        assert_eq!(ports.bind_tcp(four, false), Ok(four));
        assert_eq!(ports.bind_tcp(six, false), Ok(six));
        assert_eq!(
            ports.bind_tcp(Binding::all(80), false),
            Err(Error::AddressInUse)
        );
        ports.release_tcp(&four);
        ports.release_tcp(&six);
        let all = Binding::all(80);
        ports.bind_tcp(all, false).expect("free");
        assert_eq!(ports.bind_tcp(four, false), Err(Error::AddressInUse));
        ports.listen(all, 1, Arc::default()).expect("bound");
        for peer in ["10.0.2.15:80", "[2001:db8::1]:80"] {
            let to = peer.parse().expect("an address");
            assert!(ports.listener(to, 1, 0).is_some(), "{peer}");
        }
    }

    #[test]
    fn datagrams_go_to_who_knows_the_peer_and_the_address_best() {
        let ports = Ports::new(1);
        let shared = || {
            let mailbox = Arc::new(Mailbox::default());
            mailbox.share();
            mailbox
        };
        let (any, own, friend) = (shared(), shared(), shared());
        let (from, stranger) = (to([10, 0, 2, 2], 9), to([10, 0, 2, 3], 9));
        let address = to([10, 0, 2, 15], 53);
        ports.bind_udp(at([0; 4], 53), any.clone()).expect("free");
        ports.bind_udp(address.into(), own.clone()).expect("shared");
        ports
            .bind_udp(at([0; 4], 53), friend.clone())
            .expect("shared");
        friend.know(from);
        let unshared = Arc::new(Mailbox::default());
        assert_eq!(
            ports.bind_udp(at([0; 4], 53), unshared),
            Err(Error::AddressInUse)
        );
        let goes_to = |mailbox: &Arc<Mailbox>, from| {
            ports
                .mailbox(address, from, 1)
                .is_some_and(|found| Arc::ptr_eq(&found, mailbox))
        };
        assert!(goes_to(&friend, from) && goes_to(&own, stranger));
        let group = to([239, 1, 2, 3], 53);
        assert_eq!(
            ports.mailboxes(group, stranger, 1).len(),
            1,
            "one is bound to another address"
        );
        ports.release_udp(&address.into(), &own);
        assert!(goes_to(&any, stranger));
    }
}
