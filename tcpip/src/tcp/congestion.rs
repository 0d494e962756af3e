//! How much may be under way: NewReno's window (RFC 5681, RFC 6582) with the initial window of RFC 6928 and appropriate byte counting
//! (RFC 3465).

/// Segments of the first window.
const INITIAL_SEGMENTS: u32 = 10;
/// Largest window.
const MAX_WINDOW: u32 = 1 << 30;

/// The congestion window of a connection, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Congestion {
    /// The window.
    pub(crate) window: u32,
    threshold: u32,
    /// Bytes acknowledged since the window last grew by a segment.
    acknowledged: u32,
}

impl Congestion {
    /// The window of a connection whose handshake is through.
    pub(crate) fn new(mss: u32) -> Self {
        Self {
            window: (INITIAL_SEGMENTS * mss).min((2 * mss).max(14600)),
            threshold: MAX_WINDOW,
            acknowledged: 0,
        }
    }

    /// The window and the threshold of slow start, in bytes.
    pub(crate) fn windows(&self) -> (u32, u32) {
        (self.window, self.threshold)
    }

    /// Bytes were acknowledged for the first time, while the window was used up.
    #[inline]
    pub(crate) fn grow(&mut self, bytes: u32, mss: u32) {
        if self.window < self.threshold {
            self.window = (self.window + bytes.min(2 * mss)).min(MAX_WINDOW);
            return;
        }
        self.acknowledged += bytes;
        if self.acknowledged >= self.window {
            self.acknowledged -= self.window;
            self.window = (self.window + mss).min(MAX_WINDOW);
        }
    }

    /// A segment was lost, but others arrive: half as much from now on (RFC 5681, equation 4).
    pub(crate) fn halve(&mut self, under_way: u32, mss: u32) {
        self.threshold = (under_way / 2).max(2 * mss);
        self.window = self.threshold;
        self.acknowledged = 0;
    }

    /// Nothing arrives any more: from the beginning, but carefully after half of what was under way.
    pub(crate) fn collapse(&mut self, under_way: u32, mss: u32, is_first: bool) {
        if is_first {
            self.threshold = (under_way / 2).max(2 * mss);
        }
        self.window = mss;
        self.acknowledged = 0;
    }

    /// Nothing was sent for long: what is known of the way is old (RFC 5681, section 4.1).
    pub(crate) fn restart(&mut self, mss: u32) {
        self.window = self.window.min(Self::new(mss).window);
        self.acknowledged = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Congestion;

    #[test]
    fn the_window_doubles_then_grows_by_a_segment_a_round() {
        let mss = 1000;
        let mut one = Congestion::new(mss);
        assert_eq!(one.window, 10_000);
        for _ in 0..10 {
            one.grow(1000, mss);
        }
        assert_eq!(one.window, 20_000, "slow start");
        one.halve(20_000, mss);
        assert_eq!(one.window, 10_000);
        for _ in 0..10 {
            one.grow(1000, mss);
        }
        assert_eq!(one.window, 11_000, "congestion avoidance");
        one.collapse(11_000, mss, true);
        one.collapse(1000, mss, false);
        assert_eq!((one.window, one.threshold), (1000, 5500));
        for _ in 0..5 {
            one.grow(1000, mss);
        }
        assert_eq!(one.window, 6000, "slow start up to the threshold");
    }
}
