//! Leaves out most of the kernel's unwind tables, which would be in every image.
//!
//! What unwinds is the program; kernel code never does. So tables are needed for the frames that can stand between an unwinder and the
//! program: those of the unwinder itself, of the ABI, which programs call and which calls programs, and of what ends a thread after a fault.
//! The rest of the kernel is below.
//!
//! A table (FDE) begins with a relocation to its function. Without a symbol there, the final link takes the function for one that was not
//! linked, and leaves the table out. (Linux Standard Base 5.0, "Exception Frames"; System V ABI, "Relocation".)

use object::elf::{FileHeader64, Rela64, SHT_RELA};
use object::endian::LittleEndian as LE;
use object::read::elf::{FileHeader as _, Rela as _, SectionHeader as _};

/// Offset of the address of the function in a table, behind length and CIE pointer.
const FUNCTION_OFFSET: u64 = 8;

/// Cuts the relocations of the tables of all functions that `is_needed` refuses, by the name of the function's section without `.text.`;
/// how many tables are left out.
pub(crate) fn reduce(object: &mut [u8], is_needed: impl Fn(&str) -> bool) -> Result<usize, String> {
    let unneeded = unneeded(object, is_needed).map_err(|error| format!("kernel.o: {error}"))?;
    for &at in &unneeded {
        // The symbol is the upper half of `r_info`, which follows the offset.
        object
            .get_mut(at + 12..at + 16)
            .ok_or("kernel.o: a relocation is outside")?
            .fill(0);
    }
    Ok(unneeded.len())
}

/// Places in the file of the relocations to cut.
fn unneeded(data: &[u8], is_needed: impl Fn(&str) -> bool) -> object::Result<Vec<usize>> {
    let header = FileHeader64::<LE>::parse(data)?;
    let sections = header.sections(LE, data)?;
    let symbols = sections.symbols(LE, data, object::elf::SHT_SYMTAB)?;
    let Some((index, tables)) = sections.section_by_name(LE, b".eh_frame") else {
        return Ok(Vec::new());
    };
    let functions = function_offsets(tables.data(LE, data)?);
    let mut unneeded = Vec::new();
    for section in sections.iter() {
        if section.sh_type(LE) != SHT_RELA || section.info_link(LE) != index {
            continue;
        }
        let Some((relocations, _)) = section.rela(LE, data)? else {
            continue;
        };
        for (number, relocation) in relocations.iter().enumerate() {
            if !functions.contains(&relocation.r_offset(LE)) {
                continue;
            }
            let Some(symbol) = relocation.symbol(LE, false) else {
                continue;
            };
            let place = symbols.symbol_section(LE, symbols.symbol(symbol)?, symbol)?;
            let Some(place) = place else { continue };
            let name = sections.section_name(LE, sections.section(place)?)?;
            let name = String::from_utf8_lossy(name);
            // The compiler puts what is cold into sections `.text.unlikely.NAME`.
            let function = name
                .strip_prefix(".text.")
                .map(|name| name.strip_prefix("unlikely.").unwrap_or(name));
            if function.is_some_and(|function| !is_needed(function)) {
                let offset = section.sh_offset(LE) as usize;
                unneeded.push(offset + number * size_of::<Rela64<LE>>());
            }
        }
    }
    Ok(unneeded)
}

/// Where the tables have the addresses of their functions.
fn function_offsets(tables: &[u8]) -> std::collections::BTreeSet<u64> {
    let word = |at: usize| {
        let bytes = tables.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let mut offsets = std::collections::BTreeSet::new();
    let mut at = 0;
    while let (Some(len @ 1..=0xFFFF_FFFE), Some(id)) = (word(at), word(at + 4)) {
        // A CIE has 0 here.
        if id != 0 {
            offsets.insert(at as u64 + FUNCTION_OFFSET);
        }
        at += 4 + len as usize;
    }
    offsets
}
