//! Senders of datagrams: smoltcp's UDP sockets, one for each program's socket and interface, each in a set of its own.
//!
//! They only send (and wait for a neighbour's hardware address); what comes in goes straight to the mailbox of its port.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::iface::{self, SocketHandle, SocketSet};
use smoltcp::socket::udp::{self, PacketBuffer, PacketMetadata, UdpMetadata};
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::engine::drive;
use super::error::{Error, Result};
use super::port::Port;
use super::timers::{Key, Timers};

/// Datagrams that may wait for a hardware address.
const QUEUE: usize = 16;

/// Bytes of datagrams that may wait for it.
pub(super) const fn queue_bytes(mtu: usize) -> usize {
    2 * mtu
}

struct Sender {
    set: SocketSet<'static>,
    handle: SocketHandle,
    timer: Option<u64>,
}

/// The senders of an interface, by slot.
#[derive(Default)]
pub(super) struct Senders {
    slots: Vec<Option<Sender>>,
}

impl Senders {
    fn get(&mut self, slot: u32) -> Option<&mut Sender> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Makes a sender from `port`, with room for some packets of at most `mtu` bytes.
    pub(super) fn add(&mut self, port: u16, mtu: usize) -> Result<u32> {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(queue_bytes(mtu))
            .map_err(|_| Error::OutOfMemory)?;
        bytes.resize(queue_bytes(mtu), 0);
        let out = PacketBuffer::new(vec![PacketMetadata::EMPTY; QUEUE], bytes);
        let mut socket = udp::Socket::new(PacketBuffer::new(vec![], vec![]), out);
        socket.bind(port).map_err(|_| Error::Invalid)?;
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        let sender = Some(Sender {
            set,
            handle,
            timer: None,
        });
        let slot = match self.slots.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        self.slots[slot] = sender;
        Ok(slot as u32)
    }

    /// Takes a sender away.
    pub(super) fn remove(&mut self, slot: u32, timers: &mut Timers) {
        if let Some(sender) = self.get(slot) {
            timers.cancel(Key::Sender(slot), &mut sender.timer);
            self.slots[slot as usize] = None;
        }
    }

    /// Queues a datagram, or drops it when the queue is full.
    pub(super) fn queue(
        &mut self,
        slot: u32,
        source: Ipv4Addr,
        to: SocketAddrV4,
        payload: &[u8],
        ttl: u8,
    ) -> Result<()> {
        let sender = self.get(slot).ok_or(Error::Invalid)?;
        let socket: &mut udp::Socket = sender.set.get_mut(sender.handle);
        socket.set_hop_limit(Some(ttl.max(1)));
        let meta = UdpMetadata {
            endpoint: IpEndpoint::from(to),
            local_address: Some(IpAddress::Ipv4(source)),
            meta: Default::default(),
        };
        match socket.send_slice(payload, meta) {
            Ok(()) | Err(udp::SendError::BufferFull) => Ok(()),
            Err(udp::SendError::Unaddressable) => Err(Error::Invalid),
        }
    }

    /// The sender's timer is set no more.
    pub(super) fn timer_fired(&mut self, slot: u32) {
        if let Some(sender) = self.get(slot) {
            sender.timer = None;
        }
    }

    /// Sends what is queued; whether that has to wait for a neighbour.
    pub(super) fn run(
        &mut self,
        slot: u32,
        iface: &mut iface::Interface,
        port: &mut Port,
        timers: &mut Timers,
        now_us: u64,
    ) -> bool {
        let Some(sender) = self.get(slot) else {
            return false;
        };
        let driven = drive(iface, port, &mut sender.set, false, now_us);
        timers.arrange(Key::Sender(slot), &mut sender.timer, driven.wanted_us);
        driven.is_waiting
    }
}
