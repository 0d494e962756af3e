//! From the firmware to the kernel: ends boot services, copies the segments to their places, leaves long mode and jumps to the
//! entry in the PVH start state (Xen, docs/misc/pvh.pandoc; xen/include/public/arch-x86/hvm/start_info.h, version 1).
//!
//! The last steps run from a copy of the code below, on page tables and a stack that lie outside of the image: where it goes,
//! the firmware's own may lie.

use core::arch::{asm, global_asm};
use core::convert::Infallible;
use core::mem::offset_of;

use crate::Failure;
use crate::efi::{Firmware, PAGE_BYTES, Purpose, Screen};
use crate::elf::{Elf, MOST_SEGMENTS};
use crate::memory_map::{self, MOST_RANGES, Range};

/// The kernel maps so much when it starts: what it reads of ours lies below.
const HIGHEST: u64 = (1 << 30) - 1;
/// Bytes for the firmware's memory map, and how often it may change under our hands.
const MAP_PAGES: usize = 32;
const TRIES: usize = 8;
/// Longest command line with its end.
const COMMAND_LINE_BYTES: usize = 4096;
/// Page tables of the first 4 GiB in pages of 2 MiB, for processors with four levels and with five.
const TABLES: usize = 7;
const PRESENT_WRITABLE: u64 = 3;
const LARGE: u64 = 0x80;

/// `hvm_start_info`.
#[repr(C)]
#[derive(Default)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_count: u32,
    reserved: u32,
}

/// `hvm_modlist_entry`.
#[repr(C)]
#[derive(Default)]
struct Module {
    content: u64,
    len_bytes: u64,
    command_line: u64,
    reserved: u64,
}

/// The screen, as Multiboot 2 tells of one: the content of the module that is called [`FRAMEBUFFER_NAME`].
#[repr(C)]
#[derive(Default)]
struct Framebuffer {
    base: u64,
    pitch_bytes: u32,
    width: u32,
    height: u32,
    bits_per_pixel: u8,
    /// 1: a pixel has its colours as bits.
    kind: u8,
    reserved: u16,
    /// The lowest bit and how many there are, for red, green and blue.
    colours: [[u8; 2]; 3],
    padding: u16,
}

/// How the kernel knows the module (ARCHITECTURE.md, "From a loader to the kernel"), with its end.
const FRAMEBUFFER_NAME: [u8; 24] = *b"toro-framebuffer\0\0\0\0\0\0\0\0";

/// A piece of memory to be made.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Copy {
    from: u64,
    to: u64,
    len_bytes: u64,
    zeros: u64,
}

/// All that outlives the loader, in one run of pages.
#[repr(C, align(4096))]
struct Handover {
    tables: [[u64; 512]; TABLES],
    code: [u8; PAGE_BYTES],
    stack: [u64; 512],
    command_line: [u8; COMMAND_LINE_BYTES],
    ranges: [Range; MOST_RANGES],
    start_info: StartInfo,
    module: Module,
    framebuffer: Framebuffer,
    framebuffer_name: [u8; 24],
    copies: [Copy; MOST_SEGMENTS],
    copy_count: u64,
    entry: u64,
    gdt: [u64; 4],
    /// Limit and base, as `lgdt` wants them.
    gdt_pointer: [u16; 5],
}

unsafe extern "C" {
    /// The code below, from its first byte to behind its last.
    static handover_code: [u8; 0];
    static handover_code_end: [u8; 0];
}

global_asm!(
    r#"
    .section .text.handover, "ax"
    .code64
    .global handover_code, handover_code_end
    # In: r8 = Handover, interrupts off.
handover_code:
    cld
    lea rsp, [r8 + {STACK} + 4096]
    # Only PAE stays, and the fifth level where it is on; all else could forbid what follows.
    mov rax, cr4
    and eax, 0x1020
    mov cr4, rax
    lea rcx, [r8 + {TABLES} + 4096]
    test eax, 0x1000
    jz 1f
    lea rcx, [r8 + {TABLES}]
1:  mov cr3, rcx

    lea rdx, [r8 + {COPIES}]
    mov r9, [r8 + {COPY_COUNT}]
2:  test r9, r9
    jz 3f
    mov rsi, [rdx]
    mov rdi, [rdx + 8]
    mov rcx, [rdx + 16]
    rep movsb
    mov rcx, [rdx + 24]
    xor eax, eax
    rep stosb
    add rdx, 32
    dec r9
    jmp 2b

3:  lea rbx, [r8 + {START_INFO}]
    mov esi, [r8 + {ENTRY}]
    lgdt [r8 + {GDT_POINTER}]
    lea rax, [rip + 4f]
    push 8
    push rax
    retfq

    .code32
4:  mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    # Paging off (only PE, and ET, which is fixed), then long mode, then CR4; a task state segment.
    mov eax, 0x11
    mov cr0, eax
    mov ecx, 0xC0000080
    xor eax, eax
    xor edx, edx
    wrmsr
    mov cr4, eax
    mov eax, 24
    ltr ax
    # EAX, which PVH leaves open, says who starts the kernel ("TORO").
    mov eax, 0x4F524F54
    jmp esi
handover_code_end:
    .code64
    .text
    "#,
    STACK = const offset_of!(Handover, stack),
    TABLES = const offset_of!(Handover, tables),
    COPIES = const offset_of!(Handover, copies),
    COPY_COUNT = const offset_of!(Handover, copy_count),
    START_INFO = const offset_of!(Handover, start_info),
    ENTRY = const offset_of!(Handover, entry),
    GDT_POINTER = const offset_of!(Handover, gdt_pointer),
);

/// Starts the kernel; returns only what kept it from that.
pub(crate) fn start(
    firmware: &Firmware,
    elf: &Elf<'_>,
    command_line: &[u8],
) -> Result<Infallible, Failure> {
    let map_buffer = firmware.pages(MAP_PAGES, Purpose::Data, u64::MAX)?;
    let pages = size_of::<Handover>() / PAGE_BYTES;
    let memory = firmware.pages(pages, Purpose::Code, HIGHEST)?;
    let place = memory.as_mut_ptr() as u64;
    let image = elf.range();
    // What is copied must not be overwritten before. (`disk` has put it below 4 GiB, where our tables end.)
    let is_apart = |start: u64, len: u64| start >= image.end || start + len <= image.start;
    let are_apart = elf.segments().all(|segment| {
        is_apart(
            segment.content.as_ptr() as u64,
            segment.content.len() as u64,
        )
    });
    if !are_apart || !is_apart(place, memory.len() as u64) {
        return Err(Failure::Memory(image.start, image.end));
    }
    // SAFETY: the pages are as long and as aligned as a `Handover`, ours for ever, and zeros are a value of all of its fields.
    let handover = unsafe { &mut *memory.as_mut_ptr().cast::<Handover>() };
    handover.prepare(place, elf, command_line);
    handover.start_info.rsdp = firmware.rsdp_phys();
    if let Some(screen) = firmware.screen() {
        handover.add_screen(place, &screen);
    }

    for attempt in 1.. {
        let map = firmware.memory_map(map_buffer)?;
        let bytes = map_buffer.get(..map.len_bytes).unwrap_or_default();
        if !memory_map::can_hold(bytes, map.stride_bytes, image.start, image.end) {
            return Err(Failure::Memory(image.start, image.end));
        }
        let count = memory_map::ranges(bytes, map.stride_bytes, &mut handover.ranges);
        handover.start_info.memory_map_count = count as u32;
        match firmware.leave(&map) {
            Ok(()) => break,
            // The map has changed since it was read.
            Err(failure) if attempt == TRIES => return Err(failure),
            Err(_) => {}
        }
    }
    // SAFETY: boot services have ended; the code is the one above, copied to its place, and gets what it wants.
    unsafe {
        asm!("cli", "jmp {code}", code = in(reg) handover.code.as_ptr(), in("r8") place,
            options(noreturn));
    }
}

impl Handover {
    /// Hands the screen over, as a module; `place` is as for [`Self::prepare`], after which this is called.
    fn add_screen(&mut self, place: u64, screen: &Screen) {
        let at = |offset: usize| place + offset as u64;
        self.framebuffer = Framebuffer {
            base: screen.base,
            pitch_bytes: screen.pitch_bytes,
            width: screen.width,
            height: screen.height,
            bits_per_pixel: 32,
            kind: 1,
            colours: screen.shifts.map(|shift| [shift, 8]),
            ..Framebuffer::default()
        };
        self.framebuffer_name = FRAMEBUFFER_NAME;
        self.module = Module {
            content: at(offset_of!(Self, framebuffer)),
            len_bytes: size_of::<Framebuffer>() as u64,
            command_line: at(offset_of!(Self, framebuffer_name)),
            reserved: 0,
        };
        self.start_info.module_count = 1;
        self.start_info.modules = at(offset_of!(Self, module));
    }

    /// Fills in all but what the firmware tells at the very end; `place` is its own physical address.
    fn prepare(&mut self, place: u64, elf: &Elf<'_>, command_line: &[u8]) {
        let at = |offset: usize| place + offset as u64;
        let table = |index: usize| at(offset_of!(Self, tables) + index * PAGE_BYTES);
        self.tables[0][0] = table(1) | PRESENT_WRITABLE;
        self.tables[1][0] = table(2) | PRESENT_WRITABLE;
        for gib in 0..4 {
            self.tables[2][gib] = table(3 + gib) | PRESENT_WRITABLE;
            for (index, entry) in self.tables[3 + gib].iter_mut().enumerate() {
                *entry = ((gib * 512 + index) as u64) << 21 | LARGE | PRESENT_WRITABLE;
            }
        }
        // SAFETY: both are symbols of the code above, in this order.
        let code = unsafe {
            let start = (&raw const handover_code).cast::<u8>();
            let end = (&raw const handover_code_end).cast::<u8>();
            core::slice::from_raw_parts(start, end.offset_from_unsigned(start))
        };
        self.code[..code.len()].copy_from_slice(code);
        // The last byte stays 0, the end.
        let len = command_line.len().min(COMMAND_LINE_BYTES - 1);
        self.command_line[..len].copy_from_slice(&command_line[..len]);
        for (copy, segment) in self.copies.iter_mut().zip(elf.segments()) {
            *copy = Copy {
                from: segment.content.as_ptr() as u64,
                to: segment.start,
                len_bytes: segment.content.len() as u64,
                zeros: segment.zeros,
            };
            self.copy_count += 1;
        }
        self.entry = u64::from(elf.entry);
        // Flat code and data of 32 bits, and a task state segment at 0.
        self.gdt = [
            0,
            0x00CF_9A00_0000_FFFF,
            0x00CF_9200_0000_FFFF,
            0x0000_8900_0000_0067,
        ];
        let base = at(offset_of!(Self, gdt)).to_le_bytes();
        self.gdt_pointer[0] = size_of_val(&self.gdt) as u16 - 1;
        for (part, bytes) in self.gdt_pointer[1..].iter_mut().zip(base.chunks_exact(2)) {
            *part = u16::from_le_bytes([bytes[0], bytes[1]]);
        }
        self.start_info = StartInfo {
            magic: 0x336e_c578,
            version: 1,
            command_line: at(offset_of!(Self, command_line)),
            memory_map: at(offset_of!(Self, ranges)),
            ..StartInfo::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{Framebuffer, Module};
    use core::mem::offset_of;

    #[test]
    fn what_the_kernel_reads_is_where_it_looks() {
        assert_eq!(offset_of!(Framebuffer, kind), 21);
        assert_eq!(offset_of!(Framebuffer, colours), 24);
        assert_eq!(offset_of!(Module, command_line), 16);
        assert_eq!(size_of::<Module>(), 32);
    }
}
