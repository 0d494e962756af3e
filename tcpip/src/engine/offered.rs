//! Packets to an address that a DHCP server has offered, and which is ours only when the server has said so once more.
//!
//! Who heard of the address by the offer may speak to it at once, as QEMU's user network does when it forwards a port, and say what was lost
//! again only after seconds. Nothing of it is looked at before the address is ours (RFC 2131, section 4.4.1): it waits.

use alloc::vec::Vec;

use crate::address::Address;
use crate::device::Device;
use crate::engine::Engine;
use crate::sockets::Sockets;
use crate::wire::ip::Packet;

/// The most that wait, and the most bytes of them.
const MAX_PACKETS: usize = 16;
const MAX_BYTES: usize = 32 << 10;

/// The address, and what waits for it.
#[derive(Default)]
pub(super) struct Offered {
    pub(super) address: Option<Address>,
    packets: Vec<Waiting>,
}

struct Waiting {
    bytes: Vec<u8>,
    is_verified: bool,
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// Keeps a packet to an address that is not ours if it is the one that is offered, and there is room; whether it did.
    pub(super) fn keep_for_offered(&mut self, packet: &Packet<'_>, is_verified: bool) -> bool {
        if self.offered.address != Some(packet.destination) {
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

    /// The address is offered now, or none any more: what waited for the one before is taken as what comes now.
    pub(super) fn set_offered(&mut self, address: Option<Address>, now: u64) {
        if self.offered.address == address {
            return;
        }
        let packets = core::mem::take(&mut self.offered.packets);
        self.offered.address = address;
        for Waiting { bytes, is_verified } in packets {
            self.take_packet(&bytes, is_verified, now);
        }
    }
}
