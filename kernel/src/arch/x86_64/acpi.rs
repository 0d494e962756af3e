//! ACPI tables (ACPI Specification 6.5, chapter 5): where the I/O APIC is, which cores there are, how to power off.
//!
//! The tables are written by firmware and not trusted: lengths are checked, and each walk has a limit.

use core::ops::Range;

use super::aml::{self, Resources};
use super::core_local::MAX_CORES;
use super::mp_table;
use super::start_info::RootPointer;
use crate::memory;

/// As many tables as are looked at.
const MAX_TABLES: usize = 64;
/// No table that matters here is longer.
const MAX_TABLE_BYTES: usize = 1 << 20;

/// As many I/O APICs are used: no virtual machine has more than one or two.
pub const MAX_IO_APICS: usize = 8;
/// Interrupt lines of the ISA bus.
pub const ISA_LINES: usize = 16;

/// What the tables say of the machine.
#[derive(Debug)]
pub struct Machine {
    /// I/O APICs: physical address, first global interrupt.
    pub io_apics: [Option<(u64, u32)>; MAX_IO_APICS],
    /// For each ISA interrupt that is wired elsewhere: global interrupt, flags.
    pub overrides: [Option<(u32, u16)>; ISA_LINES],
    processors: [u32; MAX_CORES],
    processor_count: usize,
    /// How to power off.
    pub power: Option<Power>,
}

/// Where the configuration space of PCI devices is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciMemory {
    /// Physical address of bus 0, even where that one is not in it.
    pub phys: u64,
    /// First bus that is in it.
    pub first_bus: u8,
    /// Last one.
    pub last_bus: u8,
}

impl Machine {
    /// One of which nothing is known: all zeros.
    #[allow(clippy::new_without_default, reason = "made once, to be read into")]
    pub const fn new() -> Self {
        Self {
            io_apics: [None; MAX_IO_APICS],
            overrides: [None; ISA_LINES],
            processors: [0; MAX_CORES],
            processor_count: 0,
            power: None,
        }
    }

    /// Local APIC numbers of the usable processors, as many as there can be cores.
    pub fn processors(&self) -> &[u32] {
        &self.processors[..self.processor_count]
    }

    /// Adds a processor, as long as there is room.
    pub(super) fn add_processor(&mut self, apic_id: u32) {
        if let Some(place) = self.processors.get_mut(self.processor_count) {
            *place = apic_id;
            self.processor_count += 1;
        }
    }

    /// Adds an I/O APIC, as long as there is room.
    pub(super) fn add_io_apic(&mut self, phys: u64, first_interrupt: u32) {
        if let Some(free) = self.io_apics.iter_mut().find(|place| place.is_none()) {
            *free = Some((phys, first_interrupt));
        }
    }

    /// Notes where an ISA interrupt is wired to; one that there is not counts for nothing.
    pub(super) fn add_override(&mut self, line: u8, interrupt: u32, flags: u16) {
        if let Some(place) = self.overrides.get_mut(usize::from(line)) {
            *place = Some((interrupt, flags));
        }
    }
}

/// Registers and values for power management.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Power {
    /// Event block, status register (enable is behind it), or 0.
    pub event_port: u16,
    /// Length of the event block in bytes.
    pub event_bytes: u8,
    /// What takes the sleep type.
    pub control: Control,
    /// Sleep type of soft-off (S5).
    pub soft_off_type: u8,
    /// Interrupt line of power events.
    pub interrupt: u16,
    /// What hands these registers over to the kernel, where they are the firmware's: a port, and what is written there.
    pub enable: Option<(u16, u8)>,
}

impl Power {
    /// Whether the machine has ACPI's fixed hardware, as every PC has.
    pub fn has_fixed_hardware(&self) -> bool {
        matches!(self.control, Control::Fixed(_))
    }
}

/// The register that puts the machine to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A control register of ACPI's fixed hardware (section 4.8.3.2.1), at a port.
    Fixed(u16),
    /// The sleep control register of machines without that hardware (section 4.8.3.7), at a port.
    SleepPort(u16),
    /// The same, at a physical address.
    SleepMemory(u64),
}

/// Bytes of a table.
pub(super) struct Table {
    base: usize,
    len_bytes: usize,
}

impl Table {
    pub(super) fn map(phys: u64, len_bytes: usize) -> Option<Self> {
        let base = memory::map_firmware(phys, len_bytes).ok()?;
        Some(Self { base, len_bytes })
    }

    /// Maps a table with the standard header and checks its length and sum.
    fn open(phys: u64) -> Option<Self> {
        let header = Self::map(phys, 36)?;
        let len_bytes = header.u32(4)? as usize;
        if !(36..=MAX_TABLE_BYTES).contains(&len_bytes) {
            return None;
        }
        let table = Self::map(phys, len_bytes)?;
        (sum(table.bytes()) == 0).then_some(table)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `map` mapped so many bytes, readable; the firmware's tables do not change.
        unsafe { core::slice::from_raw_parts(self.base as *const u8, self.len_bytes) }
    }

    fn u32(&self, offset: usize) -> Option<u32> {
        read(self.bytes(), offset).map(u32::from_le_bytes)
    }

    fn signature(&self) -> &[u8] {
        &self.bytes()[..4]
    }
}

/// The sum of bytes, eight at a time: some tables are long.
#[inline(never)]
pub(super) fn sum(bytes: &[u8]) -> u8 {
    const EVERY_OTHER: u64 = 0x00FF_00FF_00FF_00FF;
    const ONES: u64 = 0x0001_0001_0001_0001;
    let (words, rest) = bytes.as_chunks();
    // Four sums, each with room to the next one.
    let sums = words.iter().fold(0, |sums, &word| {
        let word = u64::from_le_bytes(word);
        (sums + (word & EVERY_OTHER) + (word >> 8 & EVERY_OTHER)) & EVERY_OTHER
    });
    // Their own sum is in the highest 16 bits of this product.
    let of_words = (sums.wrapping_mul(ONES) >> 48) as u8;
    rest.iter()
        .fold(of_words, |sum, &byte| sum.wrapping_add(byte))
}

pub(super) fn read<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

pub(super) fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    read(bytes, offset).map(u32::from_le_bytes)
}

/// Reads the tables, or the MultiProcessor table where they name no processor. A root pointer that the loader does not know is looked for,
/// also in the extended BIOS data area.
pub fn read_tables(machine: &mut Machine, pointer: &RootPointer, extended_bios_data: Option<u64>) {
    read_acpi(machine, pointer, extended_bios_data);
    if machine.processor_count == 0 {
        mp_table::read_table(machine, extended_bios_data);
    }
}

// As numbers: each is one comparison.
const MADT: u32 = u32::from_le_bytes(*b"APIC");
const FADT: u32 = u32::from_le_bytes(*b"FACP");
const MCFG: u32 = u32::from_le_bytes(*b"MCFG");

fn read_acpi(machine: &mut Machine, pointer: &RootPointer, extended_bios_data: Option<u64>) {
    for_each_table(pointer, extended_bios_data, |table| match table.u32(0) {
        Some(MADT) => read_madt(table.bytes(), machine),
        Some(FADT) => machine.power = read_fadt(table.bytes()),
        _ => {}
    });
}

/// Calls a function for each device of virtio in memory that the tables tell of.
pub fn for_each_virtio_device(
    pointer: &RootPointer,
    extended_bios_data: Option<u64>,
    found: impl FnMut(Resources),
) {
    if let Some(table) = differentiated(pointer, extended_bios_data) {
        aml::virtio_devices(table.bytes()).for_each(found);
    }
}

/// Where the configuration space of PCI devices is in memory, as a table of its own or the host bridge tells, and the addresses that devices
/// may be given.
pub fn find_pci(
    pointer: &RootPointer,
    extended_bios_data: Option<u64>,
) -> Option<(PciMemory, Option<Range<u64>>)> {
    let mut place = None;
    for_each_table(pointer, extended_bios_data, |table| {
        if table.u32(0) == Some(MCFG) {
            place = read_mcfg(table.bytes());
        }
    });
    let differentiated = differentiated(pointer, extended_bios_data);
    let aml = differentiated.as_ref().map_or(&[][..], Table::bytes);
    Some((
        place.or_else(|| aml::pci_memory(aml))?,
        aml::pci_window(aml),
    ))
}

/// The table of what firmware has as a program.
fn differentiated(pointer: &RootPointer, extended_bios_data: Option<u64>) -> Option<Table> {
    let mut found = None;
    for_each_table(pointer, extended_bios_data, |table| {
        if table.u32(0) == Some(FADT) {
            found = dsdt_address(table.bytes()).and_then(Table::open);
        }
    });
    found
}

fn for_each_table(
    pointer: &RootPointer,
    extended_bios_data: Option<u64>,
    mut found: impl FnMut(&Table),
) {
    let at = |phys| Table::map(phys, 36).and_then(|table| open_root(table.bytes()));
    let root = match pointer {
        RootPointer::Unknown => find_rsdp(extended_bios_data).and_then(at),
        RootPointer::At(phys) => at(*phys),
        RootPointer::Copy(bytes) => open_root(bytes),
    };
    let Some(root) = root else {
        return;
    };
    let is_long = root.signature() == b"XSDT";
    let mut rest = root.bytes().get(36..).unwrap_or(&[]);
    for _ in 0..MAX_TABLES {
        let Some(address) = next_entry(&mut rest, is_long) else {
            return;
        };
        if let Some(table) = Table::open(address) {
            found(&table);
        }
    }
}

/// Takes the next address out of a root table.
fn next_entry(rest: &mut &[u8], is_long: bool) -> Option<u64> {
    if is_long {
        let (entry, behind) = rest.split_first_chunk()?;
        *rest = behind;
        return Some(u64::from_le_bytes(*entry));
    }
    let (entry, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u64::from(u32::from_le_bytes(*entry)))
}

/// Looks for the root pointer where BIOSes put it: in the first KiB of the extended BIOS data area, and below 1 MiB.
fn find_rsdp(extended_bios_data: Option<u64>) -> Option<u64> {
    let areas = [
        (extended_bios_data.unwrap_or(0), 1024),
        (0xE_0000, 0x2_0000),
    ];
    for (start, len_bytes) in areas {
        if start == 0 {
            continue;
        }
        let Some(area) = Table::map(start, len_bytes) else {
            continue;
        };
        for (index, candidate) in area.bytes().chunks_exact(16).enumerate() {
            if candidate.starts_with(b"RSD PTR ") {
                return Some(start + index as u64 * 16);
            }
        }
    }
    None
}

/// Opens the extended root table, or the old one, that a root pointer names.
fn open_root(bytes: &[u8]) -> Option<Table> {
    if !bytes.starts_with(b"RSD PTR ") {
        return None;
    }
    let extended = read(bytes, 24).map(u64::from_le_bytes)?;
    if read(bytes, 15)? >= [2]
        && extended != 0
        && let Some(table) = Table::open(extended).filter(|t| t.signature() == b"XSDT")
    {
        return Some(table);
    }
    Table::open(u64::from(read_u32(bytes, 16)?)).filter(|t| t.signature() == b"RSDT")
}

/// Multiple APIC description table (section 5.2.12).
fn read_madt(table: &[u8], machine: &mut Machine) {
    let mut rest = table.get(44..).unwrap_or(&[]);
    while let [kind, len, ..] = *rest {
        let Some(entry) = rest.get(..usize::from(len)).filter(|e| e.len() >= 2) else {
            break;
        };
        rest = &rest[entry.len()..];
        match (kind, entry) {
            // Usable?
            (0, &[_, _, _, id, flags, _, _, _, ..]) if flags & 1 != 0 => {
                machine.add_processor(u32::from(id));
            }
            (1, &[_, _, _, _, a, b, c, d, e, f, g, h, ..]) => {
                let address = u32::from_le_bytes([a, b, c, d]);
                machine.add_io_apic(u64::from(address), u32::from_le_bytes([e, f, g, h]));
            }
            (2, &[_, _, _, line, a, b, c, d, e, f, ..]) => {
                let interrupt = u32::from_le_bytes([a, b, c, d]);
                machine.add_override(line, interrupt, u16::from_le_bytes([e, f]));
            }
            (9, &[_, _, _, _, a, b, c, d, flags, _, _, _, ..]) if flags & 1 != 0 => {
                machine.add_processor(u32::from_le_bytes([a, b, c, d]));
            }
            _ => {}
        }
    }
}

/// Description of the configuration space in memory (PCI Firmware Specification 3.0, section 4.1.2): that of the first segment.
fn read_mcfg(table: &[u8]) -> Option<PciMemory> {
    let entries: &[[u8; 16]] = table.get(44..)?.as_chunks().0;
    entries.iter().find_map(|entry| {
        let [address @ .., s, t, first_bus, last_bus, _, _, _, _] = *entry;
        (u16::from_le_bytes([s, t]) == 0).then_some(PciMemory {
            phys: u64::from_le_bytes(address),
            first_bus,
            last_bus,
        })
    })
}

/// Fixed description table (section 5.2.9), and the value for soft-off from the differentiated table it points to.
fn read_fadt(table: &[u8]) -> Option<Power> {
    let dsdt = Table::open(dsdt_address(table)?)?;
    read_power(table, aml::find_soft_off(dsdt.bytes())?)
}

/// Where the differentiated table is: the 64-bit address, where there is one.
fn dsdt_address(table: &[u8]) -> Option<u64> {
    let extended = read(table, 140).map(u64::from_le_bytes);
    match extended.filter(|&address| address != 0) {
        Some(address) => Some(address),
        None => read_u32(table, 40).map(u64::from),
    }
}

fn read_power(table: &[u8], soft_off_type: u8) -> Option<Power> {
    const HARDWARE_REDUCED: u32 = 1 << 20;
    const SLEEP_CONTROL: usize = 244;
    if read_u32(table, 112).is_some_and(|flags| flags & HARDWARE_REDUCED != 0) {
        // A generic address (section 5.2.3.2): its space, and from the fifth byte on the address.
        let address = u64::from_le_bytes(read(table, SLEEP_CONTROL + 4)?);
        let control = match read(table, SLEEP_CONTROL)? {
            [0] if address != 0 => Control::SleepMemory(address),
            [1] => Control::SleepPort(u16::try_from(address).ok().filter(|&port| port != 0)?),
            _ => return None,
        };
        // Such a machine has no event block, and tells of its power button by AML alone.
        return Some(Power {
            event_port: 0,
            event_bytes: 0,
            control,
            soft_off_type,
            interrupt: 0,
            enable: None,
        });
    }
    let control_port = u16::try_from(read_u32(table, 64)?).ok();
    let command_port = u16::try_from(read_u32(table, 48)?).ok();
    let [enable] = read(table, 52)?;
    Some(Power {
        event_port: u16::try_from(read_u32(table, 56)?).unwrap_or(0),
        event_bytes: read::<1>(table, 88)?[0],
        control: Control::Fixed(control_port.filter(|&port| port != 0)?),
        soft_off_type,
        interrupt: u16::from_le_bytes(read(table, 46)?),
        enable: command_port
            .filter(|&port| port != 0 && enable != 0)
            .map(|port| (port, enable)),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        Control, MAX_CORES, Machine, PciMemory, dsdt_address, next_entry, read_madt, read_mcfg,
        read_power, sum,
    };

    fn fadt(fields: &[(usize, &[u8])]) -> [u8; 276] {
        let mut table = [0; 276];
        for (offset, bytes) in fields {
            table[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        table
    }

    #[test]
    fn the_sum_of_bytes_is_that_of_one_after_the_other() {
        let bytes: Vec<u8> = (0..4000_u32).map(|i| ((i * i) >> 3) as u8).collect();
        for len in [0, 1, 7, 8, 9, 4000] {
            let expected = bytes[..len].iter().fold(0_u8, |s, b| s.wrapping_add(*b));
            assert_eq!(sum(&bytes[..len]), expected, "{len}");
        }
        assert_eq!(sum(&[0xFF; 2048]), 0);
    }

    #[test]
    fn a_machine_with_the_fixed_hardware_sleeps_by_its_control_register() {
        let table = fadt(&[(46, &[9]), (56, &[0, 6]), (64, &[4, 6]), (88, &[4])]);
        let power = read_power(&table[..116], 5).unwrap();
        assert_eq!(power.control, Control::Fixed(0x604));
        assert_eq!((power.event_port, power.event_bytes), (0x600, 4));
        assert_eq!((power.soft_off_type, power.interrupt), (5, 9));
        assert_eq!(read_power(&fadt(&[]), 5), None);
    }

    #[test]
    fn a_machine_without_the_fixed_hardware_sleeps_by_its_sleep_register() {
        // The control register of the other kind of machine counts for nothing there.
        let reduced: [(usize, &[u8]); 2] = [(114, &[0x10]), (64, &[4, 6])];
        let control = |address: &[u8]| {
            let table = fadt(&[reduced[0], reduced[1], (244, address)]);
            read_power(&table, 5).map(|power| power.control)
        };
        let port = [1, 8, 0, 1, 0xC0, 3, 0, 0, 0, 0, 0, 0];
        assert_eq!(control(&port), Some(Control::SleepPort(0x3C0)));
        let memory = [0, 8, 0, 1, 0, 2, 0xA0, 0xFE, 0, 0, 0, 0];
        assert_eq!(control(&memory), Some(Control::SleepMemory(0xFEA0_0200)));
        // No address, a port that is none, a space that is neither, a table that ends before.
        for lie in [[0, 8, 0, 1, 0], [1, 8, 0, 1, 0], [2, 8, 0, 1, 4]] {
            assert_eq!(control(&lie), None);
        }
        assert_eq!(control(&[1, 8, 0, 1, 0, 0, 1]), None);
        assert_eq!(read_power(&fadt(&reduced)[..244], 5), None);
    }

    #[test]
    fn who_has_the_power_registers_is_told() {
        let enable = |fields: &[(usize, &[u8])]| {
            let mut all = vec![(64, &[4_u8, 6][..])];
            all.extend(fields);
            read_power(&fadt(&all), 5).and_then(|power| power.enable)
        };
        assert_eq!(enable(&[(48, &[0xB2]), (52, &[0xF1])]), Some((0xB2, 0xF1)));
        // No port, no value, a port that is none.
        assert_eq!(enable(&[(52, &[0xF1])]), None);
        assert_eq!(enable(&[(48, &[0xB2])]), None);
        assert_eq!(enable(&[(48, &[0, 0, 1]), (52, &[0xF1])]), None);
    }

    #[test]
    fn entries_of_either_root_table_are_taken_one_after_the_other() {
        let mut rest = &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0][..];
        assert_eq!(next_entry(&mut rest, false), Some(1));
        assert_eq!(next_entry(&mut rest, false), Some(2));
        assert_eq!(next_entry(&mut rest, false), None);
        let mut rest = &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0][..];
        assert_eq!(next_entry(&mut rest, true), Some(2 << 32 | 1));
        assert_eq!(next_entry(&mut rest, true), None);
    }

    #[test]
    fn the_64_bit_address_of_the_differentiated_table_goes_first() {
        let both = fadt(&[(40, &[1]), (140, &[0, 0, 0, 0, 1])]);
        assert_eq!(dsdt_address(&both), Some(1 << 32));
        assert_eq!(dsdt_address(&fadt(&[(40, &[7])])), Some(7));
        assert_eq!(dsdt_address(&both[..116]), Some(1));
    }

    #[test]
    fn the_configuration_space_of_the_first_segment_is_taken() {
        let mut table = vec![0; 44];
        assert_eq!(read_mcfg(&table), None);
        table.extend([0, 0, 0, 0xF0, 0, 0, 0, 0, 1, 0, 0, 0xFF, 0, 0, 0, 0]);
        assert_eq!(read_mcfg(&table), None);
        table.extend([0, 0, 0, 0xE0, 1, 0, 0, 0, 0, 0, 2, 0x3F, 0, 0, 0, 0]);
        let place = PciMemory {
            phys: 0x1_E000_0000,
            first_bus: 2,
            last_bus: 0x3F,
        };
        assert_eq!(read_mcfg(&table), Some(place));
        assert_eq!(read_mcfg(&table[..75]), None);
        assert_eq!(read_mcfg(&table[..40]), None);
    }

    #[test]
    fn processors_beyond_the_last_core_are_left_out() {
        let mut machine = Machine::new();
        (0..300).for_each(|id| machine.add_processor(id));
        assert_eq!(machine.processors().len(), MAX_CORES);
        assert_eq!(machine.processors().last(), Some(&63));
    }

    #[test]
    fn a_madt_with_a_lying_length_ends_the_walk() {
        let mut table = [0; 44].to_vec();
        table.extend([0, 8, 0, 3, 1, 0, 0, 0]);
        table.extend([1, 200, 0, 0]);
        let mut machine = Machine::new();
        read_madt(&table, &mut machine);
        assert_eq!(machine.processors(), [3]);
        assert_eq!(machine.io_apics, Machine::new().io_apics);
        table.truncate(52);
        table.extend([1, 0]);
        read_madt(&table, &mut machine);
    }
}
