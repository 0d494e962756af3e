//! Segments that overtake each other, which looks like loss (after RFC 8985, and RFC 3522 with RFC 4015).
//!
//! Where none has been seen to, a segment is lost when three others arrived before it ([`super::loss`]). Where some have, it is lost when it has
//! not come for a time after one that was sent later did. What was sent again though it was not lost is found out by the times of segments,
//! and what the connection took it for is undone.

use alloc::boxed::Box;

use super::congestion::Congestion;
use super::{Bits, Connection, Context};
use crate::seq::Seq;

/// Who is late is waited for by quarters of a round trip.
const QUARTERS: u8 = 4;

/// What is known of segments that overtake each other.
#[derive(Default)]
#[cfg_attr(test, derive(Clone, Debug))]
pub(super) struct Reordering {
    /// Who is late is waited for this many quarters of a round trip; 0: nobody has been late yet.
    quarters: u8,
    /// Until then, and the end of what is lost if it has not come by then.
    pending: Option<(u64, Seq)>,
    /// When the timer for answers goes off before its time, for who was late when it was set. By then they may have come.
    awaited_at: Option<u64>,
    /// What was taken for lost first, and can still turn out to be late.
    doubt: Option<Box<Doubt>>,
}

#[cfg_attr(test, derive(Clone, Debug))]
struct Doubt {
    first: Seq,
    /// Our time as the peer is told. What was sent again tells this one or a later one.
    time: u32,
    before: Congestion,
}

impl Connection {
    /// Whether time says what is lost, not how much arrived.
    pub(super) fn is_reordered(&self) -> bool {
        self.reordering.quarters != 0
    }

    /// A segment came after one that was sent later, and was never sent again.
    pub(super) fn note_late(&mut self) {
        self.reordering.quarters = self.reordering.quarters.max(1);
    }

    /// So many bytes of those under way have come to the peer, in whatever order, and none of them is thought to be lost: the window grows by what
    /// comes, not by what the acknowledgement of the last one behind it covers, which would count for little.
    pub(super) fn note_arrived(&mut self, bytes: u32, under_way: u32, now_us: u64) {
        if under_way >= self.congestion.window / 2 {
            let round_trip_us = u64::from(self.rtt.smoothed_us().unwrap_or(0));
            self.congestion.grow(bytes, self.mss, now_us, round_trip_us);
        }
    }

    /// How long who is late is waited for.
    fn patience_us(&self) -> u64 {
        let round_us = u64::from(self.rtt.smoothed_us().unwrap_or(0));
        (round_us * u64::from(self.reordering.quarters) / u64::from(QUARTERS)).max(1000)
    }

    /// What has not come in time is lost from now on, and what has been overtaken since is waited for.
    pub(super) fn find_late(&mut self, now_us: u64) {
        if !self.is_reordered() {
            return;
        }
        if let Some((_, edge)) = self.reordering.pending.take_if(|(at, _)| *at <= now_us) {
            self.lost_edge = self.lost_edge.max(edge);
        }
        let Some((_, highest)) = self.sacked.iter().next_back() else {
            self.reordering.pending = None;
            return;
        };
        self.reordering
            .pending
            .take_if(|(_, edge)| !edge.is_after(self.una));
        if self.reordering.pending.is_none() && highest.is_after(self.lost_edge) {
            self.reordering.pending = Some((now_us + self.patience_us(), highest));
        }
    }

    /// Sets the timer for who is late, which goes off before that for answers.
    pub(super) fn await_late(&mut self) {
        if let Some((at, _)) = self.reordering.pending
            && !self.bits.contains(Bits::PERSIST)
            && at < self.retransmit_at
        {
            self.retransmit_at = at;
            self.reordering.awaited_at = Some(at);
        }
    }

    /// Whether the timer went off for who was late, who counts as lost if still missing; an answer is waited for from now on.
    pub(super) fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let is_late = self.reordering.awaited_at == Some(self.retransmit_at);
        if is_late {
            self.retransmit_at = cx.now_us + self.rtt.timeout_us();
            self.find_late(cx.now_us);
            self.find_loss(cx);
            self.await_late();
        }
        is_late
    }

    /// What is under way is taken for lost, and the window is about to shrink for it.
    pub(super) fn doubt(&mut self, now_us: u64) {
        self.reordering.doubt = self.bits.contains(Bits::TIMESTAMPS).then(|| {
            Box::new(Doubt {
                first: self.una,
                time: self.timestamp(now_us),
                before: self.congestion,
            })
        });
    }

    /// Nothing of it is waited for any more.
    pub(super) fn forget_late(&mut self) {
        (self.reordering.pending, self.reordering.doubt) = (None, None);
    }

    /// Something is about to be acknowledged by a segment that echoes this time of ours: if what was taken for lost first was sent before it was
    /// sent again, it was late.
    pub(super) fn resolve_doubt(&mut self, ack: Seq, echo: Option<u32>) {
        let Some(doubt) = self.reordering.doubt.take() else {
            return;
        };
        let is_first = self.una == doubt.first && ack.is_after(doubt.first);
        if !is_first {
            return;
        }
        if echo.is_none_or(|echo| (echo.wrapping_sub(doubt.time) as i32) >= 0) {
            return;
        }
        self.reordering.quarters = (self.reordering.quarters + 1).min(QUARTERS);
        self.congestion = doubt.before;
        self.congestion
            .set_control(self.settings.congestion_control);
        self.bits -= Bits::RECOVERY | Bits::FORCE;
        self.duplicate_acks = 0;
        self.nxt = self.max;
        self.recover = self.una;
        self.lost_edge = self.una;
        self.high_rxt = self.una;
    }
}
