//! The symbol table of an image: names of functions for backtraces, and where the hold is.
//!
//! Reads the symbol table of the linked ELF with `object`, demangles with `rustc-demangle`.

use object::elf::{FileHeader64, STT_FUNC};
use object::read::elf::{FileHeader as _, Sym as _};
use object::{LittleEndian, SectionIndex};

use super::elf::Elf;
use super::{ImageError, pairs};

/// The symbol that the linker script defines at the hold.
const HOLD_SYMBOL: &[u8] = b"toro_hold";

/// Longest name that is kept, in characters: generic ones grow to hundreds, and a backtrace is read by their ends.
const MAX_NAME_CHARS: usize = 44;

/// So many names share a start: each is written as what it has in common with the one before, and the rest, shortened by `pairs`.
const GROUP: usize = 16;

/// Cuts the middle out of a name that is too long.
fn shorten(name: String) -> String {
    let count = name.chars().count();
    // std looks for these in its backtraces, to leave out what is around the program.
    const MARKER: &str = "_short_backtrace";
    if let Some(at) = name.find(MARKER).filter(|&at| at < 100) {
        return name[..at + MARKER.len()].to_owned();
    }
    if count <= MAX_NAME_CHARS {
        return name;
    }
    let kept = (MAX_NAME_CHARS - 1) / 2;
    let head: String = name.chars().take(kept).collect();
    let tail: String = name.chars().skip(count - kept).collect();
    format!("{head}…{tail}")
}

/// A function of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    /// Of its first byte.
    pub(crate) address: u64,
    /// Behind its last byte.
    pub(crate) end: u64,
    /// Demangled, without the hash.
    pub(crate) name: String,
}

/// The functions of an image, sorted by address, one per address.
pub(super) struct Functions {
    functions: Vec<Function>,
    hold: Option<u64>,
}

impl Functions {
    /// Reads the symbol table of the linked `file`, whose segments are `elf`'s.
    pub(super) fn read(file: &[u8], elf: &Elf) -> Result<Self, ImageError> {
        let outside = |_| ImageError::Outside("the symbol table");
        let endian = LittleEndian;
        let header = FileHeader64::<LittleEndian>::parse(file).map_err(outside)?;
        let sections = header.sections(endian, file).map_err(outside)?;
        let symbols = sections
            .symbols(endian, file, object::elf::SHT_SYMTAB)
            .map_err(outside)?;
        if symbols.section() == SectionIndex(0) {
            return Err(ImageError::Unsuitable("it has no symbol table"));
        }
        let mut found = Self {
            functions: Vec::new(),
            hold: None,
        };
        for symbol in symbols.iter().filter(|symbol| !symbol.is_undefined(endian)) {
            let name = symbol.name(endian, symbols.strings()).map_err(outside)?;
            let address = symbol.st_value(endian);
            if name == HOLD_SYMBOL {
                found.hold = Some(address);
            }
            if symbol.st_type() == STT_FUNC && elf.is_code(address) {
                let end = address.saturating_add(symbol.st_size(endian).max(1));
                let name = String::from_utf8_lossy(name);
                let name = shorten(format!("{:#}", rustc_demangle::demangle(&name)));
                found.functions.push(Function { address, end, name });
            }
        }
        // Of aliases, the first by name stays: the same input gives the same image.
        found
            .functions
            .sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
        found.functions.dedup_by_key(|function| function.address);
        Ok(found)
    }

    /// The functions, sorted by address.
    pub(super) fn into_vec(self) -> Vec<Function> {
        self.functions
    }

    /// Address of `toro_hold`.
    pub(super) fn hold_address(&self) -> Result<u64, ImageError> {
        self.hold
            .ok_or(ImageError::Hold("the ELF has no symbol toro_hold"))
    }

    /// The table as the hold keeps it (kind 1).
    pub(super) fn table(&self) -> Result<Vec<u8>, ImageError> {
        let number = |n: u64| {
            u32::try_from(n)
                .map(u32::to_le_bytes)
                .map_err(|_| ImageError::Unsuitable("its symbols need more than 32 bits"))
        };
        let mut table = number(self.functions.len() as u64)?.to_vec();
        for function in &self.functions {
            table.extend(number(function.address)?);
        }
        let end = self.functions.last().map_or(0, |last| last.end);
        table.extend(number(end)?);
        let (mut shared, mut rests) = (Vec::new(), Vec::new());
        for group in self.functions.chunks(GROUP) {
            let mut before: &[u8] = &[];
            for function in group {
                let name = function.name.as_bytes();
                let count = name.iter().zip(before).take_while(|(a, b)| a == b).count();
                shared.push(count as u8);
                rests.push(name[count..].to_vec());
                before = name;
            }
        }
        let pairs = pairs::shorten(&mut rests);
        let mut names = Vec::new();
        for (index, (shared, rest)) in shared.into_iter().zip(rests).enumerate() {
            if index % GROUP == 0 {
                table.extend(number(names.len() as u64)?);
            }
            // `shorten` keeps names below 256 bytes.
            names.extend([shared, rest.len() as u8]);
            names.extend(rest);
        }
        table.extend(pairs.as_flattened());
        table.extend(names);
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::Elf;
    use super::super::pairs::Pairs;
    use super::super::testing::{Linked, Symbol};
    use super::{Functions, ImageError};

    fn read(linked: &Linked) -> Result<Functions, ImageError> {
        let file = linked.build();
        Functions::read(&file, &Elf::parse(&file).unwrap())
    }

    const PAIRS_BYTES: usize = size_of::<Pairs>();

    fn word(table: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(table[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(
            super::shorten("core::fmt::write".into()),
            "core::fmt::write"
        );
        let marker = "std::sys::backtrace::__rust_begin_short_backtrace";
        assert_eq!(super::shorten(marker.into()), marker);
        assert_eq!(super::shorten(format!("{marker}::<main, !>")), marker);
        let long = super::shorten(format!("start::{}::end", "é".repeat(100)));
        assert_eq!(long.chars().count(), 43);
        assert!(long.starts_with("start::é") && long.ends_with("é::end") && long.contains('…'));
    }

    #[test]
    fn functions_are_sorted_unique_and_demangled() {
        let mut linked = Linked::sample();
        linked.symbols = vec![
            Symbol::hold(0x20_4000),
            Symbol::function("_ZN4core3fmt5write17h0123456789abcdefE", 0x20_1010, 0x20),
            Symbol::function("b_alias", 0x20_1000, 8),
            Symbol::function("a_start", 0x20_1000, 8),
            Symbol {
                is_function: false,
                ..Symbol::function("data", 0x20_1008, 8)
            },
            Symbol {
                is_defined: false,
                ..Symbol::function("elsewhere", 0, 0)
            },
            Symbol::function("not_in_code", 0x20_2000, 8),
        ];
        let table = read(&linked).unwrap().table().unwrap();
        assert_eq!((word(&table, 0), word(&table, 4)), (2, 0x20_1000));
        assert_eq!((word(&table, 8), word(&table, 12)), (0x20_1010, 0x20_1030));
        assert_eq!(word(&table, 16), 0);
        assert_eq!(
            &table[20 + PAIRS_BYTES..],
            b"\x00\x07a_start\x00\x10core::fmt::write"
        );
    }

    #[test]
    fn names_share_their_beginning_within_a_group() {
        let mut linked = Linked::sample();
        linked.symbols = vec![Symbol::hold(0x20_4000)];
        for index in 0..17 {
            linked
                .symbols
                .push(Symbol::function("name_of_all", 0x20_1000 + index, 1));
        }
        let table = read(&linked).unwrap().table().unwrap();
        let groups = 4 + 18 * 4;
        assert_eq!(
            (word(&table, groups), word(&table, groups + 4)),
            (0, 13 + 15 * 2)
        );
        let names = &table[groups + 8 + PAIRS_BYTES..];
        assert_eq!(&names[..15], b"\x00\x0Bname_of_all\x0B\x00");
        assert_eq!(&names[13 + 15 * 2..], b"\x00\x0Bname_of_all");
    }

    #[test]
    fn no_function_at_all_leaves_the_final_address() {
        let mut linked = Linked::sample();
        linked.symbols = vec![Symbol::hold(0x20_4000)];
        let functions = read(&linked).unwrap();
        let table = functions.table().unwrap();
        assert_eq!(table[..8], [0; 8]);
        assert_eq!(table.len(), 8 + PAIRS_BYTES);
        assert_eq!(functions.hold_address(), Ok(0x20_4000));
    }

    #[test]
    fn a_missing_hold_or_symbol_table_is_named() {
        let mut linked = Linked::sample();
        linked.symbols.retain(|symbol| symbol.is_function);
        let missing = ImageError::Hold("the ELF has no symbol toro_hold");
        assert_eq!(read(&linked).unwrap().hold_address(), Err(missing));

        let mut file = Linked::sample().build();
        file[60..62].fill(0);
        file[40..48].fill(0);
        let elf = Elf::parse(&file).unwrap();
        let found = Functions::read(&file, &elf).err();
        assert_eq!(
            found,
            Some(ImageError::Unsuitable("it has no symbol table"))
        );
    }

    #[test]
    fn a_symbol_table_outside_the_file_is_refused() {
        let mut file = Linked::sample().build();
        let elf = Elf::parse(&file).unwrap();
        file[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
        let found = Functions::read(&file, &elf).err();
        assert_eq!(found, Some(ImageError::Outside("the symbol table")));
    }
}
