//! Handshakes that peers began (RFC 9293, section 3.5). A few are remembered; when too many come at once the rest is answered with
//! cookies, which come back and say all that is to be known (RFC 4987, section 3.6).

use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::address::Tuple;
use crate::hash::{Secret, Seed};
use crate::seq::Seq;
use crate::tcp::{ACCEPT_TIMEOUT_US, Agreement};

/// Time before an answer is repeated for the first time; then it doubles.
const REPEAT_US: u64 = 1_000_000;
/// How often those that wait are looked through.
pub(crate) const SWEEP_US: u64 = 500_000;
/// A cookie says in which of these it was made.
const EPOCH_US: u64 = 64_000_000;
/// Largest payloads that a cookie can say.
const COOKIE_MSS: [u16; 8] = [536, 1200, 1220, 1300, 1400, 1440, 1460, 8940];
/// For so many seconds at most a peer may say nothing before it is taken: then it is asked once more ([`REPEAT_US`]), in time before it is
/// forgotten.
const MAX_DEFERRED_S: u32 = 6;
/// No shift, in a cookie.
const NO_SCALE: u32 = 15;

/// A handshake that is not through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) agreement: Agreement,
    pub(crate) since: u64,
    again_at: u64,
    /// Until then its last acknowledgement alone does not make it a connection.
    pub(crate) deferred_until: u64,
    /// How often it was answered.
    pub(crate) answered: u8,
}

/// All of them.
pub(crate) struct HalfOpens {
    table: HashMap<Tuple, HalfOpen, Seed>,
    limit: usize,
    secret: Secret,
    /// Cookies that come back are looked at until then.
    cookies_until: u64,
}

/// The words of a tuple, for a hash.
pub(crate) fn words(tuple: &Tuple) -> [u64; 5] {
    let (local, remote) = (tuple.local.bits(), tuple.remote.bits());
    [
        local as u64,
        (local >> 64) as u64,
        remote as u64,
        (remote >> 64) as u64,
        u64::from(tuple.local_port) << 16 | u64::from(tuple.remote_port),
    ]
}

impl HalfOpens {
    /// None yet, and never more than `limit`.
    pub(crate) fn new(limit: usize, seed: u64, secret: Secret) -> Self {
        Self {
            table: HashMap::with_hasher(Seed::new(seed)),
            limit,
            secret,
            cookies_until: 0,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The ends of all of them.
    pub(crate) fn tuples(&self) -> impl Iterator<Item = &Tuple> {
        self.table.keys()
    }

    pub(crate) fn get(&self, tuple: &Tuple) -> Option<&HalfOpen> {
        self.table.get(tuple)
    }

    pub(crate) fn remove(&mut self, tuple: &Tuple) -> Option<HalfOpen> {
        self.table.remove(tuple)
    }

    /// Remembers a handshake, whose peer is not taken for so many seconds unless it says something; whether there was room.
    pub(crate) fn insert(
        &mut self,
        tuple: Tuple,
        agreement: Agreement,
        deferred_s: u32,
        now: u64,
    ) -> bool {
        if self.table.len() >= self.limit || self.table.try_reserve(1).is_err() {
            return false;
        }
        self.table.insert(
            tuple,
            HalfOpen {
                agreement,
                since: now,
                again_at: now + REPEAT_US,
                deferred_until: now + u64::from(deferred_s.min(MAX_DEFERRED_S)) * 1_000_000,
                answered: 1,
            },
        );
        true
    }

    /// Forgets what has taken too long; the answers to repeat.
    pub(crate) fn sweep(&mut self, now: u64) -> Vec<(Tuple, Agreement)> {
        let mut again = Vec::new();
        self.table.retain(|tuple, one| {
            if one.since + ACCEPT_TIMEOUT_US <= now {
                return false;
            }
            if one.again_at <= now {
                again.push((*tuple, one.agreement));
                one.again_at = now + (REPEAT_US << one.answered.min(6));
                one.answered = one.answered.saturating_add(1);
            }
            true
        });
        // A flood is over.
        if self.table.is_empty() {
            self.table.shrink_to_fit();
        }
        again
    }

    fn cookie(&self, tuple: &Tuple, irs: Seq, epoch: u64) -> u32 {
        let [a, b, c, d, e] = words(tuple);
        let e = e | u64::from(irs.0) << 32;
        self.secret.hash(&[a, b, c, d, e, epoch]) as u32 & 0xFF_FFFF
    }

    /// The number that stands for a handshake which is not remembered. What it cannot say is left out of the agreement.
    pub(crate) fn bake(&mut self, tuple: &Tuple, agreement: &mut Agreement, now: u64) {
        self.cookies_until = now + 2 * EPOCH_US;
        let epoch = now / EPOCH_US;
        let index = COOKIE_MSS
            .iter()
            .rposition(|mss| *mss <= agreement.mss)
            .unwrap_or(0);
        let cookie = self.cookie(tuple, agreement.irs, epoch);
        agreement.isn = Seq(cookie | (index as u32) << 24 | (epoch as u32) << 27);
        if agreement.timestamp.is_none() {
            agreement.scales = None;
            agreement.is_sack_permitted = false;
        }
    }

    /// What our time says that goes with a cookie: it comes back in the peer's echo. It is never later than the time: what is sent after it would
    /// be older than what the peer knows, which it drops (RFC 7323, section 5.3).
    pub(crate) fn bake_time(time: u32, agreement: &Agreement) -> u32 {
        let scale = agreement
            .scales
            .map_or(NO_SCALE, |scales| u32::from(scales.0.min(14)));
        let baked = time & !31 | scale | u32::from(agreement.is_sack_permitted) << 4;
        match time & 31 < baked & 31 {
            true => baked.wrapping_sub(32),
            false => baked,
        }
    }

    /// The agreement that a cookie stands for, if it is one of ours: the acknowledged number, the peer's first, its time and its echo of
    /// ours, and our own shift.
    pub(crate) fn taste(
        &self,
        tuple: &Tuple,
        isn: Seq,
        irs: Seq,
        times: Option<(u32, u32)>,
        scale: u8,
        now: u64,
    ) -> Option<Agreement> {
        if now >= self.cookies_until {
            return None;
        }
        let current = now / EPOCH_US;
        let epoch = [current, current.wrapping_sub(1)]
            .into_iter()
            .find(|epoch| *epoch as u32 & 31 == isn.0 >> 27)?;
        if self.cookie(tuple, irs, epoch) != isn.0 & 0xFF_FFFF {
            return None;
        }
        let mss = COOKIE_MSS.get((isn.0 >> 24 & 7) as usize).copied()?;
        let echo = times.map_or(NO_SCALE, |times| times.1);
        let scales = (echo & 15 != NO_SCALE).then_some(((echo & 15) as u8, scale));
        Some(Agreement {
            isn,
            irs,
            mss,
            // It was told, and is not any more.
            own_mss: 0,
            scales,
            is_sack_permitted: echo >> 4 & 1 != 0,
            timestamp: times.map(|times| times.0),
            timestamp_offset: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Agreement, EPOCH_US, HalfOpens, Secret, Seq};
    use crate::address::{Address, Tuple};

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: Address::v4([10, 0, 2, 15]),
            remote: Address::v4([10, 0, 2, 2]),
            local_port: 80,
            remote_port: port,
        }
    }

    const AGREEMENT: Agreement = Agreement {
        isn: Seq(0),
        irs: Seq(1000),
        mss: 1460,
        own_mss: 1460,
        scales: Some((7, 3)),
        is_sack_permitted: true,
        timestamp: Some(5),
        timestamp_offset: 0,
    };

    #[test]
    fn a_cookie_says_all_that_was_agreed_and_only_to_its_peer() {
        let mut table = HalfOpens::new(1, 1, Secret::new([1, 2]));
        let mut agreement = AGREEMENT;
        table.bake(&tuple(1), &mut agreement, 1000);
        let echo = HalfOpens::bake_time(0x1234_5678, &agreement);
        let taste =
            |tuple: Tuple, isn, irs, now| table.taste(&tuple, isn, irs, Some((9, echo)), 3, now);
        let back = taste(tuple(1), agreement.isn, Seq(1000), 2000).expect("ours");
        assert_eq!(
            (back.mss, back.scales, back.timestamp),
            (1460, Some((7, 3)), Some(9))
        );
        assert!(back.is_sack_permitted);
        assert!(taste(tuple(2), agreement.isn, Seq(1000), 2000).is_none());
        assert!(taste(tuple(1), agreement.isn + 1, Seq(1000), 2000).is_none());
        assert!(taste(tuple(1), agreement.isn, Seq(1001), 2000).is_none());
        assert!(taste(tuple(1), agreement.isn, Seq(1000), EPOCH_US).is_some());
        assert!(
            taste(tuple(1), agreement.isn, Seq(1000), 2 * EPOCH_US + 1000).is_none(),
            "too old"
        );
    }

    #[test]
    fn the_time_that_goes_with_a_cookie_is_past() {
        for time in (0..100).chain(u32::MAX - 100..u32::MAX) {
            for shift in 0..15 {
                let agreement = Agreement {
                    scales: Some((shift, 3)),
                    ..AGREEMENT
                };
                let baked = HalfOpens::bake_time(time, &agreement);
                assert!(time.wrapping_sub(baked) < 32, "{time} {baked}");
                assert_eq!(baked & 31, u32::from(shift) | 16);
            }
        }
    }

    #[test]
    fn answers_are_repeated_and_given_up() {
        let mut table = HalfOpens::new(1, 1, Secret::new([1, 2]));
        assert!(table.insert(tuple(1), AGREEMENT, 0, 0));
        assert!(!table.insert(tuple(2), AGREEMENT, 0, 0), "full");
        let repeats: Vec<u64> = (0..20)
            .filter(|half| table.sweep(half * 500_000).len() == 1)
            .collect();
        assert_eq!(repeats, [2, 6, 14]);
        table.sweep(10_000_000);
        assert_eq!(table.len(), 0);
    }
}
