//! VMware's paravirtual network card, vmxnet3, with one queue in each direction.
//!
//! There is no data sheet; what is known is in the public drivers' headers. [`registers`] has the registers and the shared memory,
//! [`receive`] and [`transmit`] are the rings.

mod receive;
mod registers;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::vec::Vec;

use self::receive::ReceiveRing;
use self::registers::{
    ACTIVATE, COMMAND, INTERRUPT_MASK, MAC_HIGH, MAC_LOW, RESET, REVISION, SET_RECEIVE_MODE,
    SHARED_HIGH, SHARED_LOW, TRANSPORT_REVISION, WINDOW_BYTES, shared,
};
use self::transmit::TransmitRing;
use super::{Error, Medium, NetworkDevice, is_usable};
use crate::arch::interrupts::Irq;
use crate::arch::mmio::Mmio;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::pci::{Bar, PciDevice};
use crate::devices::registers::Registers;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const VMWARE: u16 = 0x15AD;
const VMXNET3: u16 = 0x07B0;
/// Largest IP packet: that of Ethernet.
const MTU: usize = 1500;

/// Whether the driver knows the device.
pub(super) fn is_supported(device: &PciDevice) -> bool {
    (device.vendor, device.device) == (VMWARE, VMXNET3)
}

/// Resets the card and turns it on.
///
/// # Errors
/// When the device is not what it says, or there is no memory.
pub(super) fn start(device: &PciDevice) -> Result<NetworkDevice, Error> {
    device.enable();
    let window = |index| match device.bar(index) {
        Some(Bar::Memory { phys, len_bytes }) if len_bytes >= WINDOW_BYTES as u64 => {
            Ok(Mmio::map(phys, WINDOW_BYTES)?)
        }
        _ => Err(Error::NoRegisters),
    };
    start_with(window(0)?, window(1)?, || device.claim_interrupt())
}

/// Start-up with any register windows, those of BAR 0 and BAR 1.
fn start_with<R: Registers>(
    queues: R,
    device: R,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<NetworkDevice, Error> {
    device.write(COMMAND, RESET);
    for register in [REVISION, TRANSPORT_REVISION] {
        if device.read(register) & 1 == 0 {
            return Err(Error::NoRegisters);
        }
        device.write(register, 1);
    }
    let (low, high) = (device.read(MAC_LOW), device.read(MAC_HIGH));
    let [a, b, c, d] = low.to_le_bytes();
    let [e, f, ..] = high.to_le_bytes();
    let mac = [a, b, c, d, e, f];
    if !is_usable(mac) {
        return Err(Error::NoHardwareAddress);
    }

    let memory = DmaBuffer::new(shared::LEN_BYTES)?;
    describe(&memory);
    let address = memory.phys();
    let irq = claim_irq();
    let transmitter = TransmitRing::new(queues.clone(), &memory)?;
    let mut receiver = ReceiveRing::new(queues.clone(), device.clone(), memory, irq)?;
    device.write(SHARED_LOW, address as u32);
    device.write(SHARED_HIGH, (address >> 32) as u32);
    device.write(COMMAND, ACTIVATE);
    if device.read(COMMAND) != 0 {
        // It refused, so it uses none of the memory.
        return Err(Error::NoRegisters);
    }
    receiver.start();
    device.write(COMMAND, SET_RECEIVE_MODE);
    queues.write(INTERRUPT_MASK, 0);
    Ok(NetworkDevice {
        driver: "vmxnet3",
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: true,
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
        more: Vec::new(),
    })
}

/// Says in the shared memory who we are and what we want; the rings describe themselves.
fn describe(memory: &DmaBuffer) {
    for (at, value) in [
        shared::MAGIC,
        (shared::DRIVER_VERSION, 1),
        shared::GUEST,
        (shared::REVISION, 1),
        (shared::TRANSPORT_REVISION, 1),
        (shared::QUEUES_LEN, 2 * shared::QUEUE_BYTES as u32),
        (shared::MTU, MTU as u32),
        (shared::RECEIVE_MODE, shared::RECEIVE_OWN_AND_GROUPS),
    ] {
        memory.write(at, value);
    }
    memory.write(shared::FEATURES, shared::FEATURE_CHECKSUM);
    let queues = memory.phys() + shared::TRANSMIT_QUEUE as u64;
    memory.write(shared::QUEUES, queues);
    for (at, value) in [
        (shared::TRANSMIT_QUEUES, 1u8),
        (shared::RECEIVE_QUEUES, 1),
        (shared::INTERRUPTS, 1),
        (shared::EVENT_INTERRUPT, 0),
        (shared::TRANSMIT_QUEUE + shared::IS_STOPPED, 1),
        (shared::RECEIVE_QUEUE + shared::IS_STOPPED, 1),
    ] {
        memory.write(at, value);
    }
}
