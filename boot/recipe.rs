//! How crates of this workspace become bare machine code, by the tools every Rust toolchain ships.
//!
//! Shared by `cargo-toro/build.rs`, which embeds the kernel and the loader in the tool, and by
//! `boot/tests`, which boot the loader alone. Runs on the host; it is no part of the loader.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The only target of bare code: std for it is prebuilt, so nothing but stable Rust is needed.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Variables of an outer cargo that would change what a nested one builds. Each stands for all
/// that begin with it.
const DISTURBING: [&str; 22] = [
    "CARGO_BUILD_RUST",
    "CARGO_BUILD_TARGET",
    "CARGO_CFG_",
    "CARGO_CRATE_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_FEATURE_",
    "CARGO_INCREMENTAL",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "DEBUG",
    "HOST",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "TARGET",
];

/// The toolchain that runs us: its cargo, and the linker and objcopy in its sysroot.
pub(crate) struct Toolchain {
    cargo: OsString,
    rustc: OsString,
    sysroot: PathBuf,
    host: String,
}

impl Toolchain {
    /// Finds the toolchain by the variables that cargo sets, else by the search path.
    ///
    /// # Errors
    /// A readable message if `rustc` does not run or does not say where it lives.
    pub(crate) fn find() -> Result<Self, String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let sysroot = run(Command::new(&rustc).args(["--print", "sysroot"]))?;
        let version = run(Command::new(&rustc).arg("-vV"))?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .ok_or("`rustc -vV` names no host")?
            .to_owned();
        Ok(Self {
            cargo,
            rustc,
            sysroot: sysroot.trim_end().into(),
            host,
        })
    }

    /// A command that runs a tool of the sysroot (`rust-lld`, `rust-objcopy`).
    pub(crate) fn tool(&self, name: &str) -> Command {
        let bin = self
            .sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin");
        let mut command = Command::new(bin.join(format!("{name}{}", env::consts::EXE_SUFFIX)));
        // rust-objcopy is linked to the LLVM library of the sysroot.
        let (variable, folder) = match env::consts::OS {
            "macos" => ("DYLD_LIBRARY_PATH", "lib"),
            "windows" => ("PATH", "bin"),
            _ => ("LD_LIBRARY_PATH", "lib"),
        };
        let before = env::var_os(variable).unwrap_or_default();
        let folders = [self.sysroot.join(folder)]
            .into_iter()
            .chain(env::split_paths(&before));
        if let Ok(paths) = env::join_paths(folders) {
            command.env(variable, paths);
        }
        command
    }

    /// Builds the crate in `folder` as a static library, position-independent or not, with unwind tables, and gives the path of
    /// the archive.
    ///
    /// # Errors
    /// What the compiler said.
    pub(crate) fn static_library(
        &self,
        folder: &Path,
        package: &str,
        model: Code,
        out: &Path,
    ) -> Result<PathBuf, String> {
        let mut flags = vec![
            "-Cforce-unwind-tables=yes".to_owned(),
            "-Cforce-frame-pointers=yes".to_owned(),
            match model {
                Code::Static => "-Crelocation-model=static".to_owned(),
                Code::PositionIndependent => "-Crelocation-model=pic".to_owned(),
            },
        ];
        // Panics name files by their crates, on whatever machine the kernel was built.
        for sources in registry_sources() {
            flags.push(format!("--remap-path-prefix={}=", sources.display()));
        }
        let mut command = Command::new(&self.cargo);
        for (name, _) in env::vars_os() {
            let is_disturbing = name
                .to_str()
                .is_some_and(|name| DISTURBING.iter().any(|start| name.starts_with(start)));
            if is_disturbing {
                command.env_remove(name);
            }
        }
        command
            .args([
                "rustc",
                "--lib",
                "--crate-type",
                "staticlib",
                "--profile",
                "kernel",
            ])
            .args(["--target", TARGET, "--package", package, "--manifest-path"])
            .arg(folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(out)
            .env("RUSTC", &self.rustc)
            // By the environment, so that the dependencies get them too.
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        run(&mut command)?;
        let archive = format!("lib{}.a", package.replace('-', "_"));
        Ok(out.join(TARGET).join("kernel").join(archive))
    }

    /// Builds the boot loader of the crate in `folder` and gives the path of its flat binary: the
    /// boot sector, then the second stage.
    ///
    /// # Errors
    /// What the compiler or the linker said.
    pub(crate) fn boot_loader(&self, folder: &Path, out: &Path) -> Result<PathBuf, String> {
        let archive = self.static_library(folder, "toro-boot", Code::Static, out)?;
        let binary = out.join("loader.bin");
        // The linker script keeps the loader's sections; what core brings along is collected.
        run(self
            .tool("rust-lld")
            .args([
                "-flavor",
                "gnu",
                "-m",
                "elf_x86_64",
                "--gc-sections",
                "--oformat",
                "binary",
            ])
            .args(["--undefined=boot_sector", "-T"])
            .arg(folder.join("loader.ld"))
            .arg("-o")
            .arg(&binary)
            .arg(archive))?;
        Ok(binary)
    }
}

/// Whether code runs at one address or at any.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "who builds no UEFI loader needs no second kind")]
pub(crate) enum Code {
    Static,
    PositionIndependent,
}

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// The command and all that it said, if it can't be started or fails.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    // Without the variables, of which there are many.
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy()));
    let line = words.join(" ");
    let output = command
        .output()
        .map_err(|error| format!("can't run {line}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{line} failed ({}):\n{text}{said}", output.status))
}

/// Folders in which cargo keeps the sources of crates, one for each registry.
fn registry_sources() -> Vec<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let entries = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    let mut folders: Vec<_> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders
}
