//! `cargo toro new`: a program to start from.

use crate::cli::New;
use crate::compile::cargo;
use crate::failure::Failure;
use crate::shell::{Shell, quoted_word};
use anyhow::{Context, Result, bail};
use std::borrow::Cow;
use std::io::Write;
use std::process::{Command, Stdio};

const MAIN: &str = r#"fn main() {
    println!("Hello from a virtual machine of my own!");
}
"#;

const METADATA: &str = r#"
# The virtual machine that `cargo toro run` makes; `cargo toro run --help` has the options of the same names.
[package.metadata.toro]
memory = "32M"
# ports = ["8080:80"]
# disks = [{ image = "data.img", from = "data", mount = "/" }]
# env = { GREETING = "hello" }
"#;

/// Tasks and launch settings for VS Code, where `NAME` stands for the program's.
const TASKS: &str = include_str!("new/tasks.json");
const LAUNCH: &str = include_str!("new/launch.json");

/// Makes the crate with cargo's own means and adds what Toro wants.
pub(super) fn run(options: &New, shell: &Shell) -> Result<u8> {
    let path = &options.path;
    if path.exists() {
        let message = format!("{} exists already", path.display());
        bail!(Failure::new(
            message,
            "choose another path; a crate that is there already needs nothing more: `cargo toro run` in its folder"
        ));
    }
    let mut command = Command::new(cargo());
    command
        .args(["new", "--quiet", "--bin"])
        .args(options.name.iter().flat_map(|name| ["--name", name]))
        .arg("--")
        .arg(path)
        .stdin(Stdio::null());
    shell.command(&command);
    if !command.status().context("cannot start cargo")?.success() {
        bail!(Failure::new(
            format!("cargo could not make {}", path.display()),
            "the message above says why"
        ));
    }
    let name = options.name.as_deref().map(Cow::Borrowed);
    let name = name.unwrap_or_else(|| {
        let last = path.file_name().unwrap_or(path.as_os_str());
        last.to_string_lossy()
    });
    let write = || -> std::io::Result<()> {
        std::fs::write(path.join("src/main.rs"), MAIN)?;
        std::fs::write(path.join("README.md"), readme(&name))?;
        std::fs::create_dir(path.join(".vscode"))?;
        std::fs::write(path.join(".vscode/tasks.json"), TASKS)?;
        std::fs::write(
            path.join(".vscode/launch.json"),
            LAUNCH.replace("NAME", &name),
        )?;
        std::fs::File::options()
            .append(true)
            .open(path.join("Cargo.toml"))?
            .write_all(METADATA.as_bytes())
    };
    write().with_context(|| format!("cannot write to {}", path.display()))?;
    let folder = quoted_word(&path.to_string_lossy());
    shell.status(
        "Created",
        format_args!("{name}; `cd {folder}` and `cargo toro run`"),
    );
    Ok(0)
}

fn readme(name: &str) -> String {
    format!(
        "# {name}\n\n\
         A Rust program that runs as a virtual machine of its own, on Toro.\n\n\
         ```\n\
         cargo toro run          # build it, start it, see its console\n\
         cargo toro build        # only the disk image\n\
         cargo toro test         # its tests, in a virtual machine\n\
         cargo toro debug        # gdb, from the first instruction\n\
         cargo toro deploy up    # on a host with libvirt; `cargo toro deploy --help` has the steps\n\
         cargo run               # as an ordinary program of this host\n\
         ```\n\n\
         `[package.metadata.toro]` in Cargo.toml says what machine it wants: memory, ports, disks.\n\n\
         In VS Code: Run Task has the commands above; Run and Debug starts the debugger (CodeLLDB, or gdb by the C/C++ extension).\n"
    )
}
