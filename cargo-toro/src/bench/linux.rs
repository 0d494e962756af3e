//! The guest to compare with: Debian's kernel for clouds with one static program as its first process, in the same emulator.
//!
//! The kernel comes as a package by `apt-get download` and is kept under `target/toro/bench/linux`, with the modules for disks ([`MODULES`]).
//! The program is built by cargo with the host's linker; the archive that holds it is written here (format "newc": Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

use crate::compile::cargo;
use crate::failure::Failure;
use crate::shell::Shell;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What Debian calls the newest kernel for virtual machines.
pub(super) const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// The target that the tool's own programs have too; its standard library is there.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Words for the kernel: quick to start, and nothing that slows it down.
pub(super) const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off no_timer_check tsc=reliable random.trust_cpu=on cryptomgr.notests";

/// What virtio disks need, in the order in which they are loaded. Debian's ext4, which serves ext2, is part of the kernel.
const MODULES: [&str; 6] = [
    "virtio/virtio_ring.ko",
    "virtio/virtio.ko",
    "virtio/virtio_pci_legacy_dev.ko",
    "virtio/virtio_pci_modern_dev.ko",
    "virtio/virtio_pci.ko",
    "block/virtio_blk.ko",
];
/// Where the program finds them.
const MODULE_FOLDER: &str = "modules";

/// A Linux that can be started.
#[derive(Debug)]
pub(super) struct Linux {
    /// Its kernel.
    pub(super) kernel: PathBuf,
    /// The archive with its first process.
    pub(super) archive: PathBuf,
}

/// Makes a guest whose first process is the program `package` of the workspace at `manifest`, built without its default features.
///
/// # Errors
/// When there is no kernel (the host is not a Debian or has no network), or the program cannot be built.
pub(super) fn guest(package: &str, manifest: &Path, folder: &Path, shell: &Shell) -> Result<Linux> {
    let cache = folder.join("linux");
    fs::create_dir_all(&cache).with_context(|| format!("{}", cache.display()))?;
    let kernel = kernel(&cache, shell).map_err(|error| {
        let help = "comparing needs apt-get, dpkg-deb and a Debian package source; `apt-get update` may be needed once";
        Failure::new(format!("no Linux to compare with: {error:#}"), help)
    })?;
    let program = program(package, manifest, &cache)?;
    let archive = cache.join(format!("{package}.cpio"));
    let content = fs::read(&program).with_context(|| format!("{}", program.display()))?;
    let modules = modules(&cache)?;
    let mut files = vec![
        ("init", PROGRAM, &content[..]),
        (MODULE_FOLDER, FOLDER, &[]),
    ];
    files.extend(
        modules
            .iter()
            .map(|(name, content)| (name.as_str(), FILE, &content[..])),
    );
    fs::write(&archive, cpio(&files)).with_context(|| format!("{}", archive.display()))?;
    Ok(Linux { kernel, archive })
}

/// The modules in the cache, by the names that they have in the archive: sorted as they are loaded.
fn modules(cache: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let modules = (0..).zip(module_names()).map(|(number, name)| {
        let path = cache.join(MODULE_FOLDER).join(name);
        let content = fs::read(&path).with_context(|| format!("{}", path.display()))?;
        Ok((format!("{MODULE_FOLDER}/{number}-{name}"), content))
    });
    modules.collect()
}

/// The file names of [`MODULES`].
fn module_names() -> impl Iterator<Item = &'static str> {
    MODULES.iter().filter_map(|path| path.rsplit('/').next())
}

/// The kernel in the cache; fetched when there is none.
fn kernel(cache: &Path, shell: &Shell) -> Result<PathBuf> {
    if let Some(kernel) = unpacked_kernel(cache) {
        return Ok(kernel);
    }
    let depends = output(Command::new("apt-cache").args(["depends", META_PACKAGE]))?;
    let package =
        newest(&depends).with_context(|| format!("the package source has no {META_PACKAGE}"))?;
    shell.status("Fetching", format_args!("{package}"));
    output(
        Command::new("apt-get")
            .args(["download", package])
            .current_dir(cache),
    )?;
    let mut files = fs::read_dir(cache)?.filter_map(|entry| Some(entry.ok()?.path()));
    let file = files
        .find(|path| path.extension() == Some(OsStr::new("deb")))
        .context("apt-get has left no package")?;
    output(Command::new("dpkg-deb").arg("-x").arg(&file).arg(cache))?;
    fs::remove_file(&file)?;
    keep_modules(cache)?;
    // The other modules are not needed, and large.
    for rest in ["lib", "usr"] {
        let _ = fs::remove_dir_all(cache.join(rest));
    }
    unpacked_kernel(cache).context("the package has no kernel")
}

/// Moves the modules that are needed out of the unpacked package.
fn keep_modules(cache: &Path) -> Result<()> {
    let to = cache.join(MODULE_FOLDER);
    fs::create_dir_all(&to)?;
    let versions = fs::read_dir(cache.join("lib/modules")).context("the package has no modules")?;
    let version = versions.into_iter().flatten().next();
    let version = version.context("the package has no modules")?.path();
    for (path, name) in MODULES.iter().zip(module_names()) {
        let from = version.join("kernel/drivers").join(path);
        fs::rename(&from, to.join(name))
            .with_context(|| format!("the package has no {}", from.display()))?;
    }
    Ok(())
}

/// The kernel, if its modules are there too.
fn unpacked_kernel(cache: &Path) -> Option<PathBuf> {
    if !module_names().all(|name| cache.join(MODULE_FOLDER).join(name).is_file()) {
        return None;
    }
    let mut files = fs::read_dir(cache.join("boot")).ok()?;
    files.find_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        name.starts_with("vmlinuz-").then_some(path)
    })
}

/// The package that the meta package stands for, in what `apt-cache depends` says.
pub(super) fn newest(depends: &str) -> Option<&str> {
    let mut packages = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    packages.find(|package| package.starts_with("linux-image-"))
}

/// Builds the program for a Linux, with nothing that it would have to find there, and without symbols.
pub(super) fn program(package: &str, manifest: &Path, cache: &Path) -> Result<PathBuf> {
    let target = cache.join("target");
    let mut command = Command::new(cargo());
    command
        .args(["build", "--quiet", "--release", "--no-default-features"])
        .args(["--target", TARGET, "--package", package, "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .env(
            "RUSTFLAGS",
            "-C target-feature=+crt-static -C strip=symbols",
        );
    output(&mut command).with_context(|| format!("cannot build {package} for Linux"))?;
    Ok(target.join(TARGET).join("release").join(package))
}

/// Runs a command, for what it prints.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Type and rights of a folder in an archive.
pub(super) const FOLDER: u32 = 0o040_755;
/// Type and rights of a program or any other file.
pub(super) const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// An archive with these files (name, mode, content), of which `/init` is started, and the console that the kernel opens for it.
pub(super) fn cpio(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    const DEVICE: u32 = 0o020_600;
    /// Name, mode, the device's numbers, content.
    type Entry<'a> = (&'a str, u32, (u32, u32), &'a [u8]);
    let mut archive = Vec::new();
    let first: [Entry<'_>; 2] = [
        ("dev", FOLDER, (0, 0), &[]),
        ("dev/console", DEVICE, (5, 1), &[]),
    ];
    let files = files
        .iter()
        .map(|&(name, mode, content)| (name, mode, (0, 0), content));
    let last: Entry<'_> = ("TRAILER!!!", 0, (0, 0), &[]);
    let entries = first.into_iter().chain(files).chain([last]);
    for (number, (name, mode, (major, minor), content)) in (1..).zip(entries) {
        let fields: [u32; 13] = [
            number,
            mode,
            0,
            0,
            1,
            0,
            content.len() as u32,
            0,
            0,
            major,
            minor,
            name.len() as u32 + 1,
            0,
        ];
        archive.extend(b"070701");
        for field in fields {
            archive.extend(format!("{field:08x}").into_bytes());
        }
        archive.extend(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

#[cfg(test)]
mod tests {
    use super::{FILE, PROGRAM, cpio, newest};

    #[test]
    fn the_newest_kernel_is_what_the_meta_package_depends_on() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-9-cloud-amd64\n";
        assert_eq!(newest(depends), Some("linux-image-6.1.0-9-cloud-amd64"));
        assert_eq!(newest("linux-image-cloud-amd64\n"), None);
    }

    #[test]
    fn an_archive_has_headers_of_110_bytes_and_everything_on_multiples_of_4() {
        let archive = cpio(&[
            ("init", PROGRAM, b"12345"),
            ("modules/0-a.ko", FILE, b"module"),
        ]);
        let text = String::from_utf8_lossy(&archive);
        let at = text.find("init\0").unwrap();
        assert_eq!(at % 4, 110 % 4);
        assert_eq!(&text[at - 110..at - 104], "070701");
        assert_eq!(&text[at - 110 + 54..at - 110 + 62], "00000005");
        assert_eq!(&archive[(at + 5).next_multiple_of(4)..][..5], b"12345");
        let at = text.find("modules/0-a.ko\0").unwrap();
        assert_eq!(&archive[(at + 15).next_multiple_of(4)..][..6], b"module");
        assert_eq!(archive.len() % 4, 0);
    }
}
