//! The cores of the machine: threads on a chosen one, the rule for those that choose none, what each core has done.
//!
//! A thread never moves to another core, so data that only threads of one core use needs no lock against the others.
//!
//! ```no_run
//! let worker = toro::core::spawn_on(1, || toro::core::current())?;
//! assert_eq!(worker.join().unwrap(), 1);
//! # Ok::<(), toro::Error>(())
//! ```

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sys;

/// How many cores run, at least 1. They are numbered from 0.
#[must_use]
pub fn count() -> usize {
    sys::core::count()
}

/// The number of the core that runs the calling thread. A thread never moves to another core.
#[must_use]
pub fn current() -> usize {
    sys::core::current()
}

/// Starts a thread on a core. It is a thread of `std` in everything else: its handle, its thread-locals, its panics.
///
/// # Errors
/// [`Error::NoSuchCore`]; [`Error::OutOfMemory`] where there is none for another thread.
pub fn spawn_on<F, T>(core: usize, f: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new(core).spawn(f)
}

/// How a thread is to be: its core, its name, its stack.
///
/// ```no_run
/// let worker = toro::core::Builder::new(2).name("disk").stack_size(64 << 10).spawn(|| 42)?;
/// # Ok::<(), toro::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it starts nothing before `spawn`"]
pub struct Builder {
    core: usize,
    name: Option<String>,
    stack_bytes: Option<usize>,
}

impl Builder {
    /// A thread for a core.
    pub fn new(core: usize) -> Self {
        Self {
            core,
            name: None,
            stack_bytes: None,
        }
    }

    /// Names it. The kernel's reports show the first 15 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Gives it a stack of so many bytes, rounded up to pages; 2 MiB where nothing is said. Only what is touched takes memory.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_bytes = Some(bytes);
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::NoSuchCore`]; [`Error::Invalid`] for a name with a zero byte; [`Error::StackTooSmall`] below 4 KiB;
    /// [`Error::OutOfMemory`] where there is none for another thread.
    pub fn spawn<F, T>(self, f: F) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let builder = self.checked()?;
        // Taken back if the thread is not started.
        let _choice = self.choose()?;
        builder.spawn(f).map_err(|error| self.failure(&error))
    }

    /// Starts the thread in a scope of [`std::thread::scope`], so that it may borrow.
    ///
    /// # Errors
    /// As for [`Builder::spawn`].
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope thread::Scope<'scope, '_>,
        f: F,
    ) -> Result<thread::ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let builder = self.checked()?;
        let _choice = self.choose()?;
        builder
            .spawn_scoped(scope, f)
            .map_err(|error| self.failure(&error))
    }

    /// The builder of std for it.
    fn checked(&self) -> Result<thread::Builder> {
        const LEAST_STACK_BYTES: usize = 4096;
        let mut builder = thread::Builder::new();
        if let Some(name) = &self.name {
            if name.contains('\0') {
                return Err(Error::Invalid(format!(
                    "the name {name:?} of a thread has a zero byte"
                )));
            }
            builder = builder.name(name.clone());
        }
        if let Some(bytes) = self.stack_bytes {
            if bytes < LEAST_STACK_BYTES {
                return Err(Error::StackTooSmall {
                    bytes,
                    least: LEAST_STACK_BYTES,
                });
            }
            // More than an address space can have: std would panic.
            if bytes > isize::MAX as usize / 2 {
                return Err(Error::OutOfMemory);
            }
            builder = builder.stack_size(bytes);
        }
        Ok(builder)
    }

    fn choose(&self) -> Result<sys::core::Choice> {
        sys::core::Choice::new(self.core).ok_or_else(|| no_such_core(self.core))
    }

    fn failure(&self, error: &io::Error) -> Error {
        match error.kind() {
            // EAGAIN is what `pthread_create` answers when there is no memory.
            io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => Error::OutOfMemory,
            _ => Error::Other {
                what: format!("cannot start a thread on core {}", self.core),
                errno: error.raw_os_error().unwrap_or(0),
            },
        }
    }
}

fn no_such_core(core: usize) -> Error {
    Error::NoSuchCore {
        core,
        count: count(),
    }
}

/// On which core a thread starts whose creator does not choose: the rule for `std::thread::spawn`.
///
/// It is also chosen by `placement = "…"` in `[package.metadata.toro]` and by `cargo toro run --placement …`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Placement {
    /// The core with the fewest threads; of equal ones the creator's own, else the first. The rule where nothing is said.
    #[default]
    LeastLoaded,
    /// One core after the other.
    RoundRobin,
    /// The creator's own core.
    SameCore,
}

/// Chooses the rule for threads that start from now on.
pub fn set_placement(rule: Placement) {
    sys::core::set_placement(match rule {
        Placement::LeastLoaded => 0,
        Placement::RoundRobin => 1,
        Placement::SameCore => 2,
    });
}

/// What a core has done since it started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Statistics {
    /// How long it halted: it had no thread that was ready, or all that were only polled.
    pub halted: Duration,
    /// Switches from one thread to another.
    pub switches: u64,
    /// Interrupts that it took.
    pub interrupts: u64,
    /// Its threads that have not ended, an idle thread of the kernel on each core but the first among them.
    pub threads: u64,
}

/// What a core has done. Counters of another core may be a moment old.
///
/// # Errors
/// [`Error::NoSuchCore`].
pub fn statistics(core: usize) -> Result<Statistics> {
    let statistics = sys::core::statistics(core).ok_or_else(|| no_such_core(core))?;
    Ok(Statistics {
        halted: Duration::from_nanos(statistics.halted_ns),
        switches: statistics.switches,
        interrupts: statistics.interrupts,
        threads: statistics.threads,
    })
}
