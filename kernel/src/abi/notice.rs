//! How the program is told of what happened meanwhile (POSIX.1-2017, `struct sigevent`): of timers ([`super::interval`]) and of requests that
//! are done ([`super::aio`]).

use core::ffi::{c_int, c_void};

use super::convert::get;
use super::signal;
use super::thread::{pthread_create, pthread_detach};
use crate::error::{Errno, Result};
use crate::scheduler::registry;

/// What the program wants to be done.
#[derive(Clone, Copy)]
pub(super) enum Notice {
    /// Nothing.
    None,
    /// The program gets a signal, and its handler the value.
    Signal(c_int, usize),
    /// A thread gets a signal.
    ThreadSignal(c_int, u32),
    /// A thread is started with the value.
    Call(extern "C" fn(*mut c_void) -> *mut c_void, usize),
}

impl Notice {
    /// What `event` asks for; `None` of null.
    ///
    /// # Errors
    /// `EINVAL` of what there is not: kinds, signals, threads, functions.
    ///
    /// # Safety
    /// 1. `event` is null or can be read.
    pub(super) unsafe fn asked_for(event: *const libc::sigevent) -> Result<Option<Self>> {
        // SAFETY: the caller's promise (1).
        let Some(wish) = (unsafe { get(event) }) else {
            return Ok(None);
        };
        let value = wish.sigev_value.sival_ptr as usize;
        let notice = match wish.sigev_notify {
            libc::SIGEV_NONE => Self::None,
            libc::SIGEV_SIGNAL => {
                signal::check(wish.sigev_signo)?;
                Self::Signal(wish.sigev_signo, value)
            }
            libc::SIGEV_THREAD_ID => {
                signal::check(wish.sigev_signo)?;
                let id =
                    u32::try_from(wish.sigev_notify_thread_id).map_err(|_| Errno(libc::EINVAL))?;
                Self::ThreadSignal(wish.sigev_signo, id)
            }
            libc::SIGEV_THREAD => {
                // SAFETY: the union behind the three first fields begins with the function (1).
                let function = unsafe {
                    event
                        .cast::<Option<extern "C" fn(*mut c_void) -> *mut c_void>>()
                        .add(2)
                        .read()
                };
                Self::Call(function.ok_or(Errno(libc::EINVAL))?, value)
            }
            _ => return Err(Errno(libc::EINVAL)),
        };
        Ok(Some(notice))
    }

    /// Tells the program. A handler of a signal runs on this thread, which is there for nothing else; it learns `code` (`SI_TIMER`, …).
    pub(super) fn give(self, code: c_int) {
        match self {
            Self::None => {}
            Self::Signal(number, value) => {
                let mut info = signal::info_of(number);
                info.si_code = code;
                // SAFETY: the value (`si_value`) is behind four numbers of 4 bytes and two more, of the timer or of the sender.
                unsafe { (&raw mut info).cast::<usize>().add(3).write(value) };
                // There is such a signal.
                let _ = signal::send_told(&mut info);
            }
            Self::ThreadSignal(number, id) => {
                registry::with_thread(id, |thread| signal::send_to(thread, number));
            }
            Self::Call(function, value) => {
                let mut thread = 0;
                // SAFETY: local variables; the function is the program's, for this value.
                unsafe {
                    let made = pthread_create(
                        &raw mut thread,
                        core::ptr::null(),
                        function,
                        value as *mut c_void,
                    );
                    if made == 0 {
                        pthread_detach(thread);
                    }
                }
            }
        }
    }
}
