//! Services: a listener whose connections are served by one thread, whatever their number.
//!
//! A [`Service`] belongs to one interface and is used by one thread, on the interface's core. The stack tells it which connections have
//! news, and gives it small pieces of bytes at once ([`news`]; [`Events`] observes their notifiers); the thread asks for one piece of news
//! after the other ([`Service::next_event`]), with no lock held in between. So what the thread does with the news may take locks, wait or use other sockets; meanwhile the stack goes
//! on, and only this service's connections wait. Bytes to be sent that the peer does not take yet wait in the stack, up to
//! [`QUEUE_BYTES`]; while a connection has such bytes, nothing more is received from it, so a peer that does not read is slowed down
//! by its own window. They are sent also if the service, or the program, ends meanwhile.

mod news;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use self::news::Events;

use self::news::{Batch, Item, LISTENER, number_of};
use super::error::{Error, Result};
use super::interface::Interface;
use super::ports::{FourTuple, Listener, Pending};
use super::{Network, farewell};
use crate::arch::clock;
use crate::scheduler::{self, Notifier};

/// While so many bytes of a connection wait to be sent, no more are taken.
pub const QUEUE_BYTES: usize = 256 << 10;
/// Memory for more connections than these is given back when there are none.
const CROWD: usize = 1024;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 1024;
/// Pieces of news in a row before the other threads and the stacks of the core get their turn.
const TURNS: u32 = 32;
/// Most bytes that are received at once.
const BUFFER_BYTES: usize = 32 << 10;

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
    /// Bytes were received: [`Service::received`] has them.
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

/// A connection of a service.
struct Connection {
    interface: &'static Interface,
    slot: u32,
    /// The way by which the stack tells of it, and as what.
    notifier: Arc<Notifier>,
    token: u64,
    /// Its next bytes may be put aside, or were and have not been looked at yet.
    is_taking: bool,
    /// Bytes that came while others wait to be sent.
    held: Vec<u8>,
    /// Bytes that waited to be sent when it was last looked at.
    waiting_bytes: usize,
    /// The service is to be told when nothing waits any more.
    tells_room: bool,
    /// The service has closed it; it goes when everything is sent.
    is_closing: bool,
    /// The end was told.
    has_ended: bool,
    timeout_ns: Option<u64>,
    /// The timeout has begun anew since its last news.
    is_touched: bool,
    /// When the timeout is over; moved with each thing that happens.
    deadline_ns: Option<u64>,
}

impl Connection {
    /// Something happened: the timeout begins anew.
    #[inline]
    fn touch(&mut self, now_ns: u64) {
        self.is_touched = true;
        if let Some(timeout_ns) = self.timeout_ns {
            self.deadline_ns = Some(now_ns.saturating_add(timeout_ns));
        }
    }

    /// Its bytes are handled: the next may be taken as they come, unless something waits.
    #[inline]
    fn go_on(&mut self) {
        if !self.is_taking
            && self.waiting_bytes == 0
            && self.held.is_empty()
            && !self.is_closing
            && !self.has_ended
        {
            self.is_taking = true;
            self.notifier.set_taking(true);
        }
    }

    /// Sends what waits, as far as there is room; whether any was.
    fn drain(&mut self, now_ns: u64) -> Result<bool> {
        let before = self.waiting_bytes;
        self.waiting_bytes = self.interface.lock().move_up(self.slot, now_ns)?;
        Ok(self.waiting_bytes < before)
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
    /// What was told and is looked at now.
    batch: Box<Batch>,
    has_arrivals: bool,
    /// The connection whose bytes the program has, and where these are.
    handled: Option<u32>,
    received: Received,
    buffer: Vec<u8>,
    /// How many connections there have been.
    serial: u32,
}

/// Where received bytes are.
#[derive(Clone, Copy)]
enum Received {
    /// Among those put aside.
    Aside(Item),
    /// At the beginning of [`Service::buffer`].
    Buffer(usize),
}

impl Service {
    /// Listens at a port (any free one if it is 0) of the interface at an index, for the connections of one of its lanes, and for those of
    /// lanes that have no service.
    ///
    /// # Errors
    /// [`Error::NoInterface`]; [`Error::AddressInUse`] when a socket or a service has the port; [`Error::OutOfMemory`].
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
        let mut buffer = Vec::new();
        buffer
            .try_reserve_exact(BUFFER_BYTES)
            .map_err(|_| Error::OutOfMemory)?;
        buffer.resize(BUFFER_BYTES, 0);
        let notifier: Arc<Notifier> = Arc::default();
        let events = Events::new()?;
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
            batch: Batch::new()?,
            has_arrivals: false,
            handled: None,
            received: Received::Buffer(0),
            buffer,
            serial: 0,
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

    /// What the last piece of news says was received.
    #[inline]
    pub fn received(&self) -> &[u8] {
        match self.received {
            Received::Aside(item) => self.batch.bytes(item),
            Received::Buffer(len) => self.buffer.get(..len).unwrap_or_default(),
        }
    }

    /// The next piece of news; waits for it.
    pub fn next_event(&mut self) -> Event {
        self.go_on();
        loop {
            if self.events.is_stopped() {
                return Event::Stopped;
            }
            self.turns += 1;
            let event = if self.turns >= TURNS {
                self.rest()
            } else if let Some(item) = self.batch.next() {
                if item.len == 0 {
                    self.look(number_of(item.token))
                } else if let Some(connection) = self.take_aside(item) {
                    let len = item.len as usize;
                    return Event::Received { connection, len };
                } else {
                    None
                }
            } else if core::mem::take(&mut self.has_arrivals) {
                self.accept()
            } else if self.refill() {
                farewell::stay_if_said();
                None
            } else {
                self.expire_first()
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// The program has handled what it was told last.
    #[inline]
    fn go_on(&mut self) {
        if let Some(connection) = self.handled.take().and_then(|number| self.get(number)) {
            // Else it was when something was sent.
            if !connection.is_touched {
                connection.touch(clock::now_ns());
            }
            connection.go_on();
        }
    }

    /// Gives others their turn, and then those whose time has come.
    #[inline(never)]
    fn rest(&mut self) -> Option<Event> {
        self.turns = 0;
        scheduler::yield_now();
        self.expire_first()
    }

    #[inline(never)]
    fn expire_first(&mut self) -> Option<Event> {
        let (at, number) = *self.deadlines.first()?;
        if at > clock::now_ns() {
            return None;
        }
        self.deadlines.pop_first();
        self.expire(number)
    }

    /// All that was told has been looked at: takes what was told since, or waits for it. Whether there is something.
    #[inline]
    fn refill(&mut self) -> bool {
        let mut queue = self.events.lock();
        let mut has_slept = false;
        loop {
            self.has_arrivals |= core::mem::take(&mut queue.has_arrivals);
            if queue.take(&mut self.batch) || self.has_arrivals || self.events.is_stopped() {
                return true;
            }
            // Whose time has come already is found after that sleep, which ends at once.
            if has_slept {
                return false;
            }
            has_slept = true;
            self.turns = 0;
            queue = queue.sleep(self.deadlines.first().map(|(at, _)| *at));
        }
    }

    fn get(&mut self, connection: u32) -> Option<&mut Connection> {
        self.connections.get_mut(connection as usize)?.as_mut()
    }

    /// Takes one connection that waits to be accepted.
    #[inline(never)]
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
        self.serial = self.serial.wrapping_add(1);
        let token = u64::from(self.serial) << 32 | u64::from(connection);
        self.connections[connection as usize] = Some(Connection {
            interface,
            slot: pending.slot,
            notifier: pending.notifier.clone(),
            token,
            is_taking: true,
            held: Vec::new(),
            waiting_bytes: 0,
            tells_room: false,
            is_closing: false,
            has_ended: false,
            timeout_ns: None,
            is_touched: false,
            deadline_ns: None,
        });
        // From here on the stack tells of it; what came before is looked at once in any case.
        pending.notifier.subscribe(token, self.events.clone());
        pending.notifier.set_taking(true);
        let mut queue = self.events.lock();
        queue.make_room(self.connections.len());
        queue.add(token);
        // Others may wait; there is one mark for all of them.
        queue.has_arrivals |= self.listener.is_ready();
        self.accepted = Some(pending.tuple);
        Some(Event::Accepted { connection })
    }

    /// Takes what was put aside for a connection; its number, if the service is to be told now.
    #[inline]
    fn take_aside(&mut self, item: Item) -> Option<u32> {
        let number = number_of(item.token);
        let connection = self.connections.get_mut(number as usize)?.as_mut()?;
        // The number may be another's by now.
        if connection.token != item.token {
            return None;
        }
        connection.is_taking = false;
        if connection.is_closing || connection.has_ended {
            return None;
        }
        if connection.waiting_bytes != 0 {
            connection.held.extend_from_slice(self.batch.bytes(item));
            return None;
        }
        connection.is_touched = false;
        self.handled = Some(number);
        self.received = Received::Aside(item);
        Some(number)
    }

    /// Finds out what is new on a connection.
    #[inline(never)]
    fn look(&mut self, number: u32) -> Option<Event> {
        let now_ns = clock::now_ns();
        let connection = self
            .connections
            .get_mut(number as usize)
            .and_then(Option::as_mut)?;
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
                self.events.lock().add(connection.token);
                return Some(Event::Writable { connection: number });
            }
        }
        if connection.has_ended || connection.is_closing {
            return None;
        }
        let (len, has_more) = if connection.held.is_empty() {
            let mut stack = connection.interface.lock();
            if connection.is_taking && !connection.notifier.is_taking() {
                // What was put aside comes first, and is told already.
                drop(stack);
                self.events.lock().add(connection.token);
                return None;
            }
            match stack.receive(connection.slot, &mut self.buffer, false, now_ns) {
                Ok(0) => {
                    connection.has_ended = true;
                    let end = End::Closed;
                    return Some(Event::Ended {
                        connection: number,
                        end,
                    });
                }
                Ok(len) => (len, stack.is_readable(connection.slot)),
                Err(Error::WouldBlock) => {
                    connection.go_on();
                    return None;
                }
                Err(error) => {
                    drop(stack);
                    return self.broken(number, error);
                }
            }
        } else {
            // No more than what is put aside at all.
            let len = connection.held.len().min(self.buffer.len());
            self.buffer[..len].copy_from_slice(&connection.held[..len]);
            connection.held = Vec::new();
            (len, true)
        };
        connection.touch(now_ns);
        if has_more {
            self.events.lock().add(connection.token);
        }
        self.handled = Some(number);
        self.received = Received::Buffer(len);
        Some(Event::Received {
            connection: number,
            len,
        })
    }

    /// The connection is broken: tells the service, unless it has closed it anyway.
    #[inline(never)]
    fn broken(&mut self, number: u32, error: Error) -> Option<Event> {
        let connection = self.get(number)?;
        connection.waiting_bytes = 0;
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

    /// Sends bytes, or keeps what the peer does not take yet: those of `kept`, the same bytes, where they are, others copied.
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
        let now_ns = clock::now_ns();
        let mut stack = connection.interface.lock();
        let waiting = stack.send_all(connection.slot, data, kept, QUEUE_BYTES, now_ns);
        if waiting == Ok(0) {
            drop(stack);
            connection.touch(now_ns);
            return Ok(());
        }
        if connection.notifier.is_taking() {
            // With the stack locked, nothing is put aside meanwhile.
            connection.notifier.set_taking(false);
            connection.is_taking = false;
        }
        drop(stack);
        match waiting {
            Ok(waiting) => {
                if connection.waiting_bytes == 0 {
                    connection.touch(now_ns);
                }
                connection.waiting_bytes = waiting;
                connection.tells_room = true;
                Ok(())
            }
            Err(Error::WouldBlock) => {
                connection.tells_room = true;
                Err(Error::QueueFull)
            }
            // Whatever broke it, reading tells.
            Err(_) => {
                farewell::stay_if_said();
                connection.waiting_bytes = 0;
                self.events.lock().add(connection.token);
                Err(Error::NotConnected)
            }
        }
    }

    /// Bytes that wait to be sent.
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
        let mut stack = connection.interface.lock();
        // What was put aside and is not handled would be taken for read, else.
        let is_read = connection.held.is_empty()
            && (!connection.is_taking || connection.notifier.is_taking());
        let is_abrupt = is_abrupt || !is_read;
        stack.release(connection.slot, is_abrupt, clock::now_ns());
        drop(stack);
        self.free.push(number);
        if self.free.len() == self.connections.len() && self.free.len() > CROWD {
            // A crowd has gone: so does what it took to know it.
            self.connections = Vec::new();
            self.free = Vec::new();
            self.armed_ns = Vec::new();
            self.deadlines.clear();
        }
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
            self.release(number, false);
        }
    }
}
