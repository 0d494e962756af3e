//! The folders in which programs put things without making them first, and what they name without asking whether it is there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};

pub(crate) fn places() -> io::Result<()> {
    fs::write("/run/service.pid", "1")?;
    println!(
        "process file {:?}",
        fs::read_to_string("/var/run/service.pid")?
    );
    for path in [
        "/var/cache/a",
        "/var/lib/a",
        "/var/log/a",
        "/var/tmp/a",
        "/dev/shm/a",
    ] {
        fs::write(path, path)?;
    }
    let mut names: Vec<_> = fs::read_dir("/var")?
        .map(|entry| entry.map(|entry| entry.file_name().display().to_string()))
        .collect::<io::Result<_>>()?;
    names.sort();
    println!("var {names:?}");

    // SAFETY: a C string.
    let shared = unsafe { libc::shm_open(c"/a".as_ptr(), libc::O_RDONLY, 0) };
    // SAFETY: just made, and nobody else's, unless it is -1, which is an error below.
    let mut shared = unsafe { File::from_raw_fd(shared) };
    let mut text = String::new();
    shared.read_to_string(&mut text)?;
    println!("shared {text:?}");
    let path = format!("/dev/fd/{}", shared.as_raw_fd());
    println!("by descriptor {:?}", fs::read_link(&path)?);
    println!("opened {:?}", fs::read_to_string(&path)?);
    // SAFETY: C strings.
    let gone = unsafe {
        [
            libc::shm_unlink(c"a".as_ptr()),
            libc::shm_unlink(c"/a".as_ptr()),
        ]
    };
    println!("unlinked {gone:?} {:?}", fs::exists("/dev/shm/a")?);

    let machine = || fs::read_to_string("/etc/machine-id");
    let is_hexadecimal = machine()?
        .trim_end()
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit());
    println!(
        "machine {} {is_hexadecimal} {}",
        machine()?.len(),
        machine()? == machine()?
    );
    Ok(())
}
