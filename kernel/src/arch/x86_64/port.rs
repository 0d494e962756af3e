//! I/O ports (Intel SDM volume 1, chapter 19).
//!
//! Ports are not memory: reading or writing one cannot break Rust's memory rules by itself. A device told to do DMA can,
//! and so drivers hand out only addresses of [`crate::memory::dma::DmaBuffer`].

use core::arch::asm;

/// Reads a byte from an I/O port.
#[inline]
pub fn read8(port: u16) -> u8 {
    let value: u8;
    // SAFETY: `in` touches no memory; see the module's text on DMA.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags)) };
    value
}

/// Writes a byte to an I/O port.
#[inline]
pub fn write8(port: u16, value: u8) {
    // SAFETY: `out` touches no memory; see the module's text on DMA.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) };
}

/// Reads a word from an I/O port.
#[inline]
pub fn read16(port: u16) -> u16 {
    let value: u16;
    // SAFETY: `in` touches no memory; see the module's text on DMA.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nostack, preserves_flags)) };
    value
}

/// Writes a word to an I/O port.
#[inline]
pub fn write16(port: u16, value: u16) {
    // SAFETY: `out` touches no memory; see the module's text on DMA.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nostack, preserves_flags)) };
}

/// Reads a dword from an I/O port.
#[inline]
pub fn read32(port: u16) -> u32 {
    let value: u32;
    // SAFETY: `in` touches no memory; see the module's text on DMA.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags))
    };
    value
}

/// Writes a dword to an I/O port.
#[inline]
pub fn write32(port: u16, value: u32) {
    // SAFETY: `out` touches no memory; see the module's text on DMA.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags))
    };
}

/// Reads 16-bit words from a port until `words` is full (`rep insw`).
pub fn read16_into(port: u16, words: &mut [u16]) {
    // SAFETY: `rdi` and `rcx` describe exactly the slice, which is borrowed mutably.
    unsafe {
        asm!("rep insw", in("dx") port, inout("rdi") words.as_mut_ptr() => _, inout("rcx") words.len() => _,
            options(nostack, preserves_flags));
    }
}

/// Writes all of `words` to a port (`rep outsw`).
pub fn write16_from(port: u16, words: &[u16]) {
    // SAFETY: `rsi` and `rcx` describe exactly the slice, which is only read.
    unsafe {
        asm!("rep outsw", in("dx") port, inout("rsi") words.as_ptr() => _, inout("rcx") words.len() => _,
            options(nostack, preserves_flags));
    }
}
