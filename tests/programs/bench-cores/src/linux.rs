//! What the benchmark asks of the system: Linux, where a thread is put on a core by its affinity and messages are those of std.

use std::ffi::c_int;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

unsafe extern "C" {
    fn sched_setaffinity(thread: c_int, bytes: usize, mask: *const u64) -> c_int;
}

/// Keeps the calling thread on a core.
fn stay_on(core: usize) {
    let mask = 1_u64 << core;
    // SAFETY: the mask is of 8 bytes; 0 is the calling thread.
    let code = unsafe { sched_setaffinity(0, size_of_val(&mask), &raw const mask) };
    assert_eq!(code, 0, "there is no core {core}");
}

pub(crate) fn begin() {
    stay_on(0);
}

/// Threads begin on the core of their creator, which is core 0.
pub(crate) fn spawn_on<T: Send + 'static>(
    core: usize,
    f: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || {
        if core != 0 {
            stay_on(core);
        }
        f()
    })
}

pub(crate) fn channel<T: Send>(capacity: usize) -> (SyncSender<T>, Receiver<T>) {
    sync_channel(capacity)
}

pub(crate) fn send<T: Send>(sender: &SyncSender<T>, message: T) {
    sender.send(message).unwrap();
}

pub(crate) fn receive<T: Send>(receiver: &Receiver<T>) -> T {
    receiver.recv().unwrap()
}
