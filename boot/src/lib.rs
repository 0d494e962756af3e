//! The BIOS boot loader of Toro images.
#![cfg_attr(not(test), no_std)]

#[cfg(not(test))]
mod panic {
    /// A static library must have a panic handler; the loader holds no Rust code that could panic,
    /// and the linker drops this.
    #[panic_handler]
    fn never(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}

core::arch::global_asm!(
    ".section .boot.sector, \"ax\"",
    ".code16",
    ".global boot_sector",
    "boot_sector: hlt",
    "jmp boot_sector",
    ".org 510",
    ".word 0xaa55",
    ".section .boot.stage2, \"ax\"",
    "stage2: hlt",
    "jmp stage2",
);
