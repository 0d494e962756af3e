//! Spin locks and once-cells of the kernel.
//!
//! The kernel is cooperative: a thread that holds a lock is never suspended on its own core, and interrupt handlers
//! take no lock. So a lock only ever spins for another core, and for a short time. A thread must not block
//! (sleep, wait, yield) while it holds one; [`crate::scheduler::WaitQueue::wait`] releases it first.

use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How often a lock has waited, for tests.
#[cfg(test)]
static RELAXED: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);

/// Tells the processor that this only waits: the instruction `pause`.
#[inline(always)]
fn relax() {
    #[cfg(test)]
    RELAXED.fetch_add(1, Ordering::Relaxed);
    spin_loop();
}

/// A mutual exclusion lock that spins, with `pause`.
pub struct SpinLock<T: ?Sized> {
    is_locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out one reference at a time, so it only moves values between cores.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}
// SAFETY: as for `Sync`.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}

/// Access to the value of a [`SpinLock`], until dropped.
pub struct SpinGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
}

impl<T> SpinLock<T> {
    /// A lock around `value`, open.
    pub const fn new(value: T) -> Self {
        Self {
            is_locked: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }
}

/// Takes a lock that somebody held a moment ago. Apart, as it is rare: who finds the lock open goes straight on.
#[cold]
#[inline(never)]
fn wait_for(is_locked: &AtomicBool) {
    loop {
        while is_locked.load(Ordering::Relaxed) {
            relax();
        }
        if !is_locked.swap(true, Ordering::Acquire) {
            return;
        }
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Takes the lock, spinning while another core holds it.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        if self.is_locked.swap(true, Ordering::Acquire) {
            wait_for(&self.is_locked);
        }
        SpinGuard { lock: self }
    }

    /// Takes the lock if nobody holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        // Made only then: a guard that is dropped opens the lock, also one that another core holds.
        (!self.is_locked.swap(true, Ordering::Acquire)).then(|| SpinGuard { lock: self })
    }
}

impl<'a, T: ?Sized> SpinGuard<'a, T> {
    /// Keeps the lock closed for ever, and gives the value to who held it.
    pub fn leak(guard: Self) -> &'a mut T {
        let lock = guard.lock;
        core::mem::forget(guard);
        // SAFETY: as in `deref`; the guard is gone without opening the lock, so nobody else will ever refer to the value.
        unsafe { &mut *lock.value.get() }
    }

    /// The lock this guard belongs to.
    pub fn lock_of(guard: &Self) -> &'a SpinLock<T> {
        guard.lock
    }
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists, so this core holds the lock and nobody else refers to the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.is_locked.store(false, Ordering::Release);
    }
}

const EMPTY: u8 = 0;
const SETTING: u8 = 1;
const SET: u8 = 2;

/// A value that is set once, at start-up, and read from then on.
pub struct OnceCell<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written once, before `state` becomes SET, and only shared after that.
unsafe impl<T: Send + Sync> Sync for OnceCell<T> {}

impl<T> OnceCell<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        Self {
            state: AtomicU8::new(EMPTY),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The value, if it is set.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != SET {
            return None;
        }
        // SAFETY: SET is only stored after the value was written, and it is never written again.
        Some(unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value, found now if nobody has set it. Cores that ask at once may find it at once; all get the same.
    pub fn get_or_find(&self, find: impl Fn() -> T) -> &T {
        loop {
            if let Some(value) = self.get() {
                return value;
            }
            let _ = self.set(find());
        }
    }

    /// Sets the value; gives it back if there is one already.
    #[inline(always)]
    pub fn set(&self, value: T) -> Result<&T, T> {
        if self
            .state
            .compare_exchange(EMPTY, SETTING, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return Err(value);
        }
        // SAFETY: only the one caller that moved the state from EMPTY to SETTING is here, and `get` hands out nothing.
        let stored = unsafe { (*self.value.get()).write(value) };
        self.state.store(SET, Ordering::Release);
        Ok(stored)
    }
}

impl<T> Drop for OnceCell<T> {
    fn drop(&mut self) {
        if *self.state.get_mut() == SET {
            // SAFETY: as in `get`; nobody refers to the value any more.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{OnceCell, RELAXED, SpinGuard, SpinLock};
    use core::sync::atomic::Ordering;

    #[test]
    fn a_lock_that_is_held_cannot_be_taken() {
        let lock = SpinLock::new(1);
        let guard = lock.lock();
        assert!(lock.try_lock().is_none());
        // And who has tried has not opened it.
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert_eq!(*lock.try_lock().expect("free again"), 1);
    }

    #[test]
    fn a_lock_that_is_leaked_stays_closed() {
        static LOCK: SpinLock<u32> = SpinLock::new(1);
        let value: &'static mut u32 = SpinGuard::leak(LOCK.lock());
        *value += 1;
        assert!(LOCK.try_lock().is_none());
        assert_eq!(*value, 2);
    }

    /// Without the pause, the one who holds the lock here would never let it go.
    #[test]
    fn who_waits_for_a_lock_pauses_between_looks() {
        static LOCK: SpinLock<()> = SpinLock::new(());
        let guard = LOCK.lock();
        let before = RELAXED.load(Ordering::Relaxed);
        let waits = std::thread::spawn(|| drop(LOCK.lock()));
        while RELAXED.load(Ordering::Relaxed) < before + 1000 {
            std::thread::yield_now();
        }
        drop(guard);
        assert!(waits.join().is_ok());
    }

    #[test]
    fn a_cell_drops_what_it_has() {
        let value = std::sync::Arc::new(());
        drop(OnceCell::<std::sync::Arc<()>>::new());
        let cell = OnceCell::new();
        assert!(cell.set(value.clone()).is_ok());
        assert_eq!(std::sync::Arc::strong_count(&value), 2);
        drop(cell);
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }

    #[test]
    fn a_cell_is_set_once() {
        let cell = OnceCell::new();
        assert!(cell.get().is_none());
        assert_eq!(cell.set(1), Ok(&1));
        assert_eq!(cell.set(2), Err(2));
        assert_eq!(cell.get(), Some(&1));
    }
}
