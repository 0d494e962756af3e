//! `cargo toro build`: a program becomes an image.

use crate::build::{Contents, image_path, write_image};
use crate::cli::Build;
use crate::compile::compile;
use crate::program::Program;
use crate::settings::{Overrides, Settings};
use crate::shell::Shell;
use anyhow::Result;

/// Builds, and says where the image is.
pub(super) fn run(options: &Build, shell: &Shell) -> Result<u8> {
    let which = &options.which;
    let program = Program::find(which.program.as_deref(), which.how.manifest_path.as_deref())?;
    let overrides = Overrides {
        embed: which.how.embed.clone(),
        ..Overrides::default()
    };
    let settings = Settings::new(&program.metadata, program.folder(), overrides)?;
    let linked = compile(&program, &which.how.options(!which.debug), shell)?;
    let path = options.output.clone();
    let path = path.unwrap_or_else(|| {
        image_path(
            &program.output_folder().join("images"),
            &program.name,
            options.format,
        )
    });
    let command_line = settings.command_line(false);
    let contents = Contents {
        command_line: command_line.as_str(),
        embed: &settings.embed,
    };
    let size_bytes = write_image(&linked, options.format, contents, &path, None)?;
    let kib = size_bytes.div_ceil(1024);
    shell.status(
        "Finished",
        format_args!("image {} ({kib} KiB)", path.display()),
    );
    Ok(0)
}
