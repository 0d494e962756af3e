//! Realtek RTL8139, the card that Xen gives its fully virtualised machines, and QEMU's rtl8139.
//!
//! Follows Realtek's data sheet of the RTL8139C(L), not the descriptors of the RTL8139C+ after it, so that every one of them is served.
//! [`receive`] is the ring of bytes that frames are received into, [`transmit`] are the four places to send from.

mod receive;
mod registers;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::vec::Vec;

use self::receive::ReceiveRing;
use self::registers::{
    COMMAND, COMMAND_ON, COMMAND_RESET, GROUPS, HARDWARE_ADDRESS, INTERRUPT_MASK, INTERRUPTS,
    Ports, RECEIVE_CONFIGURATION, RECEIVE_FIXED, RealPorts, STATUS, TRANSMIT_CONFIGURATION,
    TRANSMIT_FIXED, WINDOW_PORTS,
};
use self::transmit::TransmitPlaces;
use super::{Error, Medium, NetworkDevice, is_usable};
use crate::arch::interrupts::Irq;
use crate::devices::patience::wait_until;
use crate::devices::pci::{Bar, PciDevice};

const REALTEK: u16 = 0x10EC;
const RTL8139: u16 = 0x8139;
/// Largest IP packet: that of Ethernet.
const MTU: usize = 1500;
const RESET_LIMIT_NS: u64 = 10_000_000;

/// Whether the driver knows the device.
pub(super) fn is_supported(device: &PciDevice) -> bool {
    (device.vendor, device.device) == (REALTEK, RTL8139)
}

/// Resets the controller and turns it on.
///
/// # Errors
/// When the device is not what it says, or there is no memory.
pub(super) fn start(device: &PciDevice) -> Result<NetworkDevice, Error> {
    device.enable();
    match device.bar(0) {
        Some(Bar::Io { port }) if port.checked_add(WINDOW_PORTS).is_some() => {
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
    ports.write8(COMMAND, COMMAND_RESET);
    if !wait_until(RESET_LIMIT_NS, || ports.read8(COMMAND) & COMMAND_RESET == 0) {
        return Err(Error::ResetTimeout);
    }
    let mac = core::array::from_fn(|at| ports.read8(HARDWARE_ADDRESS + at as u16));
    if !is_usable(mac) {
        return Err(Error::NoHardwareAddress);
    }
    let receiver = ReceiveRing::new(ports.clone(), claim_irq())?;
    let transmitter = TransmitPlaces::new(ports.clone())?;
    // Both halves are on before they are configured: before, the configuration cannot be written.
    ports.write8(COMMAND, COMMAND_ON);
    ports.write32(TRANSMIT_CONFIGURATION, TRANSMIT_FIXED);
    ports.write32(RECEIVE_CONFIGURATION, RECEIVE_FIXED);
    // All groups: the engine knows which are wanted.
    for half in GROUPS {
        ports.write32(half, !0);
    }
    ports.write16(STATUS, !0);
    ports.write16(INTERRUPT_MASK, INTERRUPTS);
    Ok(NetworkDevice {
        driver: "rtl8139",
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: false,
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
        more: Vec::new(),
    })
}
