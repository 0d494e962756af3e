//! A channel's interrupt: wakes the thread that waits for a drive.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch::interrupts::Irq;
use crate::arch::{clock, port};
use crate::scheduler::{Service, WaitOutcome, WaitQueue};
use crate::sync::SpinLock;

const STATUS_BSY: u8 = 1 << 7;
/// Sleep at most this long for one interrupt: should one get lost, the status is looked at all the same.
const MAX_REST_NS: u64 = 100_000_000;

/// An interrupt line with who waits for it.
pub struct Interrupt {
    irq: Irq,
    /// Reading this port takes the interrupt's cause away.
    status_port: u16,
    has_fired: SpinLock<bool>,
    waiting: WaitQueue,
    /// The line was silent when it should not have been.
    is_dead: AtomicBool,
}

impl Interrupt {
    /// The interrupt of the channel whose status register is at `status_port`.
    pub fn new(irq: Irq, status_port: u16) -> Self {
        Self {
            irq,
            status_port,
            has_fired: SpinLock::new(false),
            waiting: WaitQueue::new(),
            is_dead: AtomicBool::new(false),
        }
    }

    /// Its line.
    pub fn irq(&self) -> Irq {
        self.irq
    }

    /// Sleeps until the drive interrupts, for a while at most, or until a time since boot. Only one thread may wait. `is_moving` says
    /// whether DMA goes on, as then the drive need not be busy.
    pub fn wait(&self, deadline_ns: u64, is_moving: impl FnOnce() -> bool) {
        if self.is_dead.load(Ordering::Relaxed) {
            return core::hint::spin_loop();
        }
        let end = deadline_ns.min(clock::now_ns().saturating_add(MAX_REST_NS));
        let mut has_fired = self.has_fired.lock();
        let mut outcome = WaitOutcome::Woken;
        if !*has_fired {
            (has_fired, outcome) = self.waiting.wait(has_fired, Some(end));
        }
        *has_fired = false;
        drop(has_fired);
        if outcome == WaitOutcome::TimedOut
            && port::read8(self.status_port) & STATUS_BSY == 0
            && !is_moving()
        {
            log::warn!(
                "IDE {:#x}: no interrupts; polling instead",
                self.status_port & !7
            );
            self.is_dead.store(true, Ordering::Relaxed);
        }
    }
}

impl Service for Interrupt {
    fn serve(&self) {
        if !self.irq.take_pending() {
            return;
        }
        port::read8(self.status_port);
        self.irq.done();
        *self.has_fired.lock() = true;
        self.waiting.wake_all();
    }
}
