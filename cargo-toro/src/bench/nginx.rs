//! nginx on Linux, to compare with: Debian's, of packages that are kept under `target/toro/bench/nginx`.

use super::debian::{Debian, content};
use super::linux::{FOLDER, PROGRAM};
use crate::shell::Shell;
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};

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
    let debian = Debian::fetched(&cache, &["nginx"], shell)?;
    let folders = [
        "www",
        "lib",
        LIBRARIES,
        "lib64",
        "var",
        "var/lib",
        "var/lib/nginx",
        "var/log",
        "var/log/nginx",
        "etc",
    ];
    let mut files: Vec<_> = folders
        .map(|folder| (folder.to_owned(), FOLDER, Vec::new()))
        .into();
    let nginx = content(&debian.program("nginx")?)?;
    files.push(("bin/nginx".into(), PROGRAM, nginx));
    let before = files.len();
    for folder in [LIBRARIES.to_owned(), format!("usr/{LIBRARIES}")] {
        for entry in fs::read_dir(debian.root.join(folder)).into_iter().flatten() {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_file() && name.contains(".so") {
                let library = content(&path)?;
                if name == "ld-linux-x86-64.so.2" {
                    files.push((format!("lib64/{name}"), PROGRAM, library.clone()));
                }
                files.push((format!("{LIBRARIES}/{name}"), PROGRAM, library));
            }
        }
    }
    anyhow::ensure!(files.len() > before, "the packages have no libraries");
    let passwd = b"root:x:0:0::/:/\nnobody:x:65534:65534::/:/\n";
    let texts: [(&str, &[u8]); 4] = [
        ("nginx.conf", CONFIGURATION.as_bytes()),
        ("etc/passwd", passwd),
        ("etc/group", b"root:x:0:\nnogroup:x:65534:\n"),
        ("www/index.html", page),
    ];
    files.extend(texts.map(|(name, text)| (name.to_owned(), PROGRAM, text.to_vec())));
    let words = format!(
        "busybox dd if=/dev/zero of=/www/large bs=1048576 count={large_mib} 2>/dev/null\n\
         echo Serving\n"
    );
    let archive = cache.join("nginx.cpio");
    let program = "/bin/nginx -c /nginx.conf";
    debian.archive(&archive, (address, None), files, &words, program)?;
    Ok(Nginx {
        kernel: debian.kernel()?,
        archive,
    })
}
