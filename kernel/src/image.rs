//! The image in memory: what the linker script and the ELF headers say of it, and the hold (see ARCHITECTURE.md).

mod program_file;

use crate::memory::ImageLayout;
use crate::memory::paging::{AREAS_END, AREAS_START};

pub use program_file::program_file;

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
const HOLD_DEBUG_SECTION: u32 = 5;

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

/// Whether an address is in code of the program: in the image, or where code may be that it made itself, for the kernel makes none.
pub fn is_program_code(address: usize) -> bool {
    program_code().contains(&address) || (AREAS_START..AREAS_END).contains(&address)
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
        let (head, after) = rest.split_first_chunk::<16>()?;
        let (words, _) = head.as_chunks();
        let &[kind, len] = words else { return None };
        let len = usize::try_from(u64::from_le_bytes(len)).ok()?;
        let content = after.get(..len)?;
        rest = after.get(len.next_multiple_of(8)..).unwrap_or_default();
        Some((u64::from_le_bytes(kind) as u32, content))
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
pub fn default_command_line() -> &'static [u8] {
    hold_entry(HOLD_COMMAND_LINE).unwrap_or_default()
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
        let pairs_start = 4 * (first_group + self.count.div_ceil(NAME_GROUP));
        let pairs = self.table.get(pairs_start..)?.first_chunk()?;
        let names_start = pairs_start + size_of::<Pairs>();
        let mut at = names_start + self.number(first_group + function / NAME_GROUP)?;
        let mut len = 0;
        for _ in 0..=function % NAME_GROUP {
            let [shared, rest] = read(self.table, at)?.map(usize::from);
            let bytes = self.table.get(at + 2..at + 2 + rest)?;
            len = shared;
            for &byte in bytes {
                expand(byte, pairs, MAX_DEPTH, name, &mut len)?;
            }
            at += 2 + rest;
        }
        core::str::from_utf8(name.get(..len)?).ok()
    }
}

/// What each byte of a name stands for: two bytes each.
type Pairs = [u8; 512];
/// Pairs within pairs.
const MAX_DEPTH: u32 = 16;

/// Adds what a byte stands for to the first `len` bytes of a name; `None` when there is no room, or pairs lie too deep in others.
fn expand(
    byte: u8,
    pairs: &Pairs,
    depth: u32,
    name: &mut [u8; MAX_NAME_BYTES],
    len: &mut usize,
) -> Option<()> {
    let [first, second] = read(pairs, 2 * usize::from(byte))?;
    if first == byte {
        *name.get_mut(*len)? = byte;
        *len += 1;
        return Some(());
    }
    let depth = depth.checked_sub(1)?;
    expand(first, pairs, depth, name, len)?;
    expand(second, pairs, depth, name, len)
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
