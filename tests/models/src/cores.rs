//! What is lock-free between cores, with all orders of events tried by loom: the ring of messages with its sleepers, the inbox, and the futex
//! queue's promise that no wake-up is lost.

/// The atomics that `ring` finds beside itself.
mod atomic {
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering, fence};
}

#[path = "../../../kernel/src/scheduler/ring.rs"]
mod ring;

use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use ring::Sleepers;

/// The kernel's ring, with slots that report races.
struct Ring {
    positions: ring::Positions,
    slots: Vec<loom::cell::UnsafeCell<u32>>,
}

// SAFETY: this is what is tried: loom reports every access that another one races with.
unsafe impl Sync for Ring {}
// SAFETY: as for `Sync`.
unsafe impl Send for Ring {}

impl Ring {
    fn new(slots: usize) -> Self {
        Self {
            positions: ring::Positions::new(slots),
            slots: (0..slots).map(|_| loom::cell::UnsafeCell::new(0)).collect(),
        }
    }

    fn write(&self, value: u32) -> bool {
        let Some(slot) = self.positions.to_write() else {
            return false;
        };
        // SAFETY: as for `Sync`.
        self.slots[slot].with_mut(|slot| unsafe { *slot = value });
        self.positions.written();
        true
    }

    fn read(&self) -> Option<u32> {
        let slot = self.positions.to_read()?;
        // SAFETY: as for `Sync`.
        let value = self.slots[slot].with(|slot| unsafe { *slot });
        self.positions.read();
        Some(value)
    }

    fn has_message(&self) -> bool {
        self.positions.to_read().is_some()
    }
}

#[test]
fn messages_arrive_once_whole_and_in_order() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(2));
        let writer = Arc::clone(&ring);
        let writer = thread::spawn(move || {
            let mut written = 0;
            for value in 1..=3 {
                if !writer.write(value) {
                    break;
                }
                written = value;
            }
            written
        });
        let mut last = 0;
        for _ in 0..2 {
            if let Some(value) = ring.read() {
                assert_eq!(value, last + 1);
                last = value;
            }
        }
        let written = writer.join().unwrap();
        while let Some(value) = ring.read() {
            assert_eq!(value, last + 1);
            last = value;
        }
        assert_eq!(last, written);
    });
}

/// A receiver that finds nothing sleeps under a lock, as `Side::sleep_unless` has it; the sender wakes it.
#[test]
fn a_receiver_never_sleeps_through_a_message() {
    loom::model(|| {
        struct Shared {
            ring: Ring,
            sleepers: Sleepers,
            lock: Mutex<()>,
            woken: Condvar,
        }
        let shared = Arc::new(Shared {
            ring: Ring::new(1),
            sleepers: Sleepers::new(),
            lock: Mutex::new(()),
            woken: Condvar::new(),
        });
        let sender = Arc::clone(&shared);
        let sender = thread::spawn(move || {
            assert!(sender.ring.write(7));
            if sender.sleepers.are_there() {
                drop(sender.lock.lock().unwrap());
                sender.woken.notify_all();
            }
        });
        let value = loop {
            if let Some(value) = shared.ring.read() {
                break value;
            }
            let guard = shared.lock.lock().unwrap();
            shared.sleepers.enter();
            if !shared.ring.has_message() {
                // Loom reports a wait that nobody ends.
                drop(shared.woken.wait(guard).unwrap());
            }
            shared.sleepers.leave();
        };
        assert_eq!(value, 7);
        sender.join().unwrap();
    });
}

/// A core that halts and one that wakes a thread of it (`wake`, `idle` in `scheduler/core.rs`): the halting core sees the inbox, or the
/// other one sees that it halts and interrupts.
#[test]
fn a_core_never_halts_with_a_thread_in_its_inbox() {
    loom::model(|| {
        struct Core {
            inbox: AtomicPtr<u32>,
            is_halted: AtomicBool,
            was_interrupted: AtomicBool,
        }
        let core = Arc::new(Core {
            inbox: AtomicPtr::new(std::ptr::null_mut()),
            is_halted: AtomicBool::new(false),
            was_interrupted: AtomicBool::new(false),
        });
        let waker = Arc::clone(&core);
        let waker = thread::spawn(move || {
            waker
                .inbox
                .store(std::ptr::dangling_mut(), Ordering::Release);
            fence(Ordering::SeqCst);
            if waker.is_halted.load(Ordering::Relaxed) {
                waker.was_interrupted.store(true, Ordering::Release);
            }
        });
        core.is_halted.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let halts = core.inbox.load(Ordering::Relaxed).is_null();
        waker.join().unwrap();
        assert!(!halts || core.was_interrupted.load(Ordering::Acquire));
    });
}

/// Two cores wake a thread that is about to block (`prepare_to_block`, `make_ready`): it becomes ready once.
#[test]
fn a_thread_is_made_ready_by_one_waker_only() {
    const READY: u8 = 0;
    const BLOCKED: u8 = 1;
    loom::model(|| {
        let state = Arc::new(AtomicU8::new(READY));
        state.store(BLOCKED, Ordering::Release);
        let make_ready = |state: &AtomicU8| {
            state
                .compare_exchange(BLOCKED, READY, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        };
        let other = Arc::clone(&state);
        let other = thread::spawn(move || make_ready(&other));
        let own = make_ready(&state);
        assert!(own ^ other.join().unwrap());
    });
}

/// Suspension (`scheduler/control.rs`): the core that takes a thread from its queue holds it or runs it, and who resumes it puts it back
/// exactly if it was held.
#[test]
fn a_suspended_thread_is_neither_lost_nor_queued_twice() {
    const SUSPENDED: u8 = 1;
    const HELD: u8 = 2;
    loom::model(|| {
        let marks = Arc::new(AtomicU8::new(SUSPENDED));
        let other = Arc::clone(&marks);
        let resumer = thread::spawn(move || {
            let before = other.fetch_and(!(SUSPENDED | HELD), Ordering::AcqRel);
            before & HELD != 0
        });
        let hold = |marks| (marks & SUSPENDED != 0).then_some(marks | HELD);
        let is_held = marks
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, hold)
            .is_ok();
        let was_enqueued = resumer.join().unwrap();
        assert_eq!(is_held, was_enqueued);
        assert_eq!(marks.load(Ordering::Relaxed), 0);
    });
}
