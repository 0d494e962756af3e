//! Virtio network cards (OASIS Virtual I/O Device Version 1.2, section 5.1), with one pair of queues.
//!
//! A buffer holds the header that travels with each frame and behind it the frame; entry and buffer belong together for ever.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::{ChecksumRequest, Frame, Medium, NetworkDevice, Receiver, Transmitter};
use crate::arch::interrupts::Irq;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::{self, ANY_LAYOUT, Error, Transport};
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

// Features (section 5.1.3).
const CSUM: u64 = 1 << 0;
const GUEST_CSUM: u64 = 1 << 1;
const MAC: u64 = 1 << 5;

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const QUEUE_LEN: u16 = 64;
const BUFFER_BYTES: usize = 2048;
const MTU: usize = 1500;
const MIN_FRAME_BYTES: usize = 14;
/// As many buffers are given back to the device at once.
const RETURN_BATCH: u16 = 16;

/// Length of the header; older devices leave out its last field.
const HEADER_BYTES: usize = 12;
const LEGACY_HEADER_BYTES: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;

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
    let features = virtio::negotiate(&*transport, needed, CSUM | GUEST_CSUM)?;
    let mac: [u8; 6] = core::array::from_fn(|at| transport.config(at));
    if mac == [0; 6] || mac[0] & 1 != 0 {
        return Err(Error::BadRegisters);
    }
    let header = if transport.is_legacy() {
        LEGACY_HEADER_BYTES
    } else {
        HEADER_BYTES
    };
    let queue = virtio::make_queue(&*transport, RECEIVE, QUEUE_LEN)?;
    let mut receiver = ReceiveQueue {
        transport: transport.clone(),
        irq: None,
        buffers: DmaBuffer::new(usize::from(queue.len()) * BUFFER_BYTES)?,
        queue,
        header,
        current: None,
        returned: 0,
        has_checksums: features & GUEST_CSUM != 0,
        is_quiet: false,
    };
    let queue = virtio::make_queue(&*transport, TRANSMIT, QUEUE_LEN)?;
    let mut transmitter = TransmitQueue {
        transport: transport.clone(),
        buffers: DmaBuffer::new(usize::from(queue.len()) * BUFFER_BYTES)?,
        free: (0..queue.len()).collect(),
        queue,
        header,
        is_unpublished: false,
    };
    // Sent buffers are collected when they run out.
    transmitter.queue.set_silent(true);
    receiver.irq = claim_irq();
    virtio::start(&*transport);
    for entry in 0..receiver.queue.len() {
        let address = receiver.buffers.phys() + (usize::from(entry) * BUFFER_BYTES) as u64;
        receiver
            .queue
            .set_buffer(entry, address, BUFFER_BYTES as u32, true);
        receiver.queue.offer(entry);
    }
    if receiver.queue.publish() {
        transport.notify(RECEIVE);
    }
    Ok(NetworkDevice {
        driver: "virtio-net",
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: features & CSUM != 0,
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
    })
}

struct ReceiveQueue {
    transport: Arc<dyn Transport>,
    irq: Option<Irq>,
    queue: Queue,
    buffers: DmaBuffer,
    header: usize,
    /// The entry of the frame that is lent, and its length with header.
    current: Option<(u16, usize)>,
    /// Entries given back since the device was last told.
    returned: u16,
    has_checksums: bool,
    is_quiet: bool,
}

impl Receiver for ReceiveQueue {
    fn irq(&self) -> Option<Irq> {
        self.irq
    }

    fn acknowledge(&mut self) {
        if let Some(irq) = self.irq
            && irq.take_pending()
        {
            self.transport.acknowledge_interrupt();
            irq.done();
        }
    }

    fn set_quiet(&mut self, is_quiet: bool) {
        if is_quiet != self.is_quiet {
            self.is_quiet = is_quiet;
            self.queue.set_silent(is_quiet);
        }
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.current.is_some() || self.queue.has_used()
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        let whole = self.header + MIN_FRAME_BYTES..=BUFFER_BYTES;
        // As many rounds as there are entries, so that a device that always has another cannot keep us here.
        for _ in 0..self.queue.len() {
            if self.current.is_none() {
                if !self.queue.has_used() {
                    return None;
                }
                let (entry, len) = self.queue.take_used()?;
                self.current = Some((entry, len as usize));
            }
            if self.current.is_some_and(|(_, len)| whole.contains(&len)) {
                break;
            }
            self.release();
        }
        let (entry, len) = self.current.filter(|(_, len)| whole.contains(len))?;
        let start = usize::from(entry) * BUFFER_BYTES;
        let bytes = self.buffers.bytes(start..start + len);
        let (header, frame) = bytes.split_at(self.header);
        // A frame whose checksum is still to be filled in has not left the host, so nothing can have damaged it.
        let is_verified = self.has_checksums && header[0] & (NEEDS_CHECKSUM | DATA_VALID) != 0;
        Some(Frame {
            bytes: frame,
            is_verified,
        })
    }

    fn release(&mut self) {
        if let Some((entry, _)) = self.current.take() {
            self.queue.offer(entry);
            self.returned += 1;
            let wants_notice = self.queue.publish();
            if self.returned >= RETURN_BATCH && wants_notice {
                self.transport.notify(RECEIVE);
                self.returned = 0;
            }
        }
    }
}

struct TransmitQueue {
    transport: Arc<dyn Transport>,
    queue: Queue,
    buffers: DmaBuffer,
    free: alloc::vec::Vec<u16>,
    header: usize,
    is_unpublished: bool,
}

impl TransmitQueue {
    /// Where the buffer that is used next begins.
    fn next_buffer(&self) -> usize {
        self.free
            .last()
            .map_or(0, |entry| usize::from(*entry) * BUFFER_BYTES)
    }
}

impl Transmitter for TransmitQueue {
    fn has_room(&mut self) -> bool {
        if self.free.is_empty() {
            while let Some((entry, _)) = self.queue.take_used() {
                self.free.push(entry);
            }
        }
        !self.free.is_empty()
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        let start = self.next_buffer() + self.header;
        self.buffers.bytes_mut(start..start + len_bytes)
    }

    fn send(&mut self, len_bytes: usize, checksum: Option<ChecksumRequest>) {
        let start = self.next_buffer();
        let Some(entry) = self.free.pop() else {
            return;
        };
        let header = self.buffers.bytes_mut(start..start + self.header);
        header.fill(0);
        if let Some(request) = checksum {
            header[0] = NEEDS_CHECKSUM;
            header[6] = request.start;
            header[8] = request.at - request.start;
        }
        let address = self.buffers.phys() + start as u64;
        let len = (self.header + len_bytes).min(BUFFER_BYTES);
        self.queue.set_buffer(entry, address, len as u32, false);
        self.queue.offer(entry);
        self.is_unpublished = true;
    }

    fn flush(&mut self) {
        if self.is_unpublished {
            self.is_unpublished = false;
            if self.queue.publish() {
                self.transport.notify(TRANSMIT);
            }
        }
    }
}
