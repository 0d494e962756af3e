//! `disk fsck`.

use crate::failure::Failure;
use crate::volume::{self, device::Access};
use anyhow::{Result, bail};
use std::io::Write;
use std::path::Path;

/// Something is wrong with the file system: what e2fsck says when it changed nothing.
const FOUND: u8 = 4;

pub(super) fn check(image: &Path, partition: Option<u32>) -> Result<u8> {
    let volume = volume::open(image, partition, Access::Read)?;
    let Some(problems) = volume.check()? else {
        let message = "only ext2 can be checked";
        bail!(Failure::new(
            message,
            "for FAT there is `fsck.fat -n`, of dosfstools"
        ));
    };
    let mut output = std::io::stdout().lock();
    for problem in &problems {
        writeln!(output, "{problem}")?;
    }
    let facts = volume.facts()?;
    let state = facts.iter().find(|(name, _)| *name == "state");
    let state = state.map_or("", |(_, state)| state);
    let image = image.display();
    if problems.is_empty() {
        writeln!(output, "{image}: nothing is wrong ({state})")?;
        return Ok(0);
    }
    writeln!(
        output,
        "{image}: {} things are wrong ({state}); `e2fsck -f` mends them",
        problems.len()
    )?;
    Ok(FOUND)
}
