//! Sleep and wake-ups across cores, with all orders of events tried by loom: a thread that waits at a futex, and how the core that falls
//! asleep last tells whether any thread can ever run again.

/// The atomics that `asleep` finds beside itself.
mod atomic {
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
}

#[path = "../../../kernel/src/scheduler/asleep.rs"]
mod asleep;

use asleep::Asleep;
use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

const READY: u8 = 0;
const BLOCKED: u8 = 1;

/// An interrupt of a core, which is kept until the core halts.
struct Interrupt {
    is_pending: Mutex<bool>,
    came: Condvar,
}

impl Interrupt {
    fn new() -> Self {
        Self {
            is_pending: Mutex::new(false),
            came: Condvar::new(),
        }
    }

    fn send(&self) {
        *self.is_pending.lock().unwrap() = true;
        self.came.notify_one();
    }

    /// Loom reports a halt that no interrupt ends.
    fn halt(&self) {
        let mut is_pending = self.is_pending.lock().unwrap();
        while !*is_pending {
            is_pending = self.came.wait(is_pending).unwrap();
        }
        *is_pending = false;
    }
}

/// A thread that waits at a futex, its core, and the bucket.
struct Waiter {
    word: AtomicU32,
    /// Whether the waiter is queued.
    bucket: Mutex<bool>,
    state: AtomicU8,
    has_inbox: AtomicBool,
    is_halted: AtomicBool,
    interrupt: Interrupt,
}

impl Waiter {
    fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            bucket: Mutex::new(false),
            state: AtomicU8::new(READY),
            has_inbox: AtomicBool::new(false),
            is_halted: AtomicBool::new(false),
            interrupt: Interrupt::new(),
        }
    }

    /// `futex::wait`, `WaitQueue::wait_keyed`, then `schedule` and `idle` of a core that has no other thread.
    fn wait(&self) {
        let mut bucket = self.bucket.lock().unwrap();
        if self.word.load(Ordering::SeqCst) != 0 {
            return;
        }
        self.state.store(BLOCKED, Ordering::Release);
        *bucket = true;
        drop(bucket);
        while !self.has_inbox.load(Ordering::Acquire) {
            self.is_halted.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if !self.has_inbox.load(Ordering::Relaxed) {
                self.interrupt.halt();
            }
            self.is_halted.store(false, Ordering::SeqCst);
        }
    }

    /// `futex::wake` on another core: the interrupt comes after the bucket is released (`InterruptsHeld`).
    fn wake(&self) {
        let mut bucket = self.bucket.lock().unwrap();
        let mut is_woken = false;
        if std::mem::take(&mut *bucket) {
            is_woken = self
                .state
                .compare_exchange(BLOCKED, READY, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
            if is_woken {
                self.has_inbox.store(true, Ordering::Release);
            }
        }
        drop(bucket);
        if is_woken {
            fence(Ordering::SeqCst);
            if self.is_halted.load(Ordering::Relaxed) {
                self.interrupt.send();
            }
        }
    }
}

#[test]
fn who_waits_at_a_futex_is_woken_when_its_value_has_changed() {
    loom::model(|| {
        let waiter = Arc::new(Waiter::new());
        let other = Arc::clone(&waiter);
        let waker = thread::spawn(move || {
            other.word.store(1, Ordering::SeqCst);
            other.wake();
        });
        waiter.wait();
        assert_eq!(waiter.word.load(Ordering::SeqCst), 1);
        assert_eq!(waiter.state.load(Ordering::Relaxed), READY);
        waker.join().unwrap();
    });
}

/// Core A is about to sleep. Core B sleeps, but an interrupt is on its way: its thread is ready, will wake that of A, and wait. Whether one
/// of the cores takes the program for dead, though the thread of A can run.
fn false_alarm(asks_for_wake_ups: bool) {
    struct Machine {
        asleep: Asleep,
        thread_of_a: AtomicU8,
        thread_of_b: AtomicU8,
    }
    impl Machine {
        /// `registry::fall_asleep`
        fn is_dead(&self, asks_for_wake_ups: bool) -> bool {
            let Some(since) = self.asleep.enter(2) else {
                return false;
            };
            self.thread_of_a.load(Ordering::Acquire) == BLOCKED
                && self.thread_of_b.load(Ordering::Acquire) == BLOCKED
                && (!asks_for_wake_ups || self.asleep.is_still(since))
        }
    }
    loom::model(move || {
        let machine = Machine {
            asleep: Asleep(AtomicUsize::new(0)),
            thread_of_a: AtomicU8::new(BLOCKED),
            thread_of_b: AtomicU8::new(READY),
        };
        assert_eq!(machine.asleep.enter(2), None, "B sleeps, A does not yet");
        let machine = Arc::new(machine);
        let b = Arc::clone(&machine);
        let b = thread::spawn(move || {
            b.asleep.leave();
            b.thread_of_a.store(READY, Ordering::Release);
            b.thread_of_b.store(BLOCKED, Ordering::Release);
            b.is_dead(asks_for_wake_ups)
        });
        assert!(!machine.is_dead(asks_for_wake_ups), "alarm of A");
        assert!(!b.join().unwrap(), "alarm of B");
    });
}

#[test]
fn a_wake_up_on_its_way_is_no_deadlock() {
    false_alarm(true);
}

/// What the count of wake-ups is there for, and that the model can see it.
#[test]
#[should_panic(expected = "alarm of A")]
fn threads_seen_waiting_one_after_the_other_did_not_all_wait_at_once() {
    false_alarm(false);
}

/// Two cores fall asleep, each with a thread that waits: the last one tells.
#[test]
fn a_deadlock_is_seen_by_the_core_that_falls_asleep_last() {
    loom::model(|| {
        let asleep = Arc::new(Asleep(AtomicUsize::new(0)));
        let other = Arc::clone(&asleep);
        let enter = |asleep: &Asleep| asleep.enter(2).is_some_and(|since| asleep.is_still(since));
        let other = thread::spawn(move || enter(&other));
        let own = enter(&asleep);
        assert!(own ^ other.join().unwrap());
    });
}
