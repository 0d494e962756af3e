//! Capabilities (Linux: capget(2), capabilities(7)). The program has all that there are, as [`super::procfs`] says, and gives none of them up: they mean
//! nothing here, and a program that believes itself rid of them would be wrong.

use core::ffi::c_int;

use super::convert::{c_status, get, put};
use crate::error::{Errno, Result};

/// As many as Linux 6.1 knows (linux/capability.h).
pub(super) const ALL: u64 = (1 << 41) - 1;
/// `_LINUX_CAPABILITY_VERSION_1` and its successors, of which the first has sets of 32 bits.
const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// Of which process, and how it is asked for.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Header {
    version: u32,
    process: c_int,
}

/// 32 of each set.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// What there is, 32 by 32.
fn own() -> [Sets; 2] {
    [ALL as u32, (ALL >> 32) as u32].map(|all| Sets {
        effective: all,
        permitted: all,
        inheritable: 0,
    })
}

/// How many times 32 the caller's version has. One that is not known is told which is.
///
/// # Safety
/// 1. `header` is null or can be read and written.
unsafe fn count(header: *mut Header) -> Result<usize> {
    // SAFETY: (1).
    let mut asked = unsafe { get(header) }.ok_or(Errno(libc::EFAULT))?;
    let count = match asked.version {
        VERSION_1 => 1,
        VERSION_2 | VERSION_3 => 2,
        _ => {
            asked.version = VERSION_3;
            // SAFETY: (1).
            unsafe { put(header, asked) }?;
            return Err(Errno(libc::EINVAL));
        }
    };
    match asked.process {
        0 | 1 => Ok(count),
        ..0 => Err(Errno(libc::EINVAL)),
        _ => Err(Errno(libc::ESRCH)),
    }
}

/// Tells the capabilities.
///
/// # Safety
/// 1. `header` is null or can be read and written; as many sets as its version has can be written at `out`, unless it is null.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn capget(header: *mut Header, out: *mut Sets) -> c_int {
    // SAFETY: (1).
    c_status(unsafe { count(header) }.and_then(|count| {
        if out.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        for (index, sets) in own().into_iter().take(count).enumerate() {
            // SAFETY: (1).
            unsafe { out.add(index).write(sets) };
        }
        Ok(())
    }))
}

/// Changes nothing: `EPERM` for what would.
///
/// # Safety
/// 1. As of [`capget`], of which the sets are read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn capset(header: *mut Header, sets: *const Sets) -> c_int {
    // SAFETY: (1).
    c_status(unsafe { count(header) }.and_then(|count| {
        for (index, own) in own().into_iter().take(count).enumerate() {
            // SAFETY: (1).
            let wanted = (!sets.is_null()).then(|| unsafe { sets.add(index).read() });
            if wanted.ok_or(Errno(libc::EFAULT))? != own {
                return Err(Errno(libc::EPERM));
            }
        }
        Ok(())
    }))
}
