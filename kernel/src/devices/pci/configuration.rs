//! The way to the configuration space: by two ports (PCI Local Bus Specification 3.0, section 3.2.2.3.2, mechanism #1), or where a machine
//! has none, in memory (PCI Express Base Specification 3.0, section 7.2.2), as ACPI tells (PCI Firmware Specification 3.0, section 4.1.2).
//!
//! What is read or written goes by an address: bus, device, function and the place of a doubleword, in the bits that the ports take.

use core::ops::Range;

use crate::arch::mmio::Mmio;
use crate::arch::port;
use crate::arch::x86_64::acpi::PciMemory;
use crate::sync::{OnceCell, SpinLock};

const ADDRESS_PORT: u16 = 0xCF8;
const DATA_PORT: u16 = 0xCFC;
/// What the address port has on.
const ENABLE: u32 = 1 << 31;

const BUSES: usize = 256;
/// What a bus has in memory: 4 KiB for each function.
const BUS_BYTES: usize = 1 << 20;

/// Where it is, and the addresses that devices may be given where no firmware gave them any.
type Found = Option<(PciMemory, Option<Range<u64>>)>;

static FIND: OnceCell<fn() -> Found> = OnceCell::new();

/// Notes who knows where the configuration space is in memory. Once, before the first look at a device; asked on machines without the ports.
pub fn set_finder(find: fn() -> Found) {
    let _ = FIND.set(find);
}

fn has_ports() -> bool {
    static HAS_PORTS: OnceCell<bool> = OnceCell::new();
    *HAS_PORTS.get_or_find(|| {
        port::write32(ADDRESS_PORT, ENABLE);
        port::read32(ADDRESS_PORT) == ENABLE
    })
}

fn found() -> &'static Found {
    static FOUND: OnceCell<Found> = OnceCell::new();
    FOUND.get_or_find(|| FIND.get().and_then(|find| find()))
}

/// Whether there is a way.
pub(super) fn is_there() -> bool {
    has_ports() || found().is_some()
}

/// Addresses for devices that have none: where there are no ports, no firmware was there before, or none that knew of devices.
pub(super) fn unplaced_window() -> Option<Range<u64>> {
    match has_ports() {
        true => None,
        false => found().clone()?.1,
    }
}

/// Reads or writes what an address selects: the two ports are one place for all cores.
fn select<T>(address: u32, access: impl FnOnce() -> T) -> T {
    static ACCESS: SpinLock<()> = SpinLock::new(());
    let _held = ACCESS.lock();
    port::write32(ADDRESS_PORT, ENABLE | address);
    access()
}

/// The registers of an address's bus, and where there the address is. A bus is mapped at its first use: most machines have one.
fn in_memory(address: u32) -> Option<(Mmio, usize)> {
    static MAPPED: [OnceCell<Option<Mmio>>; BUSES] = [const { OnceCell::new() }; BUSES];
    let bus = (address >> 16) as u8;
    let (place, _) = found().as_ref()?;
    let registers =
        MAPPED[usize::from(bus)].get_or_find(|| Mmio::map(of_bus(place, bus)?, BUS_BYTES).ok());
    Some(((*registers)?, offset(address)))
}

/// Where an address is within its bus: functions are 4 KiB apart, of which the first 256 bytes have an address.
fn offset(address: u32) -> usize {
    let function = address as usize >> 8 & 0xFF;
    function << 12 | address as usize & 0xFC
}

/// Where a bus is.
fn of_bus(place: &PciMemory, bus: u8) -> Option<u64> {
    if !(place.first_bus..=place.last_bus).contains(&bus) {
        return None;
    }
    place
        .phys
        .checked_add(u64::from(bus) * BUS_BYTES as u64)
        .filter(|phys| phys.is_multiple_of(BUS_BYTES as u64))
}

/// Reads a doubleword: all ones where there is nothing.
pub(super) fn read32(address: u32) -> u32 {
    if has_ports() {
        return select(address, || port::read32(DATA_PORT));
    }
    in_memory(address).map_or(u32::MAX, |(registers, at)| registers.read(at))
}

/// Writes a doubleword.
pub(super) fn write32(address: u32, value: u32) {
    if has_ports() {
        select(address, || port::write32(DATA_PORT, value));
    } else if let Some((registers, at)) = in_memory(address) {
        registers.write(at, value);
    }
}

/// Writes the word at byte 0 or 2 of a doubleword.
pub(super) fn write16(address: u32, byte: u8, value: u16) {
    if has_ports() {
        select(address, || {
            port::write16(DATA_PORT + u16::from(byte), value);
        });
    } else if let Some((registers, at)) = in_memory(address) {
        registers.write(at + usize::from(byte), value);
    }
}

#[cfg(test)]
mod tests {
    use super::{PciMemory, of_bus, offset};

    #[test]
    fn functions_are_4_kib_apart_and_buses_1_mib() {
        // Bus 1, device 2, function 3, doubleword 0x3C.
        assert_eq!(offset(1 << 16 | 2 << 11 | 3 << 8 | 0x3C), 0x1_303C);
        assert_eq!(offset(0xFF_FFFC), 0xF_F0FC);
        let place = PciMemory {
            phys: 0xE000_0000,
            first_bus: 1,
            last_bus: 2,
        };
        assert_eq!(of_bus(&place, 0), None);
        assert_eq!(of_bus(&place, 1), Some(0xE010_0000));
        assert_eq!(of_bus(&place, 2), Some(0xE020_0000));
        assert_eq!(of_bus(&place, 3), None);
    }

    #[test]
    fn addresses_that_cannot_be_are_none() {
        let place = |phys| PciMemory {
            phys,
            first_bus: 0,
            last_bus: 255,
        };
        assert_eq!(of_bus(&place(u64::MAX - 0xFFFF), 1), None);
        assert_eq!(of_bus(&place(0xE000_0004), 0), None);
    }
}
