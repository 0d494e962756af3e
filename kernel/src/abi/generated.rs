//! What is made when it is opened: files where the file system has none of the name, and pipes.
//!
//! A family of functions brings what it opens along: an entry in a section that the linker script gathers, and that is there only in
//! programs which use the family, as nothing else refers to the entry. Each family's section has a name of its own: those of one name are one section.

use alloc::sync::Arc;
use core::ffi::c_int;

use super::memfd;
use crate::error::{Errno, Result};
use crate::storage::vfs;
use crate::storage::vfs::namespace::{Bounds, Entry, LastLink};
use crate::storage::vfs::node::NodeKind;

/// Something that is made when it is opened; what makes it gives its descriptor.
pub(super) enum Generated {
    /// A file to be read only, at a path from the root.
    File {
        path: &'static [u8],
        open: fn(flags: c_int) -> Result<c_int>,
    },
    /// The pipe of a name.
    Fifo(fn(name: Arc<Entry>, flags: c_int) -> Result<c_int>),
}

impl Generated {
    pub(super) const fn at(path: &'static [u8], open: fn(c_int) -> Result<c_int>) -> Self {
        Self::File { path, open }
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

/// The users and groups of a machine whose file system names none.
pub(super) const PASSWD: &str = "root:x:0:0:root:/:\nnobody:x:65534:65534:nobody:/:\n";
/// The group of nobody has two names, one for each habit of systems.
pub(super) const GROUP: &str = "root:x:0:\nnobody:x:65534:\nnogroup:x:65534:\n";

/// What programs look for to learn what they run on and as whom (os-release(5), passwd(5), group(5)), where the file system says nothing of it.
#[unsafe(link_section = ".toro.generated.texts")]
static TEXTS: [Generated; 4] = [
    Generated::at(b"/etc/group", |flags| open_text(GROUP, flags)),
    // As [`super::machine::HOST_NAME`].
    Generated::at(b"/etc/hostname", |flags| open_text("toro\n", flags)),
    Generated::at(b"/etc/os-release", |flags| open_text(OS_RELEASE, flags)),
    Generated::at(b"/etc/passwd", |flags| open_text(PASSWD, flags)),
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

/// Opens what the file system cannot (`error` says so), if it is one of these.
#[cold]
pub(super) fn open(
    error: Errno,
    base: &Arc<Entry>,
    path: &[u8],
    flags: c_int,
    bounds: Bounds,
) -> Result<c_int> {
    let is_read_only = flags & libc::O_ACCMODE == libc::O_RDONLY;
    for generated in all() {
        match generated {
            Generated::File { path: its, open }
                if error == Errno(libc::ENOENT)
                    && is_read_only
                    && bounds == Bounds::NONE
                    && *its == path =>
            {
                return open(flags);
            }
            Generated::Fifo(open) if error == Errno(libc::ENXIO) => {
                let found = vfs::names()?.find_within(base, path, LastLink::Follow, bounds)?;
                if let Some(entry) = found.entry
                    && entry.node.kind() == NodeKind::Fifo
                {
                    return open(entry, flags);
                }
            }
            _ => {}
        }
    }
    Err(error)
}
