//! nginx on Linux, to compare with: Debian's kernel for clouds, its nginx and busybox, each fetched as a package by `apt-get download` and kept
//! under `target/toro/bench/nginx`; nothing is installed. The archive that the kernel starts from is written anew each time.

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
/// Where the libraries of Debian's packages are.
const LIBRARIES: &str = "lib/x86_64-linux-gnu";

/// What it serves: `/index.html`, `/large`, and what is posted to `/upload` is read and forgotten.
const CONFIGURATION: &str = "\
worker_processes 1; daemon off; master_process off; pid /nginx.pid; error_log /dev/null;
worker_rlimit_nofile 32768;
events { worker_connections 16384; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600s;
  open_file_cache max=16; client_max_body_size 0; default_type text/html;
  server {
    listen 80 backlog=4096; root /www;
    location = /upload { return 204; }
  }
}
";

/// A Linux with nginx in it.
#[derive(Debug)]
pub(super) struct Nginx {
    /// The kernel.
    pub(super) kernel: PathBuf,
    /// The archive with everything else.
    pub(super) archive: PathBuf,
}

/// Makes the guest, with this address (such as `10.0.0.2/24`), `page` as `/index.html`, and `/large` of so many MiB.
///
/// # Errors
/// When packages are missing and cannot be fetched: the host is not a Debian or has no network.
pub(super) fn guest(
    folder: &Path,
    address: &str,
    page: &[u8],
    large_mib: usize,
    shell: &Shell,
) -> Result<Nginx> {
    let cache = folder.join("nginx");
    let root = cache.join("root");
    if !root.join("complete").exists() {
        fetch(&cache, &root, shell).map_err(|error| {
            let help = "comparing needs apt-get, dpkg-deb and a Debian package source; `apt-get update` may be needed once";
            Failure::new(format!("no nginx to compare with: {error:#}"), help)
        })?;
    }
    let kernel = starting_with(&root.join("boot"), "vmlinuz-")?;
    let modules = starting_with(&root.join("lib/modules"), "")?.join("kernel");
    let mut files = Vec::new();
    for folder in [
        "proc", "sys", "www", "bin", "lib", LIBRARIES, "lib64", "modules",
    ] {
        files.push((folder.to_owned(), FOLDER, Vec::new()));
    }
    for folder in [
        "var",
        "var/lib",
        "var/lib/nginx",
        "var/log",
        "var/log/nginx",
        "etc",
    ] {
        files.push((folder.to_owned(), FOLDER, Vec::new()));
    }
    let mut add = |name: String, from: &Path| -> Result<()> {
        let content = fs::read(from).with_context(|| format!("{}", from.display()))?;
        files.push((name, PROGRAM, content));
        Ok(())
    };
    let mut script = String::from("#!/bin/busybox sh\nbusybox() { /bin/busybox \"$@\"; }\n");
    script += "busybox mount -t proc proc /proc\nbusybox mount -t devtmpfs dev /dev\n";
    for module in MODULES {
        let name = module.rsplit('/').next().unwrap_or(module);
        add(
            format!("modules/{name}.ko"),
            &modules.join(format!("{module}.ko")),
        )?;
        script += &format!("busybox insmod /modules/{name}.ko\n");
    }
    script += &format!(
        "ulimit -n 32768\n\
         echo 4096 > /proc/sys/net/core/somaxconn\n\
         echo 65536 > /proc/sys/net/ipv4/tcp_max_syn_backlog\n\
         busybox ip link set lo up\n\
         busybox ip addr add {address} dev eth0\n\
         busybox ip link set eth0 up\n\
         busybox dd if=/dev/zero of=/www/large bs=1048576 count={large_mib} 2>/dev/null\n\
         echo Serving\n\
         exec /bin/nginx -c /nginx.conf\n"
    );
    add("bin/busybox".into(), &program(&root, "busybox")?)?;
    add("bin/nginx".into(), &program(&root, "nginx")?)?;
    let mut libraries = 0;
    for folder in [LIBRARIES.to_owned(), format!("usr/{LIBRARIES}")] {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten() {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_file() && name.contains(".so") {
                add(format!("{LIBRARIES}/{name}"), &path)?;
                if name == "ld-linux-x86-64.so.2" {
                    add(format!("lib64/{name}"), &path)?;
                }
                libraries += 1;
            }
        }
    }
    anyhow::ensure!(libraries != 0, "the packages have no libraries");
    for (name, content) in [
        ("init", script.as_bytes()),
        ("nginx.conf", CONFIGURATION.as_bytes()),
        (
            "etc/passwd",
            b"root:x:0:0::/:/\nnobody:x:65534:65534::/:/\n",
        ),
        ("etc/group", b"root:x:0:\nnogroup:x:65534:\n"),
        ("www/index.html", page),
    ] {
        files.push((name.into(), PROGRAM, content.to_vec()));
    }
    let entries: Vec<_> = files
        .iter()
        .map(|(name, mode, content)| (name.as_str(), *mode, content.as_slice()))
        .collect();
    let archive = cache.join("nginx.cpio");
    fs::write(&archive, cpio(&entries)).with_context(|| format!("{}", archive.display()))?;
    Ok(Nginx { kernel, archive })
}

/// Fetches and unpacks the packages.
fn fetch(cache: &Path, root: &Path, shell: &Shell) -> Result<()> {
    let _ = fs::remove_dir_all(cache);
    fs::create_dir_all(root).with_context(|| format!("{}", root.display()))?;
    let depends = |package: &str| output(Command::new("apt-cache").args(["depends", package]));
    let kernel = depends(META_PACKAGE)?;
    let kernel =
        newest(&kernel).with_context(|| format!("the package source has no {META_PACKAGE}"))?;
    let nginx = depends("nginx")?;
    let mut packages = vec![kernel, "nginx", "busybox-static"];
    packages.extend(libraries(&nginx));
    shell.status("Fetching", packages.join(", "));
    let mut command = Command::new("apt-get");
    output(command.arg("download").args(&packages).current_dir(cache))?;
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

/// Where the packages have a program.
fn program(root: &Path, name: &str) -> Result<PathBuf> {
    let mut places = ["usr/sbin", "usr/bin", "bin", "sbin"]
        .iter()
        .map(|folder| root.join(folder).join(name));
    places
        .find(|path| path.is_file())
        .with_context(|| format!("the packages have no {name}"))
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
