//! How CUBIC's window grows between two losses (RFC 9438, section 4): by the time since the last one, so that a long way is no disadvantage; first fast,
//! slowly where the last loss was, then faster and faster to find out what there is. Where Reno's would be larger, it is as large.
//!
//! Windows are in bytes, times of the curve in 1/1024 seconds. Numbers are whole.

/// Of ten parts, what is kept after a loss (section 4.6).
const KEPT: u64 = 7;
/// The constant C of the curve in 1/1024 segments for a cubic second: 0.4 (section 5.1).
const C: u64 = 410;
/// The same by which Reno's window is estimated, in thousandths: 3 (1 - 0.7) / (1 + 0.7) (section 4.3).
const FRIENDLY: u64 = 529;
/// As far as the curve is followed from its middle: two minutes, of which the cube fits.
const MAX_TICKS: u64 = 1 << 17;
/// A connection that sends all the time hears an acknowledgement within twice its round-trip time and this.
const PAUSE_US: u64 = 10_000;

/// What the curve is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cubic {
    /// Where the window shall be slow to grow (`W_max`).
    peak: u32,
    /// The window before the last loss (`cwnd_prior`).
    before: u32,
    /// When growing began; none if it has not since the last loss.
    since_us: Option<u64>,
    grown_at_us: u64,
    /// How long after that the peak is reached (`K`).
    ticks_to_peak: u64,
    /// What Reno's window would be (`W_est`).
    friendly: u32,
    /// What is left over of dividing.
    rest: u64,
    friendly_rest: u64,
}

/// What is kept of a window after a loss.
pub(crate) fn kept(bytes: u32) -> u32 {
    (u64::from(bytes) * KEPT / 10) as u32
}

/// The largest number whose cube is not larger.
fn cube_root(of: u64) -> u64 {
    let mut root = 0;
    // The largest 64-bit cube is that of a number of 22 bits.
    for bit in (0..22).rev() {
        let next = root | 1 << bit;
        if next * next <= of / next {
            root = next;
        }
    }
    root
}

impl Cubic {
    /// A segment was lost while the window was as large (sections 4.6 and 4.7). Who gets less than the last time leaves more to others.
    pub(crate) fn lose(&mut self, window: u32) {
        self.peak = match window < self.peak {
            true => (u64::from(window) * (10 + KEPT) / 20) as u32,
            false => window,
        };
        self.before = window;
        self.since_us = None;
    }

    /// Nothing arrived any more (section 4.8): what the window was says nothing.
    pub(crate) fn forget(&mut self, window: u32) {
        (self.peak, self.before) = (0, window);
        self.since_us = None;
    }

    /// Nothing was sent for long: time counts from the next acknowledgement on.
    pub(crate) fn rest(&mut self) {
        self.since_us = None;
    }

    /// The window after `bytes` were acknowledged for the first time.
    pub(crate) fn grow(
        &mut self,
        window: u32,
        bytes: u32,
        mss: u32,
        now_us: u64,
        round_trip_us: u64,
    ) -> u32 {
        let since_us = match self.since_us {
            Some(since) => {
                // While the window was not used up, time has not counted (section 5.8).
                let gap = now_us.saturating_sub(self.grown_at_us);
                since + gap.saturating_sub(2 * round_trip_us + PAUSE_US)
            }
            None => {
                self.begin(window, mss);
                now_us
            }
        };
        self.since_us = Some(since_us);
        self.grown_at_us = now_us;
        let elapsed_us = now_us.saturating_sub(since_us);

        let share = match self.friendly < self.before {
            true => FRIENDLY,
            false => 1000,
        };
        let divisor = 1000 * u64::from(window.max(1));
        let dividend = share * u64::from(bytes.min(window)) * u64::from(mss) + self.friendly_rest;
        self.friendly_rest = dividend % divisor;
        self.friendly = self.friendly.saturating_add((dividend / divisor) as u32);
        if self.at(elapsed_us, mss) < self.friendly {
            return window.max(self.friendly);
        }
        let target = self.at(elapsed_us + round_trip_us, mss);
        let target = target.clamp(window, window.saturating_add(window / 2));
        let dividend = u64::from(target - window) * u64::from(bytes) + self.rest;
        self.rest = dividend % u64::from(window.max(1));
        window.saturating_add((dividend / u64::from(window.max(1))) as u32)
    }

    /// Begins to grow from a window on.
    fn begin(&mut self, window: u32, mss: u32) {
        self.peak = self.peak.max(window);
        // The cube of the time is the distance in segments by C: here in 1/1024 seconds.
        let distance = u64::from(self.peak - window);
        self.ticks_to_peak =
            cube_root(((distance << 30) / u64::from(mss.max(1)) / C).saturating_mul(1024));
        self.friendly = window;
        (self.rest, self.friendly_rest) = (0, 0);
    }

    /// The curve, so long after growing began (`W_cubic`).
    fn at(&self, elapsed_us: u64, mss: u32) -> u32 {
        let ticks = elapsed_us.min(1 << 40) * 1024 / 1_000_000;
        let distance = ticks.abs_diff(self.ticks_to_peak).min(MAX_TICKS);
        let segments = (distance * distance * distance * C) >> 20;
        let bytes = ((segments * u64::from(mss)) >> 20).min(u64::from(u32::MAX)) as u32;
        match ticks < self.ticks_to_peak {
            true => self.peak.saturating_sub(bytes),
            false => self.peak.saturating_add(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cubic, cube_root, kept};

    const MSS: u32 = 1000;

    /// A connection that sends all that its window allows.
    struct Flow {
        cubic: Cubic,
        window: u32,
        now_us: u64,
        round_trip_us: u64,
    }

    impl Flow {
        /// One that has just lost a segment of so many.
        fn after_loss(segments: u32, round_trip_us: u64) -> Self {
            let mut cubic = Cubic::default();
            cubic.lose(segments * MSS);
            Self {
                cubic,
                window: kept(segments * MSS),
                now_us: 1_000_000,
                round_trip_us,
            }
        }

        /// Lets time pass, with a window of acknowledgements each round-trip time.
        fn pass(&mut self, us: u64) {
            let end = self.now_us + us;
            while self.now_us < end {
                let segments = self.window / MSS;
                for at in 0..segments {
                    let now_us =
                        self.now_us + self.round_trip_us * u64::from(at) / u64::from(segments);
                    let round_trip_us = self.round_trip_us;
                    self.window = self
                        .cubic
                        .grow(self.window, MSS, MSS, now_us, round_trip_us);
                }
                self.now_us += self.round_trip_us;
            }
        }
    }

    #[test]
    fn roots_are_whole_and_not_too_large() {
        for (of, root) in [
            (0, 0),
            (1, 1),
            (7, 1),
            (8, 2),
            (26, 2),
            (27, 3),
            (u64::MAX, 2_642_245),
        ] {
            assert_eq!(cube_root(of), root);
        }
    }

    #[test]
    fn the_window_follows_the_curve_by_time_and_not_by_round_trips() {
        for round_trip_us in [100_000, 200_000] {
            let mut flow = Flow::after_loss(100, round_trip_us);
            assert_eq!(flow.window, 70_000, "a factor of 0.7");
            // 0.4 (t - K)^3 + 100 segments, where K is the cube root of 30 / 0.4 seconds: 4.217.
            for (seconds, segments) in [(1, 86.7), (2, 95.6), (4, 100.0), (6, 102.3), (9, 143.8)] {
                flow.pass(1_000_000 * seconds + 1_000_000 - flow.now_us);
                let got = f64::from(flow.window) / f64::from(MSS);
                assert!(
                    (got / segments - 1.0).abs() < 0.05,
                    "{got} after {seconds} s"
                );
            }
        }
    }

    #[test]
    fn on_a_short_way_it_grows_as_reno_would() {
        let mut flow = Flow::after_loss(100, 1000);
        flow.pass(50_000);
        // 0.529 segments a round trip.
        assert!((95_000..98_000).contains(&flow.window), "{}", flow.window);
        flow.pass(50_000);
        // A segment a round trip since it is as large as it was.
        assert!((138_000..146_000).contains(&flow.window), "{}", flow.window);
    }

    #[test]
    fn who_lost_earlier_than_the_last_time_leaves_more_to_others() {
        let mut cubic = Cubic::default();
        cubic.lose(100_000);
        assert_eq!(cubic.peak, 100_000);
        cubic.lose(80_000);
        assert_eq!((cubic.peak, cubic.before), (68_000, 80_000));
        cubic.lose(90_000);
        assert_eq!(cubic.peak, 90_000);
    }

    #[test]
    fn after_silence_the_curve_begins_at_its_middle() {
        let mut flow = Flow::after_loss(100, 100_000);
        flow.cubic.forget(100_000);
        flow.pass(3_000_000);
        // 0.4 * 3^3 segments, and what Reno would have at first: 0.529 a round trip.
        let got = flow.window;
        assert!((80_000..88_000).contains(&got), "{got}");
    }

    #[test]
    fn time_in_which_little_is_sent_does_not_count() {
        let mut busy = Flow::after_loss(100, 100_000);
        busy.pass(2_000_000);
        let mut idle = Flow { ..busy };
        idle.now_us += 3_600_000_000;
        busy.pass(1_000_000);
        idle.pass(1_000_000);
        assert!(
            idle.window.abs_diff(busy.window) < MSS,
            "{} {}",
            idle.window,
            busy.window
        );
    }

    #[test]
    fn no_numbers_are_too_large_for_it() {
        for window in [1, 48, 65_535, 1 << 30, u32::MAX] {
            for (bytes, mss) in [(1, 1), (1, 65_535), (u32::MAX, 65_535)] {
                let mut cubic = Cubic::default();
                cubic.lose(u32::MAX);
                for now_us in [0, 1, 1 << 20, 1 << 40, u64::MAX / 2] {
                    for round_trip_us in [0, 60_000_000] {
                        let next = cubic.grow(window, bytes, mss, now_us, round_trip_us);
                        assert!(next >= window);
                    }
                }
            }
        }
    }
}
