//! DECchip 21140 and 21143 fast Ethernet, "tulip": the legacy network adapter of Hyper-V, and QEMU's tulip.
//!
//! Follows Digital's 21143 PCI/CardBus 10/100Mb/s Ethernet LAN Controller Hardware Reference Manual. [`receive`] and [`transmit`] are the
//! lists of descriptors.

mod receive;
mod registers;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::vec::Vec;

use self::receive::ReceiveRing;
use self::registers::{
    BUS_MODE, BUS_MODE_BURSTS, BUS_MODE_RESET, INTERRUPTS, MODE, MODE_FIXED, MODE_FULL_DUPLEX,
    MODE_PASS_GROUPS, MODE_RECEIVE, MODE_TRANSMIT, NO_BUFFER, RECEIVED, ROM, ROM_CLOCK, ROM_IN,
    ROM_OUT, ROM_READ, ROM_SELECT, STATUS, SUMMARIES, WINDOW_BYTES, Window,
};
use self::transmit::TransmitRing;
use super::{Error, Medium, NetworkDevice, is_usable};
use crate::arch::interrupts::Irq;
use crate::arch::mmio::Mmio;
use crate::devices::patience::wait_until;
use crate::devices::pci::{Bar, PciDevice};
use crate::devices::registers::Registers;

const DEC: u16 = 0x1011;
/// 21140, 21143.
const DEVICES: [u16; 2] = [0x0009, 0x0019];
/// Power management in the configuration space; 0 is awake.
const POWER: u8 = 0x40;
/// Largest IP packet: that of Ethernet.
const MTU: usize = 1500;
/// A reset takes 50 cycles of the bus.
const RESET_NS: u64 = 1_000_000;
/// Where the serial ROM has the hardware address: version 3 and later, and before (Digital Semiconductor 21X4 Serial ROM Format 4.05).
const ROM_ADDRESS_WORDS: [u32; 2] = [10, 0];

/// Whether the driver knows the device.
pub(super) fn is_supported(device: &PciDevice) -> bool {
    device.vendor == DEC && DEVICES.contains(&device.device)
}

/// Resets the controller and turns it on.
///
/// # Errors
/// When the device is not what it says, or there is no memory.
pub(super) fn start(device: &PciDevice) -> Result<NetworkDevice, Error> {
    device.write32(POWER, 0);
    device.enable();
    let window = match (device.bar(0), device.bar(1)) {
        (_, Some(Bar::Memory { phys, len_bytes })) if len_bytes >= WINDOW_BYTES as u64 => {
            Window::Memory(Mmio::map(phys, WINDOW_BYTES)?)
        }
        (Some(Bar::Io { port }), _) if port.checked_add(WINDOW_BYTES as u16).is_some() => {
            Window::Ports(port)
        }
        _ => return Err(Error::NoRegisters),
    };
    start_with(window, || device.claim_interrupt())
}

/// Start-up with any register window.
fn start_with<R: Registers>(
    registers: R,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<NetworkDevice, Error> {
    registers.write(INTERRUPTS, 0);
    registers.write(MODE, 0);
    registers.write(BUS_MODE, BUS_MODE_RESET);
    // The device may not be touched meanwhile.
    wait_until(RESET_NS, || false);
    registers.write(BUS_MODE, BUS_MODE_BURSTS);
    let mac = ROM_ADDRESS_WORDS
        .into_iter()
        .map(|first| hardware_address(&registers, first))
        .find(|mac| is_usable(*mac))
        .ok_or(Error::NoHardwareAddress)?;

    let receiver = ReceiveRing::new(registers.clone(), claim_irq())?;
    let mut transmitter = TransmitRing::new(registers.clone())?;
    let mode = MODE_FIXED | MODE_PASS_GROUPS | MODE_FULL_DUPLEX | MODE_TRANSMIT;
    registers.write(MODE, mode);
    if !transmitter.set_up(mac) {
        // It has the addresses of the lists, so their memory stays its.
        core::mem::forget((receiver, transmitter));
        registers.write(MODE, 0);
        return Err(Error::ResetTimeout);
    }
    registers.write(MODE, mode | MODE_RECEIVE);
    registers.write(STATUS, !0);
    registers.write(INTERRUPTS, RECEIVED | NO_BUFFER | SUMMARIES);
    Ok(NetworkDevice {
        driver: "tulip",
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: false,
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
        more: Vec::new(),
    })
}

/// What the serial ROM has in three words from `first` on.
fn hardware_address(registers: &impl Registers, first: u32) -> [u8; 6] {
    let [a, b, c] = [0, 1, 2].map(|word| read_rom(registers, first + word).to_le_bytes());
    [a[0], a[1], b[0], b[1], c[0], c[1]]
}

/// Reads a word of the serial ROM (a 93C46), pin by pin: a start bit, the number 2 for reading, six bits of address, then sixteen of data.
fn read_rom(registers: &impl Registers, word: u32) -> u16 {
    const COMMAND_BITS: u32 = 9;
    const DATA_BITS: u32 = 16;

    let set = |pins: u32| {
        registers.write(ROM, ROM_READ | pins);
        // Reading takes the bus long enough for the ROM.
        registers.read(ROM)
    };
    set(0);
    set(ROM_SELECT);
    let command = 0b110 << 6 | word;
    for bit in (0..COMMAND_BITS).rev() {
        let data = if command >> bit & 1 != 0 { ROM_IN } else { 0 };
        set(ROM_SELECT | data);
        set(ROM_SELECT | data | ROM_CLOCK);
    }
    set(ROM_SELECT);
    let mut value = 0;
    for _ in 0..DATA_BITS {
        let pins = set(ROM_SELECT | ROM_CLOCK);
        value = value << 1 | u16::from(pins & ROM_OUT != 0);
        set(ROM_SELECT);
    }
    set(0);
    value
}
