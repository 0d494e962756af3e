//! A Linux guest with a network, made of Debian's packages: its kernel for clouds, busybox, and what else is named. Each is fetched by
//! `apt-get download` and kept in a folder; nothing is installed. The archive that the kernel starts from is written anew each time.

use super::linux::{FOLDER, META_PACKAGE, PROGRAM, cpio, newest, output};
use crate::failure::Failure;
use crate::shell::Shell;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Drivers in the order in which they need one another.
const MODULES: [&str; 8] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];

/// A file of the archive: name, type and rights, content.
pub(super) type File = (String, u32, Vec<u8>);

/// Packages, unpacked.
#[derive(Debug)]
pub(super) struct Debian {
    /// As they would lie under `/`.
    pub(super) root: PathBuf,
}

impl Debian {
    /// The kernel, busybox and `packages`, in the folder `cache`; fetched when they are not there.
    ///
    /// # Errors
    /// When they cannot be fetched: the host is not a Debian or has no network.
    pub(super) fn fetched(cache: &Path, packages: &[&str], shell: &Shell) -> Result<Self> {
        let root = cache.join("root");
        if !root.join("complete").exists() {
            fetch(cache, &root, packages, shell).map_err(|error| {
                let help = "comparing needs apt-get, dpkg-deb and a Debian package source; `apt-get update` may be needed once";
                Failure::new(format!("no Linux to compare with: {error:#}"), help)
            })?;
        }
        Ok(Self { root })
    }

    /// The kernel.
    pub(super) fn kernel(&self) -> Result<PathBuf> {
        starting_with(&self.root.join("boot"), "vmlinuz-")
    }

    /// Writes the archive: with drivers, and a first process that sets the network card up, has busybox do `words`, and becomes `program`.
    /// `network` are its address, such as `10.0.0.2/24`, and the gateway, if there is one.
    pub(super) fn archive(
        &self,
        to: &Path,
        network: (&str, Option<&str>),
        files: Vec<File>,
        words: &str,
        program: &str,
    ) -> Result<()> {
        let modules = starting_with(&self.root.join("lib/modules"), "")?.join("kernel");
        let mut all: Vec<File> = ["proc", "sys", "bin", "modules"]
            .map(|folder| (folder.to_owned(), FOLDER, Vec::new()))
            .into();
        let mut script = String::from("#!/bin/busybox sh\nbusybox() { /bin/busybox \"$@\"; }\n");
        script += "busybox mount -t proc proc /proc\nbusybox mount -t devtmpfs dev /dev\n";
        for module in MODULES {
            let name = module.rsplit('/').next().unwrap_or(module);
            let path = modules.join(format!("{module}.ko"));
            all.push((format!("modules/{name}.ko"), PROGRAM, content(&path)?));
            script += &format!("busybox insmod /modules/{name}.ko\n");
        }
        let (address, gateway) = network;
        script += &format!(
            "ulimit -n 32768\n\
             echo 4096 > /proc/sys/net/core/somaxconn\n\
             echo 65536 > /proc/sys/net/ipv4/tcp_max_syn_backlog\n\
             busybox ip link set lo up\n\
             busybox ip addr add {address} dev eth0\n\
             busybox ip link set eth0 up\n"
        );
        if let Some(gateway) = gateway {
            script += &format!("busybox ip route add default via {gateway}\n");
        }
        script += &format!("{words}exec {program}\n");
        let busybox = content(&self.program("busybox")?)?;
        all.push(("bin/busybox".into(), PROGRAM, busybox));
        all.push(("init".into(), PROGRAM, script.into_bytes()));
        all.extend(files);
        let entries: Vec<_> = all
            .iter()
            .map(|(name, mode, content)| (name.as_str(), *mode, content.as_slice()))
            .collect();
        fs::write(to, cpio(&entries)).with_context(|| format!("{}", to.display()))
    }

    /// Where the packages have a program.
    pub(super) fn program(&self, name: &str) -> Result<PathBuf> {
        let mut places = ["usr/sbin", "usr/bin", "bin", "sbin"]
            .iter()
            .map(|folder| self.root.join(folder).join(name));
        places
            .find(|path| path.is_file())
            .with_context(|| format!("the packages have no {name}"))
    }
}

/// What a file holds.
pub(super) fn content(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{}", path.display()))
}

/// Fetches and unpacks the packages, and the libraries that they need.
fn fetch(cache: &Path, root: &Path, packages: &[&str], shell: &Shell) -> Result<()> {
    let _ = fs::remove_dir_all(cache);
    fs::create_dir_all(root).with_context(|| format!("{}", root.display()))?;
    let depends = |package: &str| output(Command::new("apt-cache").args(["depends", package]));
    let kernel = depends(META_PACKAGE)?;
    let kernel =
        newest(&kernel).with_context(|| format!("the package source has no {META_PACKAGE}"))?;
    let needs = packages.iter().map(|package| depends(package));
    let needs = needs.collect::<Result<Vec<_>>>()?;
    let mut all = vec![kernel, "busybox-static"];
    all.extend(packages);
    all.extend(needs.iter().flat_map(|depends| libraries(depends)));
    shell.status("Fetching", all.join(", "));
    let mut command = Command::new("apt-get");
    output(command.arg("download").args(&all).current_dir(cache))?;
    for entry in fs::read_dir(cache)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("deb")) {
            output(Command::new("dpkg-deb").arg("-x").arg(&path).arg(root))?;
            fs::remove_file(&path)?;
        }
    }
    fs::write(root.join("complete"), "")?;
    Ok(())
}

/// The libraries among what `apt-cache depends` says.
fn libraries(depends: &str) -> impl Iterator<Item = &str> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|name| name.starts_with("lib") || name.starts_with("zlib"))
}

/// The entry of a folder whose name begins so.
fn starting_with(folder: &Path, beginning: &str) -> Result<PathBuf> {
    let mut entries = fs::read_dir(folder)
        .with_context(|| format!("{}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()));
    entries
        .find(|path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(beginning)
        })
        .with_context(|| format!("{} has no {beginning}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::libraries;

    #[test]
    fn libraries_are_found_among_what_a_package_depends_on() {
        let depends =
            "nginx\n  Depends: libc6\n  Depends: iproute2\n  Depends: zlib1g\n  Breaks: libx\n";
        assert_eq!(libraries(depends).collect::<Vec<_>>(), ["libc6", "zlib1g"]);
    }
}
