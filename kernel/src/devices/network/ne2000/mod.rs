//! NE2000 network cards on PCI: the RTL8029 and what is like it, around National's DP8390 (DP8390D data sheet; Realtek RTL8029AS data sheet).
//!
//! [`card`] is the chip, [`registers`] are its ports. The card has no DMA: the processor moves all data through a port, and so both halves
//! share the card.

mod card;
mod registers;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::card::{Card, MAX_FRAME_BYTES};
use self::registers::{PORTS, Ports, RealPorts};
use super::{Device, Error, Frame, Medium, NetworkDevice, Offload, Receiver, Transmitter};
use crate::arch::interrupts::Irq;
use crate::devices::pci::{Bar, PciDevice};
use crate::sync::SpinLock;

/// Realtek RTL8029; Winbond 89C940; VIA 86C926.
const DEVICES: [(u16, u16); 3] = [(0x10EC, 0x8029), (0x1050, 0x0940), (0x1106, 0x0926)];
/// Largest IP packet: that of Ethernet.
const MTU: usize = 1500;

/// Whether the driver knows the device.
pub(super) fn is_supported(device: &PciDevice) -> bool {
    DEVICES.contains(&(device.vendor, device.device))
}

/// Resets the card and turns it on.
///
/// # Errors
/// When the device is not what it says, or there is no memory.
pub(super) fn start(device: &PciDevice) -> Result<NetworkDevice, Error> {
    device.enable();
    match device.bar(0) {
        Some(Bar::Io { port }) if port.checked_add(PORTS).is_some() => {
            start_with(RealPorts(port), || device.claim_interrupt())
        }
        _ => Err(Error::NoRegisters),
    }
}

/// Start-up with any ports.
fn start_with<P: Ports>(
    ports: P,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<NetworkDevice, Error> {
    // A card that interrupts before its line is open there is not heard: QEMU's I/O APIC forgets what came while a pin was masked.
    let (mut card, mac) = Card::reset(ports)?;
    let irq = claim_irq();
    card.start(mac);
    let card = Arc::new(SpinLock::new(card));
    Ok(NetworkDevice {
        driver: "ne2000",
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: false,
        receiver: Box::new(NeReceiver {
            card: card.clone(),
            irq,
            may_have_frames: true,
            frame: [0; MAX_FRAME_BYTES],
            len_bytes: None,
        }),
        transmitter: Box::new(NeTransmitter {
            card,
            frame: [0; MAX_FRAME_BYTES],
        }),
        more: Vec::new(),
    })
}

struct NeReceiver<P> {
    card: Arc<SpinLock<Card<P>>>,
    irq: Option<Irq>,
    /// There was news since the ring was last found empty.
    may_have_frames: bool,
    /// The frame that is lent, and its length.
    frame: [u8; MAX_FRAME_BYTES],
    len_bytes: Option<usize>,
}

impl<P: Ports> Receiver for NeReceiver<P> {
    fn irq(&self) -> Option<Irq> {
        self.irq
    }

    fn acknowledge(&mut self) {
        if let Some(irq) = self.irq {
            if irq.take_pending() {
                self.may_have_frames |= self.card.lock().serve();
                irq.done();
            }
        } else {
            self.may_have_frames |= self.card.lock().serve();
        }
    }

    fn is_ready(&self) -> bool {
        self.len_bytes.is_some() || self.may_have_frames
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        if self.len_bytes.is_none() && self.may_have_frames {
            self.len_bytes = self.card.lock().receive(&mut self.frame);
            self.may_have_frames = self.len_bytes.is_some();
        }
        Some(Frame {
            bytes: self.frame.get(..self.len_bytes?)?,
            is_verified: false,
        })
    }

    fn release(&mut self) {
        self.len_bytes = None;
    }
}

struct NeTransmitter<P> {
    card: Arc<SpinLock<Card<P>>>,
    frame: [u8; MAX_FRAME_BYTES],
}

impl<P: Ports> Transmitter for NeTransmitter<P> {
    fn has_sent_all(&mut self) -> bool {
        self.card.lock().has_sent_all()
    }
}

impl<P: Ports> Device for NeTransmitter<P> {
    fn has_room(&mut self) -> bool {
        self.card.lock().has_room()
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        &mut self.frame[..len_bytes]
    }

    fn send(&mut self, len_bytes: usize, _: Offload) {
        let frame = &self.frame[..len_bytes.min(MAX_FRAME_BYTES)];
        self.card.lock().send(frame);
    }

    fn flush(&mut self) {
        // Each frame is on its way already.
    }
}
