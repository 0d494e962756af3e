//! What the tool carries inside itself, made by `build.rs`.

/// The kernel, one relocatable object that shows only its ABI.
pub(crate) const KERNEL_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernel.o"));

/// The linker script of an image.
pub(crate) const LINKER_SCRIPT: &str = include_str!("../../../kernel/image.ld");

/// The BIOS loader: the boot sector, then the second stage.
pub(super) const LOADER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/loader.bin"));

/// The UEFI loader, a PE32+.
pub(super) const UEFI_LOADER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/loader.efi"));
