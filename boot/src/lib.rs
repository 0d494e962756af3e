//! The BIOS boot loader of Toro images: reads a boot disk (ARCHITECTURE.md, "The boot disk") by the
//! BIOS and starts the ELF on it in the PVH start state.
//!
//! All of it is assembly, because code for x86-64 can't run in the modes a BIOS knows. The boot
//! sector (`mbr`) reads the second stage. That (`start`) opens the A20 line (`a20`), asks for the
//! memory map (`memory_map`) and goes to 32-bit protected mode, where the rest runs: it reads the
//! disk (`disk`, `header`), loads the ELF (`elf`), finds its entry and jumps there (`pvh`). For
//! every call of the BIOS `mode` goes to real mode and back; what is read goes through a bounce
//! buffer below 1 MiB. `console` says what went wrong, on the screen and on COM1, and halts.
//!
//! What a BIOS reads word by word or in small pieces is read without it where that can be (`direct`): an ATA disk at its usual ports
//! by DMA (`ata`), a virtio disk by its queue (`virtio`). The BIOS reads all else.
//!
//! No FPU, MMX or SSE, no unreal mode, no assumption about the boot drive but the number in DL.
//! The header is checked by its CRC; the ELF's CRC is for tools: it would cost the guest several
//! instructions a byte, more than everything else here.
//!
//! # Memory
//!
//! | address | content |
//! |---|---|
//! | `0x2000` | boot header and command line (8 sectors), a NUL behind it |
//! | `0x3200` | ELF header and program headers (4096 bytes) |
//! | `0x4400` | memory map, 128 entries of `hvm_memmap_table_entry` |
//! | `0x5000` | `hvm_start_info` |
//! | below `0x7c00` | stack |
//! | `0x7c00` | boot sector |
//! | `0x7e00` to `0xfa00` at most | second stage with its variables |
//! | `0x10000` | bounce buffer, 127 sectors: does not cross 64 KiB; more some BIOSes refuse |
//! | `0x20000` | notes of the ELF (4096 bytes) |
//! | `0x28000` to `0x30000` at most | queue of a virtio disk |
//! | from `0x100000` | the ELF's segments |
//!
//! # Conventions
//!
//! Routines whose names end in `16` run in real mode with all segments 0, the others in protected
//! mode with flat segments. Labels begin with the name of their routine. LLVM's Intel syntax has no
//! far jump, so those are written as bytes (opcode `0xea`); its calls and returns in real mode have
//! 32-bit return addresses.
#![no_std]

mod a20;
mod ata;
mod console;
mod direct;
mod disk;
mod elf;
mod header;
mod layout;
mod mbr;
mod memory_map;
mod mode;
mod pvh;
mod start;
mod virtio;

#[cfg(panic = "abort")]
mod panic {
    /// A static library (only that is built with `panic = "abort"`) must have a panic handler; the
    /// loader has no Rust code that could panic, and the linker drops this.
    #[panic_handler]
    fn never(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}
