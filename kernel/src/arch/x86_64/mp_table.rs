//! The MultiProcessor table (MultiProcessor Specification 1.4, chapter 4): which cores and I/O APICs there are, where no ACPI table tells.
//!
//! Written by firmware and not trusted: lengths and sums are checked, the walk is bounded by the table.

#![cfg_attr(not(test), forbid(unsafe_code))]

use super::acpi::{Machine, Table, read, read_u32, sum};

/// Length of the floating pointer structure (section 4.1).
const POINTER_BYTES: usize = 16;
/// Length of the configuration table's header (section 4.2).
const HEADER_BYTES: usize = 44;

/// Adds what the table says, if there is one, to a machine whose processors no other table named.
pub(super) fn read_table(machine: &mut Machine, extended_bios_data: Option<u64>) {
    if let Some(table) = find(extended_bios_data) {
        read_entries(table.bytes(), machine);
    }
}

/// The configuration table, by the pointer in the first KiB of the extended BIOS data area, in the last one of base memory, or in the
/// BIOS (section 4, figure 4-1).
fn find(extended_bios_data: Option<u64>) -> Option<Table> {
    let areas = [
        (extended_bios_data.unwrap_or(0), 1024),
        (639 << 10, 1024),
        (0xF_0000, 0x1_0000),
    ];
    for (start, len_bytes) in areas {
        if start == 0 {
            continue;
        }
        let Some(area) = Table::map(start, len_bytes) else {
            continue;
        };
        if let Some(phys) = find_pointer(area.bytes()) {
            return open(phys);
        }
    }
    None
}

/// Where the configuration table is, by the pointer in an area.
fn find_pointer(area: &[u8]) -> Option<u64> {
    area.chunks_exact(POINTER_BYTES)
        .find(|pointer| pointer.starts_with(b"_MP_") && sum(pointer) == 0)
        .and_then(|pointer| read_u32(pointer, 4))
        .map(u64::from)
        // 0 where one of the default configurations (chapter 5) is meant: none has more than the processors it had in 1994.
        .filter(|&phys| phys != 0)
}

fn open(phys: u64) -> Option<Table> {
    let header = Table::map(phys, HEADER_BYTES)?;
    if !header.bytes().starts_with(b"PCMP") {
        return None;
    }
    let len_bytes = usize::from(u16::from_le_bytes(read(header.bytes(), 4)?));
    if len_bytes < HEADER_BYTES {
        return None;
    }
    Table::map(phys, len_bytes).filter(|table| sum(table.bytes()) == 0)
}

/// Entries of the base table (section 4.3).
fn read_entries(table: &[u8], machine: &mut Machine) {
    let tells_io_apics = machine.io_apics[0].is_none();
    // A bit for each bus.
    let mut isa_buses = [0_u64; 4];
    let mut rest = table.get(HEADER_BYTES..).unwrap_or(&[]);
    while let Some(&kind) = rest.first() {
        // A processor has 20 bytes, all others 8.
        let len_bytes = if kind == 0 { 20 } else { 8 };
        let Some((entry, after)) = rest.split_at_checked(len_bytes) else {
            break;
        };
        rest = after;
        match (kind, entry) {
            // Usable?
            (0, &[_, id, _, flags, ..]) if flags & 1 != 0 => {
                machine.add_processor(u32::from(id));
            }
            (1, &[_, bus, b'I', b'S', b'A', ..]) => {
                isa_buses[usize::from(bus / 64)] |= 1 << (bus % 64)
            }
            (2, &[_, _, _, flags, ..]) if flags & 1 != 0 && tells_io_apics => {
                // The table numbers inputs of each I/O APIC from 0; there is one on every PC that has no ACPI.
                if let Some(phys) = read_u32(entry, 4)
                    && machine.io_apics[0].is_none()
                {
                    machine.add_io_apic(u64::from(phys), 0);
                }
            }
            // A vectored interrupt of the ISA bus that is wired to another input than its own.
            (3, &[_, 0, flags_low, flags_high, bus, line, _, input, ..])
                if isa_buses[usize::from(bus / 64)] >> (bus % 64) & 1 != 0
                    && line != input
                    && line < 16 =>
            {
                let flags = u16::from_le_bytes([flags_low, flags_high]);
                machine.add_override(line, u32::from(input), flags);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{find_pointer, read_entries};
    use crate::arch::x86_64::acpi::Machine;

    fn table(entries: &[&[u8]]) -> Vec<u8> {
        let mut table = vec![0; 44];
        table[36..40].copy_from_slice(&0xFEE0_0000_u32.to_le_bytes());
        entries.iter().for_each(|entry| table.extend(*entry));
        table
    }

    fn processor(id: u8, flags: u8) -> [u8; 20] {
        let mut entry = [0; 20];
        (entry[1], entry[3]) = (id, flags);
        entry
    }

    #[test]
    fn usable_processors_an_io_apic_and_rewired_lines_are_found() {
        let table = table(&[
            &processor(0, 3),
            &processor(1, 1),
            &processor(2, 0),
            &[1, 7, b'I', b'S', b'A', b' ', b' ', b' '],
            &[2, 4, 0x11, 1, 0, 0, 0xC0, 0xFE],
            &[3, 0, 0, 0, 7, 0, 4, 2],
            &[3, 0, 0, 0, 7, 1, 4, 1],
            &[3, 3, 0, 0, 7, 5, 4, 6],
        ]);
        let mut machine = Machine::new();
        read_entries(&table, &mut machine);
        assert_eq!(machine.processors(), [0, 1]);
        assert_eq!(machine.io_apics[..2], [Some((0xFEC0_0000, 0)), None]);
        assert_eq!(machine.overrides[..2], [Some((2, 0)), None]);
    }

    #[test]
    fn a_table_that_ends_within_an_entry_ends_the_walk() {
        let mut bytes = table(&[&processor(0, 1), &processor(1, 1)]);
        bytes.truncate(44 + 20 + 19);
        let mut machine = Machine::new();
        read_entries(&bytes, &mut machine);
        assert_eq!(machine.processors(), [0]);
        read_entries(&[], &mut machine);
        read_entries(&table(&[&[200; 8], &[3; 8]]), &mut machine);
        assert_eq!(machine.processors(), [0]);
    }

    #[test]
    fn a_pointer_needs_its_name_and_its_sum() {
        let mut area = vec![0; 64];
        area[32..36].copy_from_slice(b"_MP_");
        area[36..40].copy_from_slice(&0x9_FC00_u32.to_le_bytes());
        assert_eq!(find_pointer(&area), None);
        let sum = area[32..48]
            .iter()
            .fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
        area[42] = sum.wrapping_neg();
        assert_eq!(find_pointer(&area), Some(0x9_FC00));
        area[36..40].fill(0);
        assert_eq!(find_pointer(&area), None);
    }
}
