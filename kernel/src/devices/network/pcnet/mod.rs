//! AMD PCnet, the Am79C970A and its successors: VirtualBox's "PCnet-PCI II" and "PCnet-FAST III", VMware's "vlance", QEMU's pcnet.
//!
//! Follows AMD's data sheet of the Am79C973/Am79C975 PCnet-FAST III. [`receive`] and [`transmit`] are the rings of descriptors, in the
//! layout that the data sheet calls software style 2.

mod receive;
mod registers;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::vec::Vec;

use self::receive::ReceiveRing;
use self::registers::{
    BLOCK, BUS_DATA, DATA, FEATURES, FEATURES_FIXED, HARDWARE_ADDRESS, MASKS,
    MASKS_ALL_BUT_RECEIVE, Ports, RESET, SELECT, STATUS, STATUS_INITIALISE, STATUS_INITIALISED,
    STATUS_INTERRUPTS, STATUS_START, STATUS_STOP, STYLE, STYLE_32_BIT, WINDOW_PORTS,
};
use self::transmit::TransmitRing;
use super::{Error, Medium, NetworkDevice, is_usable};
use crate::arch::interrupts::Irq;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::patience::wait_until;
use crate::devices::pci::{Bar, PciDevice};
use crate::devices::registers::Registers;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const AMD: u16 = 0x1022;
/// All of the family have this number.
const PCNET: u16 = 0x2000;
/// Largest IP packet: that of Ethernet.
const MTU: usize = 1500;
const RESET_LIMIT_NS: u64 = 10_000_000;
/// For reading 28 bytes.
const INITIALISE_LIMIT_NS: u64 = 100_000_000;
/// Length of the initialisation block.
const BLOCK_BYTES: usize = 28;
/// Descriptors of a ring, in powers of two.
const DESCRIPTORS_SHIFT: u32 = 6;
const DESCRIPTORS: usize = 1 << DESCRIPTORS_SHIFT;
const DESCRIPTOR_BYTES: usize = 16;

/// Whether the driver knows the device.
pub(super) fn is_supported(device: &PciDevice) -> bool {
    (device.vendor, device.device) == (AMD, PCNET)
}

/// Resets the controller and turns it on.
///
/// # Errors
/// When the device is not what it says, or there is no memory.
pub(super) fn start(device: &PciDevice) -> Result<NetworkDevice, Error> {
    device.enable();
    match device.bar(0) {
        Some(Bar::Io { port }) if port.checked_add(WINDOW_PORTS).is_some() => {
            start_with(Ports(port), || device.claim_interrupt())
        }
        _ => Err(Error::NoRegisters),
    }
}

/// Start-up with any register window.
fn start_with<R: Registers>(
    registers: R,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<NetworkDevice, Error> {
    reset(&registers)?;
    registers.write(SELECT, STYLE);
    registers.write(BUS_DATA, STYLE_32_BIT);
    if registers.read(BUS_DATA) & 0xFF != STYLE_32_BIT {
        return Err(Error::NoRegisters);
    }
    let mac = hardware_address(&registers);
    if !is_usable(mac) {
        return Err(Error::NoHardwareAddress);
    }

    let receiver = ReceiveRing::new(registers.clone(), claim_irq())?;
    let transmitter = TransmitRing::new(registers.clone())?;
    let block = DmaBuffer::new(BLOCK_BYTES)?;
    // The mode is 0: what others get is not received, and the check sequence is appended.
    block.write(0, DESCRIPTORS_SHIFT << 20 | DESCRIPTORS_SHIFT << 28);
    let [a, b, c, d, e, f] = mac;
    block.write(4, u32::from_le_bytes([a, b, c, d]));
    block.write(8, u32::from_le_bytes([e, f, 0, 0]));
    // All groups: the engine knows which are wanted.
    block.write(12, !0_u32);
    block.write(16, !0_u32);
    block.write(20, receiver.descriptors());
    block.write(24, transmitter.descriptors());

    let address = block.phys() as u32;
    for (register, value) in [
        (BLOCK[0], address & 0xFFFF),
        (BLOCK[1], address >> 16),
        (MASKS, MASKS_ALL_BUT_RECEIVE),
        (FEATURES, FEATURES_FIXED),
        // The last one: from here on status is selected, for both halves.
        (STATUS, STATUS_INITIALISE),
    ] {
        registers.write(SELECT, register);
        registers.write(DATA, value);
    }
    if !wait_until(INITIALISE_LIMIT_NS, || {
        registers.read(DATA) & STATUS_INITIALISED != 0
    }) {
        // It has the address of the block, so all memory stays its.
        core::mem::forget((receiver, transmitter, block));
        registers.read(RESET);
        return Err(Error::ResetTimeout);
    }
    let started = STATUS_INITIALISED | STATUS_START | STATUS_INTERRUPTS;
    registers.write(DATA, started);
    Ok(NetworkDevice {
        driver: "pcnet",
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: false,
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
        more: Vec::new(),
    })
}

/// Resets the controller and has it take accesses of 32 bits, which a write of 32 bits to its data register is for. Which width it was left
/// in is not known, and the place of the reset register depends on it; a reset may undo it.
fn reset(registers: &impl Registers) -> Result<(), Error> {
    registers.write(DATA, 0);
    registers.read(RESET);
    registers.write(DATA, 0);
    registers.write(SELECT, STATUS);
    match wait_until(RESET_LIMIT_NS, || {
        registers.read(DATA) & 0xFFFF == STATUS_STOP
    }) {
        true => Ok(()),
        false => Err(Error::ResetTimeout),
    }
}

fn hardware_address(registers: &impl Registers) -> [u8; 6] {
    let [low, high] = HARDWARE_ADDRESS.map(|at| registers.read(at).to_le_bytes());
    [low[0], low[1], low[2], low[3], high[0], high[1]]
}
