//! Data disks: checks that images are there, and makes those that come from a folder.

use crate::failure::Failure;
use crate::settings::Disk;
use crate::shell::Shell;
use anyhow::{Result, bail};

/// Makes `disk` ready to be used.
pub fn prepare(disk: &Disk, _shell: &Shell) -> Result<()> {
    if !disk.image.is_file() {
        bail!(Failure::new(
            format!("there is no disk image {}", disk.image.display()),
            "make one with `cargo toro mkfs IMAGE --from FOLDER`"
        ));
    }
    Ok(())
}
