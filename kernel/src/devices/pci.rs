//! PCI devices (PCI Local Bus Specification 3.0, chapter 6), and their interrupts by message (section 6.8, MSI and MSI-X). How their
//! configuration space is reached is in [`configuration`], and [`placement`] has windows where no firmware has.

pub mod configuration;
mod placement;

use alloc::vec::Vec;
use core::fmt;

use crate::arch::interrupts::{self, Irq, Message, MessagePlace};
use crate::arch::mmio::Mmio;
use crate::arch::x86_64::xen;
use crate::sync::OnceCell;

const COMMAND: u8 = 0x04;
const STATUS: u8 = 0x06;
const HAS_CAPABILITIES: u16 = 1 << 4;
const CAPABILITIES: u8 = 0x34;
/// No list can be longer in 256 bytes.
const MAX_CAPABILITIES: usize = 48;
const CAPABILITY_MSI: u8 = 0x05;
const MSI_ENABLE: u16 = 1;
/// How many messages: one.
const MSI_COUNT: u16 = 7 << 4;
const MSI_64_BIT: u16 = 1 << 7;
const CAPABILITY_MSIX: u8 = 0x11;
const MSIX_ENABLE: u16 = 1 << 15;
const MSIX_MASK_ALL: u16 = 1 << 14;
/// Number of the last entry of the table.
const MSIX_LAST: u16 = 0x7FF;
const MSIX_ENTRY_BYTES: usize = 16;
const COMMAND_IO: u16 = 1;
const COMMAND_MEMORY: u16 = 2;
/// The device answers to its addresses.
const COMMAND_DECODE: u16 = COMMAND_IO | COMMAND_MEMORY;
const COMMAND_BUS_MASTER: u16 = 4;
const COMMAND_INTERRUPT_DISABLE: u16 = 1 << 10;
const HEADER_TYPE: u8 = 0x0E;
const BARS: u8 = 0x10;
const BAR_COUNT: usize = 6;
const SECONDARY_BUS: u8 = 0x19;
const INTERRUPT_LINE: u8 = 0x3C;
const INTERRUPT_PIN: u8 = 0x3D;

/// Where a device's registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// I/O ports from this number on.
    Io {
        /// First port.
        port: u16,
    },
    /// Memory.
    Memory {
        /// Physical address.
        phys: u64,
        /// Size of the window in bytes.
        len_bytes: u64,
    },
}

/// The base address registers of a function. Behind one of 64 bits the place of its upper half is empty.
pub type Bars = [Option<Bar>; BAR_COUNT];

/// One function of a PCI device.
#[derive(Clone, Copy, Debug)]
pub struct PciDevice {
    bus: u8,
    slot: u8,
    function: u8,
    /// Vendor.
    pub vendor: u16,
    /// Device number of that vendor.
    pub device: u16,
    /// Base class, subclass, programming interface (0x010180: an IDE controller).
    pub class: u32,
}

impl fmt::Display for PciDevice {
    /// Bus, slot and function, as everybody writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.slot, self.function)
    }
}

impl PciDevice {
    /// What selects a doubleword of the configuration space, for [`configuration`].
    fn address(&self, offset: u8) -> u32 {
        u32::from(self.bus) << 16
            | u32::from(self.slot) << 11
            | u32::from(self.function) << 8
            | u32::from(offset & 0xFC)
    }

    /// Reads a doubleword of the configuration space.
    pub fn read32(&self, offset: u8) -> u32 {
        configuration::read32(self.address(offset))
    }

    /// Reads a word of the configuration space.
    pub fn read16(&self, offset: u8) -> u16 {
        (self.read32(offset) >> (8 * u32::from(offset & 2))) as u16
    }

    /// Reads a byte of the configuration space.
    pub fn read8(&self, offset: u8) -> u8 {
        (self.read32(offset) >> (8 * u32::from(offset & 3))) as u8
    }

    /// Writes a doubleword of the configuration space.
    pub fn write32(&self, offset: u8, value: u32) {
        configuration::write32(self.address(offset), value);
    }

    /// Writes a word of the configuration space.
    pub fn write16(&self, offset: u8, value: u16) {
        configuration::write16(self.address(offset), offset & 2, value);
    }

    /// Turns on the device's registers at ports, and nothing else.
    pub fn enable_ports(&self) {
        let command = self.read16(COMMAND);
        if command & COMMAND_IO == 0 {
            self.write16(COMMAND, command | COMMAND_IO);
        }
    }

    /// Turns on the device's registers and its DMA, and its interrupt pin.
    pub fn enable(&self) {
        let command = self.read16(COMMAND);
        if command != enabled(command) {
            self.write16(COMMAND, enabled(command));
        }
    }

    /// The same, and says where its windows are, without asking how large: for that they would have to go and come back, and an emulated
    /// machine lays out its memory anew each time, which takes longer than all else that a start does with a device. A window's address is
    /// a multiple of its size (section 6.2.5.1), so the address says how large it is at most.
    pub fn enable_with_places(&self) -> Bars {
        self.enable();
        self.each_register(|_, register| match register {
            Register::Unused(_) => None,
            Register::Io(port) => Some(Bar::Io { port }),
            Register::Memory { phys, .. } => Some(Bar::Memory {
                phys,
                len_bytes: 1 << phys.trailing_zeros(),
            }),
        })
    }

    /// The same, and reads all base address registers; for devices of which several are wanted. Windows of memory go and come back for
    /// this, and ports stay.
    pub fn enable_with_bars(&self) -> Bars {
        let command = self.read16(COMMAND);
        self.write16(COMMAND, command & !COMMAND_MEMORY);
        let bars = self.each_register(|index, register| self.sized(index, register));
        self.write16(COMMAND, enabled(command));
        bars
    }

    fn each_register(&self, bar: impl Fn(u8, Register) -> Option<Bar>) -> Bars {
        let mut bars = [None; BAR_COUNT];
        let mut index = 0;
        while let Some(slot) = bars.get_mut(index) {
            let register = self.register(index as u8);
            *slot = bar(index as u8, register);
            index += register.registers();
        }
        bars
    }

    /// Turns the device's interrupt pin off.
    pub fn disable_pin(&self) {
        let command = self.read16(COMMAND);
        self.write16(COMMAND, command | COMMAND_INTERRUPT_DISABLE);
    }

    /// Identifiers and places of the capabilities.
    pub fn capabilities(&self) -> impl Iterator<Item = (u8, u8)> {
        let first = match self.read16(STATUS) & HAS_CAPABILITIES {
            0 => 0,
            _ => self.read8(CAPABILITIES),
        };
        // Behind the header, in whole doublewords; whatever else a device says ends the list.
        let place = |at: u8| Some(at & 0xFC).filter(|at| *at >= 0x40);
        core::iter::successors(place(first), move |at| place(self.read8(at + 1)))
            .take(MAX_CAPABILITIES)
            .map(|at| (self.read8(at), at))
    }

    /// Has the device send `message` for whatever it would use its pin (MSI); whether it can.
    pub fn enable_msi(&self, message: Message) -> bool {
        let Some((_, at)) = self.capabilities().find(|(id, _)| *id == CAPABILITY_MSI) else {
            return false;
        };
        let control = self.read16(at + 2);
        self.write32(at + 4, message.address as u32);
        let data_at = if control & MSI_64_BIT != 0 {
            self.write32(at + 8, (message.address >> 32) as u32);
            at + 12
        } else {
            at + 8
        };
        self.write16(data_at, message.data as u16);
        let place = MessagePlace::Configuration {
            at: self.address(at + 4),
            write: configuration::write32,
        };
        interrupts::keep_message_place(message, place);
        self.write16(at + 2, control & !MSI_COUNT | MSI_ENABLE);
        true
    }

    /// Has the device send `message` as its interrupt 0, in place of using its pin (MSI-X); whether it can. What the interrupt is for is
    /// told to the device in its own way. `bars` are its own.
    pub fn enable_msix(&self, messages: &[Message], bars: &Bars) -> bool {
        let Some((_, at)) = self.capabilities().find(|(id, _)| *id == CAPABILITY_MSIX) else {
            return false;
        };
        let control = self.read16(at + 2);
        if messages.len() > usize::from(control & MSIX_LAST) + 1 {
            return false;
        }
        let len_bytes = messages.len() * MSIX_ENTRY_BYTES;
        let place = self.read32(at + 4);
        let offset = u64::from(place & !7);
        let table = match bars.get((place & 7) as usize).copied().flatten() {
            Some(Bar::Memory {
                phys,
                len_bytes: room,
            }) if offset + len_bytes as u64 <= room => phys + offset,
            _ => return false,
        };
        for (index, message) in messages.iter().enumerate() {
            let place = table + (index * MSIX_ENTRY_BYTES) as u64;
            let Ok(entry) = Mmio::map(place, MSIX_ENTRY_BYTES) else {
                return false;
            };
            entry.write(0, message.address as u32);
            entry.write(4, (message.address >> 32) as u32);
            entry.write(8, message.data);
            // Not masked.
            entry.write(12, 0u32);
            interrupts::keep_message_place(*message, MessagePlace::Table(entry));
        }
        self.write16(at + 2, control & !MSIX_MASK_ALL | MSIX_ENABLE);
        true
    }

    /// How many messages the device can tell apart (MSI-X).
    pub fn message_count(&self) -> usize {
        let found = self.capabilities().find(|(id, _)| *id == CAPABILITY_MSIX);
        found.map_or(0, |(_, at)| {
            usize::from(self.read16(at + 2) & MSIX_LAST) + 1
        })
    }

    /// Claims an interrupt for a device that has one for everything: by message (MSI), else its pin.
    pub fn claim_interrupt(&self) -> Option<Irq> {
        if let Some((irq, message)) = Irq::claim_message()
            && self.enable_msi(message)
        {
            return Some(irq);
        }
        self.claim_pin()
    }

    /// Claims the interrupt that the device's pin is wired to: as Xen has it, else the line that the firmware gave the device, if it gave
    /// one.
    pub fn claim_pin(&self) -> Option<Irq> {
        let pin = self.read8(INTERRUPT_PIN).checked_sub(1);
        if let Some(interrupt) = pin.and_then(|pin| xen::pci_interrupt(self.bus, self.slot, pin)) {
            return Irq::claim_global(interrupt, true);
        }
        // Line 0 is the timer's: who has it was given none.
        let line = self.read8(INTERRUPT_LINE);
        (1..16)
            .contains(&line)
            .then(|| Irq::claim_legacy(line, true))?
    }

    /// Base address register `index` (0–5), if it is in use.
    pub fn bar(&self, index: u8) -> Option<Bar> {
        if usize::from(index) >= BAR_COUNT {
            return None;
        }
        let register = self.register(index);
        if !matches!(register, Register::Memory { .. }) {
            return self.sized(index, register);
        }
        let command = self.read16(COMMAND);
        self.write16(COMMAND, command & !COMMAND_MEMORY);
        let bar = self.sized(index, register);
        self.write16(COMMAND, command);
        bar
    }

    /// Reads a register.
    fn register(&self, index: u8) -> Register {
        let offset = BARS + index * 4;
        let low = self.read32(offset);
        if low & 1 != 0 {
            return match (low & 0xFFFC) as u16 {
                0 => Register::Unused(1),
                port => Register::Io(port),
            };
        }
        let is_64_bit = low >> 1 & 3 == 2 && index < 5;
        let high = match is_64_bit {
            true => self.read32(offset + 4),
            false => 0,
        };
        match u64::from(high) << 32 | u64::from(low & !0xF) {
            0 => Register::Unused(1 + usize::from(is_64_bit)),
            phys => Register::Memory { phys, is_64_bit },
        }
    }

    /// The window of a register. The size of memory shows in the address bits that cannot be set; the device must not decode memory
    /// meanwhile.
    fn sized(&self, index: u8, register: Register) -> Option<Bar> {
        let (phys, is_64_bit) = match register {
            Register::Unused(_) => return None,
            Register::Io(port) => return Some(Bar::Io { port }),
            Register::Memory { phys, is_64_bit } => (phys, is_64_bit),
        };
        let mask = |offset, value| {
            self.write32(offset, 0xFFFF_FFFF);
            let mask = self.read32(offset);
            self.write32(offset, value);
            mask
        };
        let offset = BARS + index * 4;
        let low = mask(offset, phys as u32) & !0xF;
        let high = match is_64_bit {
            true => mask(offset + 4, (phys >> 32) as u32),
            false => 0xFFFF_FFFF,
        };
        let len_bytes = (!(u64::from(high) << 32 | u64::from(low))).wrapping_add(1);
        (len_bytes != 0).then_some(Bar::Memory { phys, len_bytes })
    }
}

/// What a base address register says; its upper half may be in the next.
#[derive(Clone, Copy)]
enum Register {
    /// Nothing, in so many registers.
    Unused(usize),
    Io(u16),
    Memory {
        phys: u64,
        is_64_bit: bool,
    },
}

impl Register {
    /// How many registers it takes.
    fn registers(self) -> usize {
        match self {
            Self::Unused(count) => count,
            Self::Io(_) => 1,
            Self::Memory { is_64_bit, .. } => 1 + usize::from(is_64_bit),
        }
    }
}

/// What the command register is to be of a device in use.
fn enabled(command: u16) -> u16 {
    (command | COMMAND_DECODE | COMMAND_BUS_MASTER) & !COMMAND_INTERRUPT_DISABLE
}

/// All PCI functions of the machine, in the order of bus, slot and function. Empty where there is no PCI. They are looked for once: each
/// look costs an exit to the hypervisor.
pub fn devices() -> &'static [PciDevice] {
    static DEVICES: OnceCell<Vec<PciDevice>> = OnceCell::new();
    DEVICES.get_or_find(scan)
}

fn scan() -> Vec<PciDevice> {
    let mut found = Vec::new();
    if !configuration::is_there() {
        return found;
    }
    // The bus behind a bridge has a higher number than the one it is on (PCI-to-PCI bridge 1.2, section 3.2.5.3): one pass finds all.
    let mut is_there = [false; 256];
    is_there[0] = true;
    for bus in 0..=u8::MAX {
        // Where there are more host bridges than the first, any bus may be behind one of them: nothing but ACPI's methods says which.
        if bus == 1 && found.iter().any(is_further_host_bridge) {
            is_there.fill(true);
        }
        if is_there[usize::from(bus)] {
            for slot in 0..32 {
                scan_slot(bus, slot, &mut found, &mut is_there);
            }
        }
    }
    if let Some(window) = configuration::unplaced_window() {
        placement::place(&found, window);
    }
    found
}

fn is_further_host_bridge(device: &PciDevice) -> bool {
    const HOST_BRIDGE: u32 = 0x0600;
    device.class >> 8 == HOST_BRIDGE && (device.slot, device.function) != (0, 0)
}

fn scan_slot(bus: u8, slot: u8, found: &mut Vec<PciDevice>, is_there: &mut [bool; 256]) {
    for function in 0..8 {
        let mut device = PciDevice {
            bus,
            slot,
            function,
            vendor: 0,
            device: 0,
            class: 0,
        };
        let id = device.read32(0);
        if id & 0xFFFF == 0xFFFF {
            if function == 0 {
                return;
            }
            continue;
        }
        device.vendor = (id & 0xFFFF) as u16;
        device.device = (id >> 16) as u16;
        device.class = device.read32(8) >> 8;
        let header_type = device.read8(HEADER_TYPE);
        if header_type & 0x7F == 1 {
            is_there[usize::from(device.read8(SECONDARY_BUS))] = true;
        }
        found.push(device);
        if function == 0 && header_type & 0x80 == 0 {
            return;
        }
    }
}
