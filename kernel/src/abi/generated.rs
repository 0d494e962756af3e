//! Files that are made when they are opened, where the file system has none of the name.
//!
//! A family of functions brings its files along: an entry in a section that the linker script gathers, and that is there only in programs
//! which use the family, as nothing else refers to the entry.

use core::ffi::c_int;

use super::memfd;
use crate::error::{Errno, Result};

/// A file that is made when it is opened, to be read only.
pub(super) struct Generated {
    /// Its path, from the root.
    pub(super) path: &'static [u8],
    /// Makes it; its descriptor.
    pub(super) open: fn(flags: c_int) -> Result<c_int>,
}

impl Generated {
    const fn at(path: &'static [u8], open: fn(c_int) -> Result<c_int>) -> Self {
        Self { path, open }
    }
}

unsafe extern "C" {
    /// Where the linker script puts them (`image.ld`).
    static toro_generated_start: u8;
    static toro_generated_end: u8;
}

fn all() -> &'static [Generated] {
    let (start, end) = (
        &raw const toro_generated_start,
        &raw const toro_generated_end,
    );
    let count = (end as usize - start as usize) / size_of::<Generated>();
    // SAFETY: the section consists of such entries and of nothing else, and is never written.
    unsafe { core::slice::from_raw_parts(start.cast::<Generated>(), count) }
}

fn open_text(text: &str, flags: c_int) -> Result<c_int> {
    memfd::of_content(b"etc", text.as_bytes(), flags)
}

/// What programs look for to learn what they run on and as whom (os-release(5), passwd(5), group(5)), where the file system says nothing of it.
#[unsafe(link_section = ".toro.generated")]
static TEXTS: [Generated; 4] = [
    Generated::at(b"/etc/group", |flags| open_text("root:x:0:\n", flags)),
    // As [`super::machine::HOST_NAME`].
    Generated::at(b"/etc/hostname", |flags| open_text("toro\n", flags)),
    Generated::at(b"/etc/os-release", |flags| open_text(OS_RELEASE, flags)),
    Generated::at(b"/etc/passwd", |flags| {
        open_text("root:x:0:0:root:/:\n", flags)
    }),
];

const OS_RELEASE: &str = concat!(
    "NAME=\"Toro\"\nID=toro\nVERSION_ID=\"",
    env!("CARGO_PKG_VERSION"),
    "\"\nPRETTY_NAME=\"Toro ",
    env!("CARGO_PKG_VERSION"),
    "\"\n"
);

/// Programs that open files have these.
pub(crate) fn bring_texts() {
    core::hint::black_box(&raw const TEXTS);
}

/// Opens a file that the file system does not have (`error` says so), if it is one of these.
#[cold]
pub(super) fn open(error: Errno, path: &[u8], flags: c_int) -> Result<c_int> {
    let is_it = |file: &&Generated| file.path == path;
    if error != Errno(libc::ENOENT) || flags & libc::O_ACCMODE != libc::O_RDONLY {
        return Err(error);
    }
    (all().iter().find(is_it).ok_or(error)?.open)(flags)
}
