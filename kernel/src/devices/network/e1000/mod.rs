//! Intel gigabit Ethernet: the 8254x that QEMU, VirtualBox and VMware call e1000, and the 82574L that they call e1000e.
//!
//! Follows Intel's PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453-006EN), of which chapter 14 is the
//! start-up below, and the 82574 GbE Controller Family Datasheet (revision 3.4), which has the same rings and registers but for what
//! [`Model`] names. [`receive`] and [`transmit`] are the two rings. The device can do DMA anywhere, so it only ever learns addresses of
//! [`crate::memory::dma::DmaBuffer`]s that live as long as the kernel; what it writes into descriptors is checked before it is used.

mod receive;
mod registers;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::vec::Vec;

use self::receive::ReceiveRing;
use self::registers::Registers;
use self::transmit::TransmitRing;
use super::{Error, Medium, NetworkDevice, is_usable};
use crate::arch::interrupts::Irq;
use crate::arch::mmio::Mmio;
use crate::devices::pci::{Bar, PciDevice};

const INTEL: u16 = 0x8086;

/// What differs between controllers.
struct Model {
    driver: &'static str,
    device: u16,
    /// The 82574 and what it is made of: its EEPROM is read in another way, its interrupt causes are cleared by writing, and a bit of its
    /// transmitter must be set (82574 data sheet, sections 10.2.2.5, 10.2.4.1 and 10.2.6.8).
    is_82574: bool,
}

const fn model(driver: &'static str, device: u16, is_82574: bool) -> Model {
    Model {
        driver,
        device,
        is_82574,
    }
}

/// 82543GC, 82544EI and 82544GC copper, 82540EM, 82545EM copper; 82574L.
static MODELS: [Model; 6] = [
    model("e1000", 0x1004, false),
    model("e1000", 0x1008, false),
    model("e1000", 0x100C, false),
    model("e1000", 0x100E, false),
    model("e1000", 0x100F, false),
    model("e1000e", 0x10D3, true),
];

/// Largest IP packet: that of Ethernet.
const MTU: usize = 1500;

/// The model of a device, if the driver knows it.
fn model_of(device: &PciDevice) -> Option<&'static Model> {
    let is_it = |model: &&Model| model.device == device.device;
    MODELS.iter().find(is_it).filter(|_| device.vendor == INTEL)
}

/// Whether the driver knows the device.
pub fn is_supported(device: &PciDevice) -> bool {
    model_of(device).is_some()
}

/// Resets the controller and turns it on.
///
/// # Errors
/// When the device is not what it says, or there is no memory.
pub fn start(device: &PciDevice) -> Result<NetworkDevice, Error> {
    let model = model_of(device).ok_or(Error::NoRegisters)?;
    device.enable();
    let Some(Bar::Memory { phys, len_bytes }) = device.bar(0) else {
        return Err(Error::NoRegisters);
    };
    if len_bytes < registers::WINDOW_BYTES as u64 {
        return Err(Error::NoRegisters);
    }
    let registers = Mmio::map(phys, registers::WINDOW_BYTES)?;
    start_with(registers, model, || device.claim_interrupt())
}

/// Start-up with any register window; the interrupt is claimed when the device is quiet.
fn start_with<R: Registers>(
    registers: R,
    model: &'static Model,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<NetworkDevice, Error> {
    use registers::{
        CTRL, CTRL_ASDE, CTRL_OFF, CTRL_SLU, ICR, IMC, IMS, INT_LSC, INT_RXDMT0, INT_RXO, INT_RXT0,
        ITR, ITR_DEFAULT, MTA, MTA_WORDS, RCTL, RCTL_BAM, RCTL_EN, RCTL_MPE, RCTL_SECRC, RDTR,
        RXCSUM, RXCSUM_ON, TCTL, TCTL_COLLISION, TCTL_EN, TCTL_PSP, TIPG, TIPG_DEFAULT, TXDCTL,
        TXDCTL_82574,
    };

    reset(&registers)?;
    let mac = hardware_address(&registers, model).ok_or(Error::NoHardwareAddress)?;
    set_hardware_address(&registers, mac);
    let control = registers.read(CTRL);
    registers.write(CTRL, (control | CTRL_SLU | CTRL_ASDE) & !CTRL_OFF);
    for word in 0..MTA_WORDS {
        registers.write(MTA + word * 4, 0);
    }

    let irq = claim_irq();
    let receiver = ReceiveRing::new(registers.clone(), irq, model)?;
    let transmitter = TransmitRing::new(registers.clone())?;
    registers.write(RXCSUM, RXCSUM_ON);
    registers.write(TIPG, TIPG_DEFAULT);
    registers.write(TCTL, TCTL_EN | TCTL_PSP | TCTL_COLLISION);
    registers.write(RDTR, 0);
    registers.write(RCTL, RCTL_EN | RCTL_MPE | RCTL_BAM | RCTL_SECRC);
    registers.read(ICR);
    registers.write(IMC, !0);
    registers.write(IMS, INT_LSC | INT_RXDMT0 | INT_RXO | INT_RXT0);
    if model.is_82574 {
        registers.write(TXDCTL, registers.read(TXDCTL) | TXDCTL_82574);
    }
    registers.write(ITR, ITR_DEFAULT);
    Ok(NetworkDevice {
        driver: model.driver,
        mac,
        medium: Medium::Ethernet,
        mtu: MTU,
        has_checksum_offload: true,
        receiver: Box::new(receiver),
        transmitter: Box::new(transmitter),
        more: Vec::new(),
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
fn hardware_address<R: Registers>(registers: &R, model: &Model) -> Option<[u8; 6]> {
    use registers::{RAH0, RAL0};

    let low = registers.read(RAL0).to_le_bytes();
    let high = registers.read(RAH0).to_le_bytes();
    let loaded = [low[0], low[1], low[2], low[3], high[0], high[1]];
    if is_usable(loaded) {
        return Some(loaded);
    }
    let mut stored = [0; 6];
    for (index, pair) in stored.chunks_exact_mut(2).enumerate() {
        pair.copy_from_slice(&read_eeprom(registers, model, index as u32)?.to_le_bytes());
    }
    is_usable(stored).then_some(stored)
}

fn read_eeprom<R: Registers>(registers: &R, model: &Model, word: u32) -> Option<u16> {
    use registers::{EERD, EERD_START};
    const PATIENCE: usize = 10_000;

    let (address, done) = match model.is_82574 {
        true => (2, 1 << 1),
        false => (8, 1 << 4),
    };
    registers.write(EERD, EERD_START | word << address);
    (0..PATIENCE)
        .map(|_| registers.read(EERD))
        .find(|value| value & done != 0)
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
