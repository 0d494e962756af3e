//! Who the program is: its users and groups (POSIX.1-2017, `setuid`, `seteuid`, `setreuid`; Linux: credentials(7), setresuid(2), setgroups(2)).
//!
//! It starts as root and may become another user, as services do that have bound their ports; the way back is as open or closed as on Linux. From
//! then on it is told so, and what it creates belongs to that user. Nothing else is refused to it: there is nobody whose files would have to be kept
//! from it, and code that runs in ring 0 has all rights whatever it is called.

use alloc::vec::Vec;
use core::ffi::{c_char, c_int};

use super::convert::{bytes, c_result, c_status, put};
use super::{capabilities, users};
use crate::error::{Errno, Result};
use crate::storage::vfs::node;
use crate::sync::SpinLock;

/// The user and the group that the program starts as.
pub(super) const ROOT: u32 = 0;
/// Stands for "as it was", and is nobody's number.
const NONE: u32 = u32::MAX;
/// Groups besides the own one that there can be (Linux, `NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

/// A user or a group, three times.
#[derive(Clone, Copy)]
pub(super) struct Identity {
    /// Who started the program.
    pub(super) real: u32,
    /// For whom it acts.
    pub(super) effective: u32,
    /// For whom it may act again.
    pub(super) saved: u32,
}

impl Identity {
    const ROOT: Self = Self {
        real: ROOT,
        effective: ROOT,
        saved: ROOT,
    };

    /// All three.
    pub(super) fn all(self) -> [u32; 3] {
        [self.real, self.effective, self.saved]
    }

    /// `setuid`: root becomes somebody else altogether, others change for whom they act.
    fn set(&mut self, id: u32, is_root: bool) -> Result<()> {
        if id == NONE {
            return Err(Errno(libc::EINVAL));
        }
        if is_root {
            [self.real, self.effective, self.saved] = [id; 3];
        } else if id == self.real || id == self.saved {
            self.effective = id;
        } else {
            return Err(Errno(libc::EPERM));
        }
        Ok(())
    }

    /// `setreuid`.
    fn set_two(&mut self, real: u32, effective: u32, is_root: bool) -> Result<()> {
        let old = *self;
        let may = |id, own: &[u32]| is_root || id == NONE || own.contains(&id);
        if !may(real, &[old.real, old.effective]) || !may(effective, &old.all()) {
            return Err(Errno(libc::EPERM));
        }
        self.real = given(real).unwrap_or(old.real);
        self.effective = given(effective).unwrap_or(old.effective);
        if real != NONE || effective != NONE && effective != old.real {
            self.saved = self.effective;
        }
        Ok(())
    }

    /// `setresuid`.
    fn set_three(&mut self, wanted: [u32; 3], is_root: bool) -> Result<()> {
        let own = self.all();
        if !is_root && wanted.iter().any(|id| *id != NONE && !own.contains(id)) {
            return Err(Errno(libc::EPERM));
        }
        for (own, wanted) in [&mut self.real, &mut self.effective, &mut self.saved]
            .into_iter()
            .zip(wanted)
        {
            *own = given(wanted).unwrap_or(*own);
        }
        Ok(())
    }
}

fn given(id: u32) -> Option<u32> {
    (id != NONE).then_some(id)
}

/// Users and groups of the program; all threads have the same ones.
struct Credentials {
    user: Identity,
    group: Identity,
    other_groups: Vec<u32>,
}

static CREDENTIALS: SpinLock<Credentials> = SpinLock::new(Credentials {
    user: Identity::ROOT,
    group: Identity::ROOT,
    other_groups: Vec::new(),
});

/// The users.
pub(super) fn user() -> Identity {
    CREDENTIALS.lock().user
}

/// The groups, without those that it is in besides.
pub(super) fn group() -> Identity {
    CREDENTIALS.lock().group
}

/// The groups that it is in besides.
pub(super) fn other_groups() -> Vec<u32> {
    loop {
        // Memory is taken without the lock.
        let count = CREDENTIALS.lock().other_groups.len();
        let mut copy = Vec::with_capacity(count);
        let credentials = CREDENTIALS.lock();
        if credentials.other_groups.len() <= count {
            copy.extend_from_slice(&credentials.other_groups);
            return copy;
        }
    }
}

/// What peers are told: the process and for whom it acts.
pub(super) fn told() -> libc::ucred {
    let credentials = CREDENTIALS.lock();
    libc::ucred {
        pid: 1,
        uid: credentials.user.effective,
        gid: credentials.group.effective,
    }
}

/// Changes users (`choose` says which part) or groups, as root or not.
fn change(
    choose: impl FnOnce(&mut Credentials) -> &mut Identity,
    update: impl FnOnce(&mut Identity, bool) -> Result<()>,
) -> c_int {
    c_status((|| {
        let mut credentials = CREDENTIALS.lock();
        let before = credentials.user;
        update(choose(&mut credentials), before.effective == ROOT)?;
        node::set_owner(credentials.user.effective, credentials.group.effective);
        capabilities::follow(before, credentials.user);
        Ok(())
    })())
}

fn change_user(update: impl FnOnce(&mut Identity, bool) -> Result<()>) -> c_int {
    change(|credentials| &mut credentials.user, update)
}

fn change_group(update: impl FnOnce(&mut Identity, bool) -> Result<()>) -> c_int {
    change(|credentials| &mut credentials.group, update)
}

/// The user who started the program.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getuid() -> u32 {
    user().real
}

/// The user for whom the program acts.
#[unsafe(no_mangle)]
pub(super) extern "C" fn geteuid() -> u32 {
    user().effective
}

/// The group that started the program.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getgid() -> u32 {
    group().real
}

/// The group for which the program acts.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getegid() -> u32 {
    group().effective
}

/// Becomes another user: root for good, others as far as they may.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setuid(user: u32) -> c_int {
    change_user(|own, is_root| own.set(user, is_root))
}

/// As [`setuid`], of the group.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setgid(group: u32) -> c_int {
    change_group(|own, is_root| own.set(group, is_root))
}

/// Acts for another user.
#[unsafe(no_mangle)]
extern "C" fn seteuid(user: u32) -> c_int {
    change_user(|own, is_root| match user {
        NONE => Err(Errno(libc::EINVAL)),
        _ => own.set_three([NONE, user, NONE], is_root),
    })
}

/// Acts for another group.
#[unsafe(no_mangle)]
extern "C" fn setegid(group: u32) -> c_int {
    change_group(|own, is_root| match group {
        NONE => Err(Errno(libc::EINVAL)),
        _ => own.set_three([NONE, group, NONE], is_root),
    })
}

/// Sets two users, and with them the saved one.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setreuid(real: u32, effective: u32) -> c_int {
    change_user(|own, is_root| own.set_two(real, effective, is_root))
}

/// As [`setreuid`], of groups.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setregid(real: u32, effective: u32) -> c_int {
    change_group(|own, is_root| own.set_two(real, effective, is_root))
}

/// Sets the three users.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setresuid(real: u32, effective: u32, saved: u32) -> c_int {
    change_user(|own, is_root| own.set_three([real, effective, saved], is_root))
}

/// Sets the three groups.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setresgid(real: u32, effective: u32, saved: u32) -> c_int {
    change_group(|own, is_root| own.set_three([real, effective, saved], is_root))
}

/// Tells who was asked for files before, which is for whom the program acts; changes nothing.
#[unsafe(no_mangle)]
pub(super) extern "C" fn setfsuid(_user: u32) -> c_int {
    geteuid().cast_signed()
}

/// See [`setfsuid`].
#[unsafe(no_mangle)]
pub(super) extern "C" fn setfsgid(_group: u32) -> c_int {
    getegid().cast_signed()
}

/// # Safety
/// 1. All can be written, or are null.
unsafe fn tell(own: Identity, places: [*mut u32; 3]) -> c_int {
    let mut pairs = places.into_iter().zip(own.all());
    // SAFETY: (1).
    c_status(pairs.try_for_each(|(out, id)| unsafe { put(out, id) }))
}

/// Tells the three users.
///
/// # Safety
/// All can be written, or are null.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getresuid(
    real: *mut u32,
    effective: *mut u32,
    saved: *mut u32,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { tell(user(), [real, effective, saved]) }
}

/// Tells the three groups.
///
/// # Safety
/// As of [`getresuid`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getresgid(
    real: *mut u32,
    effective: *mut u32,
    saved: *mut u32,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { tell(group(), [real, effective, saved]) }
}

/// The groups that the program is in besides its own: how many, and which where there is room.
///
/// # Safety
/// `len` numbers can be written at `out`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getgroups(len: c_int, out: *mut u32) -> c_int {
    let groups = other_groups();
    c_result((|| {
        let room = usize::try_from(len).map_err(|_| Errno(libc::EINVAL))?;
        if room > 0 {
            if groups.len() > room {
                return Err(Errno(libc::EINVAL));
            }
            for (index, group) in groups.iter().enumerate() {
                // SAFETY: there is room for `len`, which are no fewer; the caller's place.
                unsafe { put(out.wrapping_add(index), *group) }?;
            }
        }
        Ok(groups.len() as c_int)
    })())
}

/// Puts the program into these groups besides its own.
fn join(mut groups: Vec<u32>) -> Result<()> {
    groups.sort_unstable();
    let mut credentials = CREDENTIALS.lock();
    if credentials.user.effective != ROOT {
        return Err(Errno(libc::EPERM));
    }
    core::mem::swap(&mut credentials.other_groups, &mut groups);
    drop(credentials);
    Ok(())
}

/// Says which groups the program is in besides its own.
///
/// # Safety
/// `len` numbers can be read at `groups`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn setgroups(len: usize, groups: *const u32) -> c_int {
    c_status((|| {
        if len > GROUPS_MAX {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the caller's promise; the length cannot overflow.
        let bytes = unsafe { bytes(groups.cast(), len * size_of::<u32>()) }?;
        let (groups, _) = bytes.as_chunks();
        join(groups.iter().map(|id| u32::from_ne_bytes(*id)).collect())
    })())
}

/// Joins the groups of a user, and the one that is given.
///
/// # Safety
/// `user` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn initgroups(user: *const c_char, group: u32) -> c_int {
    // SAFETY: the caller's string.
    c_status(join(unsafe { users::groups_of(user, group) }))
}

/// The groups of a user: the one that is given, and those that have it among their members. How many, or -1 if there is no room for them.
///
/// # Safety
/// `user` is a C string; `count` can be read and written, and as many groups be written as it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn getgrouplist(
    user: *const c_char,
    group: u32,
    out: *mut u32,
    count: *mut c_int,
) -> c_int {
    // SAFETY: the caller's.
    unsafe {
        let groups = users::groups_of(user, group);
        let all = groups.len() as c_int;
        let room = usize::try_from(count.replace(all)).unwrap_or(0);
        for (index, group) in groups.iter().take(room).enumerate() {
            out.add(index).write(*group);
        }
        if groups.len() > room { -1 } else { all }
    }
}
