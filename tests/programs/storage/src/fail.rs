//! Goes on after errors: whatever fails is an error, and the program lives.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn show<T>(what: &str, result: io::Result<T>) {
    match result {
        Ok(_) => println!("{what}: ok"),
        Err(error) => println!("{what}: error {}", error.raw_os_error().unwrap_or(0)),
    }
}

pub(crate) fn run(folder: &Path) {
    for round in 0..3 {
        let path = folder.join(format!("new{round}"));
        let file = File::create(&path);
        show(
            "create",
            file.as_ref()
                .map(drop)
                .map_err(|error| io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))),
        );
        if let Ok(mut file) = file {
            show("write", file.write_all(&[7; 200_000]));
            show("sync", file.sync_all());
            let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            // SAFETY: an open file.
            let punched = match unsafe { libc::fallocate(file.as_raw_fd(), mode, 0, 4096) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            };
            show("punch a hole", punched);
        }
        show("mkdir", fs::create_dir(folder.join(format!("dir{round}"))));
        show("read", fs::read(folder.join("a.txt")));
        show("list", fs::read_dir(folder).map(Iterator::count));
        show("remove", fs::remove_file(path));
    }
    // ext2 of Linux does not exchange names either.
    let name = |name: &str| CString::new(folder.join(name).as_os_str().as_bytes());
    let _ = File::create(folder.join("one"));
    if let (Ok(one), Ok(other)) = (name("one"), name("lost+found")) {
        let here = libc::AT_FDCWD;
        let flags = libc::RENAME_EXCHANGE;
        // SAFETY: C strings.
        let result = unsafe { libc::renameat2(here, one.as_ptr(), here, other.as_ptr(), flags) };
        show(
            "exchange",
            match result {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            },
        );
    }
    println!("still here");
}
