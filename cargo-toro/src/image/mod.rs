//! From a linked ELF to what boots: the minimal ELF with its hold, and the raw disk around it.
//!
//! `parts` are the pieces that the tool carries inside itself, `elf` reads and writes the ELF,
//! `symbols` and `hold` make what the kernel finds in memory, `disk` lays out the boot disk, with what UEFI starts made by `esp`, and `iso` makes a CD of it. Who
//! links and who runs is none of this module's business. ARCHITECTURE.md, "Contracts", is the
//! standard.

mod debug_info;
mod disk;
mod elf;
mod esp;
mod hold;
mod iso;
mod pairs;
mod parts;
mod proc;
mod symbols;
mod system_calls;
#[cfg(test)]
mod testing;

use crate::embed::Embedded;

pub(crate) use disk::disk_image;
pub(crate) use iso::iso_image;
pub(crate) use parts::{KERNEL_OBJECT, LINKER_SCRIPT};
pub(crate) use proc::{names_proc, names_proc_net};
pub(crate) use symbols::Function;
pub(crate) use system_calls::has_system_call_instruction;

/// Why an image can't be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageError {
    /// The linked file is no static, little-endian x86-64 ELF; says what is wrong with it.
    #[error("not an ELF that Toro can boot: {0}")]
    Unsuitable(&'static str),
    /// A table or a segment lies outside the file, or its numbers overflow; says which.
    #[error("damaged ELF: {0} lies outside the file")]
    Outside(&'static str),
    /// A program header breaks a rule of the image's layout.
    #[error("program header {index} of the ELF: {problem}")]
    Program {
        /// Which program header, from 0.
        index: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The linker script did not make room for the hold; says how.
    #[error("the hold of the image: {0}")]
    Hold(&'static str),
    /// The command line is longer than its place.
    #[error("the command line has {len} bytes, {most} fit")]
    CommandLineTooLong {
        /// Its length in bytes.
        len: usize,
        /// The most bytes there is room for.
        most: usize,
    },
    /// The command line contains a character that ends it early.
    #[error("the command line contains a NUL character")]
    CommandLineNul,
    /// The ELF is larger than a boot disk can describe.
    #[error("the ELF is too large for a boot disk")]
    TooLarge,
    /// The partition table of the boot disk cannot be made; says why.
    #[error("the partition table: {0}")]
    Partitions(String),
    /// The boot loader inside the tool does not fit its place on the disk.
    #[error("the boot loader inside the tool is damaged: {0}")]
    Loader(&'static str),
}

/// Makes the boot ELF of a linked one: headers, program headers and their contents, nothing else,
/// with the hold (symbols, source lines where `linked` has them, `command_line` and what is `embedded`) as its last segment.
///
/// # Errors
/// [`ImageError`] names what in `linked` breaks the contract.
pub(crate) fn finish(
    linked: &[u8],
    command_line: &str,
    embedded: &Embedded,
) -> Result<Vec<u8>, ImageError> {
    check_command_line(command_line)?;
    let mut elf = elf::Elf::parse(linked)?;
    let functions = symbols::Functions::read(linked, &elf)?;
    let lines = debug_info::sections(linked)?;
    let content = hold::content(&functions.table()?, command_line, embedded, &lines);
    elf.fill_hold(functions.hold_address()?, content)?;
    elf.write()
}

/// Memory, in bytes from address 0, without which a linked program cannot start: its image, and a little for the kernel's tables.
pub(crate) fn least_memory(boot_elf: &[u8]) -> Result<u64, ImageError> {
    /// Page tables, stacks of the start and the main thread's first pages.
    const KERNEL_BYTES: u64 = 128 << 10;
    Ok(elf::Elf::parse(boot_elf)?.memory_end() + KERNEL_BYTES)
}

/// The address at which loaders enter a linked program.
pub(crate) fn entry(linked: &[u8]) -> Result<u64, ImageError> {
    Ok(elf::Elf::parse(linked)?.entry())
}

/// The functions of a linked program, sorted by address.
pub(crate) fn functions(linked: &[u8]) -> Result<Vec<Function>, ImageError> {
    let elf = elf::Elf::parse(linked)?;
    Ok(symbols::Functions::read(linked, &elf)?.into_vec())
}

/// Loaders and the kernel take a command line as a C string.
fn check_command_line(command_line: &str) -> Result<(), ImageError> {
    if command_line.contains('\0') {
        return Err(ImageError::CommandLineNul);
    }
    Ok(())
}
