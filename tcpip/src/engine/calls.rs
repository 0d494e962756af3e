//! What programs do with connections.

use core::net::SocketAddr;

use bitflags::bitflags;

use crate::address::{Address, Tuple};
use crate::device::Device;
use crate::engine::Engine;
use crate::engine::tcp::context;
use crate::error::Error;
use crate::sockets::Sockets;
use crate::tcp::{Info, News, Settings, State, UrgentByte};
use crate::timers::{Key, UNSET};

/// How long a connection waits for this machine to get an address.
const ADDRESS_PATIENCE_US: u64 = 10_000_000;

/// How long a large buffer may be empty before it is given back.
const REST_US: u64 = 100_000;
/// Connections come to rest together, where this number of microseconds ends.
const REST_GRAIN_US: u64 = (1 << 16) - 1;

bitflags! {
    /// What a connection is ready for, in the values of Linux's `poll` (`asm-generic/poll.h`), so that nobody has to translate them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ready: u32 {
        /// There are bytes to be read, or there will be no more.
        const READABLE = 0x1;
        /// There is an urgent byte to be read.
        const URGENT = 0x2;
        /// There is room to write, or writing fails at once.
        const WRITABLE = 0x4;
        /// It has failed, and nobody has asked why.
        const ERROR = 0x8;
        /// It is over.
        const CLOSED = 0x10;
        /// The peer sends no more.
        const PEER_CLOSED = 0x2000;
    }
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// Begins a connection to `remote`, from `local` as far as that is given; when there is an address, if one is being looked for.
    /// Its slot. With several lanes, a port that is given must be one of this lane.
    ///
    /// # Errors
    /// When there is no way to the peer, no free port, or no memory.
    pub fn connect(
        &mut self,
        holder: S::Holder,
        local: SocketAddr,
        remote: SocketAddr,
        settings: Settings,
        now: u64,
    ) -> Result<u32, Error> {
        let to = Address::from(remote.ip());
        let from = Address::from(local.ip());
        if remote.port() == 0 || !to.is_unicast() || self.addresses.is_broadcast(to) {
            return Err(Error::NetworkUnreachable);
        }
        let source = match from.is_unspecified() {
            false => {
                Some(from).filter(|from| self.addresses.is_own(*from) && from.is_v4() == to.is_v4())
            }
            true => self.source_with_way(to),
        };
        let is_awaiting = source.is_none() && from.is_unspecified() && self.awaits(to);
        let any = if to.is_v4() {
            Address::ANY_V4
        } else {
            Address::ANY_V6
        };
        let source = match is_awaiting {
            true => any,
            false => source.ok_or(Error::NetworkUnreachable)?,
        };
        let tuple = |port| Tuple {
            local: source,
            remote: to,
            local_port: port,
            remote_port: remote.port(),
        };
        let (table, time_wait, steering) = (&self.table, &self.time_wait, &self.steering);
        let is_free = |port| {
            let tuple = tuple(port);
            steering.other(&tuple).is_none()
                && table.find(&tuple).is_none()
                && !time_wait.contains(&tuple)
        };
        let port = match local.port() {
            0 => self
                .sockets
                .ephemeral_port(&is_free)
                .ok_or(Error::AddressNotAvailable)?,
            port if is_free(port) => port,
            _ => return Err(Error::AddressInUse),
        };
        // The places that are kept are for these in any case.
        self.make_room(None, now);
        let mut connection = Self::new_connection(now);
        connection.configure(settings);
        if is_awaiting {
            connection.expire_after(ADDRESS_PATIENCE_US, now);
        }
        let slot = self.table.insert(tuple(port), connection, Some(holder))?;
        if is_awaiting {
            self.awaiting.push(slot);
            self.drive(slot, now);
        } else if let Err(error) = self.begin(slot, now) {
            self.destroy(slot);
            return Err(error);
        }
        self.device.flush();
        Ok(slot)
    }

    /// The address to speak to another from. One of IPv6 is no use as long as no router has told of a way.
    fn source_with_way(&self, to: Address) -> Option<Address> {
        let source = self.speaker_for(to)?;
        (to.is_v4() || self.addresses.next_hop(to).is_some()).then_some(source)
    }

    /// Whether there may soon be an address to speak to another from.
    fn awaits(&self, to: Address) -> bool {
        match to.is_v4() {
            true => self.is_awaiting,
            false => self.is_configuring_ipv6(),
        }
    }

    /// Sends the request for a connection whose ends are known.
    fn begin(&mut self, slot: u32, now: u64) -> Result<(), Error> {
        let tuple = self.table.get(slot).ok_or(Error::NotConnected)?.tuple;
        let (isn, offset) = self.first_numbers(&tuple, now);
        let (mss, _) = self.payload_room(tuple.local.is_v4());
        // Whether there is a way is known before the first segment is to go.
        self.hop(tuple.remote, now)?;
        if let Some(entry) = self.table.get_mut(slot) {
            entry.connection.open(isn, offset, mss, &self.limits, now);
        }
        self.settle(slot, News::empty(), now);
        Ok(())
    }

    /// There is an address: the connections that wait for one are begun, as far as one suits them.
    pub fn begin_awaiting(&mut self, now: u64) {
        for slot in core::mem::take(&mut self.awaiting) {
            // The slot may have been given up, and be another connection's.
            let Some(entry) = self.table.get_mut(slot) else {
                continue;
            };
            if entry.connection.state() != State::Awaiting {
                continue;
            }
            let mut tuple = entry.tuple;
            let Some(source) = self.source_with_way(tuple.remote) else {
                match self.awaits(tuple.remote) {
                    true => self.awaiting.push(slot),
                    false => self.fail(slot, Error::NetworkUnreachable, now),
                }
                continue;
            };
            tuple.local = source;
            let renamed = self.table.rename(slot, tuple);
            if let Err(error) = renamed.and_then(|()| self.begin(slot, now)) {
                self.fail(slot, error, now);
            }
        }
        self.device.flush();
    }

    /// The state of a connection.
    pub fn state(&self, slot: u32) -> State {
        self.state_of(slot)
    }

    /// Whether the handshake of a connection was ever through.
    pub fn was_made(&self, slot: u32) -> bool {
        let entry = self.table.get(slot);
        entry.is_some_and(|entry| entry.connection.was_made())
    }

    /// Both ends of a connection.
    pub fn tuple(&self, slot: u32) -> Option<Tuple> {
        Some(self.table.get(slot)?.tuple)
    }

    /// Who holds a connection.
    pub fn holder(&mut self, slot: u32) -> Option<&mut S::Holder> {
        self.table.get_mut(slot)?.holder.as_mut()
    }

    /// What ended the connection.
    pub fn error(&self, slot: u32) -> Option<Error> {
        self.table.get(slot)?.connection.error
    }

    /// What ended the connection, once.
    pub fn take_error(&mut self, slot: u32) -> Option<Error> {
        self.table.get_mut(slot)?.connection.error.take()
    }

    /// Takes received bytes; 0 when the peer sends no more. With `is_peek` they stay.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when there is nothing yet, or what broke the connection.
    #[inline]
    pub fn read(
        &mut self,
        slot: u32,
        bytes: &mut [u8],
        is_peek: bool,
        now: u64,
    ) -> Result<usize, Error> {
        let entry = self.table.get_mut(slot).ok_or(Error::NotConnected)?;
        let count = entry
            .connection
            .read(bytes, is_peek, &mut context!(self, now))?;
        self.after_read(slot, now);
        Ok(count)
    }

    /// Received bytes that lie in one piece, to be read in place and then given up with [`Engine::consume`].
    pub fn received(&self, slot: u32) -> &[u8] {
        self.table
            .get(slot)
            .map_or(&[], |entry| entry.connection.incoming.front())
    }

    /// Forgets bytes that were read in place.
    pub fn consume(&mut self, slot: u32, count: usize, now: u64) {
        if let Some(entry) = self.table.get_mut(slot) {
            entry.connection.consume(count, &mut context!(self, now));
            self.after_read(slot, now);
        }
    }

    #[inline]
    fn after_read(&mut self, slot: u32, now: u64) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        // The peer may be waiting for the window to open.
        if entry.connection.owes_ack() {
            self.drive(slot, now);
            self.device.flush();
        } else if entry.timer == UNSET && entry.connection.has_empty_buffer() {
            let key = Key::Connection(slot);
            self.timers
                .arrange(key, &mut entry.timer, (now + REST_US) | REST_GRAIN_US);
        }
    }

    /// Queues bytes to be sent, as many as fit, and sends what may go now. How many.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when none fit, or what broke the connection.
    #[inline]
    pub fn write(&mut self, slot: u32, bytes: &[u8], now: u64) -> Result<usize, Error> {
        let count = self.queue(slot, bytes, now)?;
        self.drive(slot, now);
        self.device.flush();
        Ok(count)
    }

    /// As [`Engine::write`], and marks the last byte as urgent.
    ///
    /// # Errors
    /// See there.
    pub fn write_urgent(&mut self, slot: u32, bytes: &[u8], now: u64) -> Result<usize, Error> {
        let count = self.queue(slot, bytes, now)?;
        if let Some(entry) = self.table.get_mut(slot).filter(|_| count != 0) {
            entry.connection.mark_urgent();
        }
        self.drive(slot, now);
        self.device.flush();
        Ok(count)
    }

    /// The same for bytes that stay where they are for ever: as long as nothing else waits to be sent, they are not copied before they
    /// go into the device's buffer.
    ///
    /// # Errors
    /// See [`Engine::write`].
    #[inline]
    pub fn write_static(
        &mut self,
        slot: u32,
        bytes: &'static [u8],
        now: u64,
    ) -> Result<usize, Error> {
        let entry = self.table.get_mut(slot).ok_or(Error::NotConnected)?;
        let cx = &mut context!(self, now);
        let count = entry.connection.write(bytes, Some(bytes), cx)?;
        self.drive(slot, now);
        self.device.flush();
        Ok(count)
    }

    /// Queues all of these bytes, behind others if there is no room for them; those of `kept`, the same bytes, stay where they are for ever, as in
    /// [`Engine::write_static`]. How many wait behind the others then; [`Engine::move_up`] is for when it is told that there is room.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when as many as `most` wait so already, or what broke the connection: none are queued.
    #[inline]
    pub fn write_all(
        &mut self,
        slot: u32,
        bytes: &[u8],
        kept: Option<&'static [u8]>,
        most: usize,
        now: u64,
    ) -> Result<usize, Error> {
        let entry = self.table.get_mut(slot).ok_or(Error::NotConnected)?;
        let cx = &mut context!(self, now);
        let waiting = entry.connection.write_all(bytes, kept, most, cx);
        if waiting.is_ok() {
            self.drive(slot, now);
            self.device.flush();
        } else if self.state_of(slot) == State::Closed {
            self.settle(slot, News::STATE, now);
        }
        waiting
    }

    /// Has what waits behind others ([`Engine::write_all`]) take the room that there is. How much waits then.
    pub fn move_up(&mut self, slot: u32, now: u64) -> usize {
        let cx = &mut context!(self, now);
        let waiting = self.table.get_mut(slot).map(|entry| &mut entry.connection);
        let Some(connection) = waiting.filter(|connection| connection.backlog() != 0) else {
            return 0;
        };
        if connection.move_up(cx).contains(News::STATE) {
            self.settle(slot, News::STATE, now);
        } else {
            self.drive(slot, now);
            self.device.flush();
        }
        self.backlog(slot)
    }

    /// Bytes that wait behind those that there was room for ([`Engine::write_all`]).
    pub fn backlog(&self, slot: u32) -> usize {
        let entry = self.table.get(slot);
        entry.map_or(0, |entry| entry.connection.backlog())
    }

    /// The urgent byte of what comes, if there is one that is not read in line; with `is_peek` it stays.
    pub fn urgent_byte(&mut self, slot: u32, is_peek: bool) -> Option<UrgentByte> {
        let entry = self.table.get_mut(slot)?;
        entry.connection.urgent_byte(is_peek)
    }

    /// Whether the byte to be read next is the urgent one.
    pub fn is_at_mark(&self, slot: u32) -> bool {
        let entry = self.table.get(slot);
        entry.is_some_and(|entry| entry.connection.is_at_mark())
    }

    /// How a connection is doing.
    pub fn info(&self, slot: u32, now: u64) -> Option<Info> {
        Some(self.table.get(slot)?.connection.info(now))
    }

    /// Queues bytes without sending them: more will follow, and then [`Engine::push`].
    ///
    /// # Errors
    /// See [`Engine::write`].
    #[inline]
    pub fn queue(&mut self, slot: u32, bytes: &[u8], now: u64) -> Result<usize, Error> {
        let entry = self.table.get_mut(slot).ok_or(Error::NotConnected)?;
        let cx = &mut context!(self, now);
        entry.connection.write(bytes, None, cx)
    }

    /// Sends what is queued, as far as it may go now.
    pub fn push(&mut self, slot: u32, now: u64) {
        self.drive(slot, now);
    }

    /// Sends no more, after what is queued.
    pub fn shutdown(&mut self, slot: u32, now: u64) {
        self.move_up(slot, now);
        if let Some(entry) = self.table.get_mut(slot) {
            entry.connection.close();
            self.drive(slot, now);
            self.device.flush();
        }
    }

    /// Has every connection send no more, after what is queued, as the end of the program does that has them.
    pub fn close_all(&mut self, now: u64) {
        for slot in self.table.slots() {
            self.move_up(slot, now);
            if let Some(entry) = self.table.get_mut(slot)
                && entry.connection.may_send()
            {
                entry.connection.close();
                self.drive(slot, now);
            }
        }
        self.device.flush();
    }

    /// Gives back the addresses that servers have lent, as the end of the machine does. Nothing is to be sent from them any more.
    pub fn give_addresses_back(&mut self, now: u64) {
        self.give_lease_back(now);
        self.give_lease_of_dhcp6_back(now);
        self.device.flush();
    }

    /// What others are still to take, as a number that falls as they do: bytes that are not acknowledged, ends of connections that are not,
    /// frames that wait for an address or for the device, and an address that a server has not acknowledged to have back. After [`Engine::close_all`] it comes to 0, if the peers are there.
    pub fn unsettled(&self) -> usize {
        let connections = self.table.iter().map(|entry| {
            let connection = &entry.connection;
            usize::from(connection.state().is_closing()) + connection.unacknowledged()
        });
        connections.sum::<usize>()
            + self.neighbors.held_bytes()
            + self.late.len()
            + usize::from(self.is_giving_lease_back())
    }

    /// Bytes queued that the peer has not acknowledged.
    pub fn unacknowledged(&self, slot: u32) -> usize {
        self.table
            .get(slot)
            .map_or(0, |entry| entry.connection.unacknowledged())
    }

    /// Whether the peer may send more than what there is.
    pub fn may_receive(&self, slot: u32) -> bool {
        self.table
            .get(slot)
            .is_some_and(|entry| entry.connection.may_receive())
    }

    /// Bytes received that nobody has read.
    pub fn unread(&self, slot: u32) -> usize {
        self.table
            .get(slot)
            .map_or(0, |entry| entry.connection.unread())
    }

    /// The program gives the connection up. What is queued is still sent and the connection closed in order; or it is broken off at once,
    /// if `is_abrupt` or if there is something unread, so that the peer does not take it for read.
    pub fn release(&mut self, slot: u32, is_abrupt: bool, now: u64) {
        if !is_abrupt {
            self.move_up(slot, now);
        }
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        entry.holder = None;
        let state = entry.connection.state();
        if is_abrupt || entry.connection.can_read() || state.is_connecting() {
            self.break_off(slot, now);
        } else {
            entry.connection.close();
            entry.connection.set_orphan(now);
            self.table.join_line(slot);
            if self.table.orphans() > self.limits.orphans
                && let Some(oldest) = self.table.oldest_orphan()
            {
                self.give_up(oldest, now);
            }
            self.settle(slot, News::STATE, now);
        }
        self.device.flush();
    }

    /// Whether [`Engine::read`] would not block.
    #[inline]
    pub fn is_readable(&self, slot: u32) -> bool {
        self.table.get(slot).is_none_or(|entry| {
            let connection = &entry.connection;
            connection.can_read() || !connection.may_receive()
        })
    }

    /// What would not block.
    pub fn ready(&mut self, slot: u32) -> Ready {
        let Some(entry) = self.table.get_mut(slot) else {
            return Ready::CLOSED;
        };
        let connection = &mut entry.connection;
        let mut ready = Ready::empty();
        ready.set(Ready::ERROR, connection.error.is_some());
        ready.set(Ready::CLOSED, connection.state() == State::Closed);
        ready.set(Ready::URGENT, connection.has_urgent());
        if !connection.state().is_connecting() {
            let can_read = connection.can_read();
            let is_finished = !connection.may_receive() && !can_read;
            ready.set(Ready::READABLE, can_read || is_finished);
            // Known as soon as the FIN has come, also while there is data before it: tokio reads what there is and does not ask again.
            ready.set(
                Ready::PEER_CLOSED,
                connection.has_peer_closed() || is_finished,
            );
            let has_room = connection.has_room(&self.limits);
            ready.set(Ready::WRITABLE, has_room || !connection.may_send());
            if !has_room {
                connection.note_full();
            }
        }
        ready
    }

    /// The settings of a connection.
    pub fn settings(&self, slot: u32) -> Option<Settings> {
        Some(self.table.get(slot)?.connection.settings)
    }

    /// Changes the settings of a connection.
    pub fn configure(&mut self, slot: u32, settings: Settings, now: u64) {
        if let Some(entry) = self.table.get_mut(slot) {
            let old = entry.connection.settings;
            if (old.hop_limit, old.traffic_class) != (settings.hop_limit, settings.traffic_class) {
                entry.path.valid_until = 0;
            }
            entry.connection.configure(settings);
            self.drive(slot, now);
            self.device.flush();
        }
    }
}
