//! `cargo toro mkfs`: an ext2 image from a folder.

use crate::cli::Mkfs;
use crate::disks::{Request, make};
use crate::shell::Shell;
use anyhow::Result;

/// Makes the image, and says how large it is.
pub(super) fn run(options: &Mkfs, shell: &Shell) -> Result<u8> {
    let request = Request {
        size: options.size,
        label: options.label.clone(),
        is_forced: options.force,
        ..Request::default()
    };
    shell.status(
        "Making",
        format_args!(
            "{} from {}",
            options.image.display(),
            options.from.display()
        ),
    );
    let made = make(&options.image, &options.from, &request, shell)?;
    let image = options.image.display();
    shell.status(
        "Finished",
        format_args!("{image} ({}, {} files)", made.size, made.file_count),
    );
    Ok(0)
}
