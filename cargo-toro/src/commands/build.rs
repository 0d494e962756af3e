//! `cargo toro build`: a program becomes an image.

use crate::build::{Format, export, export_disks, image_path};
use crate::cli::Build;
use crate::compile::compile;
use crate::disks;
use crate::failure::Failure;
use crate::host_files;
use crate::settings::{Overrides, Settings};
use crate::shell::Shell;
use anyhow::{Result, bail};

/// Builds, and says where the image is.
pub(super) fn run(options: &Build, shell: &Shell) -> Result<u8> {
    let which = &options.which;
    let by_name = || Format::of_name(options.output.as_deref()?);
    let format = options.format.or_else(by_name).unwrap_or(Format::Raw);
    let program = which.find()?;
    let overrides = Overrides {
        embed: which.how.embed.clone(),
        ..Overrides::default()
    };
    let settings = Settings::new(&program.metadata, program.folder(), overrides)?;
    let mut how = which.options();
    how.has_fat = disks::have_fat(&settings.disks);
    let linked = compile(&program, &how, shell)?;
    host_files::tell_of_missing(&linked, &settings, shell)?;
    let path = options.output.clone();
    let path = path.unwrap_or_else(|| {
        image_path(
            &program.output_folder().join("images"),
            &program.name,
            format,
        )
    });
    let has_disks = options.with_disks || format == Format::Ova;
    if options.with_disks && matches!(format, Format::Elf | Format::Iso | Format::Ova) {
        let help = "choose the format of a disk; an OVA contains the data disks in any case";
        bail!(Failure::new(
            "--with-disks makes disks in the image's format",
            help
        ));
    }
    if has_disks {
        for disk in &settings.disks {
            disks::prepare(disk, shell)?;
        }
    }
    let size_bytes = export(&linked, &program.name, format, &settings, &path)?;
    let kib = size_bytes.div_ceil(1024);
    shell.status(
        "Finished",
        format_args!("image {} ({kib} KiB)", path.display()),
    );
    if options.with_disks {
        for disk in export_disks(format, &settings, &path)? {
            shell.status("Finished", format_args!("disk {}", disk.display()));
        }
    }
    Ok(0)
}
