//! The image in memory: what the linker script and the ELF headers say of it, and the hold (see ARCHITECTURE.md).

use alloc::vec::Vec;

use crate::memory::ImageLayout;

unsafe extern "C" {
    static __ehdr_start: ElfHeader;
    static toro_text_start: u8;
    static toro_program_start: u8;
    static toro_program_end: u8;
    static toro_data_start: u8;
    static toro_hold: HoldHeader;
}

/// ELF64 header, as far as it is used (System V ABI, chapter 4).
#[repr(C)]
struct ElfHeader {
    identification: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    program_header_offset: u64,
    section_header_offset: u64,
    flags: u32,
    header_bytes: u16,
    program_header_bytes: u16,
    program_header_count: u16,
}

/// ELF64 program header.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProgramHeader {
    /// Type.
    pub kind: u32,
    /// Rights.
    pub flags: u32,
    /// Offset in the file.
    pub offset: u64,
    /// Address.
    pub virt: u64,
    /// Physical address.
    pub phys: u64,
    /// Bytes in the file.
    pub file_bytes: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Alignment.
    pub align: u64,
}

#[repr(C)]
struct HoldHeader {
    magic: [u8; 8],
    len_bytes: u64,
}

const PT_TLS: u32 = 7;
const HOLD_SYMBOLS: u32 = 1;
const HOLD_COMMAND_LINE: u32 = 2;
const HOLD_OBJECT: u32 = 3;
const HOLD_FOLDER: u32 = 4;

/// The program headers.
pub fn program_headers() -> &'static [ProgramHeader] {
    // SAFETY: the linker script puts header and program headers at the image's start; the tool that wrote them is trusted as the code is.
    unsafe {
        let header = &raw const __ehdr_start;
        let first = header
            .cast::<u8>()
            .add((*header).program_header_offset as usize);
        core::slice::from_raw_parts(first.cast(), usize::from((*header).program_header_count))
    }
}

/// The initial content of thread-local storage, its size in memory and its alignment.
pub fn tls_template() -> (&'static [u8], usize, usize) {
    let Some(header) = program_headers().iter().find(|h| h.kind == PT_TLS) else {
        return (&[], 0, 1);
    };
    // SAFETY: the segment is part of the image; only the copies of it are written.
    let content = unsafe {
        core::slice::from_raw_parts(header.virt as *const u8, header.file_bytes as usize)
    };
    (
        content,
        header.memory_bytes as usize,
        (header.align as usize).max(1),
    )
}

/// Where the image's segments lie.
pub fn layout() -> ImageLayout {
    let hold = (&raw const toro_hold) as usize;
    ImageLayout {
        start: (&raw const __ehdr_start) as usize,
        text: (&raw const toro_text_start) as usize,
        data: (&raw const toro_data_start) as usize,
        hold,
        end: (hold + hold_bytes().len()).next_multiple_of(4096),
    }
}

/// Whether an address is in the code.
pub fn is_code(address: usize) -> bool {
    let layout = layout();
    (layout.text..layout.data).contains(&address)
}

/// The program's own code, without the kernel's.
pub fn program_code() -> core::ops::Range<usize> {
    (&raw const toro_program_start) as usize..(&raw const toro_program_end) as usize
}

/// The hold, with its header.
fn hold_bytes() -> &'static [u8] {
    // SAFETY: the linker script reserves the header; the tool wrote as many bytes as it says.
    unsafe {
        let header = &raw const toro_hold;
        core::slice::from_raw_parts(header.cast(), (*header).len_bytes as usize)
    }
}

fn read<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// The contents of all entries of one kind in the hold.
fn hold_entries(wanted: u32) -> impl Iterator<Item = &'static [u8]> {
    let mut rest = hold_bytes().get(16..).unwrap_or_default();
    let all = core::iter::from_fn(move || {
        let kind = u32::from_le_bytes(read(rest, 0)?);
        let len = usize::try_from(u64::from_le_bytes(read(rest, 8)?)).ok()?;
        let content = rest.get(16..len.checked_add(16)?)?;
        let next = len.checked_next_multiple_of(8)?.checked_add(16)?;
        rest = rest.get(next..).unwrap_or_default();
        Some((kind, content))
    });
    all.filter_map(move |(kind, content)| (kind == wanted).then_some(content))
}

fn hold_entry(wanted: u32) -> Option<&'static [u8]> {
    hold_entries(wanted).next()
}

/// Files that the tool put into the image, in byte order of path: entries of kind 3.
pub fn embedded_objects() -> impl Iterator<Item = &'static [u8]> {
    hold_entries(HOLD_OBJECT)
}

/// Where folders of them are to be seen: absolute paths.
pub fn embedded_folders() -> impl Iterator<Item = &'static str> {
    hold_entries(HOLD_FOLDER).filter_map(|path| core::str::from_utf8(path).ok())
}

/// The command line that the tool put into the image.
pub fn default_command_line() -> &'static str {
    hold_entry(HOLD_COMMAND_LINE)
        .and_then(|bytes| core::str::from_utf8(bytes).ok())
        .unwrap_or("")
}

/// Bytes that the longest name of the table needs at most.
pub const MAX_NAME_BYTES: usize = 256;
/// Names of so many functions follow each other as differences.
const NAME_GROUP: usize = 16;

/// The table of functions (ARCHITECTURE.md, "The hold").
struct Symbols {
    table: &'static [u8],
    count: usize,
}

impl Symbols {
    fn find() -> Option<Self> {
        let table = hold_entry(HOLD_SYMBOLS)?;
        let count = u32::from_le_bytes(read(table, 0)?) as usize;
        Some(Self { table, count })
    }

    fn number(&self, index: usize) -> Option<usize> {
        read(self.table, index.checked_mul(4)?).map(|n| u32::from_le_bytes(n) as usize)
    }

    /// Address of a function, by its place in the table; behind the last one, where that ends.
    fn address(&self, function: usize) -> Option<usize> {
        self.number(1 + function)
    }

    /// Of the functions sorted by address, the first beyond one.
    fn first_beyond(&self, address: usize) -> Option<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.address(middle)? <= address {
                low = middle + 1
            } else {
                high = middle
            }
        }
        Some(low)
    }

    /// Puts together the name of a function.
    fn name<'a>(&self, function: usize, name: &'a mut [u8; MAX_NAME_BYTES]) -> Option<&'a str> {
        let first_group = 2 + self.count;
        let names_start = 4 * (first_group + self.count.div_ceil(NAME_GROUP));
        let mut at = names_start + self.number(first_group + function / NAME_GROUP)?;
        let mut len = 0;
        for _ in 0..=function % NAME_GROUP {
            let [shared, rest] = read(self.table, at)?.map(usize::from);
            let bytes = self.table.get(at + 2..at + 2 + rest)?;
            len = shared + rest;
            name.get_mut(shared..len)?.copy_from_slice(bytes);
            at += 2 + rest;
        }
        core::str::from_utf8(name.get(..len)?).ok()
    }
}

/// The function that contains an address: its name, put together in `name`, and the distance from its start. Needs no memory.
pub fn symbol(address: usize, name: &mut [u8; MAX_NAME_BYTES]) -> Option<(&str, usize)> {
    let symbols = Symbols::find()?;
    let beyond = symbols.first_beyond(address)?;
    let function = beyond.checked_sub(1)?;
    if beyond == symbols.count && address >= symbols.address(beyond)? {
        return None;
    }
    let start = symbols.address(function)?;
    Some((symbols.name(function, name)?, address - start))
}

/// The functions as an ELF file (System V ABI, chapter 4) with a symbol table and nothing else, for who looks them up in the file of the
/// program, as std does for backtraces. `None` where there are no names, or no memory for it.
pub fn symbol_file() -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 64;
    const SECTION_BYTES: usize = 64;
    const SECTIONS: usize = 3;
    const SYMBOL_BYTES: usize = 24;
    const SECTION_NAMES: &[u8] = b"\0.symtab\0.strtab\0";
    const FUNCTION: u8 = 0x12;
    const ABSOLUTE: u16 = 0xFFF1;
    let symbols = Symbols::find()?;
    let table = HEADER_BYTES + SECTIONS * SECTION_BYTES;
    let table_bytes = (1 + symbols.count) * SYMBOL_BYTES;
    let mut name = [0; MAX_NAME_BYTES];
    let name_bytes = |name: &mut [u8; MAX_NAME_BYTES], function| {
        symbols.name(function, name).map(|name| name.len() + 1)
    };
    let names_bytes = (0..symbols.count).try_fold(SECTION_NAMES.len(), |sum, function| {
        Some(sum + name_bytes(&mut name, function)?)
    })?;
    let mut file = Vec::new();
    file.try_reserve_exact(table + table_bytes + names_bytes)
        .ok()?;
    // An executable (2) for x86-64 (62), 64 bits, little-endian, version 1.
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0");
    let put = |file: &mut Vec<u8>, words: &[u64]| {
        words
            .iter()
            .for_each(|word| file.extend(word.to_le_bytes()));
    };
    put(&mut file, &[0, 0, HEADER_BYTES as u64]);
    file.extend(0_u32.to_le_bytes());
    for half in [HEADER_BYTES, 0, 0, SECTION_BYTES, SECTIONS, 2] {
        file.extend((half as u16).to_le_bytes());
    }
    let sections = [
        // Name, kind, offset, length, link, first global symbol, length of an entry.
        [0, 0, 0, 0, 0, 0, 0],
        [1, 2, table, table_bytes, 2, 1, SYMBOL_BYTES],
        [9, 3, table + table_bytes, names_bytes, 0, 0, 0],
    ];
    for [name, kind, offset, len_bytes, link, info, entry_bytes] in sections {
        put(&mut file, &[(name | kind << 32) as u64, 0, 0]);
        put(&mut file, &[offset as u64, len_bytes as u64]);
        put(
            &mut file,
            &[(link | info << 32) as u64, 1, entry_bytes as u64],
        );
    }
    put(&mut file, &[0, 0, 0]);
    let mut name_at = SECTION_NAMES.len();
    for function in 0..symbols.count {
        let address = symbols.address(function)?;
        file.extend((name_at as u32).to_le_bytes());
        file.extend([FUNCTION, 0]);
        file.extend(ABSOLUTE.to_le_bytes());
        let len_bytes = symbols.address(function + 1)?.checked_sub(address)?;
        put(&mut file, &[address as u64, len_bytes as u64]);
        name_at += name_bytes(&mut name, function)?;
    }
    file.extend(SECTION_NAMES);
    for function in 0..symbols.count {
        file.extend(symbols.name(function, &mut name)?.as_bytes());
        file.push(0);
    }
    Some(file)
}

/// The function of the program (not of the kernel) with a name. Looks at all their names.
pub fn program_function(wanted: &str) -> Option<usize> {
    let symbols = Symbols::find()?;
    let code = program_code();
    let mut name = [0; MAX_NAME_BYTES];
    let functions = symbols.first_beyond(code.start.checked_sub(1)?)?..symbols.count;
    functions
        .take_while(|&function| symbols.address(function).is_some_and(|at| at < code.end))
        .find(|&function| symbols.name(function, &mut name) == Some(wanted))
        .and_then(|function| symbols.address(function))
}
