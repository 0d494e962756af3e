//! How loaded the machine is (Linux: getloadavg(3), proc_loadavg(5)).
//!
//! Linux counts the threads that run or want to, every five seconds. Here nothing ticks: what is counted is how many cores were at work, from
//! one question to the next, and it fades as there. So a load is never above the number of cores.

use core::ffi::c_int;

use crate::arch::clock;
use crate::scheduler;
use crate::sync::SpinLock;

/// Over how long the averages go: one, five and fifteen minutes.
const SPANS_NS: [f64; 3] = [60e9, 300e9, 900e9];
/// Questions that follow each other faster get the same answer, for lack of anything new.
const LEAST_NS: u64 = 100_000_000;

#[derive(Clone, Copy)]
struct Averages {
    asked_ns: u64,
    busy_ns: u64,
    loads: [f64; 3],
}

static AVERAGES: SpinLock<Averages> = SpinLock::new(Averages {
    asked_ns: 0,
    busy_ns: 0,
    loads: [0.0; 3],
});

impl Averages {
    /// Lets the old fade and what was since come in.
    fn pass(&mut self, now_ns: u64, busy_ns: u64) {
        let span_ns = now_ns.saturating_sub(self.asked_ns);
        if span_ns < LEAST_NS {
            return;
        }
        let load = busy_ns.saturating_sub(self.busy_ns) as f64 / span_ns as f64;
        for (average, over_ns) in self.loads.iter_mut().zip(SPANS_NS) {
            let fading = libm::exp(-(span_ns as f64) / over_ns);
            *average = *average * fading + load * (1.0 - fading);
        }
        self.asked_ns = now_ns;
        self.busy_ns = busy_ns;
    }
}

/// How long the cores have not been halted, together.
pub(super) fn busy_ns() -> u64 {
    let now_ns = clock::now_ns();
    (0..scheduler::core_count())
        .filter_map(scheduler::statistics)
        .map(|core| now_ns.saturating_sub(core.halted_ns))
        .sum()
}

/// How many cores were at work on average, in the last minute, five and fifteen.
pub(super) fn averages() -> [f64; 3] {
    let (now_ns, busy_ns) = (clock::now_ns(), busy_ns());
    let mut averages = AVERAGES.lock();
    averages.pass(now_ns, busy_ns);
    averages.loads
}

/// Tells the averages of the load; how many it tells.
///
/// # Safety
/// 1. As many numbers can be written as are asked for, if it is not negative.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getloadavg(out: *mut f64, count: c_int) -> c_int {
    let Ok(count) = usize::try_from(count) else {
        return -1;
    };
    let all = averages();
    let count = count.min(all.len());
    // SAFETY: (1).
    unsafe { core::ptr::copy_nonoverlapping(all.as_ptr(), out, count) };
    count as c_int
}
