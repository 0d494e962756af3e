//! How much may be under way: the window of CUBIC (RFC 9438, [`super::cubic`]) or of NewReno (RFC 5681, RFC 6582), with the initial window of
//! RFC 6928 and appropriate byte counting (RFC 3465); slow start ends by [`super::hystart`].

use super::cubic::{self, Cubic};
use super::hystart::HyStart;
use crate::seq::Seq;

/// Segments of the first window.
const INITIAL_SEGMENTS: u32 = 10;
/// As many at most that are acknowledged at once let the window grow in slow start.
const SLOW_START_SEGMENTS: u32 = 8;
/// Largest window.
const MAX_WINDOW: u32 = 1 << 30;

/// How the window of a connection grows and shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionControl {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 5681.
    Reno,
}

/// The congestion window of a connection, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Congestion {
    /// The window.
    pub(crate) window: u32,
    threshold: u32,
    /// Bytes acknowledged since Reno's window last grew by a segment.
    acknowledged: u32,
    control: CongestionControl,
    cubic: Cubic,
    start: HyStart,
}

impl Congestion {
    /// The window of a connection whose handshake is through.
    pub(crate) fn new(mss: u32, control: CongestionControl) -> Self {
        Self {
            window: first_window(mss),
            threshold: MAX_WINDOW,
            acknowledged: 0,
            control,
            cubic: Cubic::default(),
            start: HyStart::default(),
        }
    }

    /// The window and the threshold of slow start, in bytes.
    pub(crate) fn windows(&self) -> (u32, u32) {
        (self.window, self.threshold)
    }

    /// Changes how it grows and shrinks from now on.
    pub(crate) fn set_control(&mut self, control: CongestionControl) {
        if control != self.control {
            self.control = control;
            (self.acknowledged, self.cubic) = (0, Cubic::default());
        }
    }

    /// Whether the window is in slow start.
    #[inline]
    pub(crate) fn is_starting(&self) -> bool {
        self.window < self.threshold
    }

    /// A round trip in slow start, which ends it when segments begin to queue on the way ([`HyStart::note`]).
    pub(crate) fn note_start(&mut self, una: Seq, max: Seq, round_trip_ms: u32) {
        if self.start.note(una, max, round_trip_ms) {
            self.threshold = self.window;
        }
    }

    /// Bytes were acknowledged for the first time, while the window was used up.
    #[inline]
    pub(crate) fn grow(&mut self, bytes: u32, mss: u32, now_us: u64, round_trip_us: u64) {
        if self.is_starting() {
            // Acknowledgements may be few, of peers that gather segments before (RFC 9406, section 4.2).
            let bytes = bytes.min(SLOW_START_SEGMENTS * mss) / self.start.divisor();
            self.window = (self.window + bytes).min(MAX_WINDOW);
            return;
        }
        self.avoid(bytes, mss, now_us, round_trip_us);
    }

    /// The same beyond slow start.
    #[inline(never)]
    fn avoid(&mut self, bytes: u32, mss: u32, now_us: u64, round_trip_us: u64) {
        match self.control {
            CongestionControl::Cubic => {
                let window = self.window;
                let window = self.cubic.grow(window, bytes, mss, now_us, round_trip_us);
                self.window = window.min(MAX_WINDOW);
            }
            CongestionControl::Reno => {
                self.acknowledged += bytes;
                if self.acknowledged >= self.window {
                    self.acknowledged -= self.window;
                    self.window = (self.window + mss).min(MAX_WINDOW);
                }
            }
        }
    }

    /// What is kept of so much that was under way, when some of it was lost.
    fn kept(&self, under_way: u32, mss: u32) -> u32 {
        let kept = match self.control {
            CongestionControl::Cubic => cubic::kept(under_way),
            CongestionControl::Reno => under_way / 2,
        };
        kept.max(2 * mss)
    }

    /// A segment was lost, but others arrive (RFC 9438, section 4.6; RFC 5681, equation 4).
    pub(crate) fn reduce(&mut self, under_way: u32, mss: u32) {
        self.cubic.lose(self.window);
        self.threshold = self.kept(under_way, mss);
        self.window = self.threshold;
        self.acknowledged = 0;
    }

    /// Nothing arrives any more: from the beginning, but carefully after a part of what was under way (RFC 9438, section 4.8).
    pub(crate) fn collapse(&mut self, under_way: u32, mss: u32, is_first: bool) {
        if is_first {
            self.threshold = self.kept(under_way, mss);
            self.cubic.forget(self.window);
        }
        self.window = mss;
        self.acknowledged = 0;
        self.start = HyStart::default();
    }

    /// Nothing was sent for long: what is known of the way is old (RFC 5681, section 4.1).
    pub(crate) fn restart(&mut self, mss: u32) {
        self.window = self.window.min(first_window(mss));
        self.acknowledged = 0;
        self.start = HyStart::default();
        self.cubic.rest();
    }
}

fn first_window(mss: u32) -> u32 {
    (INITIAL_SEGMENTS * mss).min((2 * mss).max(14600))
}

#[cfg(test)]
mod tests {
    use super::{Congestion, CongestionControl};

    const MSS: u32 = 1000;

    fn grow(one: &mut Congestion, segments: u32) {
        for _ in 0..segments {
            one.grow(MSS, MSS, 1_000_000, 100_000);
        }
    }

    #[test]
    fn renos_window_doubles_then_grows_by_a_segment_a_round() {
        let mut one = Congestion::new(MSS, CongestionControl::Reno);
        assert_eq!(one.window, 10_000);
        grow(&mut one, 10);
        assert_eq!(one.window, 20_000, "slow start");
        one.reduce(20_000, MSS);
        assert_eq!(one.window, 10_000);
        grow(&mut one, 10);
        assert_eq!(one.window, 11_000, "congestion avoidance");
        one.collapse(11_000, MSS, true);
        one.collapse(1000, MSS, false);
        assert_eq!((one.window, one.threshold), (1000, 5500));
        grow(&mut one, 5);
        assert_eq!(one.window, 6000, "slow start up to the threshold");
    }

    #[test]
    fn cubics_window_keeps_seven_tenths_and_begins_anew_after_silence() {
        let mut one = Congestion::new(MSS, CongestionControl::Cubic);
        grow(&mut one, 90);
        assert_eq!(one.window, 100_000, "slow start is Reno's");
        one.reduce(100_000, MSS);
        assert_eq!(one.window, 70_000);
        grow(&mut one, 70);
        assert!((70_400..72_000).contains(&one.window), "{}", one.window);
        one.collapse(70_000, MSS, true);
        assert_eq!((one.window, one.threshold), (1000, 49_000));
        grow(&mut one, 49);
        assert!((49_000..51_000).contains(&one.window), "{}", one.window);
        one.restart(MSS);
        assert_eq!(one.window, 10_000, "after a rest");
    }

    #[test]
    fn another_control_takes_over_the_window() {
        let mut one = Congestion::new(MSS, CongestionControl::Cubic);
        grow(&mut one, 30);
        one.set_control(CongestionControl::Reno);
        assert_eq!(one.window, 40_000);
        one.reduce(40_000, MSS);
        assert_eq!(one.window, 20_000);
    }
}
