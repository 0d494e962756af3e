//! The UEFI boot loader of Toro images, `\EFI\BOOT\BOOTX64.EFI` of a boot disk (ARCHITECTURE.md, "The boot disk"): reads the ELF
//! from the kernel's partition of the disk that it was itself started from, and starts it in the PVH start state.
//!
//! `processor` asks whether the processor can run the kernel, `disk` finds and reads the partition, `elf` judges what is in it, `memory_map` turns the firmware's map into that of PVH,
//! `handover` leaves the firmware and long mode. `efi` is the firmware as this crate sees it. What goes wrong is said on the
//! firmware's console, and the firmware goes on with its next boot entry.
//!
//! Standard: UEFI Specification 2.10. Nothing is used that is not required of every firmware.
#![cfg_attr(not(test), no_std)]

mod disk;
mod efi;
mod elf;
mod handover;
mod memory_map;
mod processor;
#[cfg(all(panic = "abort", not(test)))]
mod runtime;

use core::fmt;
use efi::{Firmware, Handle, Status, SystemTable};

/// Why nothing was started.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The firmware refused a call: what for, and its status.
    Firmware(&'static str, Status),
    /// The processor cannot run the kernel.
    Processor(processor::Missing),
    /// There is no kernel's partition beside the loader's own.
    NoPartition,
    /// The header of the kernel's partition is not right: how.
    Header(&'static str),
    /// The ELF cannot be loaded: why.
    Elf(&'static str),
    /// The image needs memory from and to here, in bytes, and some of it is not RAM, or the firmware's for good.
    Memory(u64, u64),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Firmware(what, status) => {
                write!(f, "the firmware cannot {what} (status {:#x})", status.0)
            }
            Self::Processor(missing) => write!(
                f,
                "this processor lacks{missing} (CPUID): give the machine another model"
            ),
            Self::NoPartition => {
                f.write_str("the disk of this loader has no partition with a Toro boot header")
            }
            Self::Header(what) => write!(f, "the boot header {what}"),
            Self::Elf(what) => write!(f, "the ELF on the boot disk {what}"),
            Self::Memory(start, end) => write!(
                f,
                "the image needs memory from {start:#x} to {end:#x}, and not all of it is free RAM"
            ),
        }
    }
}

/// The entry: the firmware calls it with the handle of the loaded image and the system table.
///
/// # Safety
/// Only the firmware calls this, with what the standard says (4.1).
#[unsafe(no_mangle)]
pub unsafe extern "efiapi" fn efi_main(image: Handle, table: *const SystemTable) -> Status {
    // SAFETY: the caller promises that these are the image's handle and the system table.
    let firmware = unsafe { Firmware::new(image, table) };
    let failure = match boot(&firmware) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    firmware.say(format_args!("\r\nToro: {failure}\r\n"));
    Status::LOAD_ERROR
}

fn boot(firmware: &Firmware) -> Result<core::convert::Infallible, Failure> {
    processor::check()?;
    let image = disk::read(firmware)?;
    let elf = elf::Elf::parse(image.elf)?;
    handover::start(firmware, &elf, image.command_line)
}
