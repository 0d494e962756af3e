//! Services: a listener whose connections are served by one thread, whatever their number.
//!
//! A [`Service`] belongs to one interface and is used by one thread, on the interface's core. The stack tells it which connections have
//! news ([`Events`], an observer of their notifiers); the thread asks for one piece of news after the other ([`Service::next`]), with
//! no lock held in between. So what the thread does with the news may take locks, wait or use other sockets; meanwhile the stack goes
//! on, and only this service's connections wait. Bytes to be sent that the peer does not take yet are kept here, up to
//! [`QUEUE_BYTES`]; while a connection has such bytes, nothing more is received from it, so a peer that does not read is slowed down
//! by its own window.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Network;
use super::error::{Error, Result};
use super::interface::Interface;
use super::ports::{FourTuple, Listener, Pending};
use crate::arch::clock;
use crate::scheduler::{self, Notifier, Observer, WaitQueue};
use crate::sync::SpinLock;

/// While so many bytes of a connection wait to be sent, no more are taken.
pub const QUEUE_BYTES: usize = 256 << 10;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 1024;
/// Pieces of news in a row before the other threads and the stacks of the core get their turn.
const TURNS: u32 = 32;
/// Shorter pieces are copied though they need not be: to remember where they are costs as much.
const WORTH_KEEPING: usize = 256;
/// As what the listener is known to its observer; connections have smaller numbers.
const LISTENER: u64 = u64::MAX;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer sends no more.
    Closed,
    /// The peer broke it off.
    Reset,
    /// The peer does not answer any more.
    Lost,
}

/// A piece of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was accepted; [`Service::accepted`] tells its ends.
    Accepted {
        /// Its number.
        connection: u32,
    },
    /// Bytes were received into the buffer.
    Received {
        /// The connection.
        connection: u32,
        /// How many.
        len: usize,
    },
    /// What waited to be sent has been taken.
    Writable {
        /// The connection.
        connection: u32,
    },
    /// It is over, apart from what waits to be sent. It has to be closed by [`Service::close`].
    Ended {
        /// The connection.
        connection: u32,
        /// Why.
        end: End,
    },
    /// Nothing happened on it for as long as its timeout.
    TimedOut {
        /// The connection.
        connection: u32,
    },
    /// The service was stopped.
    Stopped,
}

/// What is to be looked at, told by the stack and by whoever stops the service.
pub struct Events {
    queue: SpinLock<Queue>,
    waiting: WaitQueue,
}

#[derive(Default)]
struct Queue {
    /// Connections with news, each once.
    due: VecDeque<u32>,
    is_due: Vec<bool>,
    has_arrivals: bool,
    is_stopped: bool,
    /// The thread sleeps.
    is_idle: bool,
}

impl Queue {
    /// Notes news of a connection.
    fn add(&mut self, connection: u32) {
        if let Some(is_due) = self.is_due.get_mut(connection as usize)
            && !core::mem::replace(is_due, true)
        {
            self.due.push_back(connection);
        }
    }
}

impl Events {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: SpinLock::new(Queue::default()),
            waiting: WaitQueue::new(),
        })
    }

    fn tell(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        change(&mut queue);
        let was_idle = core::mem::replace(&mut queue.is_idle, false);
        drop(queue);
        if was_idle {
            self.waiting.wake_one();
        }
    }

    /// Ends the service: its thread is told next.
    pub fn stop(&self) {
        self.tell(|queue| queue.is_stopped = true);
    }
}

impl Observer for Events {
    fn notified(&self, token: u64) {
        self.tell(|queue| match token {
            LISTENER => queue.has_arrivals = true,
            // Tokens of connections are made from their numbers.
            token => queue.add(token as u32),
        });
    }
}

/// Bytes that wait to be sent.
enum Piece {
    Copied(Vec<u8>),
    Kept(&'static [u8]),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Kept(bytes) => bytes,
        }
    }
}

/// A connection of a service.
struct Connection {
    interface: &'static Interface,
    slot: u32,
    /// Keeps the way by which the stack tells of it.
    _notifier: Arc<Notifier>,
    waiting: VecDeque<Piece>,
    /// Bytes of the first piece that are sent.
    sent: usize,
    waiting_bytes: usize,
    /// The service is to be told when nothing waits any more.
    tells_room: bool,
    /// The service has closed it; it goes when everything is sent.
    is_closing: bool,
    /// The end was told.
    has_ended: bool,
    timeout_ns: Option<u64>,
    /// When the timeout is over; moved with each thing that happens.
    deadline_ns: Option<u64>,
}

impl Connection {
    /// Something happened: the timeout begins anew.
    #[inline]
    fn touch(&mut self, now_ns: u64) {
        if let Some(timeout_ns) = self.timeout_ns {
            self.deadline_ns = Some(now_ns.saturating_add(timeout_ns));
        }
    }

    /// Sends what waits, as far as the peer takes it. Whether anything went.
    fn drain(&mut self, now_ns: u64) -> Result<bool> {
        let before = self.waiting_bytes;
        let mut stack = self.interface.lock();
        while let Some(piece) = self.waiting.front() {
            let rest = piece.bytes().get(self.sent..).unwrap_or_default();
            match stack.send(self.slot, rest, now_ns) {
                Ok(len) => {
                    self.sent += len;
                    self.waiting_bytes -= len;
                    if len < rest.len() {
                        break;
                    }
                    self.waiting.pop_front();
                    self.sent = 0;
                }
                Err(Error::WouldBlock) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.waiting_bytes != before)
    }

    fn drop_waiting(&mut self) {
        self.waiting.clear();
        (self.sent, self.waiting_bytes) = (0, 0);
    }
}

/// A listener and its connections.
pub struct Service {
    network: &'static Network,
    listener: Arc<Listener>,
    events: Arc<Events>,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    deadlines: BTreeSet<(u64, u32)>,
    /// Where each number is among the deadlines: at its connection's or before. It stays there when the connection goes, for the next with
    /// the number.
    armed_ns: Vec<Option<u64>>,
    turns: u32,
    /// Ends of the connection that was accepted last.
    accepted: Option<FourTuple>,
}

/// What the thread looks at next.
enum Task {
    Stop,
    Accept,
    Look(u32),
    Expire(u32),
}

impl Service {
    /// Listens at a port (any free one if it is 0) of the interface at an index, for the connections of one of its lanes, and for those of
    /// lanes that have no service.
    ///
    /// # Errors
    /// [`Error::NoInterface`], or [`Error::AddressInUse`] when a socket or a service has the port.
    pub fn new(
        network: &'static Network,
        interface: usize,
        lane: usize,
        port: u16,
    ) -> Result<Self> {
        network
            .lane(interface, lane)
            .ok_or(Error::NoInterface)?
            .start();
        let notifier: Arc<Notifier> = Arc::default();
        let events = Events::new();
        notifier.subscribe(LISTENER, events.clone());
        let listener = network
            .ports
            .listen_on((interface, lane), port, BACKLOG, notifier)?;
        Ok(Self {
            network,
            listener,
            events,
            connections: Vec::new(),
            free: Vec::new(),
            deadlines: BTreeSet::new(),
            armed_ns: Vec::new(),
            turns: 0,
            accepted: None,
        })
    }

    /// The port where it listens.
    pub fn port(&self) -> u16 {
        self.listener.binding.address.port()
    }

    /// The ends of the connection that was accepted last.
    pub fn accepted(&self) -> Option<FourTuple> {
        self.accepted
    }

    /// What ends it from outside.
    pub fn events(&self) -> Arc<Events> {
        self.events.clone()
    }

    /// The next piece of news; waits for it. What is received goes to `buf`, which must not be empty.
    pub fn next(&mut self, buf: &mut [u8]) -> Event {
        loop {
            self.turns += 1;
            if self.turns >= TURNS {
                self.turns = 0;
                scheduler::yield_now();
            }
            let event = match self.task() {
                Task::Stop => return Event::Stopped,
                Task::Accept => self.accept(),
                Task::Look(connection) => self.look(connection, buf),
                Task::Expire(connection) => self.expire(connection),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// Waits until there is something to look at.
    fn task(&mut self) -> Task {
        let mut queue = self.events.queue.lock();
        loop {
            if queue.is_stopped {
                return Task::Stop;
            }
            let next = self.deadlines.first().copied();
            if let Some((at, connection)) = next
                && at <= clock::now_ns()
            {
                self.deadlines.pop_first();
                return Task::Expire(connection);
            }
            if let Some(connection) = queue.due.pop_front() {
                if let Some(is_due) = queue.is_due.get_mut(connection as usize) {
                    *is_due = false;
                }
                return Task::Look(connection);
            }
            if core::mem::replace(&mut queue.has_arrivals, false) {
                return Task::Accept;
            }
            queue.is_idle = true;
            self.turns = 0;
            let deadline_ns = next.map(|(at, _)| at);
            (queue, _) = self.events.waiting.wait(queue, deadline_ns);
            queue.is_idle = false;
        }
    }

    fn get(&mut self, connection: u32) -> Option<&mut Connection> {
        self.connections.get_mut(connection as usize)?.as_mut()
    }

    /// Takes one connection that waits to be accepted.
    fn accept(&mut self) -> Option<Event> {
        let pending = self.listener.pop(true, None).ok()?;
        let interface = self.network.lane(pending.interface, pending.lane)?;
        let connection = match self.free.pop() {
            Some(free) => free,
            None => {
                self.connections.push(None);
                self.armed_ns.push(None);
                (self.connections.len() - 1) as u32
            }
        };
        self.connections[connection as usize] = Some(Connection {
            interface,
            slot: pending.slot,
            _notifier: pending.notifier.clone(),
            waiting: VecDeque::new(),
            sent: 0,
            waiting_bytes: 0,
            tells_room: false,
            is_closing: false,
            has_ended: false,
            timeout_ns: None,
            deadline_ns: None,
        });
        // From here on the stack tells of it; what came before is looked at once in any case.
        let token = u64::from(connection);
        pending.notifier.subscribe(token, self.events.clone());
        let mut queue = self.events.queue.lock();
        if queue.is_due.len() < self.connections.len() {
            queue.is_due.resize(self.connections.len(), false);
        }
        queue.add(connection);
        // Others may wait; there is one mark for all of them.
        queue.has_arrivals |= self.listener.is_ready();
        self.accepted = Some(pending.tuple);
        Some(Event::Accepted { connection })
    }

    /// Finds out what is new on a connection.
    fn look(&mut self, number: u32, buf: &mut [u8]) -> Option<Event> {
        let now_ns = clock::now_ns();
        let connection = self.get(number)?;
        if connection.waiting_bytes != 0 {
            match connection.drain(now_ns) {
                Ok(true) => connection.touch(now_ns),
                Ok(false) => {}
                Err(error) => return self.broken(number, error),
            }
            if connection.waiting_bytes != 0 {
                return None;
            }
            if connection.is_closing {
                self.release(number, false);
                return None;
            }
            if core::mem::replace(&mut connection.tells_room, false) {
                // What the peer has sent meanwhile is looked at after that.
                self.events.queue.lock().add(number);
                return Some(Event::Writable { connection: number });
            }
        }
        if connection.has_ended || connection.is_closing {
            return None;
        }
        let mut stack = connection.interface.lock();
        let received = stack.receive(connection.slot, buf, false, now_ns);
        match received {
            Ok(0) => {
                drop(stack);
                connection.has_ended = true;
                Some(Event::Ended {
                    connection: number,
                    end: End::Closed,
                })
            }
            Ok(len) => {
                let has_more = stack.is_readable(connection.slot);
                drop(stack);
                connection.touch(now_ns);
                if has_more {
                    self.events.queue.lock().add(number);
                }
                Some(Event::Received {
                    connection: number,
                    len,
                })
            }
            Err(Error::WouldBlock) => None,
            Err(error) => {
                drop(stack);
                self.broken(number, error)
            }
        }
    }

    /// The connection is broken: tells the service, unless it has closed it anyway.
    fn broken(&mut self, number: u32, error: Error) -> Option<Event> {
        let connection = self.get(number)?;
        connection.drop_waiting();
        if connection.is_closing {
            self.release(number, true);
            return None;
        }
        if core::mem::replace(&mut connection.has_ended, true) {
            return None;
        }
        let end = match error {
            Error::TimedOut => End::Lost,
            _ => End::Reset,
        };
        Some(Event::Ended {
            connection: number,
            end,
        })
    }

    /// The time of a connection among the deadlines has come.
    fn expire(&mut self, number: u32) -> Option<Event> {
        let now_ns = clock::now_ns();
        *self.armed_ns.get_mut(number as usize)? = None;
        let connection = self.get(number)?;
        let deadline_ns = connection.deadline_ns?;
        if deadline_ns > now_ns {
            self.arm(number, deadline_ns);
            return None;
        }
        // Until something happens again.
        connection.deadline_ns = None;
        if connection.is_closing {
            self.release(number, true);
            return None;
        }
        Some(Event::TimedOut { connection: number })
    }

    /// Sends bytes, or keeps what the peer does not take yet: those of `kept` where they are, others copied.
    ///
    /// # Errors
    /// [`Error::QueueFull`] while [`QUEUE_BYTES`] or more wait: nothing was taken, and the service is told when there is room.
    /// [`Error::NotConnected`] when the connection is closed or broken: its end is told, or was.
    pub fn send(&mut self, number: u32, data: &[u8], kept: Option<&'static [u8]>) -> Result<()> {
        let connection = self
            .connections
            .get_mut(number as usize)
            .and_then(Option::as_mut)
            .filter(|connection| !connection.is_closing)
            .ok_or(Error::NotConnected)?;
        if connection.waiting_bytes >= QUEUE_BYTES {
            connection.tells_room = true;
            return Err(Error::QueueFull);
        }
        let mut sent = 0;
        if connection.waiting_bytes == 0 && !data.is_empty() {
            let now_ns = clock::now_ns();
            sent = match connection
                .interface
                .lock()
                .send(connection.slot, data, now_ns)
            {
                Ok(len) => len,
                Err(Error::WouldBlock) => 0,
                // Whatever broke it, reading tells.
                Err(_) => {
                    self.events.queue.lock().add(number);
                    return Err(Error::NotConnected);
                }
            };
            connection.touch(now_ns);
        }
        let rest = data.get(sent..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        connection.waiting_bytes += rest.len();
        connection.tells_room = true;
        let kept = kept.and_then(|kept| kept.get(sent..));
        match (kept, connection.waiting.back_mut()) {
            (Some(kept), _) if kept.len() >= WORTH_KEEPING => {
                connection.waiting.push_back(Piece::Kept(kept));
            }
            (_, Some(Piece::Copied(bytes))) => bytes.extend_from_slice(rest),
            _ => connection.waiting.push_back(Piece::Copied(rest.to_vec())),
        }
        Ok(())
    }

    /// Bytes that wait here to be sent.
    pub fn waiting_bytes(&mut self, number: u32) -> usize {
        self.get(number)
            .map_or(0, |connection| connection.waiting_bytes)
    }

    /// Tells of a connection on which nothing happens for so long: nothing is received, nothing that waits is taken. It begins now, and
    /// anew with whatever happens. Without a time, it ends.
    pub fn set_timeout(&mut self, number: u32, timeout_ns: Option<u64>) {
        let now_ns = clock::now_ns();
        let Some(connection) = self
            .connections
            .get_mut(number as usize)
            .and_then(Option::as_mut)
        else {
            return;
        };
        connection.timeout_ns = timeout_ns;
        connection.deadline_ns = timeout_ns.map(|timeout| now_ns.saturating_add(timeout));
        if let Some(deadline_ns) = connection.deadline_ns {
            self.arm(number, deadline_ns);
        }
    }

    /// Has a number looked at by then.
    fn arm(&mut self, number: u32, deadline_ns: u64) {
        let Some(armed_ns) = self.armed_ns.get_mut(number as usize) else {
            return;
        };
        if armed_ns.is_some_and(|armed_ns| armed_ns <= deadline_ns) {
            return;
        }
        if let Some(armed_ns) = armed_ns.replace(deadline_ns) {
            self.deadlines.remove(&(armed_ns, number));
        }
        self.deadlines.insert((deadline_ns, number));
    }

    /// Closes a connection in order, after what waits to be sent; or breaks it off at once. Nothing is told of it any more.
    pub fn close(&mut self, number: u32, is_abrupt: bool) {
        /// How long a peer may take nothing of what is left, if no other timeout was chosen.
        const PATIENCE_NS: u64 = 60_000_000_000;
        let Some(connection) = self.get(number) else {
            return;
        };
        if is_abrupt || connection.waiting_bytes == 0 {
            self.release(number, is_abrupt);
            return;
        }
        connection.is_closing = true;
        let timeout_ns = connection.timeout_ns.unwrap_or(PATIENCE_NS);
        self.set_timeout(number, Some(timeout_ns));
    }

    /// Gives a connection back to the stack.
    fn release(&mut self, number: u32, is_abrupt: bool) {
        let slot = self.connections.get_mut(number as usize);
        let Some(connection) = slot.and_then(Option::take) else {
            return;
        };
        connection
            .interface
            .lock()
            .release(connection.slot, is_abrupt, clock::now_ns());
        self.free.push(number);
    }

    fn refuse(&self, pending: Pending) {
        if let Some(interface) = self.network.lane(pending.interface, pending.lane) {
            let mut stack = interface.lock();
            stack.release(pending.slot, true, clock::now_ns());
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.network.ports.release_listener(&self.listener);
        for pending in self.listener.close() {
            self.refuse(pending);
        }
        for number in 0..self.connections.len() as u32 {
            let has_waiting = self.waiting_bytes(number) != 0;
            self.release(number, has_waiting);
        }
    }
}
