//! `signalfd` (Linux: signalfd(2)): signals that are read from a descriptor. While there is one for a signal, it waits to be read unless a
//! thread that sends it does not block it.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ffi::c_int;

use super::convert::{c_result, get};
use super::object::{self, Object};
use super::process::getpid;
use super::signal::{await_signals, bits_of, listen, pending, take_waiting};
use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};
use crate::sync::SpinLock;

const RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();

struct Signals {
    set: SpinLock<u64>,
    notifier: Notifier,
}

/// All of them, to be told.
static ALL: SpinLock<Vec<Weak<Signals>>> = SpinLock::new(Vec::new());

fn tell() {
    let all: Vec<_> = ALL.lock().iter().filter_map(Weak::upgrade).collect();
    all.iter().for_each(|signals| signals.notifier.notify());
}

struct SignalObject(Arc<Signals>);

impl Object for SignalObject {
    /// Reads a record for each signal that waits, as many as there is room for.
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        if buf.len() < RECORD_BYTES {
            return Err(Errno(libc::EINVAL));
        }
        let mut filled = 0;
        loop {
            let mut set = self.0.set.lock();
            for record in buf.chunks_exact_mut(RECORD_BYTES) {
                let Some(signal) = take_waiting(*set) else {
                    break;
                };
                record.fill(0);
                // The number is the first field; the process that sent it, always this one, the fourth. What else is known is zero.
                record[..4].copy_from_slice(&(signal as u32).to_ne_bytes());
                record[12..16].copy_from_slice(&getpid().to_ne_bytes());
                filled += RECORD_BYTES;
            }
            match filled {
                0 if is_nonblocking => return Err(Errno(libc::EAGAIN)),
                0 => (set, _) = self.0.notifier.wait(set, None),
                _ => return Ok(filled),
            }
            drop(set);
        }
    }

    fn readiness(&self) -> Readiness {
        match pending() & *self.0.set.lock() {
            0 => Readiness::empty(),
            _ => Readiness::READABLE,
        }
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.0.notifier)
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        Ok(())
    }
}

impl Drop for SignalObject {
    fn drop(&mut self) {
        await_signals(*self.0.set.lock(), false);
        let own = Arc::as_ptr(&self.0);
        ALL.lock().retain(|other| other.as_ptr() != own);
    }
}

/// Makes a descriptor for a set of signals, or gives one another set.
pub(super) fn signals_behind(descriptor: c_int, set: u64, flags: c_int) -> Result<c_int> {
    if flags & !(libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) != 0 {
        return Err(Errno(libc::EINVAL));
    }
    if descriptor != -1 {
        let description = object::get(descriptor)?;
        let signals = description.downcast::<SignalObject>();
        let signals = &signals.ok_or(Errno(libc::EINVAL))?.0;
        await_signals(set, true);
        let before = core::mem::replace(&mut *signals.set.lock(), set);
        await_signals(before, false);
        signals.notifier.notify();
        return Ok(descriptor);
    }
    let signals = Arc::new(Signals {
        set: SpinLock::new(set),
        notifier: Notifier::new(),
    });
    ALL.lock().push(Arc::downgrade(&signals));
    await_signals(set, true);
    listen(tell);
    object::insert(
        Box::new(SignalObject(signals)),
        (libc::O_RDWR | flags) as u32,
    )
}

/// Makes a descriptor from which signals of a set are read, or gives one (if it is not -1) another set.
///
/// # Safety
/// `set` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn signalfd(
    descriptor: c_int,
    set: *const libc::sigset_t,
    flags: c_int,
) -> c_int {
    // SAFETY: null, or the caller's.
    let set = unsafe { get(set) }.ok_or(Errno(libc::EFAULT));
    c_result(set.and_then(|set| signals_behind(descriptor, bits_of(&set), flags)))
}
