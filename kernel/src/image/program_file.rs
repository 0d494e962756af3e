//! The program as an ELF file (System V ABI, chapter 4), for who looks up its functions and source lines there, as std does for backtraces:
//! a symbol table made of the hold's, and the debug sections that the tool has put into the hold. There is no code in it.

use alloc::vec::Vec;

use super::{HOLD_DEBUG_SECTION, MAX_NAME_BYTES, Symbols, hold_entries};

const HEADER_BYTES: usize = 64;
const SECTION_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;
const FUNCTION: u8 = 0x12;
const ABSOLUTE: u16 = 0xFFF1;

/// Kinds of sections, and the flag of one that is compressed.
const PROGBITS: usize = 1;
const SYMTAB: usize = 2;
const STRTAB: usize = 3;
const COMPRESSED: u64 = 1 << 11;

/// The section of names, of sections and symbols: null, symbols, then this one.
const NAMES_INDEX: usize = 2;
const FIRST_NAMES: &[u8] = b"\0.symtab\0.strtab\0";

/// A debug section of the hold: its name with a closing zero, and its content with the header of the compression.
fn debug_sections() -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
    const NAME_BYTES: usize = 24;
    hold_entries(HOLD_DEBUG_SECTION).filter_map(|entry| {
        let (name, content) = entry.split_at_checked(NAME_BYTES)?;
        let end = name.iter().position(|&byte| byte == 0)?;
        Some((&name[..=end], content))
    })
}

struct Section {
    name_at: usize,
    kind: usize,
    flags: u64,
    offset: usize,
    len_bytes: usize,
    link: usize,
    first_global: usize,
    entry_bytes: usize,
}

impl Section {
    fn write(&self, file: &mut Vec<u8>) {
        put(
            file,
            &[(self.name_at | self.kind << 32) as u64, self.flags, 0],
        );
        put(file, &[self.offset as u64, self.len_bytes as u64]);
        let info = (self.link | self.first_global << 32) as u64;
        put(file, &[info, 1, self.entry_bytes as u64]);
    }
}

fn put(file: &mut Vec<u8>, words: &[u64]) {
    words
        .iter()
        .for_each(|word| file.extend(word.to_le_bytes()));
}

/// The file. `None` where there are no names, or no memory for it.
pub fn program_file() -> Option<Vec<u8>> {
    let symbols = Symbols::find()?;
    let sections = 3 + debug_sections().count();
    let table_at = HEADER_BYTES + sections * SECTION_BYTES;
    let table_bytes = (1 + symbols.count) * SYMBOL_BYTES;
    let mut name = [0; MAX_NAME_BYTES];
    let section_names_bytes = debug_sections().fold(FIRST_NAMES.len(), |sum, (n, _)| sum + n.len());
    let names_bytes = (0..symbols.count).try_fold(section_names_bytes, |sum, function| {
        Some(sum + symbols.name(function, &mut name)?.len() + 1)
    })?;
    let names_at = table_at + table_bytes;
    let debug_at = names_at + names_bytes;
    let debug_bytes: usize = debug_sections().map(|(_, content)| content.len()).sum();
    let mut file = Vec::new();
    file.try_reserve_exact(debug_at + debug_bytes).ok()?;
    // An executable (2) for x86-64 (62), 64 bits, little-endian, version 1.
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0");
    put(&mut file, &[0, 0, HEADER_BYTES as u64]);
    file.extend(0_u32.to_le_bytes());
    for half in [HEADER_BYTES, 0, 0, SECTION_BYTES, sections, NAMES_INDEX] {
        file.extend((half as u16).to_le_bytes());
    }
    write_sections(&mut file, (table_at, table_bytes), (names_at, names_bytes));
    put(&mut file, &[0, 0, 0]);
    let mut name_at = section_names_bytes;
    for function in 0..symbols.count {
        let address = symbols.address(function)?;
        file.extend((name_at as u32).to_le_bytes());
        file.extend([FUNCTION, 0]);
        file.extend(ABSOLUTE.to_le_bytes());
        let len_bytes = symbols.address(function + 1)?.checked_sub(address)?;
        put(&mut file, &[address as u64, len_bytes as u64]);
        name_at += symbols.name(function, &mut name)?.len() + 1;
    }
    file.extend(FIRST_NAMES);
    debug_sections().for_each(|(name, _)| file.extend(name));
    for function in 0..symbols.count {
        file.extend(symbols.name(function, &mut name)?.as_bytes());
        file.push(0);
    }
    debug_sections().for_each(|(_, content)| file.extend(content));
    Some(file)
}

/// The headers of the sections, for which the symbol table and the names are where they are told; the debug sections follow.
fn write_sections(file: &mut Vec<u8>, table: (usize, usize), names: (usize, usize)) {
    let section = |name_at, kind, (offset, len_bytes)| Section {
        name_at,
        kind,
        flags: 0,
        offset,
        len_bytes,
        link: 0,
        first_global: 0,
        entry_bytes: 0,
    };
    section(0, 0, (0, 0)).write(file);
    Section {
        link: NAMES_INDEX,
        first_global: 1,
        entry_bytes: SYMBOL_BYTES,
        ..section(1, SYMTAB, table)
    }
    .write(file);
    section(9, STRTAB, names).write(file);
    let mut name_at = FIRST_NAMES.len();
    let mut offset = names.0 + names.1;
    for (name, content) in debug_sections() {
        Section {
            flags: COMPRESSED,
            ..section(name_at, PROGBITS, (offset, content.len()))
        }
        .write(file);
        name_at += name.len();
        offset += content.len();
    }
}
