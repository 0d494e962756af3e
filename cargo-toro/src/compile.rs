//! Runs cargo so that a program comes out linked onto the kernel (ARCHITECTURE.md, "From a program to an image").
//!
//! Flags that every crate of the program needs go by `CARGO_ENCODED_RUSTFLAGS`; what only the last link needs goes to
//! `cargo rustc … -- …`, so that another kernel means another link and not another build of all dependencies.

use crate::failure::Failure;
use crate::parts::Parts;
use crate::program::{Kind, Program};
use crate::shell::{Shell, quoted};
use crate::undefined;
use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use cargo_metadata::diagnostic::DiagnosticLevel;
use std::io::{BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target of every program: `std` is prebuilt for it, and the kernel is its C library.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Flags for every crate of a program. rustc finds `rust-lld` in its own folder.
const FLAGS: [&str; 6] = [
    "-Clinker=rust-lld",
    "-Clinker-flavor=ld.lld",
    "-Crelocation-model=static",
    "-Ctarget-feature=+crt-static",
    "-Clink-self-contained=no",
    // So that a backtrace in the guest can follow the frames without unwinding tables.
    "-Cforce-frame-pointers=yes",
];

/// How a program is compiled.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The profile `dev` in place of `release`.
    pub debug: bool,
    /// Features to turn on.
    pub features: Vec<String>,
    /// Leave the default features off.
    pub no_default_features: bool,
}

/// Compiles and links `program`; returns the path of the linked ELF.
pub fn compile(program: &Program, options: &Options, shell: &Shell) -> Result<PathBuf> {
    let mut command = cargo_rustc(&program.manifest, &program.package, options);
    command.arg(match program.kind {
        Kind::Binary => "--bin",
        Kind::Example => "--example",
    });
    command.arg(&program.name);
    if !options.debug {
        command.arg("--release");
    }
    link(command, &program.output_folder(), shell)
        .with_context(|| format!("cannot build `{}`", program.name))
}

/// The beginning of a `cargo rustc` for a package: which one, and its features.
pub fn cargo_rustc(manifest: &Path, package: &str, options: &Options) -> Command {
    let mut command = Command::new(cargo());
    command
        .arg("rustc")
        .arg("--manifest-path")
        .arg(manifest)
        .args(["--package", package]);
    if !options.features.is_empty() {
        command.args(["--features", &options.features.join(",")]);
    }
    if options.no_default_features {
        command.arg("--no-default-features");
    }
    command
}

/// Runs a `cargo rustc` that chooses one target, linked onto the kernel; `folder` is Toro's output folder. Returns the executable.
pub fn link(mut command: Command, folder: &Path, shell: &Shell) -> Result<PathBuf> {
    let parts = Parts::unpack(folder)?;
    let format = match (std::io::stderr().is_terminal(), shell.verbose) {
        (true, _) => "--message-format=json-diagnostic-rendered-ansi",
        (false, _) => "--message-format=json",
    };
    command
        .args(["--target", TARGET, format, "--target-dir"])
        .arg(folder);
    if shell.quiet {
        command.arg("--quiet");
    }
    command.arg("--").args(link_arguments(&parts));
    command
        .env("CARGO_ENCODED_RUSTFLAGS", encoded_flags(shell))
        .env_remove("RUSTFLAGS");
    // The symbol table is needed for backtraces; images are stripped by the tool.
    command
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        .env("CARGO_PROFILE_DEV_STRIP", "none");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    shell.command(&command);
    let mut cargo = command
        .spawn()
        .with_context(|| format!("cannot start {}", quoted(&command)))?;
    let output = cargo.stdout.take().context("cargo has no output")?;
    let messages = read_messages(BufReader::new(output), shell);
    let status = cargo.wait().context("cannot wait for cargo")?;
    let messages = messages?;
    if !messages.undefined.is_empty() {
        bail!(undefined::failure(&messages.undefined));
    }
    if !status.success() {
        bail!(Failure::new(
            "cargo could not compile it",
            "the messages above say why"
        ));
    }
    messages.executable.context("cargo made no executable")
}

#[derive(Default)]
struct Messages {
    executable: Option<PathBuf>,
    undefined: std::collections::BTreeMap<String, String>,
}

/// Shows the compiler's diagnostics, except the linker's about undefined symbols, which become an error of our own.
fn read_messages(output: impl std::io::BufRead, shell: &Shell) -> Result<Messages> {
    let mut messages = Messages::default();
    for message in Message::parse_stream(output) {
        match message.context("cannot read cargo's messages")? {
            Message::CompilerArtifact(artifact) => {
                if let Some(executable) = artifact.executable {
                    messages.executable = Some(executable.into_std_path_buf());
                }
            }
            Message::CompilerMessage(message) => {
                let rendered = message.message.rendered.clone().unwrap_or_default();
                let undefined = match message.message.level {
                    DiagnosticLevel::Error => undefined::undefined_symbols(&rendered),
                    _ => Default::default(),
                };
                if undefined.is_empty() || shell.verbose {
                    // Cargo may be showing its progress on the last line of a terminal.
                    let erase = if std::io::stderr().is_terminal() {
                        "\r\x1b[K"
                    } else {
                        ""
                    };
                    eprint!("{erase}{rendered}");
                }
                messages.undefined.extend(undefined);
            }
            _ => {}
        }
    }
    Ok(messages)
}

fn link_arguments(parts: &Parts) -> [String; 6] {
    [
        format!("-Clink-arg={}", parts.kernel.display()),
        format!("-Clink-arg=-T{}", parts.script.display()),
        format!("-Clink-arg=-L{}", parts.libraries.display()),
        "-Clink-arg=--eh-frame-hdr".into(),
        "-Clink-arg=--gc-sections".into(),
        // All undefined symbols are named at once, not the first twenty.
        "-Clink-arg=--error-limit=0".into(),
    ]
}

/// Our flags, then the user's own: these variables would replace ours otherwise.
fn encoded_flags(shell: &Shell) -> String {
    let user = match std::env::var("CARGO_ENCODED_RUSTFLAGS") {
        Ok(flags) => flags.split('\x1f').map(str::to_owned).collect(),
        Err(_) => std::env::var("RUSTFLAGS").map_or(Vec::new(), |flags| words(&flags)),
    };
    if !user.is_empty() {
        shell.note(format_args!(
            "the flags of RUSTFLAGS are used after Toro's own: {}",
            user.join(" ")
        ));
    }
    FLAGS
        .iter()
        .map(|flag| (*flag).to_owned())
        .chain(user)
        .collect::<Vec<_>>()
        .join("\x1f")
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The cargo that called us, or the one on the path.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
