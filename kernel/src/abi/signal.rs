//! Signals, as far as a machine with one program has them: actions are noted; nobody sends any.

use core::ffi::{c_int, c_void};

use super::errno;
use crate::error::Errno;
use crate::scheduler;
use crate::sync::SpinLock;

const SIGNALS: usize = 65;

#[derive(Clone, Copy)]
#[repr(C)]
struct Action {
    handler: usize,
    rest: [usize; 18],
}

const _: () = assert!(size_of::<Action>() == size_of::<libc::sigaction>());

static ACTIONS: SpinLock<[Action; SIGNALS]> = SpinLock::new(
    [Action {
        handler: 0,
        rest: [0; 18],
    }; SIGNALS],
);

fn number(signal: c_int) -> Result<usize, Errno> {
    usize::try_from(signal)
        .ok()
        .filter(|s| (1..SIGNALS).contains(s))
        .ok_or(Errno(libc::EINVAL))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    let index = match number(signal) {
        Ok(index) => index,
        Err(error) => return errno::set(error),
    };
    let mut actions = ACTIONS.lock();
    let before = actions[index];
    // SAFETY: null, or the caller's actions, which have this size.
    unsafe {
        if !new.is_null() {
            actions[index] = *new.cast();
        }
        if !old.is_null() {
            *old.cast() = before;
        }
    }
    0
}

#[unsafe(no_mangle)]
extern "C" fn signal(signal: c_int, handler: usize) -> usize {
    match number(signal) {
        Ok(index) => core::mem::replace(&mut ACTIONS.lock()[index].handler, handler),
        Err(error) => errno::set(error) as usize,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sigaltstack(_new: *const libc::stack_t, old: *mut libc::stack_t) -> c_int {
    if !old.is_null() {
        // SAFETY: the caller's pointer to a result.
        unsafe {
            *old = libc::stack_t {
                ss_sp: core::ptr::null_mut::<c_void>(),
                ss_flags: libc::SS_DISABLE,
                ss_size: 0,
            }
        };
    }
    0
}

/// No signal ever comes: sleeps for good.
#[unsafe(no_mangle)]
extern "C" fn pause() -> c_int {
    loop {
        scheduler::sleep_until(u64::MAX);
    }
}
