//! What is lost, and what is sent again: with selective acknowledgements as RFC 6675 has it, without them as RFC 6582 has it.

use super::{Bits, Connection, Context};
use crate::seq::Seq;
use crate::wire::tcp::Options;

/// As many acknowledgements of later segments make an earlier one lost (RFC 5681, section 3.2).
const DUPLICATES: u16 = 3;
/// Ranges of what the peer has that are remembered.
const MAX_SACKED: usize = 64;

impl Connection {
    /// Notes what the peer has beyond what it acknowledges; whether that is news.
    pub(super) fn note_sack(&mut self, options: &Options, now_us: u64) -> bool {
        if !self.bits.contains(Bits::SACK) || options.sack().is_empty() {
            return false;
        }
        let before = self.sacked.covered(self.una, self.max);
        let highest = self.highest();
        for (place, (start, end)) in options.sack().iter().enumerate() {
            let is_sane = start.is_before(*end)
                && !start.is_before(self.una)
                && !end.is_after(self.max)
                && *end - *start <= self.max - self.una;
            if is_sane {
                // The first is what has come just now (RFC 2018, section 4).
                let is_news = place == 0 && self.sacked.covered(*start, *end) == 0;
                if is_news && end.is_before(highest) && self.was_never_repeated(*start) {
                    self.note_late();
                }
                self.sacked.insert(*start, *end, MAX_SACKED);
            }
        }
        let after = self.sacked.covered(self.una, self.max);
        if after != before {
            match self.is_reordered() {
                true => self.find_late(now_us),
                false => self.find_lost(),
            }
        }
        after != before
    }

    /// Whether a number was sent once only, as far as is known.
    pub(super) fn was_never_repeated(&self, seq: Seq) -> bool {
        let repeated = match self.bits.contains(Bits::RECOVERY) {
            true => self.high_rxt.max(self.repeated_end),
            false => self.recover,
        };
        self.nxt == self.max && !seq.is_before(repeated)
    }

    /// The end of what the peer has.
    fn highest(&self) -> Seq {
        self.sacked
            .iter()
            .next_back()
            .map_or(self.una, |range| range.1)
    }

    /// Finds out what is lost: what lies before enough that arrived (RFC 6675, `IsLost`).
    fn find_lost(&mut self) {
        let (mut count, mut bytes) = (0, 0);
        self.lost_edge = self.lost_edge.max(self.una);
        for (start, end) in self.sacked.iter().rev() {
            count += 1;
            bytes += end - start;
            if count >= u32::from(DUPLICATES) || bytes > (u32::from(DUPLICATES) - 1) * self.mss {
                self.lost_edge = self.lost_edge.max(start);
                return;
            }
        }
    }

    /// An acknowledgement that acknowledged nothing new, though something is under way.
    pub(super) fn note_duplicate(&mut self, cx: &mut Context<'_>) {
        self.duplicate_acks = self.duplicate_acks.saturating_add(1);
        self.find_loss(cx);
    }

    /// Begins to send again what is lost, if that is found out now.
    pub(super) fn find_loss(&mut self, cx: &mut Context<'_>) {
        let is_lost = self.duplicate_acks >= DUPLICATES
            && !(self.is_reordered() && self.bits.contains(Bits::SACK))
            || self.bits.contains(Bits::SACK) && self.lost_edge.is_after(self.una);
        // What was sent before the last loss tells nothing of another, but what was sent after all of it was sent again does.
        let is_another = !self.una.is_before(self.recover) || self.has_come_after(self.recover);
        if is_lost && !self.bits.contains(Bits::RECOVERY) && is_another && self.una != self.max {
            self.doubt(cx.now_us);
            self.bits |= Bits::RECOVERY;
            self.recover = self.max;
            self.high_rxt = self.una;
            self.lost_edge = self.lost_edge.max(self.una + self.mss).min(self.max);
            // What went out while it was waited for is no part of what the way took before.
            let under_way = (self.max - self.una).min(self.congestion.window);
            self.congestion.reduce(under_way, self.mss);
            self.timed_at = 0;
            self.repeated_end = self.una;
            self.repeated_at = self.max;
            self.note_delivered(self.mss);
            // What comes now is sent again, whatever the window.
            self.bits |= Bits::FORCE;
            self.retransmit_at = cx.now_us + self.rtt.timeout_us();
        }
    }

    /// After new bytes were acknowledged, `acked` of them.
    pub(super) fn note_progress(&mut self, acked: u32) {
        self.sacked.trim(self.una);
        if !self.bits.contains(Bits::RECOVERY) {
            self.duplicate_acks = 0;
            self.recover = self.recover.max(self.una);
            self.lost_edge = self.lost_edge.max(self.una);
            return;
        }
        if !self.una.is_before(self.recover) {
            self.bits -= Bits::RECOVERY | Bits::FORCE;
            self.duplicate_acks = 0;
            // A burst of all that the window allows at once would be lost again (RFC 6582, section 3.2, step 3).
            let under_way = (self.max - self.una).max(self.mss) + self.mss;
            self.congestion.window = self.congestion.window.min(under_way);
            self.lost_edge = self.una;
            return;
        }
        self.repeated_at = self.max;
        if !self.bits.contains(Bits::SACK) {
            // A part: the next segment is lost too. What left the network is what was acknowledged, less the one sent again.
            let segments = (acked / self.mss.max(1)).saturating_sub(1) as u16;
            self.duplicate_acks = self.duplicate_acks.saturating_sub(segments);
            self.lost_edge = (self.una + self.mss).min(self.max);
            self.bits |= Bits::FORCE;
        } else {
            self.lost_edge = self.lost_edge.max(self.una);
            if self.high_rxt.is_before(self.una)
                && self.lost_edge == self.una
                && !self.is_reordered()
            {
                // Nothing that was sent again since arrives later than this: its first segment is missing.
                self.lost_edge = (self.una + self.mss).min(self.max);
            }
        }
        self.high_rxt = self.high_rxt.max(self.una);
    }

    /// Bytes that may be in the network.
    pub(super) fn network_window(&self) -> u32 {
        match self.bits.contains(Bits::RECOVERY | Bits::SACK) {
            true => self.congestion.window.min(self.recovery_window),
            false => self.congestion.window,
        }
    }

    /// Whether the peer has enough of what was first sent behind a number.
    fn has_come_after(&self, seq: Seq) -> bool {
        self.highest().ahead_of(seq) > u32::from(DUPLICATES) * self.mss
    }

    /// In recovery: what was sent again was lost again, if the peer has what was sent after it (RFC 8985, section 7.1). The way takes less
    /// than was thought (RFC 5681, section 4.3).
    pub(super) fn find_lost_again(&mut self) {
        if self.high_rxt.is_after(self.una) && self.has_come_after(self.repeated_at) {
            self.repeated_end = self.repeated_end.max(self.high_rxt);
            self.high_rxt = self.una;
            self.repeated_at = self.max;
            self.congestion.reduce(self.congestion.window, self.mss);
            self.bits |= Bits::FORCE;
        }
    }

    /// In recovery, so much has come to the peer: as much may follow, and a segment more, so that what is lost on the way makes the flow no
    /// thinner than the way (RFC 6937, section 3, PRR-SSRB).
    pub(super) fn note_delivered(&mut self, bytes: u32) {
        self.recovery_window = self.pipe().saturating_add(bytes + self.mss);
    }

    /// Bytes that are thought to be in the network (RFC 6675, `SetPipe`).
    pub(super) fn pipe(&self) -> u32 {
        let sent = self.nxt - self.una;
        if !self.bits.contains(Bits::SACK) {
            return sent.saturating_sub(u32::from(self.duplicate_acks).saturating_mul(self.mss));
        }
        if self.sacked.is_empty() && !self.bits.contains(Bits::RECOVERY) {
            return sent;
        }
        if !self.bits.contains(Bits::RECOVERY) {
            return sent - self.sacked.covered(self.una, self.nxt);
        }
        let missing = |start: Seq, end: Seq| end.ahead_of(start) - self.sacked.covered(start, end);
        let again = missing(self.una, self.high_rxt.max(self.una));
        again + missing(self.lost_edge.max(self.una), self.max)
    }

    /// The next that is lost and was not sent again: its first number and its length.
    pub(super) fn lost(&self) -> Option<(Seq, u32)> {
        let mut start = self.high_rxt.max(self.una);
        while let Some((_, end)) = self.sacked.around(start) {
            start = end;
        }
        let end = self
            .sacked
            .next_start(start)
            .map_or(self.lost_edge, |next| next.min(self.lost_edge));
        let end = end.min(self.max);
        start
            .is_before(end)
            .then(|| (start, (end - start).min(self.mss)))
    }

    /// Nothing was acknowledged in time: all that is under way counts as lost (RFC 6298, section 5; RFC 5681, section 3.1).
    pub(super) fn collapse(&mut self, now_us: u64) {
        let under_way = self.max - self.una;
        let is_first = self.rtt.backoff() == 0;
        self.forget_late();
        // Where something is known to be lost, the silence is no mistake.
        if is_first && self.sacked.is_empty() && !self.bits.contains(Bits::RECOVERY) {
            self.doubt(now_us);
        }
        self.congestion.collapse(under_way, self.mss, is_first);
        self.bits -= Bits::RECOVERY | Bits::FORCE;
        // The peer may have thrown away what it had (RFC 2018, section 8).
        self.sacked.clear();
        self.duplicate_acks = 0;
        self.recover = self.max;
        self.lost_edge = self.una;
        self.high_rxt = self.una;
        self.nxt = self.una;
        self.timed_at = 0;
    }
}
