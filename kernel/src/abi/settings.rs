//! Files of settings in `/etc`, as the file system has them.

use alloc::string::String;
use alloc::vec::Vec;

use crate::storage::vfs;
use crate::storage::vfs::file::{Access, OpenFile};
use crate::storage::vfs::namespace::LastLink;

/// The longest file that is read.
const MAX_BYTES: usize = 256 << 10;

/// The text of a file; `None` without it, and for one that cannot be read or is too long.
pub(super) fn read(path: &str) -> Option<String> {
    let entry = vfs::resolve(path.as_bytes(), LastLink::Follow).ok()?;
    let access = Access {
        can_read: true,
        can_write: false,
    };
    let file = OpenFile::new(entry, access, false);
    let mut bytes = Vec::new();
    let mut piece = [0; 512];
    loop {
        let len = file.read_at(bytes.len() as u64, &mut piece).ok()?;
        if len == 0 {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        bytes.extend_from_slice(piece.get(..len)?);
        if bytes.len() > MAX_BYTES {
            log::warn!("{path} is longer than {MAX_BYTES} bytes, and is not read");
            return None;
        }
    }
}
