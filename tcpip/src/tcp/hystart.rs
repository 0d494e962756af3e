//! When slow start has found what a way takes (HyStart++, RFC 9406): answers take longer, as segments begin to queue, before any is lost.

use crate::seq::Seq;

/// Round trips of a round that are looked at before it is judged (section 4.3).
const SAMPLES: u8 = 8;
/// How much longer the fastest takes than that of the round before: an eighth, within these bounds.
const MIN_THRESHOLD_MS: u32 = 4;
const MAX_THRESHOLD_MS: u32 = 16;
/// By how much slower the window grows from then on.
const DIVISOR: u32 = 4;
/// For as many rounds.
const ROUNDS: u8 = 5;

/// The rounds of a connection in slow start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HyStart {
    /// The round ends with the acknowledgement of this; none: there has been no round.
    end: Option<Seq>,
    /// The fastest round trip of this round, and of that before.
    fastest_ms: Option<u32>,
    before_ms: Option<u32>,
    samples: u8,
    /// The fastest when they began to take longer, and how many rounds have begun since.
    longer: Option<(u32, u8)>,
}

impl HyStart {
    /// Something was acknowledged up to `una`, a round trip after it was sent; up to `max` there is more under way. Whether slow start is over.
    pub(crate) fn note(&mut self, una: Seq, max: Seq, round_trip_ms: u32) -> bool {
        if self.end.is_none_or(|end| !una.is_before(end)) {
            self.end = Some(max);
            (self.before_ms, self.fastest_ms, self.samples) = (self.fastest_ms, None, 0);
            if let Some((_, rounds)) = &mut self.longer {
                *rounds += 1;
                if *rounds > ROUNDS {
                    return true;
                }
            }
        }
        let fastest_ms = self.fastest_ms.unwrap_or(u32::MAX).min(round_trip_ms);
        self.fastest_ms = Some(fastest_ms);
        self.samples = self.samples.saturating_add(1);
        if self.samples < SAMPLES {
            return false;
        }
        match (self.longer, self.before_ms) {
            // It was by chance.
            (Some((longer, _)), _) if fastest_ms < longer => self.longer = None,
            (None, Some(before)) => {
                let threshold = (before / 8).clamp(MIN_THRESHOLD_MS, MAX_THRESHOLD_MS);
                if fastest_ms >= before + threshold {
                    self.longer = Some((fastest_ms, 0));
                }
            }
            _ => {}
        }
        false
    }

    /// By how much the growth of the window is divided.
    pub(crate) fn divisor(&self) -> u32 {
        match self.longer {
            Some(_) => DIVISOR,
            None => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HyStart;
    use crate::seq::Seq;

    /// Rounds of ten acknowledgements, all after so long.
    fn rounds(one: &mut HyStart, first: u32, times_ms: &[u32]) -> Vec<(bool, u32)> {
        let mut judged = Vec::new();
        for (round, ms) in (first..).zip(times_ms) {
            let mut is_over = false;
            for step in 0..10 {
                let una = Seq(round * 10 + step);
                is_over |= one.note(una, Seq(round * 10 + 10), *ms);
            }
            judged.push((is_over, one.divisor()));
        }
        judged
    }

    #[test]
    fn it_ends_some_rounds_after_answers_begin_to_take_longer() {
        let mut one = HyStart::default();
        assert_eq!(rounds(&mut one, 0, &[20, 22, 20]), [(false, 1); 3]);
        assert_eq!(rounds(&mut one, 3, &[24, 30, 40, 50, 60]), [(false, 4); 5]);
        assert!(!rounds(&mut one, 8, &[60])[0].0);
        assert!(rounds(&mut one, 9, &[60])[0].0);
    }

    #[test]
    fn it_goes_on_if_they_take_as_long_as_before_again() {
        let mut one = HyStart::default();
        let judged = rounds(&mut one, 0, &[20, 30, 21, 21, 21]);
        assert_eq!(
            judged,
            [(false, 1), (false, 4), (false, 1), (false, 1), (false, 1)]
        );
    }
}
