//! From a program to its image, for keeps or for one run.

use crate::compile::{self, Options};
use crate::disks;
use crate::embed::Embedded;
use crate::failure::Failure;
use crate::formats::{self, Appliance, Raw};
use crate::host_files;
use crate::image;
use crate::parts;
use crate::program::Program;
use crate::qemu::{self, Accelerator, Launch, Source};
use crate::settings::{Disk, Embed, Settings};
use crate::shell::Shell;
use crate::values::{Boot, Machine, Nic, Size};
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The form of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An ELF for loaders that start a kernel themselves (PVH)
    Elf,
    /// A raw disk: any hypervisor, and clouds
    Raw,
    /// A CD, which also starts from a USB stick or disk; BIOS and UEFI
    Iso,
    /// QEMU, libvirt, KubeVirt, OpenStack
    Qcow2,
    /// VMware Workstation, Fusion and Player (monolithic sparse)
    Vmdk,
    /// VMware ESXi and vSphere (stream-optimized)
    VmdkStream,
    /// VirtualBox
    Vdi,
    /// Hyper-V of generation 1, Azure (fixed size)
    Vhd,
    /// Hyper-V of both generations
    Vhdx,
    /// A machine with its disks: VirtualBox, VMware
    Ova,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Elf => "elf",
            Self::Raw => "img",
            Self::Iso => "iso",
            Self::Qcow2 => "qcow2",
            Self::Vmdk | Self::VmdkStream => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Ova => "ova",
        }
    }

    /// The format that a file's name stands for; none where the name says nothing.
    pub fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        Self::value_variants()
            .iter()
            .copied()
            .find(|format| format.extension().eq_ignore_ascii_case(extension))
    }
}

/// The memory that OVMF needs to start what is on a disk.
const UEFI_MEMORY: Size = Size::mib(64);

/// What an image has besides the program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Contents<'a> {
    /// The kernel's default command line.
    pub command_line: &'a str,
    /// Folders whose files are in the image.
    pub embed: &'a [Embed],
}

/// Makes the image of a `linked` program at `path`, an ELF or a raw disk, with a default command line; returns its size in bytes. With
/// a `memory`, that of the machine that it is for, it is an error when the program cannot start in so little.
pub fn write_image(
    linked: &Path,
    format: Format,
    contents: Contents<'_>,
    path: &Path,
    memory: Option<Size>,
) -> Result<u64> {
    let content = image(linked, format, contents, memory)
        .with_context(|| format!("cannot make the image {}", path.display()))?;
    parts::replace(path, &content)?;
    Ok(content.len() as u64)
}

/// The ELF of a `linked` program; the disk around it for every other format.
fn image(
    linked: &Path,
    format: Format,
    contents: Contents<'_>,
    memory: Option<Size>,
) -> Result<Vec<u8>> {
    let command_line = contents.command_line;
    let linked =
        std::fs::read(linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let is_elf = format == Format::Elf;
    let in_elf = if is_elf { command_line } else { "" };
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
        Format::Iso => image::iso_image(&elf, command_line)?,
        _ => image::disk_image(&elf, command_line)?,
    })
}

/// Makes the image of a `linked` program for the machine of `settings` at `path`; returns its size in bytes.
pub fn export(
    linked: &Path,
    name: &str,
    format: Format,
    settings: &Settings,
    path: &Path,
) -> Result<u64> {
    let failed = || format!("cannot make the image {}", path.display());
    let command_line = settings.command_line(false);
    let contents = Contents {
        command_line: command_line.as_str(),
        embed: &settings.embed,
    };
    let content = image(linked, format, contents, None).with_context(failed)?;
    if format == Format::Ova {
        let files: Vec<File> = settings.disks.iter().map(open).collect::<Result<_>>()?;
        let mut disks = vec![Raw::memory(&content)];
        for file in &files {
            disks.push(Raw::file(file)?);
        }
        let appliance = Appliance {
            name,
            cores: settings.cores,
            memory_bytes: settings.memory.bytes,
            disks,
            has_network: settings.nic != Nic::None,
        };
        parts::replace_with(path, |output| Ok(appliance.write(output)?))?;
    } else {
        write_disk(&Raw::memory(&content), &content, format, path)?;
    }
    Ok(std::fs::metadata(path).with_context(failed)?.len())
}

/// Makes the data disks of `settings` in `format` beside the image at `path`; returns where they are.
pub fn export_disks(format: Format, settings: &Settings, path: &Path) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for (number, disk) in (1..).zip(&settings.disks) {
        let file = open(disk)?;
        let path = path.with_extension(format!("disk{number}.{}", format.extension()));
        let raw = Raw::file(&file)?;
        write_disk(&raw, &[], format, &path)?;
        made.push(path);
    }
    Ok(made)
}

fn open(disk: &Disk) -> Result<File> {
    File::open(&disk.image).with_context(|| format!("cannot read {}", disk.image.display()))
}

/// Writes a disk, or an ELF that is in memory as `content`.
fn write_disk(raw: &Raw<'_>, content: &[u8], format: Format, path: &Path) -> Result<()> {
    let write = match format {
        Format::Elf => return parts::replace(path, content),
        Format::Raw | Format::Iso => formats::write_raw,
        Format::Qcow2 => formats::write_qcow2,
        Format::Vmdk => formats::write_vmdk,
        Format::VmdkStream => formats::write_stream_optimized,
        Format::Vdi => formats::write_vdi,
        Format::Vhd => formats::write_vhd,
        Format::Vhdx => formats::write_vhdx,
        Format::Ova => anyhow::bail!("a disk alone is no appliance"),
    };
    parts::replace_with(path, |output| Ok(write(raw, output)?))
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
        boot @ (Boot::Disk | Boot::Uefi) => {
            let firmware = (boot == Boot::Uefi).then(qemu::ovmf).transpose()?;
            if firmware.is_some() && settings.memory.bytes < UEFI_MEMORY.bytes {
                anyhow::bail!(Failure::new(
                    format!(
                        "UEFI firmware needs {UEFI_MEMORY} of memory, and the machine has {}",
                        settings.memory
                    ),
                    "give it more by --memory, or boot by BIOS"
                ));
            }
            let path = image_path(folder, name, Format::Raw);
            write_image(
                linked,
                Format::Raw,
                contents(&command_line),
                &path,
                Some(settings.memory),
            )?;
            Ok(match firmware {
                Some(firmware) => Source::Uefi {
                    image: path,
                    firmware,
                },
                None => Source::Disk(path),
            })
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
    let options = Options {
        has_fat: disks::have_fat(&settings.disks),
        ..options.clone()
    };
    let linked = compile::compile(program, &options, shell)?;
    host_files::tell_of_missing(&linked, settings, shell)?;
    let source = bootable(&linked, &program.name, folder, settings, wish)?;
    Ok(Launch::new(settings, source, accelerator))
}

#[cfg(test)]
mod tests {
    use super::Format;
    use clap::ValueEnum;
    use std::path::Path;

    #[test]
    fn a_name_stands_for_the_format_that_gives_such_names() {
        for format in Format::value_variants() {
            let name = format!("a.b.{}", format.extension());
            let found = Format::of_name(Path::new(&name)).expect("a format");
            assert_eq!(found.extension(), format.extension());
        }
        assert_eq!(Format::of_name(Path::new("A.VMDK")), Some(Format::Vmdk));
        for nothing in ["web", "web.disk", ".vmdk"] {
            assert_eq!(Format::of_name(Path::new(nothing)), None, "{nothing}");
        }
    }
}
