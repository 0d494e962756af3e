//! Intel 8254x gigabit Ethernet: what QEMU, VirtualBox and VMware call e1000.
//!
//! Follows Intel's PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453-006EN), of which chapter 14 is the
//! start-up below. [`receive`] and [`transmit`] are the two rings. The device can do DMA anywhere, so it only ever learns addresses of
//! [`crate::memory::dma::DmaBuffer`]s that live as long as the kernel; what it writes into descriptors is checked before it is used.

mod receive;
mod registers;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use core::fmt;

use self::receive::ReceiveRing;
use self::registers::Registers;
use self::transmit::TransmitRing;
use super::{Medium, NetworkDevice};
use crate::arch::interrupts::Irq;
use crate::arch::mmio::Mmio;
use crate::devices::pci::{Bar, PciDevice};
use crate::memory::OutOfMemory;

const INTEL: u16 = 0x8086;
/// 82543GC copper, 82544GC copper, 82540EM, 82545EM copper.
const DEVICES: [u16; 4] = [0x1004, 0x100C, 0x100E, 0x100F];

/// Largest IP packet: that of Ethernet.
const MTU: usize = 1500;

/// Why a controller did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// BAR 0 does not show a register window of the right size.
    NoRegisters,
    /// The reset bit does not clear.
    ResetTimeout,
    /// Neither the receive address nor the EEPROM has a valid hardware address.
    NoHardwareAddress,
    /// No memory for the rings.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRegisters => "BAR 0 shows no register window",
            Self::ResetTimeout => "the reset does not end",
            Self::NoHardwareAddress => "it has no hardware address",
            Self::OutOfMemory => "out of memory",
        })
    }
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Whether the driver knows the device.
pub fn is_supported(device: &PciDevice) -> bool {
    device.vendor == INTEL && DEVICES.contains(&device.device)
}

/// Resets the controller and turns it on.
///
/// # Errors
/// When the device is not what it says, or there is no memory.
pub fn start(device: &PciDevice) -> Result<NetworkDevice, Error> {
    device.enable();
    let Some(Bar::Memory { phys, len_bytes }) = device.bar(0) else {
        return Err(Error::NoRegisters);
    };
    if len_bytes < registers::WINDOW_BYTES as u64 {
        return Err(Error::NoRegisters);
    }
    let registers = Mmio::map(phys, registers::WINDOW_BYTES)?;
    start_with(registers, || {
        device
            .interrupt_line()
            .and_then(|line| Irq::claim_legacy(line, true))
    })
}

/// Start-up with any register window; the interrupt is claimed when the device is quiet.
fn start_with<R: Registers>(
    registers: R,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<NetworkDevice, Error> {
    use registers::{
        CTRL, CTRL_ASDE, CTRL_OFF, CTRL_SLU, ICR, IMC, IMS, INT_LSC, INT_RXDMT0, INT_RXO, INT_RXT0,
        MTA, MTA_WORDS, RCTL, RCTL_BAM, RCTL_EN, RCTL_SECRC, RDTR, RXCSUM, RXCSUM_ON, STATUS,
        STATUS_LU, TCTL, TCTL_COLLISION, TCTL_EN, TCTL_PSP, TIPG, TIPG_DEFAULT,
    };

    reset(&registers)?;
    let mac = hardware_address(&registers).ok_or(Error::NoHardwareAddress)?;
    set_hardware_address(&registers, mac);
    let control = registers.read(CTRL);
    registers.write(CTRL, (control | CTRL_SLU | CTRL_ASDE) & !CTRL_OFF);
    for word in 0..MTA_WORDS {
        registers.write(MTA + word * 4, 0);
    }

    let irq = claim_irq();
    let receiver = ReceiveRing::new(registers.clone(), irq)?;
    let transmitter = TransmitRing::new(registers.clone())?;
    registers.write(RXCSUM, RXCSUM_ON);
    registers.write(TIPG, TIPG_DEFAULT);
    registers.write(TCTL, TCTL_EN | TCTL_PSP | TCTL_COLLISION);
    registers.write(RDTR, 0);
    registers.write(RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC);
    registers.read(ICR);
    registers.write(IMC, !0);
    registers.write(IMS, INT_LSC | INT_RXDMT0 | INT_RXO | INT_RXT0);
    if registers.read(STATUS) & STATUS_LU == 0 {
        log::debug!("network: e1000 has no link yet");
    }
    Ok(NetworkDevice {
        driver: "e1000",
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: true,
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
    })
}

/// Section 14.3: interrupts off, reset, interrupts off again.
fn reset<R: Registers>(registers: &R) -> Result<(), Error> {
    use registers::{CTRL, CTRL_RST, ICR, IMC, RCTL, STATUS, TCTL};
    /// Reads of a register while waiting; each takes a device at least 100 ns, and the reset takes a microsecond.
    const PATIENCE: usize = 100_000;

    registers.write(IMC, !0);
    registers.write(RCTL, 0);
    registers.write(TCTL, 0);
    registers.read(STATUS);
    registers.write(CTRL, registers.read(CTRL) | CTRL_RST);
    if !(0..PATIENCE).any(|_| registers.read(CTRL) & CTRL_RST == 0) {
        return Err(Error::ResetTimeout);
    }
    registers.write(IMC, !0);
    registers.read(ICR);
    Ok(())
}

/// The address that the controller loaded into its receive address at reset, else what the EEPROM holds.
fn hardware_address<R: Registers>(registers: &R) -> Option<[u8; 6]> {
    use registers::{RAH0, RAL0};

    let low = registers.read(RAL0).to_le_bytes();
    let high = registers.read(RAH0).to_le_bytes();
    let loaded = [low[0], low[1], low[2], low[3], high[0], high[1]];
    if is_usable(loaded) {
        return Some(loaded);
    }
    let mut stored = [0; 6];
    for (index, pair) in stored.chunks_exact_mut(2).enumerate() {
        pair.copy_from_slice(&read_eeprom(registers, index as u32)?.to_le_bytes());
    }
    is_usable(stored).then_some(stored)
}

/// Whether an address is one that a single station can have.
fn is_usable(mac: [u8; 6]) -> bool {
    mac != [0; 6] && mac[0] & 1 == 0
}

fn read_eeprom<R: Registers>(registers: &R, word: u32) -> Option<u16> {
    use registers::{EERD, EERD_DONE, EERD_START};
    const PATIENCE: usize = 10_000;

    registers.write(EERD, EERD_START | word << 8);
    (0..PATIENCE)
        .map(|_| registers.read(EERD))
        .find(|value| value & EERD_DONE != 0)
        .map(|value| (value >> 16) as u16)
}

fn set_hardware_address<R: Registers>(registers: &R, mac: [u8; 6]) {
    use registers::{RAH_VALID, RAH0, RAL0};

    registers.write(RAL0, u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]));
    registers.write(
        RAH0,
        u32::from(u16::from_le_bytes([mac[4], mac[5]])) | RAH_VALID,
    );
}
