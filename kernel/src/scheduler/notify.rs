//! Readiness: what `poll` and `epoll` stand on.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::core::InterruptsHeld;
use super::wait::{WaitOutcome, WaitQueue};
use crate::sync::{SpinGuard, SpinLock};

bitflags::bitflags! {
    /// What an object is ready for (values of `EPOLLIN`, … in Linux's `sys/epoll.h`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Readiness: u32 {
        /// A read, or an accept, returns at once.
        const READABLE = 0x001;
        /// Urgent data of TCP.
        const PRIORITY = 0x002;
        /// A write takes at least one byte at once; a connect is through.
        const WRITABLE = 0x004;
        /// An error is pending.
        const ERROR = 0x008;
        /// Both directions are closed.
        const HANGUP = 0x010;
        /// The peer will send no more.
        const PEER_CLOSED = 0x2000;
    }
}

/// Somebody who wants to know when an object's readiness may have changed (an epoll instance, a poll call).
pub trait Observer: Send + Sync {
    /// Readiness of the object that is known here as `token` may have changed. Called with locks of the object held, perhaps: it must
    /// not ask the object.
    fn notified(&self, token: u64);

    /// Bytes have come for the object that is known here as `token` ([`Notifier::offer`]); whether they were taken. Called as
    /// [`Observer::notified`].
    fn take(&self, token: u64, bytes: &[u8]) -> bool {
        let _ = (token, bytes);
        false
    }

    /// The object that is known here as `token` is no more. Called with no lock held.
    fn gone(&self, token: u64) {
        let _ = token;
    }
}

/// One per object that can be waited for: blocked threads and observers.
pub struct Notifier {
    waiters: WaitQueue,
    observer_count: AtomicUsize,
    /// Its only observer takes the next bytes that come.
    is_taking: AtomicBool,
    observers: SpinLock<Vec<(u64, Arc<dyn Observer>)>>,
}

impl Notifier {
    /// With nobody waiting.
    pub const fn new() -> Self {
        Self {
            waiters: WaitQueue::new(),
            observer_count: AtomicUsize::new(0),
            is_taking: AtomicBool::new(false),
            observers: SpinLock::new(Vec::new()),
        }
    }

    /// Blocks the calling thread until [`Notifier::notify`] or the deadline; see [`WaitQueue::wait`].
    pub fn wait<'a, T: ?Sized>(
        &self,
        guard: SpinGuard<'a, T>,
        deadline_ns: Option<u64>,
    ) -> (SpinGuard<'a, T>, WaitOutcome) {
        self.waiters.wait(guard, deadline_ns)
    }

    /// The object's state changed: wakes all blocked threads and tells the observers. Call it after the change, with or without
    /// the object's lock held.
    #[inline]
    pub fn notify(&self) {
        self.waiters.wake_all();
        if self.observer_count.load(Ordering::Acquire) != 0 {
            self.tell_observers();
        }
    }

    #[inline(never)]
    fn tell_observers(&self) {
        let _held = InterruptsHeld::new();
        let observers = self.observers.lock();
        for (token, observer) in observers.iter() {
            observer.notified(*token);
        }
    }

    /// Has the observer, the only one, be offered the bytes that come, or no more.
    #[inline]
    pub fn set_taking(&self, is_taking: bool) {
        self.is_taking.store(is_taking, Ordering::Relaxed);
    }

    /// Whether it wants to be.
    #[inline]
    pub fn is_taking(&self) -> bool {
        self.is_taking.load(Ordering::Relaxed)
    }

    /// Offers bytes that have come to the observer, if it wants them; whether it has taken them. Then it is offered none before the next
    /// [`Notifier::set_taking`].
    #[inline]
    pub fn offer(&self, bytes: &[u8]) -> bool {
        self.is_taking() && self.offer_wanted(bytes)
    }

    fn offer_wanted(&self, bytes: &[u8]) -> bool {
        let is_taken = match &self.observers.lock()[..] {
            [(token, observer)] => observer.take(*token, bytes),
            _ => false,
        };
        if is_taken {
            self.set_taking(false);
        }
        is_taken
    }

    /// Adds an observer, which knows this object as `token`.
    pub fn subscribe(&self, token: u64, observer: Arc<dyn Observer>) {
        let mut observers = self.observers.lock();
        observers.push((token, observer));
        self.observer_count
            .store(observers.len(), Ordering::Release);
    }

    /// Tells all observers that the object is no more, and forgets them. Call it with no lock held.
    pub fn dismiss(&self) {
        if self.observer_count.load(Ordering::Acquire) == 0 {
            return;
        }
        let observers = {
            let mut observers = self.observers.lock();
            self.observer_count.store(0, Ordering::Release);
            core::mem::take(&mut *observers)
        };
        for (token, observer) in observers {
            observer.gone(token);
        }
    }

    /// Removes an observer that was added with this token.
    pub fn unsubscribe(&self, token: u64, observer: &Arc<dyn Observer>) {
        let mut observers = self.observers.lock();
        observers.retain(|(t, o)| *t != token || !Arc::ptr_eq(o, observer));
        self.observer_count
            .store(observers.len(), Ordering::Release);
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self::new()
    }
}
