//! The way home for objects that other cores free: a stack that everybody pushes onto and that its owner alone takes, always whole.
//! So no object is ever popped singly, and a head that went away and came back (ABA) does no harm.
//!
//! The atomics come from the parent module: the kernel's own, or those of the model checker in the tests.

use super::atomic::{AtomicPtr, Ordering};

/// A link, in the first bytes of an object that is free.
pub(super) struct FreeObject {
    pub(super) next: *mut FreeObject,
}

/// Objects on their way home.
pub(super) struct HandBack(pub(super) AtomicPtr<FreeObject>);

impl HandBack {
    /// Gives an object to the owner. Any core may call this.
    ///
    /// # Safety
    /// 1. The object has room for a link and is the caller's alone.
    pub(super) unsafe fn push(&self, object: *mut FreeObject) {
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller's promise (1); nobody sees the object before the exchange below.
            unsafe { object.write(FreeObject { next: first }) };
            // Release: what was done with the object, and its link, comes before its being taken.
            match self
                .0
                .compare_exchange(first, object, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Whether nothing is there, as far as this core has seen.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Takes all that is there; null when that is nothing. For the owner.
    pub(super) fn take_all(&self) -> *mut FreeObject {
        self.0.swap(core::ptr::null_mut(), Ordering::Acquire)
    }
}
