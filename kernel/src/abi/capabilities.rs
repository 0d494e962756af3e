//! Capabilities (Linux: capget(2), capabilities(7)). The program has all that there are and may give them up, and loses them with the user root, as on
//! Linux; what they allow there is not refused without them ([`super::credentials`] says why).

use core::ffi::c_int;

use super::convert::{c_status, get, put};
use super::credentials::{Identity, ROOT};
use super::process;
use crate::error::{Errno, Result};
use crate::sync::SpinLock;

/// As many as Linux 6.1 knows (linux/capability.h).
pub(super) const LAST: u32 = 40;
const ALL: u64 = (1 << (LAST + 1)) - 1;
/// `CAP_SETPCAP`: may take capabilities away for good.
const SET_CAPABILITIES: u64 = 1 << 8;
/// What is asked of the ambient set (`linux/prctl.h`).
const AMBIENT_IS_SET: u64 = 1;
const AMBIENT_RAISE: u64 = 2;
const AMBIENT_LOWER: u64 = 3;
const AMBIENT_CLEAR_ALL: u64 = 4;
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
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// What the program has.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) effective: u64,
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
    pub(super) bounding: u64,
    pub(super) ambient: u64,
}

static HELD: SpinLock<Held> = SpinLock::new(Held {
    effective: ALL,
    permitted: ALL,
    inheritable: 0,
    bounding: ALL,
    ambient: 0,
});

/// What the program has now.
pub(super) fn held() -> Held {
    *HELD.lock()
}

/// What goes and comes with users (capabilities(7), "Effect of user ID changes on capabilities").
pub(super) fn follow(before: Identity, after: Identity) {
    let mut held = HELD.lock();
    let is_root_gone = before.all().contains(&ROOT) && !after.all().contains(&ROOT);
    if is_root_gone && !process::keeps_capabilities() {
        held.permitted = 0;
    }
    if is_root_gone {
        held.ambient = 0;
    }
    if after.effective != ROOT && before.effective == ROOT {
        held.effective = 0;
    } else if after.effective == ROOT && before.effective != ROOT {
        held.effective = held.permitted;
    }
    held.effective &= held.permitted;
}

impl Held {
    /// 32 by 32.
    fn sets(self) -> [Sets; 2] {
        [0, 32].map(|low| Sets {
            effective: (self.effective >> low) as u32,
            permitted: (self.permitted >> low) as u32,
            inheritable: (self.inheritable >> low) as u32,
        })
    }

    /// With other sets that programs may change by [`capset`].
    fn with(self, sets: [Sets; 2]) -> Self {
        let whole = |of: fn(&Sets) -> u32| {
            let [low, high] = sets.each_ref().map(|sets| u64::from(of(sets)));
            (high << 32 | low) & ALL
        };
        Self {
            effective: whole(|sets| sets.effective),
            permitted: whole(|sets| sets.permitted),
            inheritable: whole(|sets| sets.inheritable),
            ..self
        }
    }
}

/// The bit of a capability; `EINVAL` when there is none of that number.
fn bit(number: u64) -> Result<u64> {
    match number <= LAST.into() {
        true => Ok(1 << number),
        false => Err(Errno(libc::EINVAL)),
    }
}

/// `PR_CAPBSET_READ`: whether a capability could be had.
pub(super) fn is_bounded_by(number: u64) -> Result<bool> {
    Ok(held().bounding & bit(number)? != 0)
}

/// `PR_CAPBSET_DROP`: it can never be had again.
pub(super) fn drop_bound(number: u64) -> Result<()> {
    let bit = bit(number)?;
    let mut held = HELD.lock();
    if held.effective & SET_CAPABILITIES == 0 {
        return Err(Errno(libc::EPERM));
    }
    held.bounding &= !bit;
    Ok(())
}

/// `PR_CAP_AMBIENT`: asks or changes what another program would be started with.
pub(super) fn ambient(what: u64, number: u64) -> Result<c_int> {
    let mut held = HELD.lock();
    match what {
        AMBIENT_CLEAR_ALL if number == 0 => held.ambient = 0,
        AMBIENT_IS_SET => return Ok(c_int::from(held.ambient & bit(number)? != 0)),
        AMBIENT_RAISE => {
            let bit = bit(number)?;
            if held.permitted & held.inheritable & bit == 0 {
                return Err(Errno(libc::EPERM));
            }
            held.ambient |= bit;
        }
        AMBIENT_LOWER => held.ambient &= !bit(number)?,
        _ => return Err(Errno(libc::EINVAL)),
    }
    Ok(0)
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
        for (index, sets) in held().sets().into_iter().take(count).enumerate() {
            // SAFETY: (1).
            unsafe { out.add(index).write(sets) };
        }
        Ok(())
    }))
}

/// Gives capabilities up, or takes permitted ones back into effect: `EPERM` for what is not permitted.
///
/// # Safety
/// 1. As of [`capget`], of which the sets are read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn capset(header: *mut Header, sets: *const Sets) -> c_int {
    // SAFETY: (1).
    c_status(unsafe { count(header) }.and_then(|count| {
        let mut wanted = [Sets::default(); 2];
        for (index, wanted) in wanted.iter_mut().take(count).enumerate() {
            // SAFETY: (1).
            *wanted = unsafe { get(sets.wrapping_add(index)) }.ok_or(Errno(libc::EFAULT))?;
        }
        let mut held = HELD.lock();
        let mut wanted = held.with(wanted);
        let is_more = |set: u64, than: u64| set & !than != 0;
        if is_more(wanted.permitted, held.permitted)
            || is_more(wanted.effective, wanted.permitted)
            || is_more(wanted.inheritable, held.inheritable | held.permitted)
            || is_more(wanted.inheritable, held.inheritable | held.bounding)
        {
            return Err(Errno(libc::EPERM));
        }
        wanted.ambient &= wanted.permitted & wanted.inheritable;
        *held = wanted;
        Ok(())
    }))
}
