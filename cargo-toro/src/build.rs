//! From a program to its image, for keeps or for one run.

use crate::compile::{self, Options};
use crate::disks;
use crate::embed::Embedded;
use crate::failure::Failure;
use crate::image;
use crate::parts;
use crate::program::Program;
use crate::qemu::{Accelerator, Launch, Source};
use crate::settings::{Embed, Settings};
use crate::shell::Shell;
use crate::values::{Boot, Machine, Size};
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

/// What an image has besides the program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Contents<'a> {
    /// The kernel's default command line.
    pub command_line: &'a str,
    /// Folders whose files are in the image.
    pub embed: &'a [Embed],
}

/// Makes the image of a `linked` program at `path`; returns its size in bytes. With a `memory`, that of the machine that it is
/// for, it is an error when the program cannot start in so little.
pub fn write_image(
    linked: &Path,
    format: Format,
    contents: Contents<'_>,
    path: &Path,
    memory: Option<Size>,
) -> Result<u64> {
    let command_line = contents.command_line;
    let make = || -> Result<Vec<u8>> {
        let linked =
            std::fs::read(linked).with_context(|| format!("cannot read {}", linked.display()))?;
        let in_elf = if format == Format::Elf {
            command_line
        } else {
            ""
        };
        let elf = image::finish(&linked, in_elf, &Embedded::read(contents.embed)?)?;
        let least = image::least_memory(&elf)?;
        if let Some(memory) = memory.filter(|memory| memory.bytes < least) {
            let least = Size {
                bytes: least.next_multiple_of(1 << 10),
            };
            anyhow::bail!(Failure::new(
                format!(
                    "the program needs at least {least} of memory to start, and the machine has {memory}"
                ),
                "give it more by --memory, or in the metadata"
            ));
        }
        Ok(match format {
            Format::Elf => elf,
            Format::Raw => image::disk_image(&elf, command_line)?,
        })
    };
    let content = make().with_context(|| format!("cannot make the image {}", path.display()))?;
    parts::replace(path, &content)?;
    Ok(content.len() as u64)
}

/// The name of the image of a program in `form`, in `folder`.
pub fn image_path(folder: &Path, name: &str, form: Format) -> PathBuf {
    folder.join(format!("{name}.{}", form.extension()))
}

/// Makes the image of a `linked` program in `folder`, in the form that the way of booting wants. Without a wish a machine
/// boots from the disk if it can.
pub fn bootable(
    linked: &Path,
    name: &str,
    folder: &Path,
    settings: &Settings,
    wish: Option<Boot>,
) -> Result<Source> {
    let command_line = settings.command_line(true).as_str().to_owned();
    let contents = |command_line| Contents {
        command_line,
        embed: &settings.embed,
    };
    let default = if settings.machine == Machine::Microvm {
        Boot::Kernel
    } else {
        Boot::Disk
    };
    match wish.unwrap_or(default) {
        Boot::Disk => {
            let path = image_path(folder, name, Format::Raw);
            write_image(
                linked,
                Format::Raw,
                contents(&command_line),
                &path,
                Some(settings.memory),
            )?;
            Ok(Source::Disk(path))
        }
        Boot::Kernel => {
            let elf = image_path(folder, name, Format::Elf);
            write_image(
                linked,
                Format::Elf,
                contents(""),
                &elf,
                Some(settings.memory),
            )?;
            Ok(Source::Kernel { elf, command_line })
        }
    }
}

/// Makes everything that a machine for `program` needs: its disks, and in `folder` its image. What comes out can be started
/// with [`crate::vm::Vm`].
pub fn launch(
    program: &Program,
    options: &Options,
    settings: &Settings,
    wish: Option<Boot>,
    accelerator: Accelerator,
    folder: &Path,
    shell: &Shell,
) -> Result<Launch> {
    settings
        .disks
        .iter()
        .try_for_each(|disk| disks::prepare(disk, shell))?;
    let linked = compile::compile(program, options, shell)?;
    let source = bootable(&linked, &program.name, folder, settings, wish)?;
    Ok(Launch::new(settings, source, accelerator))
}
