//! Virtio network cards (OASIS Virtual I/O Device Version 1.2, section 5.1), with a pair of queues for each core where the card has several.
//!
//! A buffer holds the header that travels with each frame and behind it the frame; entry and buffer belong together for ever. Where the
//! host can, it fills in checksums and takes large frames apart, and several segments come as one frame (section 5.1.6).
//! Of several receive queues, the device takes the one of the pair by which the connection was last sent from (section 5.1.6.5.5).

mod control;
mod receive;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::control::ControlQueue;
use self::receive::ReceiveQueue;
use self::transmit::TransmitQueue;
use super::{Medium, NetworkDevice, QueuePair};
use crate::arch::interrupts::Irq;
use crate::arch::x86_64::core_local::{CoreLocal, MAX_CORES};
use crate::devices::virtio::queue::Queue;
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
/// The card takes commands, by a queue of their own.
const CONTROL: u64 = 1 << 17;
/// There are several pairs of queues.
const SEVERAL_PAIRS: u64 = 1 << 22;

/// Where the configuration says how many pairs (section 5.1.4).
const PAIRS: usize = 8;
/// Queues of a pair: that for receiving, then that for sending.
pub const QUEUES_OF_PAIR: u16 = 2;
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
fn choose(offered: u64, wants_pairs: bool) -> u64 {
    let mut useful = CSUM | GUEST_CSUM | EVENT_INDEX;
    if wants_pairs && offered & (CONTROL | SEVERAL_PAIRS) == CONTROL | SEVERAL_PAIRS {
        useful |= CONTROL | SEVERAL_PAIRS;
    }
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

/// How many pairs of queues a card has.
pub fn pair_count(transport: &dyn Transport) -> usize {
    let offered = transport.offered_features();
    if transport.is_legacy() || offered & (CONTROL | SEVERAL_PAIRS) != CONTROL | SEVERAL_PAIRS {
        return 1;
    }
    let bytes = [transport.config(PAIRS), transport.config(PAIRS + 1)];
    match usize::from(u16::from_le_bytes(bytes)) {
        count @ 1..=MAX_CORES => count,
        _ => 1,
    }
}

/// Turns a network card on, with the pair of queues that every card has and one for each of `others`, whose lines are claimed already.
///
/// # Errors
/// When the device does not go along, or there is no memory.
pub fn start(
    transport: Arc<dyn Transport>,
    claim_irq: impl FnOnce() -> Option<Irq>,
    others: Vec<(Irq, &'static CoreLocal)>,
) -> Result<NetworkDevice, Error> {
    // Header and frame lie in one buffer.
    let needed = match transport.is_legacy() {
        true => MAC | ANY_LAYOUT,
        false => MAC,
    };
    let choose = |offered| choose(offered, !others.is_empty());
    let features = virtio::negotiate(&*transport, needed, choose)?;
    let has = |feature: u64| features & feature != 0;
    let mac: [u8; 6] = core::array::from_fn(|at| transport.config(at));
    if mac == [0; 6] || mac[0] & 1 != 0 {
        return Err(Error::BadRegisters);
    }
    let make_queue = |index, len| {
        let mut queue = virtio::make_queue(&*transport, index, len)?;
        if has(EVENT_INDEX) {
            queue.use_event_index();
        }
        Ok::<_, Error>(queue)
    };
    let (mut receiver, transmitter) = make_pair(&transport, &make_queue, 0, features)?;
    let mut control = None;
    let mut more = Vec::new();
    if has(SEVERAL_PAIRS) {
        // Behind the pairs, those included that are not used.
        let index = pair_count(&*transport) as u16 * QUEUES_OF_PAIR;
        control = Some(ControlQueue::new(index, make_queue(index, 2)?)?);
        for (number, (irq, core)) in (1..).zip(others) {
            let (mut receiver, transmitter) = make_pair(&transport, &make_queue, number, features)?;
            receiver.irq = Some(irq);
            more.push((core, receiver, transmitter));
        }
    }
    receiver.irq = claim_irq();
    virtio::start(&*transport);
    receiver.fill();
    for (_, receiver, _) in &mut more {
        receiver.fill();
    }
    if let Some(control) = control
        && !control.set_pairs(&*transport, more.len() as u16 + 1)
    {
        log::warn!("network: virtio-net: it does not use more than one of its queues");
        // The device knows where they are.
        more.drain(..).for_each(core::mem::forget);
    }
    let pairs = more
        .into_iter()
        .map(|(core, receiver, transmitter)| QueuePair {
            core,
            receiver: Box::new(receiver),
            transmitter: Box::new(transmitter),
        });
    Ok(NetworkDevice {
        driver: "virtio-net",
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: has(CSUM),
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
        more: pairs.collect(),
    })
}

/// Makes the queues of a pair.
fn make_pair(
    transport: &Arc<dyn Transport>,
    make_queue: &impl Fn(u16, u16) -> Result<Queue, Error>,
    number: u16,
    features: u64,
) -> Result<(ReceiveQueue, TransmitQueue), Error> {
    let has = |feature: u64| features & feature != 0;
    let header = match transport.is_legacy() && !has(MERGED_BUFFERS) {
        true => LEGACY_HEADER_BYTES,
        false => HEADER_BYTES,
    };
    let index = number * QUEUES_OF_PAIR;
    let receiver = ReceiveQueue::new(
        transport.clone(),
        index,
        make_queue(index, QUEUE_LEN)?,
        match has(GUEST_TSO) {
            true => LARGE_RECEIVE_BUFFER_BYTES,
            false => BUFFER_BYTES,
        },
        header,
        has(MERGED_BUFFERS),
        has(GUEST_CSUM),
    )?;
    let len = match has(HOST_TSO) {
        true => LARGE_SEND_QUEUE_LEN,
        false => QUEUE_LEN,
    };
    let transmitter = TransmitQueue::new(
        transport.clone(),
        index + 1,
        make_queue(index + 1, len)?,
        header,
        has(HOST_TSO),
    )?;
    Ok((receiver, transmitter))
}
