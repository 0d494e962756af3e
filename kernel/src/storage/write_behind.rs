//! What programs wrote gets to the disks without their asking: a few seconds after it was written, by a thread that otherwise sleeps.

use core::sync::atomic::{AtomicBool, Ordering};

use super::vfs;
use crate::arch::clock;
use crate::scheduler::{self, Name, WaitQueue, Waiting};
use crate::sync::SpinLock;

/// How long what was written may be only in memory, about: Linux's `dirty_writeback_centisecs`.
const PERIOD_NS: u64 = 5_000_000_000;
const STACK_BYTES: usize = 64 << 10;

static IS_STARTED: AtomicBool = AtomicBool::new(false);
static HAS_WORK: SpinLock<bool> = SpinLock::new(false);
static WORK_CAME: WaitQueue = WaitQueue::new();

/// Something was written, the first since [`vfs::write_behind`] saw all written: wakes the thread, or starts it.
pub fn begin() {
    // Tests on the host have no scheduler.
    if cfg!(test) {
        return;
    }
    *HAS_WORK.lock() = true;
    if IS_STARTED.swap(true, Ordering::Relaxed) {
        WORK_CAME.wake_one();
        return;
    }
    let started = scheduler::spawn(run, 0, STACK_BYTES, Name::new(b"write-behind"));
    if started.is_err() {
        // The next one who writes tries again.
        log::warn!("no memory for a thread that writes behind");
        IS_STARTED.store(false, Ordering::Relaxed);
    }
}

extern "C" fn run(_: usize) -> ! {
    scheduler::begin();
    loop {
        {
            let mut has_work = HAS_WORK.lock();
            while !*has_work {
                (has_work, _) = WORK_CAME.wait_for(Waiting::Idle, has_work, None);
            }
            *has_work = false;
        }
        loop {
            scheduler::sleep_until(clock::now_ns().saturating_add(PERIOD_NS));
            if !vfs::write_behind() {
                break;
            }
        }
    }
}
