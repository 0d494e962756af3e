//! The table of TCP connections of one interface.
//!
//! A connection is found by its four-tuple in a hash table, whatever their number; each has a socket set of its own, so the
//! stack looks at no other. Half-open connections and those that no program holds any more are counted and the oldest give way.
//! Sockets that have done their work are kept, a few, with their buffers, for the next connection. Those in TIME-WAIT are not here
//! but in [`super::time_wait`].

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};

use hashbrown::HashMap;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;

use super::error::Error;
use super::frame::FourTuple;
use super::ports::Listener;
use super::time_wait::Rest;
use crate::scheduler::Notifier;

/// How much an interface may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Receive buffer of a connection, in bytes.
    pub receive_bytes: usize,
    /// Transmit buffer of a connection, in bytes.
    pub transmit_bytes: usize,
    /// Connections whose handshake is not through.
    pub half_open: usize,
    /// Connections that nobody holds any more, but whose peers do not have everything or have not closed yet.
    pub orphans: usize,
    /// Connections that are over and only wait for stray segments.
    pub time_wait: usize,
    /// Sockets kept for reuse.
    pub spare: usize,
}

impl Limits {
    /// What fits a machine with that much memory: connections take half of it at most, and 32 of them and their spares 1 MiB of
    /// an 8 MiB machine.
    pub fn for_memory(memory_bytes: u64) -> Self {
        const MIB: u64 = 1 << 20;
        let (buffer, half_open, time_wait) = match memory_bytes / MIB {
            0..64 => (16 << 10, 64, 512),
            64..512 => (32 << 10, 256, 2048),
            _ => (64 << 10, 1024, 8192),
        };
        let connections = (memory_bytes / 2 / (2 * buffer)).max(32) as usize;
        Self {
            connections,
            orphans: connections / 2,
            receive_bytes: buffer as usize,
            transmit_bytes: buffer as usize,
            half_open,
            time_wait,
            spare: 32,
        }
    }
}

/// A TCP connection.
pub(super) struct Connection {
    /// Both ends.
    pub(super) tuple: FourTuple,
    /// Holds the one socket.
    pub(super) set: SocketSet<'static>,
    /// Its handle.
    pub(super) handle: SocketHandle,
    /// Where the program's socket waits.
    pub(super) notifier: Arc<Notifier>,
    /// Who will accept it; set until the handshake is through.
    pub(super) listener: Option<Arc<Listener>>,
    /// The program has closed its socket (or never had one): the connection goes when it is done.
    pub(super) is_orphan: bool,
    /// What ended the connection, until a program asks.
    pub(super) error: Option<Error>,
    /// State when it was last looked at.
    pub(super) state: tcp::State,
    /// Bytes that waited to be read when it was last looked at.
    pub(super) seen_bytes: usize,
    /// There was room to send when it was last looked at.
    pub(super) had_room: bool,
    /// Where its timer is set.
    pub(super) timer: Option<u64>,
    /// What will be left of it, once the peer has closed its side.
    pub(super) rest: Rest,
    /// Place in one of the queues of those that may have to give way.
    queued: Option<Place>,
}

/// A place in a queue: its neighbours there.
#[derive(Clone, Copy)]
struct Place {
    queue: Queue,
    older: Option<u32>,
    newer: Option<u32>,
}

impl Connection {
    /// Whether it waits for the machine to get an address before it is begun.
    #[inline]
    pub(super) fn is_awaiting(&self) -> bool {
        self.tuple.local.ip().is_unspecified() && !matches!(self.state, tcp::State::Closed)
    }

    /// The stack's socket.
    #[inline]
    pub(super) fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }
}

/// The queues of connections that may have to give way, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// The handshake is not through.
    HalfOpen,
    /// No program holds it any more.
    Orphan,
}

/// The ends of a queue that runs through the connections.
#[derive(Clone, Copy, Default)]
struct Line {
    oldest: Option<u32>,
    newest: Option<u32>,
    len: usize,
}

/// The table.
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    free: Vec<u32>,
    by_tuple: HashMap<FourTuple, u32, Seed>,
    /// By [`Queue`].
    lines: [Line; 2],
    spare: Vec<(SocketSet<'static>, SocketHandle)>,
    limits: Limits,
}

impl Connections {
    /// An empty table; `seed` keeps strangers from choosing tuples that collide.
    pub(super) fn new(limits: Limits, seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_tuple: HashMap::with_hasher(Seed::new(seed)),
            lines: [Line::default(); 2],
            spare: Vec::new(),
            limits,
        }
    }

    /// The slot of the connection between two ends.
    #[inline]
    pub(super) fn find(&self, tuple: &FourTuple) -> Option<u32> {
        self.by_tuple.get(tuple).copied()
    }

    /// The connection in a slot.
    #[inline]
    pub(super) fn get(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Makes a connection with a fresh socket.
    ///
    /// # Errors
    /// When there is no memory for its buffers, or another connection has the tuple.
    pub(super) fn insert(
        &mut self,
        tuple: FourTuple,
        notifier: Arc<Notifier>,
        listener: Option<Arc<Listener>>,
    ) -> Result<u32, Error> {
        if self.by_tuple.contains_key(&tuple) {
            return Err(Error::AddressInUse);
        }
        if self.slots.len() - self.free.len() >= self.limits.connections {
            return Err(Error::OutOfMemory);
        }
        let (set, handle) = match self.spare.pop() {
            Some(spare) => spare,
            None => new_socket(&self.limits)?,
        };
        let connection = Connection {
            tuple,
            set,
            handle,
            notifier,
            listener,
            is_orphan: false,
            error: None,
            state: tcp::State::Closed,
            seen_bytes: 0,
            had_room: false,
            timer: None,
            rest: Rest::default(),
            queued: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        self.slots[slot as usize] = Some(connection);
        self.by_tuple.insert(tuple, slot);
        Ok(slot)
    }

    /// Gives a connection other ends.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] when another connection has them.
    pub(super) fn rename(&mut self, slot: u32, tuple: FourTuple) -> Result<(), Error> {
        if self.by_tuple.contains_key(&tuple) {
            return Err(Error::AddressInUse);
        }
        let connection = self.get(slot).ok_or(Error::NotConnected)?;
        let old = core::mem::replace(&mut connection.tuple, tuple);
        self.by_tuple.remove(&old);
        self.by_tuple.insert(tuple, slot);
        Ok(())
    }

    /// Frees the tuple of a connection that is closed but that a program still holds.
    pub(super) fn forget_tuple(&mut self, slot: u32) {
        self.dequeue(slot);
        if let Some(tuple) = self.get(slot).map(|connection| connection.tuple)
            && self.find(&tuple) == Some(slot)
        {
            self.by_tuple.remove(&tuple);
        }
    }

    /// Takes a connection out. Its timer must have been cancelled.
    pub(super) fn remove(&mut self, slot: u32) {
        self.forget_tuple(slot);
        let Some(connection) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        debug_assert!(connection.timer.is_none(), "a timer would fire for nobody");
        self.free.push(slot);
        if self.spare.len() < self.limits.spare {
            let (mut set, handle) = (connection.set, connection.handle);
            // Put in anew, the socket loses what the set knew of its peer.
            let smoltcp::socket::Socket::Tcp(mut socket) = set.remove(handle) else {
                return;
            };
            socket.abort();
            let handle = set.add(socket);
            self.spare.push((set, handle));
        }
    }

    /// Puts a connection into a queue, or moves it there; the oldest of the queue if that is full now.
    pub(super) fn enqueue(&mut self, slot: u32, queue: Queue) -> Option<u32> {
        self.dequeue(slot);
        let older = self.lines[queue as usize].newest;
        self.get(slot)?.queued = Some(Place {
            queue,
            older,
            newer: None,
        });
        self.join(queue, older, Some(slot));
        self.join(queue, Some(slot), None);
        let limit = match queue {
            Queue::HalfOpen => self.limits.half_open,
            Queue::Orphan => self.limits.orphans,
        };
        let line = &mut self.lines[queue as usize];
        line.len += 1;
        line.oldest.filter(|_| line.len > limit)
    }

    /// Makes two connections neighbours in a queue, or one of them its end.
    fn join(&mut self, queue: Queue, older: Option<u32>, newer: Option<u32>) {
        match older.and_then(|slot| self.get(slot)?.queued.as_mut()) {
            Some(place) => place.newer = newer,
            None => self.lines[queue as usize].oldest = newer,
        }
        match newer.and_then(|slot| self.get(slot)?.queued.as_mut()) {
            Some(place) => place.older = older,
            None => self.lines[queue as usize].newest = older,
        }
    }

    /// Takes a connection out of its queue, if it is in one.
    pub(super) fn dequeue(&mut self, slot: u32) {
        if let Some(place) = self.get(slot).and_then(|one| one.queued.take()) {
            self.join(place.queue, place.older, place.newer);
            self.lines[place.queue as usize].len -= 1;
        }
    }

    /// The connection that can be spared most easily: the oldest that no program holds, or else the oldest half-open one.
    pub(super) fn sparest(&self) -> Option<u32> {
        let [half_open, orphans] = self.lines;
        orphans.oldest.or(half_open.oldest)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Connections, slots and sockets held, for tests of growth.
    #[cfg(test)]
    pub(super) fn census(&self) -> [usize; 4] {
        [
            self.slots.len() - self.free.len(),
            self.slots.len(),
            self.by_tuple.len(),
            self.lines.iter().map(|line| line.len).sum(),
        ]
    }
}

fn new_socket(limits: &Limits) -> Result<(SocketSet<'static>, SocketHandle), Error> {
    let buffer = |len: usize| {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(len)
            .map_err(|_| Error::OutOfMemory)?;
        bytes.resize(len, 0u8);
        Ok(tcp::SocketBuffer::new(bytes))
    };
    let socket = tcp::Socket::new(
        buffer(limits.receive_bytes)?,
        buffer(limits.transmit_bytes)?,
    );
    let mut set = SocketSet::new(vec![]);
    let handle = set.add(socket);
    Ok((set, handle))
}

/// Key of the hash.
#[derive(Clone)]
pub(super) struct Seed(u64);

impl Seed {
    /// A key from a number nobody can guess.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }
}

impl BuildHasher for Seed {
    type Hasher = Folding;
    fn build_hasher(&self) -> Folding {
        Folding {
            state: self.0,
            key: self.0,
        }
    }
}

/// Multiplies and folds the halves of the product onto each other, with a secret factor.
pub(super) struct Folding {
    state: u64,
    key: u64,
}

impl Folding {
    #[inline]
    fn mix(&mut self, value: u64) {
        let product = u128::from(self.state ^ value) * u128::from(self.key ^ 0xA076_1D64_78BD_642F);
        self.state = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for Folding {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }
    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }
    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }
    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::{Connections, Limits, Queue};
    use crate::network::error::Error;
    use crate::network::frame::FourTuple;
    use alloc::sync::Arc;
    use core::net::{Ipv4Addr, SocketAddrV4};
    use proptest::prelude::*;

    fn tuple(port: u16) -> FourTuple {
        FourTuple {
            local: SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 15), 80),
            remote: SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), port),
        }
    }

    fn table() -> Connections {
        Connections::new(
            Limits {
                connections: 3,
                receive_bytes: 256,
                transmit_bytes: 256,
                half_open: 2,
                orphans: 2,
                time_wait: 2,
                spare: 1,
            },
            5,
        )
    }

    #[test]
    fn a_connection_is_found_by_its_ends_until_removed() {
        let mut table = table();
        let first = table
            .insert(tuple(1), Arc::default(), None)
            .expect("memory");
        let second = table
            .insert(tuple(2), Arc::default(), None)
            .expect("memory");
        assert_eq!(table.find(&tuple(1)), Some(first));
        assert_eq!(table.find(&tuple(2)), Some(second));
        assert_eq!(
            table.insert(tuple(1), Arc::default(), None),
            Err(Error::AddressInUse)
        );
        table.remove(first);
        assert_eq!(table.find(&tuple(1)), None);
        assert!(table.get(first).is_none());
        assert_eq!(
            table.insert(tuple(3), Arc::default(), None),
            Ok(first),
            "slots are used again"
        );
    }

    #[test]
    fn there_are_no_more_connections_than_allowed() {
        let mut table = table();
        for port in 1..=3 {
            assert!(table.insert(tuple(port), Arc::default(), None).is_ok());
        }
        let refused = table.insert(tuple(4), Arc::default(), None);
        assert_eq!(refused, Err(Error::OutOfMemory));
    }

    #[test]
    fn the_oldest_of_a_full_queue_gives_way() {
        let mut table = table();
        let slots: Vec<u32> = (1..=3)
            .map(|port| {
                table
                    .insert(tuple(port), Arc::default(), None)
                    .expect("memory")
            })
            .collect();
        assert_eq!(table.enqueue(slots[0], Queue::HalfOpen), None);
        assert_eq!(table.enqueue(slots[1], Queue::HalfOpen), None);
        assert_eq!(table.enqueue(slots[2], Queue::HalfOpen), Some(slots[0]));
        table.dequeue(slots[0]);
        assert_eq!(table.sparest(), Some(slots[1]));
        assert_eq!(table.enqueue(slots[2], Queue::Orphan), None);
        assert_eq!(table.sparest(), Some(slots[2]), "closed ones first");
    }

    proptest! {
        #[test]
        fn queues_give_out_the_oldest_whatever_comes_and_goes(
            steps in proptest::collection::vec((0u32..6, 0u8..4), 1..200),
        ) {
            let mut table = table();
            table.limits.connections = 6;
            for port in 0..6 {
                table.insert(tuple(port), Arc::default(), None).expect("memory");
            }
            let mut model: [Vec<u32>; 2] = Default::default();
            for (slot, step) in steps {
                for queue in &mut model {
                    queue.retain(|other| *other != slot);
                }
                let queue = [Queue::HalfOpen, Queue::Orphan].get(usize::from(step));
                let Some(queue) = queue else {
                    table.dequeue(slot);
                    continue;
                };
                let line = &mut model[*queue as usize];
                line.push(slot);
                let oldest = (line.len() > 2).then(|| line[0]);
                prop_assert_eq!(table.enqueue(slot, *queue), oldest);
                let sparest = model[1].first().or(model[0].first());
                prop_assert_eq!(table.sparest(), sparest.copied());
                prop_assert_eq!(table.census()[3], model[0].len() + model[1].len());
            }
        }
    }

    #[test]
    fn a_tuple_that_was_taken_over_stays_with_its_new_connection() {
        let mut table = table();
        let old = table
            .insert(tuple(1), Arc::default(), None)
            .expect("memory");
        table.forget_tuple(old);
        let new = table
            .insert(tuple(1), Arc::default(), None)
            .expect("memory");
        table.remove(old);
        assert_eq!(table.find(&tuple(1)), Some(new));
    }
}
