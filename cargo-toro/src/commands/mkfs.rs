//! `cargo toro mkfs`: a disk image from a folder.

use crate::cli::Mkfs;
use crate::folder::Listing;
use crate::mkfs::{self, Request};
use crate::shell::Shell;
use anyhow::Result;

/// Makes the image, and says how large it is.
pub(super) fn run(options: &Mkfs, shell: &Shell) -> Result<u8> {
    let image = options.image.display();
    let request = Request {
        kind: options.filesystem,
        size: options.size,
        block_size: options.block_size,
        inodes: options.inodes,
        revision: options.revision,
        label: options.label.clone(),
        uuid: options.uuid.map(uuid::Uuid::into_bytes),
        partition: options.partition,
        is_forced: options.force,
    };
    let made = match &options.from {
        Some(from) => {
            shell.status("Making", format_args!("{image} from {}", from.display()));
            mkfs::make(&options.image, from, &request, shell)?
        }
        None => mkfs::write(&options.image, &Listing::default(), &request, shell)?,
    };
    shell.status(
        "Finished",
        format_args!("{image} ({}, {} files)", made.size, made.file_count),
    );
    Ok(0)
}
