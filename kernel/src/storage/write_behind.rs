//! What programs wrote gets to the disks without their asking: a few seconds after it was written, by a thread that otherwise sleeps. Each core
//! that disks belong to has one for those, so what nobody waits for takes no time of the others. (Who calls `fsync` waits, and does it itself.)

use core::sync::atomic::{AtomicBool, Ordering};

use super::vfs;
use crate::arch::clock;
use crate::arch::x86_64::core_local::MAX_CORES;
use crate::scheduler::{self, Name, WaitQueue, Waiting};
use crate::sync::SpinLock;

/// How long what was written may be only in memory, about: Linux's `dirty_writeback_centisecs`.
const PERIOD_NS: u64 = 5_000_000_000;
const STACK_BYTES: usize = 64 << 10;

/// A core's thread.
struct Writer {
    is_started: AtomicBool,
    has_work: SpinLock<bool>,
    work_came: WaitQueue,
}

static WRITERS: [Writer; MAX_CORES] = [const {
    Writer {
        is_started: AtomicBool::new(false),
        has_work: SpinLock::new(false),
        work_came: WaitQueue::new(),
    }
}; MAX_CORES];

/// Something was written to a disk of this core, the first since [`vfs::write_behind`] saw all written: wakes the thread, or starts it.
pub fn begin(core: usize) {
    // Tests on the host have no scheduler.
    if cfg!(test) {
        return;
    }
    let Some(writer) = WRITERS.get(core) else {
        return;
    };
    *writer.has_work.lock() = true;
    if writer.is_started.swap(true, Ordering::Relaxed) {
        writer.work_came.wake_one();
        return;
    }
    let started = scheduler::spawn_on(core, run, core, STACK_BYTES, Name::new(b"write-behind"));
    if started.is_err() {
        // The next one who writes tries again.
        log::warn!("no memory for a thread that writes behind");
        writer.is_started.store(false, Ordering::Relaxed);
    }
}

extern "C" fn run(core: usize) -> ! {
    scheduler::begin();
    let Some(writer) = WRITERS.get(core) else {
        scheduler::exit(0)
    };
    loop {
        {
            let mut has_work = writer.has_work.lock();
            while !*has_work {
                (has_work, _) = writer.work_came.wait_for(Waiting::Idle, has_work, None);
            }
            *has_work = false;
        }
        loop {
            scheduler::sleep_until(clock::now_ns().saturating_add(PERIOD_NS));
            if !vfs::write_behind(core) {
                break;
            }
        }
    }
}
