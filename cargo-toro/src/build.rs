//! Makes the image of a linked program.

use crate::image;
use crate::parts;
use crate::program::Program;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The form of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An ELF for loaders that start a kernel themselves (PVH)
    Elf,
    /// A raw disk that a BIOS boots
    Raw,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Elf => "elf",
            Self::Raw => "img",
        }
    }
}

/// Makes the image of a `linked` program at `path`, with a default command line; returns its size in bytes.
pub fn write_image(linked: &Path, format: Format, command_line: &str, path: &Path) -> Result<u64> {
    let make = || -> Result<Vec<u8>> {
        let linked =
            std::fs::read(linked).with_context(|| format!("cannot read {}", linked.display()))?;
        Ok(match format {
            Format::Elf => image::finish(&linked, command_line)?,
            Format::Raw => image::disk_image(&image::finish(&linked, "")?, command_line)?,
        })
    };
    let content = make().with_context(|| format!("cannot make the image {}", path.display()))?;
    parts::replace(path, &content)?;
    Ok(content.len() as u64)
}

/// Where the image of `program` goes when nothing else is said; `purpose` keeps those to run apart from those to keep.
pub fn image_path(program: &Program, purpose: &str, format: Format) -> PathBuf {
    program
        .output_folder()
        .join(purpose)
        .join(format!("{}.{}", program.name, format.extension()))
}
