//! `cargo toro doctor`: is everything there that Toro needs, and how is it mended where it is not?

use crate::accel;
use crate::commands::run::check_port;
use crate::compile::TARGET;
use crate::failure::exit_code;
use crate::program::Program;
use crate::qemu;
use crate::shell::answer;
use crate::values::Port;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest versions that are known to do.
const RUST: Version = Version(1, 95);
const QEMU: Version = Version(6, 2);

/// What a check found: a description, or why not.
type Finding = Result<String>;

struct Check {
    name: &'static str,
    is_required: bool,
    finding: Finding,
    /// How it is mended.
    remedy: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

/// Checks all and prints a line each; the exit code tells whether something required is missing.
pub(super) fn run() -> Result<u8> {
    let required = |name, finding, remedy| Check {
        name,
        is_required: true,
        finding,
        remedy,
    };
    let optional = |name, finding, remedy| Check {
        name,
        is_required: false,
        finding,
        remedy,
    };
    let checks = [
        required("Rust", rust(), "rustup update stable"),
        required(
            "target",
            target(),
            "rustup target add x86_64-unknown-linux-gnu",
        ),
        required(
            "linker",
            sysroot_tool("rust-lld"),
            "reinstall the toolchain with rustup: rust-lld is part of it",
        ),
        required(
            "QEMU",
            qemu_version(),
            "install QEMU; on Debian: apt-get install qemu-system-x86",
        ),
        required(
            "firmware",
            firmware(),
            "install SeaBIOS; on Debian: apt-get install seabios",
        ),
        optional(
            "KVM",
            kvm(),
            "nothing to do: machines are emulated, which works but is slower",
        ),
        optional(
            "UEFI",
            qemu::ovmf().map(|file| file.display().to_string()),
            "only for --boot uefi: install OVMF; on Debian: apt-get install ovmf",
        ),
        optional("ports", ports(), "choose others with --publish"),
        optional(
            "tap",
            tap(),
            "only for --tap; the user network needs nothing. On Linux: modprobe tun",
        ),
        optional(
            "gdb",
            found("gdb", "--version"),
            "only for `cargo toro debug`: install gdb; on Debian: apt-get install gdb",
        ),
        optional(
            "ssh",
            found("ssh", "-V"),
            "only for `cargo toro deploy --host`: install an SSH client",
        ),
        optional(
            "libvirt",
            libvirt(),
            "only to deploy to this host: cargo toro deploy prepare",
        ),
        optional(
            "qemu-img",
            found("qemu-img", "--version"),
            "only to convert images further (the tool makes all formats itself): install qemu-utils",
        ),
        optional(
            "rust-objcopy",
            sysroot_tool("rust-objcopy"),
            "only for work on Toro itself: reinstall the toolchain",
        ),
        optional(
            "e2fsck",
            found("e2fsck", "-V"),
            "only for `cargo toro test` of Toro itself: install e2fsprogs",
        ),
        optional(
            "curl",
            found("curl", "--version"),
            "only for `cargo toro test` of Toro itself: install curl",
        ),
    ];
    checks.iter().try_for_each(Check::print)?;
    let is_well = checks
        .iter()
        .all(|check| check.finding.is_ok() || !check.is_required);
    Ok(if is_well { 0 } else { exit_code::ERROR })
}

impl Check {
    fn print(&self) -> Result<()> {
        let (color, word, what) = match (&self.finding, self.is_required) {
            (Ok(what), _) => (AnsiColor::Green, "OK", what.clone()),
            (Err(error), true) => (AnsiColor::Red, "missing", format!("{error:#}")),
            (Err(error), false) => (AnsiColor::Yellow, "not here", format!("{error:#}")),
        };
        let style: Style = color.on_default().bold();
        answer(format_args!(
            "{style}{word:>12}{style:#} {}: {what}",
            self.name
        ))?;
        if self.finding.is_err() {
            answer(format_args!("{:>12} {}", "", self.remedy))?;
        }
        Ok(())
    }
}

fn rust() -> Finding {
    let version = output("rustc", &["--version"])?;
    at_least(&version, RUST)
}

fn target() -> Finding {
    let folder = output("rustc", &["--print", "target-libdir", "--target", TARGET])?;
    let is_std = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    };
    let has_std = std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.any(is_std));
    if has_std {
        Ok(TARGET.into())
    } else {
        bail!("the standard library for {TARGET} is not installed")
    }
}

fn sysroot_tool(name: &str) -> Finding {
    let library = output("rustc", &["--print", "target-libdir"])?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let tool = Path::new(&library).with_file_name("bin").join(file);
    if tool.is_file() {
        Ok(tool.display().to_string())
    } else {
        bail!("there is no {}", tool.display())
    }
}

fn qemu_version() -> Finding {
    at_least(&qemu::version()?, QEMU)
}

fn firmware() -> Finding {
    let folders = output(qemu::qemu(), &["-L", "help"])?;
    let mut files = folders
        .lines()
        .map(|folder| Path::new(folder.trim()).join("bios-256k.bin"));
    let file: PathBuf = files
        .find(|file| file.is_file())
        .context("QEMU has no bios-256k.bin")?;
    Ok(file.display().to_string())
}

fn tap() -> Finding {
    let device = "/dev/net/tun";
    std::fs::File::options()
        .read(true)
        .write(true)
        .open(device)
        .with_context(|| format!("{device} cannot be opened"))?;
    Ok(format!("{device} can be opened"))
}

/// The daemon has to answer: its shell alone starts nothing.
fn libvirt() -> Finding {
    let version = ["-q", "-c", "qemu:///system", "version", "--daemon"];
    let answer = output("virsh", &version)?;
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

fn kvm() -> Finding {
    match accel::kvm_fault() {
        None => Ok("usable".into()),
        Some(fault) => bail!(fault),
    }
}

/// The ports of the program in the current folder, else the one that examples use.
fn ports() -> Finding {
    let program = Program::find(None, None).map(|program| program.metadata.ports);
    let ports: Vec<Port> = match program {
        Ok(ports) if !ports.is_empty() => ports,
        _ => vec!["8080:80".parse()?],
    };
    ports.iter().try_for_each(check_port)?;
    let ports: Vec<_> = ports.iter().map(|port| port.host.to_string()).collect();
    Ok(format!("{} free", ports.join(", ")))
}

fn found(program: &str, version: &str) -> Finding {
    Command::new(program)
        .arg(version)
        .output()
        .with_context(|| format!("`{program}` cannot be started"))?;
    Ok("found".into())
}

fn output(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Result<String> {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("`{}` cannot be started", program.display()))?;
    if !output.status.success() {
        bail!("`{} {}` failed", program.display(), arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The text itself if the version in it is `least` or later.
fn at_least(text: &str, least: Version) -> Finding {
    let found = version(text).with_context(|| format!("no version in `{text}`"))?;
    if found < least {
        bail!(
            "version {}.{} is too old: {}.{} is the oldest that will do",
            found.0,
            found.1,
            least.0,
            least.1
        );
    }
    Ok(text.to_owned())
}

/// The first `MAJOR.MINOR` in a text.
fn version(text: &str) -> Option<Version> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.split('.').map(str::parse);
        Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say_of_themselves() {
        assert_eq!(
            version("rustc 1.95.0 (59807616e 2026-04-14)"),
            Some(Version(1, 95))
        );
        assert_eq!(
            version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"),
            Some(Version(7, 2))
        );
        assert_eq!(version("no version"), None);
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(at_least("QEMU emulator version 10.0.2", QEMU).is_ok());
        assert!(at_least("QEMU emulator version 6.2.0", QEMU).is_ok());
        assert!(at_least("QEMU emulator version 5.10.0", QEMU).is_err());
    }
}
