//! Which segment to send next (RFC 9293, section 3.10; RFC 1122, section 4.2.3.4), and its bytes.

use alloc::vec::Vec;

use super::{Bits, Connection, Context, NEVER, State};
use crate::limits::Limits;
use crate::seq::Seq;
use crate::wire::put;
use crate::wire::tcp::{Flags, HEADER, Header, MAX_SACK, TIMESTAMP_PREFIX};

/// A segment that is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(super) seq: Seq,
    /// Bytes of payload.
    pub(crate) len: u32,
    pub(super) flags: Flags,
    /// Bytes of header with options.
    pub(crate) header: usize,
    window: u16,
    timestamps: Option<(u32, u32)>,
    /// It tells what came early, which [`Connection`] keeps for it.
    has_sack: bool,
    /// Most payload that we take, in a SYN.
    mss: Option<u16>,
    /// The pointer to the urgent byte, where the flag says that there is one.
    pub(super) urgent: u16,
}

/// Length of the option that tells times, with what comes before it.
const TIMES: usize = 12;

/// Largest payload that a segment of ours may have, and one that the device takes apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// What we tell the peer to send at most.
    pub(crate) mss: u16,
    /// Payload of a segment that the device takes apart; 0 if it does not.
    pub(crate) large: u32,
}

impl Connection {
    /// Our time as the peer is told, in milliseconds.
    #[inline]
    pub(super) fn timestamp(&self, now_us: u64) -> u32 {
        ((now_us / 1000) as u32).wrapping_add(self.ts_offset)
    }

    /// Whether [`Connection::next_segment`] may have something to send: a quick look.
    #[inline]
    pub(crate) fn wants_output(&self) -> bool {
        self.bits
            .intersects(Bits::ACK_NOW | Bits::SYN_DUE | Bits::PROBE | Bits::FORCE | Bits::RECOVERY)
            || self.nxt.is_before(self.data_end())
            || self.nxt != self.max
            || self.state.has_fin() && !self.is_fin_sent()
    }

    /// Whether more than a segment waits to be sent.
    #[inline]
    pub(crate) fn has_much(&self) -> bool {
        self.data_end().ahead_of(self.nxt) > self.mss
    }

    /// The next segment to be sent, which then counts as sent.
    pub(crate) fn next_segment(&mut self, sizes: Sizes, cx: &mut Context<'_>) -> Option<Plan> {
        if self.state == State::Closed || self.state == State::Awaiting {
            return None;
        }
        if self.state.is_connecting() {
            return self.next_handshake(sizes, cx);
        }
        if self.bits.contains(Bits::PROBE) {
            self.bits -= Bits::PROBE;
            // A number that was acknowledged long ago has to be answered.
            return Some(self.plan(self.una - 1, 0, Flags::ACK, cx));
        }
        if self.bits.contains(Bits::RECOVERY)
            && let Some(plan) = self.next_lost(cx)
        {
            return Some(plan);
        }
        if let Some(plan) = self.next_new(sizes, cx) {
            return Some(plan);
        }
        // Numbered behind all that was ever sent: while some of it is sent again, the peer may have it already, and would drop an
        // older number with the acknowledgement.
        self.bits
            .contains(Bits::ACK_NOW)
            .then(|| self.plan(self.max, 0, Flags::ACK, cx))
    }

    /// The short way: how many bytes go next, if that is all that is queued, they fit into one segment, nothing is under way and the header has
    /// its usual form. What is in any way special goes the long way, which does the same for all.
    #[inline]
    pub(crate) fn predicted(&self, now_us: u64) -> Option<u32> {
        const SPECIAL: Bits = Bits::SYN_DUE
            .union(Bits::PROBE)
            .union(Bits::FORCE)
            .union(Bits::RECOVERY)
            .union(Bits::PERSIST)
            .union(Bits::FIN)
            .union(Bits::CORKED)
            .union(Bits::URGENT);
        let len = self.outgoing.len() as u32;
        let is_usual = self.state == State::Established
            && !self.bits.intersects(SPECIAL)
            && self.una == self.nxt
            && self.nxt == self.max
            && len != 0
            && len <= self.mss.min(self.window).min(self.congestion.window)
            && self.retransmit_at == NEVER
            && self.timed_at == 0
            && self.early.is_empty()
            && self.duplicate.is_none()
            // After a rest the congestion window may have to be found anew.
            && now_us - self.progress_at <= self.rtt.first_timeout_us()?;
        is_usual.then_some(len)
    }

    /// Has a connection that has nothing under way, and was silent for longer than a timeout, find its congestion window anew (RFC 5681,
    /// section 4.1); whether it was that.
    pub(crate) fn leave_rest(&mut self, now_us: u64) -> bool {
        let is_at_rest = self.una == self.max
            && self.nxt == self.max
            && self.retransmit_at == NEVER
            && now_us - self.progress_at > self.rtt.timeout_us();
        if is_at_rest {
            self.congestion.restart(self.mss);
            self.progress_at = now_us;
        }
        is_at_rest
    }

    /// Length of the header of a usual segment.
    #[inline]
    pub(crate) fn usual_header_len(&self) -> usize {
        HEADER + usize::from(self.bits.contains(Bits::TIMESTAMPS)) * TIMES
    }

    /// Writes the segment that [`Connection::predicted`] told the length of, behind a header of [`Connection::usual_header_len`], with this
    /// checksum. It then counts as sent. Whether there was room for its header.
    #[inline(always)]
    pub(crate) fn write_predicted(
        &mut self,
        (source_port, destination_port): (u16, u16),
        checksum: [u8; 2],
        segment: &mut [u8],
        cx: &mut Context<'_>,
    ) -> bool {
        let has_times = self.bits.contains(Bits::TIMESTAMPS);
        let Some((header, rest)) = segment.split_first_chunk_mut::<HEADER>() else {
            return false;
        };
        let (times, payload) = match rest.split_first_chunk_mut::<TIMES>() {
            Some((times, payload)) if has_times => (Some(times), payload),
            None if has_times => return false,
            _ => (None, rest),
        };
        let (seq, now_us) = (self.nxt, cx.now_us);
        self.nxt = seq + payload.len() as u32;
        self.max = self.nxt;
        (self.timed, self.timed_at) = (seq, now_us);
        self.progress_at = now_us;
        let timeout_us = self.rtt.first_timeout_us();
        self.retransmit_at = now_us + timeout_us.unwrap_or_else(|| self.rtt.timeout_us());
        self.bits -= Bits::ACK_NOW | Bits::ONE_WAY;
        let window = self.tell_window(cx);
        let [a, b] = source_port.to_be_bytes();
        let [c, d] = destination_port.to_be_bytes();
        let [e, f, g, h] = seq.0.to_be_bytes();
        let [i, j, k, l] = self.rcv_nxt.0.to_be_bytes();
        let [m, n] = window.to_be_bytes();
        let [x, y] = checksum;
        let len = HEADER + times.as_ref().map_or(0, |_| TIMES);
        let flags = (Flags::ACK | Flags::PSH).bits();
        *header = [
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            i,
            j,
            k,
            l,
            (len as u8) << 2,
            flags,
            m,
            n,
            x,
            y,
            0,
            0,
        ];
        if let Some(times) = times {
            let [p, q, r, s] = TIMESTAMP_PREFIX;
            let [t, u, v, w] = self.timestamp(now_us).to_be_bytes();
            let [x, y, z, o] = self.ts_recent.to_be_bytes();
            *times = [p, q, r, s, t, u, v, w, x, y, z, o];
        }
        self.outgoing.read(0, payload);
        true
    }

    fn next_handshake(&mut self, sizes: Sizes, cx: &mut Context<'_>) -> Option<Plan> {
        if !self.bits.contains(Bits::SYN_DUE) {
            return None;
        }
        self.bits -= Bits::SYN_DUE;
        let flags = match self.state {
            State::SynReceived => Flags::SYN | Flags::ACK,
            _ => Flags::SYN,
        };
        let is_first = self.max == self.una;
        self.nxt = self.una + 1;
        self.max = self.nxt;
        (self.timed, self.timed_at) = (self.una, if is_first { cx.now_us } else { 0 });
        self.retransmit_at = cx.now_us + self.rtt.timeout_us();
        let mut plan = self.plan(self.una, 0, flags, cx);
        let most = self.settings.segment_bytes;
        plan.mss = Some(match most {
            0 => sizes.mss,
            most => sizes.mss.min(most),
        });
        plan.window = super::first_window(cx.limits) as u16;
        plan.header = self.header(&plan).len();
        Some(plan)
    }

    /// A segment that was lost, if the window leaves room for it.
    fn next_lost(&mut self, cx: &mut Context<'_>) -> Option<Plan> {
        let (start, len) = self.lost()?;
        let is_forced = self.bits.contains(Bits::FORCE);
        if !is_forced && self.pipe() + self.mss > self.network_window() {
            return None;
        }
        self.bits -= Bits::FORCE;
        self.high_rxt = start + len;
        let data = self.data_end().ahead_of(start).min(len);
        let mut flags = Flags::ACK | Flags::PSH;
        flags.set(Flags::FIN, self.is_fin_sent() && start + len == self.max);
        self.timed_at = 0;
        cx.stats.retransmitted += 1;
        self.retransmitted = self.retransmitted.saturating_add(1);
        if self.retransmit_at == NEVER {
            self.retransmit_at = cx.now_us + self.rtt.timeout_us();
        }
        Some(self.plan(start, data, flags, cx))
    }

    /// Bytes that were not sent, or all that is sent again after the timer went off.
    fn next_new(&mut self, sizes: Sizes, cx: &mut Context<'_>) -> Option<Plan> {
        // What the peer has need not be sent again.
        while self.nxt != self.max
            && let Some((_, end)) = self.sacked.around(self.nxt)
        {
            self.nxt = end;
        }
        let end = self.data_end();
        let unsent = end.ahead_of(self.nxt);
        let has_fin = self.state.has_fin() && !self.nxt.is_after(end);
        if unsent == 0 && !has_fin {
            return None;
        }
        self.try_longer(cx.now_us);
        let sent = self.nxt - self.una;
        if sent == 0 && cx.now_us - self.progress_at > self.rtt.timeout_us() && self.nxt == self.max
        {
            self.congestion.restart(self.mss);
        }
        let by_peer = self.window.saturating_sub(sent);
        // The first two duplicates let new segments out (RFC 3042), as what left the network makes room.
        let by_network = self.network_window().saturating_sub(self.pipe());
        let usable = by_peer.min(by_network);
        let is_again = self.nxt != self.max;
        let full = match sizes.large {
            large if large > self.mss && !is_again && !self.bits.contains(Bits::URGENT) => {
                large / self.mss * self.mss
            }
            _ => self.mss,
        };
        let mut len = unsent.min(usable).min(full);
        if len > self.mss && len < unsent {
            // What the device takes apart shall come out as full segments.
            len -= len % self.mss;
        }
        if is_again && let Some(start) = self.sacked.next_start(self.nxt) {
            len = len.min(start - self.nxt);
        }
        let is_all = len == unsent;
        let may_be_short = self.bits.intersects(Bits::FIN | Bits::URGENT)
            || !self.bits.contains(Bits::CORKED)
                && (sent == 0 || self.bits.contains(Bits::NODELAY));
        let is_worth_it = len >= self.mss
            || is_all && may_be_short
            || is_again && len != 0
            || len != 0 && len >= self.largest_window / 2;
        let is_forced = self.bits.contains(Bits::FORCE) && len != 0;
        // A FIN alone needs no window of its own, as none of ours is kept back by one.
        let is_fin_alone = unsent == 0 && has_fin;
        if !is_worth_it && !is_forced && !is_fin_alone {
            self.wait_for_window(unsent, usable, sent, cx);
            return None;
        }
        self.bits -= Bits::FORCE;
        let mut flags = Flags::ACK;
        flags.set(Flags::PSH, is_all && len != 0);
        flags.set(Flags::FIN, is_all && has_fin);
        let seq = self.nxt;
        self.nxt += len + u32::from(flags.contains(Flags::FIN));
        if is_again {
            cx.stats.retransmitted += 1;
            self.retransmitted = self.retransmitted.saturating_add(1);
        } else if self.timed_at == 0 && self.rtt.backoff() == 0 {
            (self.timed, self.timed_at) = (seq, cx.now_us);
        }
        if sent == 0 && !is_again {
            self.progress_at = cx.now_us;
        }
        self.max = self.max.max(self.nxt);
        if self.retransmit_at == NEVER || self.bits.contains(Bits::PERSIST) {
            self.bits -= Bits::PERSIST;
            self.retransmit_at = cx.now_us + self.rtt.timeout_us();
        }
        Some(self.plan(seq, len, flags, cx))
    }

    /// Nothing is under way whose acknowledgement would tell of a larger window: the peer has to be asked.
    fn wait_for_window(&mut self, unsent: u32, usable: u32, sent: u32, cx: &mut Context<'_>) {
        if sent == 0 && unsent != 0 && usable < unsent && self.retransmit_at == NEVER {
            self.bits |= Bits::PERSIST;
            // Until now there was nothing for the peer to take.
            self.progress_at = cx.now_us;
            self.retransmit_at = cx.now_us + self.rtt.timeout_us();
        }
    }

    /// Completes a segment: it tells what has come, so nothing else needs to.
    #[inline]
    fn plan(&mut self, seq: Seq, len: u32, flags: Flags, cx: &mut Context<'_>) -> Plan {
        self.bits -= match len {
            0 => Bits::ACK_NOW,
            _ => Bits::ACK_NOW | Bits::ONE_WAY,
        };
        let window = self.tell_window(cx);
        let timestamps = match self.bits.contains(Bits::TIMESTAMPS) {
            true => Some((self.timestamp(cx.now_us), self.ts_recent)),
            false => None,
        };
        let mut plan = Plan {
            seq,
            len,
            flags,
            header: if timestamps.is_some() { 32 } else { 20 },
            window,
            timestamps,
            has_sack: false,
            mss: None,
            urgent: 0,
        };
        if self.bits.contains(Bits::URGENT) {
            self.tell_urgent(&mut plan);
        }
        if !self.early.is_empty() || self.duplicate.is_some() {
            self.tell_early(&mut plan);
        }
        plan
    }

    /// What has come is acknowledged, and the window told, by the segment that is made now.
    #[inline]
    fn tell_window(&mut self, cx: &Context<'_>) -> u16 {
        self.ack_at = NEVER;
        self.last_ack = self.rcv_nxt;
        self.offer_window(cx)
    }

    /// Adds what came early, the last first (RFC 2018, section 4), after what came twice (RFC 2883).
    fn tell_early(&mut self, plan: &mut Plan) {
        let duplicate = self.duplicate.take();
        if !self.bits.contains(Bits::SACK) || plan.len != 0 {
            return;
        }
        let last = self.early.around(self.last_early);
        let others = self.early.iter().filter(|range| Some(*range) != last);
        let most = if plan.timestamps.is_some() {
            MAX_SACK - 1
        } else {
            MAX_SACK
        };
        let blocks = duplicate.into_iter().chain(last).chain(others).take(most);
        let blocks: Vec<_> = blocks.collect();
        plan.has_sack = !blocks.is_empty();
        self.told = blocks;
        plan.header = self.header(plan).len();
    }

    /// The window to tell; it never takes back what was told, and grows in steps worth a segment.
    #[inline(always)]
    fn offer_window(&mut self, cx: &Context<'_>) -> u16 {
        let limit = match cx.pool.is_tight() {
            true => self.receive_limit.min(Limits::ASSURED_BYTES as u32),
            false => self.receive_limit,
        };
        let free = limit.saturating_sub(self.incoming.len() as u32);
        let wanted = self.rcv_nxt + free;
        let gain = wanted.ahead_of(self.edge);
        if gain >= self.seen_mss.min(limit / 2) {
            self.edge = wanted;
        }
        let window = self.edge.ahead_of(self.rcv_nxt);
        let told = (window >> self.receive_scale).min(0xFFFF);
        // What the shift cuts off is not told, so it must not be counted on; but neither is what was told before taken back.
        if gain >= self.seen_mss.min(limit / 2) {
            self.edge = self.rcv_nxt + (told << self.receive_scale);
        }
        told as u16
    }

    #[inline]
    fn header(&self, plan: &Plan) -> Header<'_> {
        let is_syn = plan.flags.contains(Flags::SYN);
        let is_answer = plan.flags.contains(Flags::ACK);
        Header {
            source_port: 0,
            destination_port: 0,
            seq: plan.seq,
            ack: if is_answer { self.rcv_nxt } else { Seq(0) },
            flags: plan.flags,
            window: plan.window,
            mss: plan.mss,
            window_scale: (is_syn && (!is_answer || self.receive_scale != 0))
                .then_some(self.receive_scale),
            is_sack_permitted: is_syn && self.bits.contains(Bits::SACK),
            timestamps: plan.timestamps,
            sack: if plan.has_sack { &self.told } else { &[] },
        }
    }

    /// Writes a segment without its checksum into `bytes`, which has room for header and payload.
    pub(crate) fn write_segment(
        &self,
        plan: &Plan,
        source_port: u16,
        destination_port: u16,
        bytes: &mut [u8],
    ) {
        let Some((header, payload)) = bytes.split_at_mut_checked(plan.header) else {
            return;
        };
        Header {
            source_port,
            destination_port,
            ..self.header(plan)
        }
        .write(header);
        if plan.urgent != 0 {
            put(header, 18, &plan.urgent.to_be_bytes());
        }
        if plan.len != 0 {
            let offset = plan.seq - self.una;
            self.outgoing.read(offset as usize, payload);
        }
    }

    /// The header of a reset that breaks the connection off.
    pub(crate) fn reset_header(&self) -> (Seq, Seq) {
        (self.nxt, self.rcv_nxt)
    }
}
