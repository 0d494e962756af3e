//! The report of a program none of whose threads can ever run again, and its end.
//!
//! The scheduler notices (`scheduler/registry.rs`); [`watch`] is called with the program's first thread.

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use super::signal;
use crate::devices::console::Console;
use crate::epitaph;
use crate::scheduler::registry::{self, is_held};
use crate::scheduler::{Thread, Waiting};

/// Exit status of a program all of whose threads wait for each other.
const STATUS_DEADLOCK: u8 = 71;
/// As many threads as are shown one by one.
const MAX_SHOWN: usize = 32;

/// Has the machine end when no thread can ever run again.
pub(super) fn watch() {
    registry::on_deadlock(report);
}

fn report() {
    // The power button calls handlers of the program, which may wake anything.
    let may_be_called = signal::is_wanted(libc::SIGINT) || signal::is_wanted(libc::SIGTERM);
    if may_be_called {
        return;
    }
    static IS_REPORTED: AtomicBool = AtomicBool::new(false);
    if IS_REPORTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let _ = writeln!(
        Console,
        "toro: \x1b[1;31mdeadlock\x1b[0m: no thread can ever run again"
    );
    let mut count = 0;
    registry::for_each_thread(|thread| {
        if !is_idle(thread) {
            count += 1;
            if count <= MAX_SHOWN {
                show(thread);
            }
        }
    });
    if count > MAX_SHOWN {
        let _ = writeln!(Console, "  … {} more", count - MAX_SHOWN);
    }
    // Nothing is synced: a thread might hold what that needs.
    epitaph::end(STATUS_DEADLOCK)
}

/// Whether it is a thread of the kernel's own.
fn is_idle(thread: &Thread) -> bool {
    thread.waiting() == Waiting::Idle
}

fn show(thread: &Thread) {
    let name = thread.name();
    let name = name.shown();
    let _ = write!(
        Console,
        "  thread {} '{name}' on core {} ",
        thread.id(),
        thread.core()
    );
    let _ = match thread.waiting() {
        _ if is_held(thread) => writeln!(Console, "is suspended"),
        Waiting::Futex(address) => writeln!(
            Console,
            "waits at {address:#x}: a lock, a condition variable, a channel, or parked"
        ),
        Waiting::Join(id) => writeln!(Console, "waits for the end of thread {id}"),
        Waiting::Message => writeln!(Console, "waits for a message, or for room for one"),
        Waiting::Nothing => writeln!(Console, "is parked for good"),
        Waiting::Outside | Waiting::Idle => writeln!(Console, "waits"),
    };
}
