//! What the tree of files is made of at the start: all that the command line asks for, or nothing but memory in a program that opens no files.

use crate::epitaph::fatal;
use crate::start::command_line;
use crate::storage::{self, MountRequest};

unsafe extern "C" {
    /// One of the two below: the link step chooses, so that a program that opens no files has no drivers of disks and no file systems in
    /// its image.
    safe fn toro_file_systems();
}

/// Mounts what the command line asks for.
#[unsafe(no_mangle)]
extern "C" fn toro_all_file_systems() {
    let line = command_line();
    let mounts: Result<alloc::vec::Vec<_>, _> = line
        .mounts
        .iter()
        .map(|word| MountRequest::parse(word))
        .collect();
    if let Err(error) = mounts.and_then(|mounts| storage::start(&mounts, &line.virtio_mmio)) {
        fatal(format_args!("{error}"));
    }
}

/// Mounts nothing.
#[unsafe(no_mangle)]
extern "C" fn toro_few_file_systems() {
    if let Some(word) = command_line().mounts.first() {
        log::warn!(
            "{word} is not mounted: the program opens no files, so its image has no file systems of disks"
        );
    }
    if let Err(error) = storage::start_without_disks() {
        fatal(format_args!("{error}"));
    }
}

/// Makes the tree that programs see. What cannot be mounted ends the machine.
pub fn start() {
    toro_file_systems();
}
