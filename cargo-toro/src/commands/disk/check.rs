//! `disk fsck`.

use crate::failure::Failure;
use crate::volume::{self, device::Access};
use anyhow::{Result, anyhow, bail};
use std::io::Write;
use std::path::Path;

/// Something is wrong with the file system: what e2fsck says when it changed nothing.
const FOUND: u8 = 4;

pub(super) fn check(image: &Path, partition: Option<u32>) -> Result<u8> {
    let volume = volume::open(image, partition, Access::Read)?;
    let checked = volume.check().map_err(|error| match error.downcast_ref() {
        Some(ext2::Error::ReadOnly(ext2::ReadOnlyReason::Features(features))) => {
            anyhow!(Failure::new(
                format!(
                    "{} has features that cannot be checked: {features}",
                    image.display()
                ),
                "`e2fsck -fn` checks it"
            ))
        }
        _ => error,
    })?;
    let Some(problems) = checked else {
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
