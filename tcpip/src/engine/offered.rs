//! Packets to the address that a DHCP server offers, and which is ours only when the server has said so once more.
//!
//! Who heard of the address by the question or by the offer may speak to it at once, as QEMU's user network does when it forwards a port (now and
//! then before its offer), and say what was lost again only after seconds. Nothing of it is looked at before the address is ours (RFC 2131,
//! section 4.4.1): it waits.

use alloc::vec::Vec;

use crate::address::Address;
use crate::device::Device;
use crate::engine::Engine;
use crate::sockets::Sockets;
use crate::wire::ip::Packet;

/// The most that wait, and the most bytes of them.
const MAX_PACKETS: usize = 16;
const MAX_BYTES: usize = 32 << 10;

/// The address that packets wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Awaited {
    #[default]
    Nothing,
    /// The one that a server will offer, which has been asked.
    Any,
    /// The one that is offered.
    One(Address),
}

/// The address, and what waits for it.
#[derive(Default)]
pub(super) struct Offered {
    pub(super) awaited: Awaited,
    packets: Vec<Waiting>,
}

struct Waiting {
    bytes: Vec<u8>,
    is_verified: bool,
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// Keeps a packet to an address that is not ours if it may be the one that is offered, and there is room; whether it did.
    pub(super) fn keep_for_offered(&mut self, packet: &Packet<'_>, is_verified: bool) -> bool {
        let to = packet.destination;
        let is_awaited = match self.offered.awaited {
            Awaited::Nothing => false,
            Awaited::Any => to.is_v4() && to.is_unicast() && !self.is_for_us(to),
            Awaited::One(address) => address == to,
        };
        if !is_awaited {
            return false;
        }
        let waiting = &mut self.offered.packets;
        let bytes: usize = waiting.iter().map(|one| one.bytes.len()).sum();
        let has_room = waiting.len() < MAX_PACKETS && bytes + packet.whole.len() <= MAX_BYTES;
        if has_room {
            waiting.push(Waiting {
                bytes: packet.whole.to_vec(),
                is_verified,
            });
        }
        has_room
    }

    /// Forgets what came before a question that nobody answered.
    pub(super) fn forget_waiting(&mut self) {
        self.stats.wrong_address += self.offered.packets.drain(..).len() as u64;
    }

    /// Packets wait for another address now, or for none: those of before are taken as what comes now.
    pub(super) fn set_awaited(&mut self, awaited: Awaited, now: u64) {
        if self.offered.awaited == awaited {
            return;
        }
        let packets = core::mem::take(&mut self.offered.packets);
        self.offered.awaited = awaited;
        for Waiting { bytes, is_verified } in packets {
            self.take_packet(&bytes, is_verified, now);
        }
    }
}
