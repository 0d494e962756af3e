//! How long an answer takes, and how long to wait for it (RFC 6298).

/// Shortest wait. RFC 6298 asks for a second; like others we trust that a peer does not hold acknowledgements back longer.
const MIN_RTO_US: u32 = 200_000;
/// Longest wait.
const MAX_RTO_US: u32 = 60_000_000;
/// The wait before anything is known.
const FIRST_RTO_US: u32 = 1_000_000;

/// The estimate of a connection, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    /// 8 times the smoothed round-trip time; 0: none yet.
    srtt_8: u32,
    /// 4 times its variation.
    var_4: u32,
    rto: u32,
    /// How often the wait was doubled.
    backoff: u8,
}

impl Default for Rtt {
    fn default() -> Self {
        Self {
            srtt_8: 0,
            var_4: 0,
            rto: FIRST_RTO_US,
            backoff: 0,
        }
    }
}

impl Rtt {
    /// Takes a measurement into account.
    pub(crate) fn sample(&mut self, us: u64) {
        let us = us.clamp(1, u64::from(MAX_RTO_US)) as u32;
        if self.srtt_8 == 0 {
            self.srtt_8 = us * 8;
            self.var_4 = us * 2;
        } else {
            let difference = i64::from(us) - i64::from(self.srtt_8 / 8);
            let difference_abs = difference.unsigned_abs() as u32;
            self.srtt_8 = (i64::from(self.srtt_8) + difference).max(1) as u32;
            self.var_4 = self.var_4 - self.var_4 / 4 + difference_abs;
        }
        self.rto = (self.srtt_8 / 8 + self.var_4.max(1000)).clamp(MIN_RTO_US, MAX_RTO_US);
        self.backoff = 0;
    }

    /// The smoothed round-trip time, if one is known.
    pub(crate) fn smoothed_us(&self) -> Option<u32> {
        (self.srtt_8 != 0).then_some(self.srtt_8 / 8)
    }

    /// The smoothed round-trip time and its variation; 0: not known.
    pub(crate) fn estimate_us(&self) -> (u32, u32) {
        (self.srtt_8 / 8, self.var_4 / 4)
    }

    /// How long to wait for an acknowledgement.
    #[inline]
    pub(crate) fn timeout_us(&self) -> u64 {
        u64::from(self.rto)
            .checked_shl(u32::from(self.backoff))
            .map_or(u64::from(MAX_RTO_US), |us| us.min(u64::from(MAX_RTO_US)))
    }

    /// The same if the last wait was not in vain.
    #[inline]
    pub(crate) fn first_timeout_us(&self) -> Option<u64> {
        (self.backoff == 0).then_some(u64::from(self.rto))
    }

    /// The wait was in vain: the next is twice as long.
    pub(crate) fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(16);
    }

    /// How often the wait was in vain.
    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// The peer has answered; what was doubled stays until there is a measurement, if there was none before (section 5.7).
    #[inline]
    pub(crate) fn answered(&mut self) {
        if self.backoff != 0 && self.srtt_8 != 0 {
            self.backoff = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rtt;

    #[test]
    fn estimates_follow_the_rules_of_rfc_6298() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout_us(), 1_000_000);
        // Section 2.2: SRTT = R, RTTVAR = R / 2, RTO = SRTT + 4 RTTVAR.
        rtt.sample(400_000);
        assert_eq!(
            (rtt.smoothed_us(), rtt.timeout_us()),
            (Some(400_000), 1_200_000)
        );
        // Section 2.3: RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R|, SRTT = 7/8 SRTT + 1/8 R.
        rtt.sample(480_000);
        assert_eq!(
            (rtt.smoothed_us(), rtt.timeout_us()),
            (Some(410_000), 1_090_000)
        );
        rtt.back_off();
        rtt.back_off();
        assert_eq!(rtt.timeout_us(), 4 * 1_090_000);
        for _ in 0..40 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout_us(), 60_000_000);
        rtt.answered();
        assert_eq!(rtt.timeout_us(), 1_090_000);
        for _ in 0..100 {
            rtt.sample(50);
        }
        assert_eq!(rtt.timeout_us(), 200_000);
    }
}
