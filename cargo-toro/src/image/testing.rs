//! Linked ELFs for the tests of this module, written by hand as a linker would.

/// A `PT_LOAD` segment.
pub(super) struct Load {
    pub(super) vaddr: u64,
    pub(super) flags: u32,
    pub(super) memsz: u64,
    pub(super) content: Vec<u8>,
}

/// A symbol; a function in code unless it says otherwise.
pub(super) struct Symbol {
    pub(super) name: &'static str,
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) is_function: bool,
    pub(super) is_defined: bool,
}

impl Symbol {
    pub(super) fn function(name: &'static str, address: u64, size: u64) -> Self {
        Self {
            name,
            address,
            size,
            is_function: true,
            is_defined: true,
        }
    }

    pub(super) fn hold(address: u64) -> Self {
        Self {
            is_function: false,
            ..Self::function("toro_hold", address, 0)
        }
    }
}

/// What `build` makes an ELF of.
pub(super) struct Linked {
    pub(super) entry: u64,
    pub(super) loads: Vec<Load>,
    pub(super) symbols: Vec<Symbol>,
}

impl Linked {
    /// Headers, code, data with bss, and an empty hold; a note in the data.
    pub(super) fn sample() -> Self {
        let load = |vaddr, flags, memsz, content: &[u8]| {
            let content = content.to_vec();
            Load {
                vaddr,
                flags,
                memsz,
                content,
            }
        };
        Self {
            entry: 0x20_1000,
            loads: vec![
                load(0x20_0000, 4, 1024, &[0; 1024]),
                load(0x20_1000, 5, 100, &[0x90; 100]),
                load(0x20_2080, 6, 5000, b"NOTE and data"),
                load(0x20_4000, 4, 16, &[0; 16]),
            ],
            symbols: vec![
                Symbol::function("main", 0x20_1000, 16),
                Symbol::hold(0x20_4000),
            ],
        }
    }

    /// Index of the program header of the note.
    pub(super) fn note_index(&self) -> usize {
        self.loads.len()
    }

    /// The file: headers, segments, symbol table, string table, section headers.
    pub(super) fn build(&self) -> Vec<u8> {
        let mut file = vec![0; 64];
        let mut contents = Vec::new();
        let mut table = Vec::new();
        let mut end = 0;
        for load in &self.loads {
            // As a linker does with large pages: more padding than is needed.
            let offset = end + (load.vaddr.wrapping_sub(end) % 4096);
            let len = load.content.len() as u64;
            let numbers = [offset, load.vaddr, load.vaddr, len, load.memsz, 4096];
            table.push((1_u32, load.flags, numbers));
            contents.push((offset, &load.content));
            end = offset + len + 4096;
        }
        let note = table[2].2;
        table.push((4, 4, [note[0], note[1], note[1], 4, 4, 4]));
        table.push((0x6474_e551, 6, [0; 6]));
        for (kind, flags, numbers) in &table {
            file.extend(kind.to_le_bytes());
            file.extend(flags.to_le_bytes());
            file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        let headers = file.len();
        for (offset, content) in contents {
            let offset = usize::try_from(offset).unwrap();
            let start = if offset == 0 { headers } else { offset };
            file.resize(start, 0);
            file.extend(&content[start - offset..]);
        }

        let mut strings = vec![0];
        let mut symbols = vec![0; 24];
        for symbol in &self.symbols {
            symbols.extend(u32::try_from(strings.len()).unwrap().to_le_bytes());
            strings.extend(symbol.name.bytes().chain([0]));
            // Global; function or no type.
            symbols.extend([0x10 | (u8::from(symbol.is_function) << 1), 0]);
            symbols.extend(u16::from(symbol.is_defined).to_le_bytes());
            symbols.extend(symbol.address.to_le_bytes());
            symbols.extend(symbol.size.to_le_bytes());
        }
        let symbols_at = file.len() as u64;
        file.extend(&symbols);
        let strings_at = file.len() as u64;
        file.extend(&strings);
        let sections_at = file.len() as u64;
        let section = |kind: u32, at: u64, len: usize, link: u32, entry: u64| {
            let mut bytes = [0, kind].map(u32::to_le_bytes).concat();
            bytes.extend([0, 0, at, len as u64].iter().flat_map(|n| n.to_le_bytes()));
            bytes.extend([link, 1].iter().flat_map(|n| n.to_le_bytes()));
            bytes.extend([8, entry].iter().flat_map(|n| n.to_le_bytes()));
            bytes
        };
        file.extend([0; 64]);
        file.extend(section(2, symbols_at, symbols.len(), 2, 24));
        file.extend(section(3, strings_at, strings.len(), 0, 0));

        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16..20].copy_from_slice(&[2, 0, 62, 0]);
        file[20..24].copy_from_slice(&1_u32.to_le_bytes());
        file[24..32].copy_from_slice(&self.entry.to_le_bytes());
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[40..48].copy_from_slice(&sections_at.to_le_bytes());
        let counts = [64, 56, u16::try_from(table.len()).unwrap(), 64, 3, 2];
        for (at, count) in (52..64).step_by(2).zip(counts) {
            file[at..at + 2].copy_from_slice(&count.to_le_bytes());
        }
        file
    }
}
