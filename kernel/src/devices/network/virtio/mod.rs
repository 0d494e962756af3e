//! Virtio network cards (OASIS Virtual I/O Device Version 1.2, section 5.1), with one pair of queues.
//!
//! A buffer holds the header that travels with each frame and behind it the frame; entry and buffer belong together for ever. Where the
//! host can, it fills in checksums and takes large frames apart, and several segments come as one frame (section 5.1.6).

mod receive;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::sync::Arc;

use self::receive::ReceiveQueue;
use self::transmit::TransmitQueue;
use super::{Medium, NetworkDevice};
use crate::arch::interrupts::Irq;
use crate::devices::virtio::{self, ANY_LAYOUT, EVENT_INDEX, Error, Transport};

// Features (section 5.1.3).
const CSUM: u64 = 1 << 0;
const GUEST_CSUM: u64 = 1 << 1;
const MAC: u64 = 1 << 5;
/// Several segments of TCP come as one frame.
const GUEST_TSO: u64 = 1 << 7 | 1 << 8;
/// Frames are taken apart into segments of TCP.
const HOST_TSO: u64 = 1 << 11 | 1 << 12;
/// A frame may lie in several buffers.
const MERGED_BUFFERS: u64 = 1 << 15;

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const QUEUE_LEN: u16 = 64;
const BUFFER_BYTES: usize = 2048;
/// Where large frames are sent, which take many buffers.
const LARGE_SEND_QUEUE_LEN: u16 = 128;
/// Where large frames are received: each buffer costs some forty instructions.
const LARGE_RECEIVE_BUFFER_BYTES: usize = 4096;
const MTU: usize = 1500;
const MIN_FRAME_BYTES: usize = 14;

/// Length of the header; older devices leave out its last field, unless frames may lie in several buffers.
const HEADER_BYTES: usize = 12;
const LEGACY_HEADER_BYTES: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;

/// What of the features on offer is of use: what builds on another (section 5.1.3.1) only with that.
fn choose(offered: u64) -> u64 {
    let mut useful = CSUM | GUEST_CSUM | EVENT_INDEX;
    // Without merged buffers each buffer would have to hold the largest frame.
    if offered & (GUEST_CSUM | MERGED_BUFFERS) == GUEST_CSUM | MERGED_BUFFERS {
        useful |= GUEST_TSO | MERGED_BUFFERS;
    }
    // The stack does not ask for which protocol.
    if offered & (CSUM | HOST_TSO) == CSUM | HOST_TSO {
        useful |= HOST_TSO;
    }
    useful
}

/// Turns a network card on.
///
/// # Errors
/// When the device does not go along, or there is no memory.
pub fn start(
    transport: Arc<dyn Transport>,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<NetworkDevice, Error> {
    // Header and frame lie in one buffer.
    let needed = match transport.is_legacy() {
        true => MAC | ANY_LAYOUT,
        false => MAC,
    };
    let features = virtio::negotiate(&*transport, needed, choose)?;
    let has = |feature: u64| features & feature != 0;
    let mac: [u8; 6] = core::array::from_fn(|at| transport.config(at));
    if mac == [0; 6] || mac[0] & 1 != 0 {
        return Err(Error::BadRegisters);
    }
    let header = match transport.is_legacy() && !has(MERGED_BUFFERS) {
        true => LEGACY_HEADER_BYTES,
        false => HEADER_BYTES,
    };
    let make_queue = |index, len| {
        let mut queue = virtio::make_queue(&*transport, index, len)?;
        if has(EVENT_INDEX) {
            queue.use_event_index();
        }
        Ok::<_, Error>(queue)
    };
    let mut receiver = ReceiveQueue::new(
        transport.clone(),
        make_queue(RECEIVE, QUEUE_LEN)?,
        match has(GUEST_TSO) {
            true => LARGE_RECEIVE_BUFFER_BYTES,
            false => BUFFER_BYTES,
        },
        header,
        has(MERGED_BUFFERS),
        has(GUEST_CSUM),
    )?;
    let transmitter = TransmitQueue::new(
        transport.clone(),
        make_queue(
            TRANSMIT,
            match has(HOST_TSO) {
                true => LARGE_SEND_QUEUE_LEN,
                false => QUEUE_LEN,
            },
        )?,
        header,
        has(HOST_TSO),
    )?;
    receiver.irq = claim_irq();
    virtio::start(&*transport);
    receiver.fill();
    Ok(NetworkDevice {
        driver: "virtio-net",
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: has(CSUM),
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
    })
}
