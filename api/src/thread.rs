//! Control over threads: suspend, resume, kill; and hints for threads that poll.
//!
//! [`Control`] is on every `JoinHandle` of `std`; a [`Handle`] can be cloned, sent and kept.
//!
//! # What a kill is
//! A killed thread **unwinds**, as by a panic without a message: what it owns is dropped, locks are released (and poisoned, as by every panic),
//! destructors of thread-locals run, and who joins it gets `Err` with [`Killed`] inside. It does so at its next *kill point*: a call of this crate
//! that waits or yields ([`sleep`], [`park_forever`], [`yield_now`], [`polling`], [`checkpoint`], sending and receiving of
//! [`message`](crate::message)s). If it waits in one of them it ends at once.
//!
//! The waits of `std` (`std::thread::sleep`, locks, channels, joins, files, sockets) are no kill points. std declares the C functions in which it waits as
//! such that do not unwind, and most of it is not written to be unwound out of: a thread that waits for a condition variable has
//! given its lock back, yet owns the guard; one that waits at the end of `std::thread::scope` lends its stack to others. To unwind there would release a lock
//! that another thread holds, or free what another thread uses. So a thread that is killed there goes on until it reaches a kill point. Code that is to
//! be killed in the middle of work calls [`checkpoint`] now and then. Who catches the unwinding
//! (`std::panic::catch_unwind`) and does not let it go on has undone the kill.
//!
//! ```no_run
//! use toro::thread::{Control, Killed};
//! let worker = toro::core::spawn_on(0, || loop { toro::thread::sleep(std::time::Duration::from_secs(1)) })?;
//! worker.kill()?;
//! assert!(worker.join().unwrap_err().is::<Killed>());
//! # Ok::<(), toro::Error>(())
//! ```

use std::panic;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sys::thread as sys;

/// What a thread that was killed ends with: the content of the error that joining it gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Killed;

/// A thread, to be controlled. It keeps the thread's record, not the thread, from going away.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Handle(sys::Reference);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("core", &self.core())
            .field("has_ended", &self.has_ended())
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// The core of the thread.
    #[must_use]
    pub fn core(&self) -> usize {
        self.0.core()
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// Keeps the thread from running until it is resumed. A thread that waits does not run even if it is woken meanwhile: the wake-up
    /// is kept. A thread that runs, on another core, stops at its next wait or yield. Suspending twice is like once.
    ///
    /// The thread keeps the locks that it holds.
    ///
    /// # Errors
    /// [`Error::ThreadEnded`].
    pub fn suspend(&self) -> Result<()> {
        result(self.0.suspend())
    }

    /// Lets a suspended thread run again; does nothing to others.
    ///
    /// # Errors
    /// [`Error::ThreadEnded`].
    pub fn resume(&self) -> Result<()> {
        result(self.0.resume())
    }

    /// Kills the thread: it unwinds at its next kill point (see [the module](self)), which is now if it waits in one. A suspended thread
    /// is resumed for that. The main thread ends the program with status 101 then.
    ///
    /// # Errors
    /// [`Error::ThreadEnded`].
    pub fn kill(&self) -> Result<()> {
        result(self.0.kill())
    }
}

fn result(code: i32) -> Result<()> {
    match code {
        0 => Ok(()),
        // The kernel has no other error here.
        _ => Err(Error::ThreadEnded),
    }
}

/// The calling thread.
#[must_use]
pub fn current() -> Handle {
    Handle(sys::Reference::to_self())
}

/// Control over the thread of a handle of `std`.
pub trait Control {
    /// A handle that can be kept, cloned and sent.
    fn control(&self) -> Handle;

    /// See [`Handle::core`].
    fn core(&self) -> usize {
        self.control().core()
    }

    /// See [`Handle::suspend`].
    ///
    /// # Errors
    /// [`Error::ThreadEnded`].
    fn suspend(&self) -> Result<()> {
        self.control().suspend()
    }

    /// See [`Handle::resume`].
    ///
    /// # Errors
    /// [`Error::ThreadEnded`].
    fn resume(&self) -> Result<()> {
        self.control().resume()
    }

    /// See [`Handle::kill`].
    ///
    /// # Errors
    /// [`Error::ThreadEnded`].
    fn kill(&self) -> Result<()> {
        self.control().kill()
    }
}

impl<T> Control for JoinHandle<T> {
    fn control(&self) -> Handle {
        Handle(sys::Reference::of(self))
    }
}

/// A kill point, and nothing else: ends the calling thread if it was killed.
pub fn checkpoint() {
    // Who unwinds already ends anyway, and must not unwind a second time.
    if sys::take_kill() && !std::thread::panicking() {
        panic::resume_unwind(Box::new(Killed));
    }
}

/// Sleeps, as `std::thread::sleep`; a kill ends it.
pub fn sleep(duration: Duration) {
    checkpoint();
    sys::sleep(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1));
    checkpoint();
}

/// Sleeps for good: only a kill ends it. Takes nothing but its stack.
pub fn park_forever() -> ! {
    loop {
        checkpoint();
        sys::sleep(u64::MAX);
    }
}

/// Lets the other threads of the core run, as `std::thread::yield_now`; a kill point.
pub fn yield_now() {
    checkpoint();
    sys::yield_now();
    checkpoint();
}

/// Says that the calling thread polls, and found nothing: the other threads of the core run. When all of them have polled in vain,
/// the core halts until an interrupt comes, a thread calls [`worked`], or 10 ms have passed; then everybody polls again.
///
/// ```no_run
/// # use std::sync::atomic::{AtomicBool, Ordering};
/// # static READY: AtomicBool = AtomicBool::new(false);
/// while !READY.load(Ordering::Acquire) {
///     toro::thread::polling();
/// }
/// ```
pub fn polling() {
    checkpoint();
    sys::polling();
    checkpoint();
}

/// Says that the calling thread did work that others may poll for, on whatever core: they look again at once.
pub fn worked() {
    sys::worked();
}
