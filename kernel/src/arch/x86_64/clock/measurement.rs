//! Frequencies that nobody tells: the time-stamp counter's, measured against the interval timer (`pit`), and that of another counter, measured
//! against the time-stamp counter. A measurement is begun early and ended late, so that nobody waits while it lasts.

use super::{pit, tsc};

/// Looks of which the quickest counts: in the others the host may have taken the processor away.
const LOOKS: u32 = 4;
/// As often a counter may end before its measurement does.
const MAX_TRIES: u32 = 5;

/// What two clocks say at one time. One kind for all of them: in an emulator each copy of this code would be translated.
#[derive(Clone, Copy)]
struct Look {
    other: u32,
    before: u64,
    after: u64,
}

/// How another clock is read.
type Read<'a> = &'a mut dyn FnMut() -> u32;

impl Look {
    fn take(read: Read<'_>) -> Self {
        let before = tsc();
        let other = read();
        Self {
            other,
            before,
            after: tsc(),
        }
    }

    #[inline(never)]
    fn quickest(read: Read<'_>) -> Self {
        let mut best = Self {
            other: 0,
            before: 0,
            after: u64::MAX,
        };
        for _ in 0..LOOKS {
            let look = Self::take(read);
            if look.ticks() < best.ticks() {
                best = look;
            }
        }
        best
    }

    /// How long it took.
    fn ticks(&self) -> u64 {
        self.after.wrapping_sub(self.before)
    }

    /// Ticks of the time-stamp counter from another look to this one.
    fn since(&self, start: &Self) -> u64 {
        self.before.wrapping_sub(start.before)
    }
}

/// The interval timer's counter.
fn interval_timer() -> u32 {
    u32::from(pit::read())
}

/// A measurement of the time-stamp counter under way.
pub struct TscMeasurement {
    start: Look,
}

impl TscMeasurement {
    /// Begins to measure: starts the interval timer, which belongs to the measurement until its end.
    pub fn begin() -> Self {
        pit::start();
        Self {
            start: Look::quickest(&mut interval_timer),
        }
    }

    /// Ticks in a second, when it has lasted for 2 ms. What the interval timer could not count to its end is measured anew.
    pub(super) fn finish(mut self) -> u64 {
        for _ in 0..MAX_TRIES {
            if let Some(hz) = self.wait() {
                return hz;
            }
            self = Self::begin();
        }
        super::NS_PER_S
    }

    /// Ticks in a second; `None` if the timer's count has ended.
    fn wait(&self) -> Option<u64> {
        /// A machine without the timer ends a measurement after a number of looks.
        const MAX_LOOKS: u32 = 75_000;
        let mut looks = 0;
        loop {
            let end = Look::quickest(&mut interval_timer);
            if pit::has_ended() {
                return None;
            }
            let elapsed = self.start.other.wrapping_sub(end.other);
            let elapsed = u64::from(elapsed as u16);
            looks += 1;
            if elapsed >= pit::TICKS || looks == MAX_LOOKS {
                return Some(end.since(&self.start).saturating_mul(pit::HZ) / elapsed.max(1));
            }
        }
    }
}

/// A measurement of a counter that counts down to zero.
pub struct CounterMeasurement<F> {
    start: fn(),
    read: F,
    first: Look,
}

impl<F: FnMut() -> u32> CounterMeasurement<F> {
    /// Begins to measure a counter that `start` starts.
    pub fn begin(start: fn(), mut read: F) -> Self {
        start();
        let first = Look::quickest(&mut read);
        Self { start, read, first }
    }

    /// Ticks of the counter in a second, when it has lasted for 1 ms of the time-stamp counter, whose ticks in a second are known. A counter
    /// that has ended meanwhile, since the host was busy for seconds, is measured anew.
    pub(super) fn finish(mut self, tsc_hz: u64) -> u64 {
        for _ in 1..MAX_TRIES {
            let (hz, has_ended) = self.wait(tsc_hz);
            if !has_ended {
                return hz;
            }
            self = Self::begin(self.start, self.read);
        }
        self.wait(tsc_hz).0
    }

    fn wait(&mut self, tsc_hz: u64) -> (u64, bool) {
        while tsc().wrapping_sub(self.first.before) < tsc_hz / 1000 {
            core::hint::spin_loop();
        }
        let end = Look::quickest(&mut self.read);
        let counted = u64::from(self.first.other.wrapping_sub(end.other));
        let ticks = end.since(&self.first).max(1);
        // What is more than 64 bits was counted for seconds too.
        let (scaled, is_too_much) = counted.overflowing_mul(tsc_hz);
        (scaled / ticks, is_too_much | (end.other == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_look_counts() {
        let mut calls = 0;
        let look = Look::quickest(&mut || {
            calls += 1;
            if calls != 3 {
                std::thread::sleep(core::time::Duration::from_millis(2));
            }
            calls
        });
        assert_eq!((look.other, calls), (3, LOOKS));
    }

    #[test]
    fn a_counter_that_counts_down_is_measured() {
        let hz = 3_000_000_000;
        // A counter with a hundredth of the frequency, as far as that is known to be `hz`.
        let measurement = CounterMeasurement::begin(|| {}, || u32::MAX - (tsc() / 100) as u32);
        let found = measurement.finish(hz);
        assert!((hz / 101..=hz / 99).contains(&found), "{found}");
    }

    #[test]
    fn a_counter_that_has_ended_is_measured_anew() {
        use core::sync::atomic::{AtomicU64, Ordering};
        static STARTS: AtomicU64 = AtomicU64::new(0);
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let start = || {
            STARTS.fetch_add(1, Ordering::Relaxed);
            STARTED.store(tsc(), Ordering::Relaxed);
        };
        // The first time it ends at once.
        let read = || match STARTS.load(Ordering::Relaxed) {
            1 => 0,
            _ => u32::MAX - ((tsc() - STARTED.load(Ordering::Relaxed)) / 100) as u32,
        };
        let hz = 3_000_000_000;
        let found = CounterMeasurement::begin(start, read).finish(hz);
        assert_eq!(STARTS.load(Ordering::Relaxed), 2);
        assert!((hz / 101..=hz / 99).contains(&found), "{found}");
    }
}
