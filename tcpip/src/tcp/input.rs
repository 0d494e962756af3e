//! Segments that arrive (RFC 9293, section 3.10.7; RFC 5961; RFC 7323, section 5).

use super::{ACK_DELAY_US, Agreement, Bits, Connection, Context, NEVER, News, State};
use crate::error::Error;
use crate::seq::Seq;
use crate::wire::tcp::{Flags, Options, Segment, TIMESTAMP_PREFIX};

/// Ranges that may come before something that is missing.
const MAX_EARLY: usize = 64;
/// After this long without a segment the peer's clock may have gone round (RFC 7323, section 5.5).
const OLD_TIME_US: u64 = 24 * 24 * 3600 * 1_000_000;
/// Bare segments out of place that are answered in about half a second.
const MAX_CHALLENGES: u8 = 8;

/// The timestamp of a segment with the usual options and no others.
#[inline]
fn usual_timestamp(options: &[u8]) -> Option<u32> {
    let options: &[u8; 12] = options.try_into().ok()?;
    let [p, q, r, s, a, b, c, d, ..] = *options;
    ([p, q, r, s] == TIMESTAMP_PREFIX).then(|| u32::from_be_bytes([a, b, c, d]))
}

impl Connection {
    /// Takes a segment. Bytes that come in order and before which none wait may be taken by `take` at once: then they count as read.
    // It knows no generic type, so it is compiled once, for speed.
    pub(crate) fn receive(
        &mut self,
        segment: &Segment<'_>,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> News {
        self.receive_predicted(segment, cx, take)
            .unwrap_or_else(|| self.receive_any(segment, cx))
    }

    /// The short way: the next bytes, or the next acknowledgement, of a connection on which nothing is lost (after Van Jacobson's header
    /// prediction). What is in any way special goes the long way, which does the same for the rest.
    #[inline]
    fn receive_predicted(
        &mut self,
        segment: &Segment<'_>,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<News> {
        let len = segment.payload.len() as u32;
        let acked = segment.ack - self.una;
        let is_usual = self.state == State::Established
            && segment.flags & (Flags::SYN | Flags::FIN | Flags::RST | Flags::URG | Flags::ACK)
                == Flags::ACK
            && segment.seq == self.rcv_nxt
            && self.nxt == self.max
            && acked <= self.max - self.una
            && (len != 0 || acked != 0)
            && len <= self.edge - self.rcv_nxt
            && self.early.is_empty()
            && self.sacked.is_empty()
            && !self
                .bits
                .intersects(Bits::RECOVERY | Bits::PERSIST | Bits::URGENT);
        if !is_usual {
            return None;
        }
        if self.bits.contains(Bits::TIMESTAMPS) {
            let time = usual_timestamp(segment.options)?;
            let step = time.wrapping_sub(self.ts_recent) as i32;
            if step < 0 || step == 0 && cx.now_us - self.ts_recent_at_us > OLD_TIME_US {
                return None;
            }
            if !segment.seq.is_after(self.last_ack) {
                self.ts_recent = time;
                self.ts_recent_at_us = cx.now_us;
            }
        } else if !segment.options.is_empty() {
            return None;
        }
        let queued = self.incoming.len();
        let is_taken = len != 0 && queued == 0 && take(segment.payload);
        if !is_taken
            && !cx
                .pool
                .reserve(&mut self.incoming, queued + len as usize, queued)
        {
            return None;
        }
        cx.stats.predicted += 1;
        self.heard_at = cx.now_us;
        self.probes = 0;
        self.window = u32::from(segment.window) << self.send_scale;
        self.largest_window = self.largest_window.max(self.window);
        self.window_seq = segment.seq;
        self.window_ack = segment.ack;
        let mut news = News::empty();
        if acked != 0 {
            news |= self.acknowledge(segment, true, cx);
            self.duplicate_acks = 0;
            self.recover = self.recover.max(self.una);
            self.lost_edge = self.una;
        }
        if len != 0 {
            self.rcv_nxt += len;
            self.owe_ack(len, cx.now_us);
            if is_taken {
                self.after_read(len, cx);
            } else {
                self.incoming.write(queued, segment.payload);
                self.incoming.extend(len as usize);
                news |= News::READABLE;
            }
        }
        Some(news)
    }

    /// Bytes came that are to be acknowledged: every second full segment at once, others a little later, in case there will be an answer for
    /// them to go with. Where none came to the last, a short segment is not kept waiting: behind it more may wait for its
    /// acknowledgement (Nagle).
    #[inline(always)]
    fn owe_ack(&mut self, len: u32, now_us: u64) {
        self.seen_mss = self.seen_mss.max(len.min(self.mss.max(1460)));
        let is_due = self.rcv_nxt - self.last_ack >= 2 * self.seen_mss;
        let is_quick = self.bits.intersects(Bits::QUICK_ACK | Bits::ONE_WAY)
            && (len < self.seen_mss || self.bits.contains(Bits::QUICK_ACK));
        if is_due || is_quick {
            self.bits |= Bits::ACK_NOW;
        } else if self.ack_at == NEVER {
            self.ack_at = now_us + ACK_DELAY_US;
        }
    }

    /// All before `ack` was received. There is something before it. Unless that came `in_order`, the window has grown by it already
    /// ([`Connection::note_arrived`]), and how long it took says nothing of the way.
    #[inline(always)]
    fn acknowledge(&mut self, segment: &Segment<'_>, in_order: bool, cx: &mut Context<'_>) -> News {
        let ack = segment.ack;
        let acked = ack - self.una;
        let under_way = self.max - self.una;
        let bytes = (acked as usize).min(self.outgoing.len());
        self.outgoing.consume(bytes);
        cx.pool.rest(&mut self.outgoing);
        self.una = ack;
        self.nxt = self.nxt.max(ack);
        if self.timed_at != 0 && ack.is_after(self.timed) {
            self.rtt.sample(cx.now_us - self.timed_at);
            self.timed_at = 0;
        } else {
            self.rtt.answered();
        }
        // A window that was not used up says nothing of the network (RFC 7661).
        if in_order
            && !self.bits.contains(Bits::RECOVERY)
            && under_way >= self.congestion.window / 2
        {
            let round_trip_us = u64::from(self.rtt.smoothed_us().unwrap_or(0));
            if self.congestion.is_starting() {
                self.note_start(segment, cx.now_us);
            }
            self.congestion
                .grow(acked, self.mss, cx.now_us, round_trip_us);
        }
        self.progress_at = cx.now_us;
        self.bits -= Bits::PERSIST;
        self.retransmit_at = match self.una == self.max {
            true => NEVER,
            false => cx.now_us + self.rtt.timeout_us(),
        };
        // The program is told when there is room for a good deal.
        if self.bits.contains(Bits::FULL) {
            let limit = self.send_limit(cx.limits);
            if self.outgoing.len() <= limit - limit / 4 {
                self.bits -= Bits::FULL;
                // Who writes has what waits move up when its turn comes, by then into more room. Who has closed does not.
                return match self.bits.contains(Bits::FIN) {
                    true => self.move_up(cx),
                    false => News::WRITABLE,
                };
            }
        }
        News::empty()
    }

    /// The same, apart from the short way.
    #[inline(never)]
    fn acknowledge_apart(
        &mut self,
        segment: &Segment<'_>,
        in_order: bool,
        cx: &mut Context<'_>,
    ) -> News {
        self.acknowledge(segment, in_order, cx)
    }

    /// Has slow start know how long the way takes, if the segment tells.
    #[inline(never)]
    fn note_start(&mut self, segment: &Segment<'_>, now_us: u64) {
        let echo = Options::read(segment.options)
            .timestamps
            .map(|times| times.1);
        if let Some(echo) = echo.filter(|echo| *echo != 0) {
            let ms = self.timestamp(now_us).wrapping_sub(echo);
            self.congestion
                .note_start(self.una, self.max, ms.min(60_000));
        }
    }

    #[inline(never)]
    fn receive_any(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) -> News {
        let before = self.state;
        let mut news = match self.state {
            State::Closed | State::Awaiting => return News::empty(),
            State::SynSent => self.receive_answer(segment, cx),
            _ => self.receive_synchronized(segment, cx),
        };
        news.set(News::STATE, self.state != before);
        news
    }

    /// What is answered to our request for a connection (RFC 9293, section 3.10.7.3).
    fn receive_answer(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) -> News {
        let has_ack = segment.flags.contains(Flags::ACK);
        if has_ack && (!segment.ack.is_after(self.una) || segment.ack.is_after(self.max)) {
            return match segment.flags.contains(Flags::RST) {
                true => News::empty(),
                false => News::REFUSE,
            };
        }
        if segment.flags.contains(Flags::RST) {
            if has_ack {
                self.fail(Some(Error::Refused), cx.pool);
            }
            return News::empty();
        }
        if !segment.flags.contains(Flags::SYN) {
            return News::empty();
        }
        let options = Options::read(segment.options);
        let scales = options
            .window_scale
            .map(|theirs| (theirs, self.receive_scale));
        let agreement = Agreement {
            isn: self.una,
            irs: segment.seq,
            mss: options
                .mss
                .unwrap_or(super::DEFAULT_MSS)
                .clamp(48, self.mss as u16),
            // It was told with the request.
            own_mss: 0,
            scales,
            is_sack_permitted: options.is_sack_permitted,
            timestamp: options.timestamps.map(|times| times.0),
            timestamp_offset: self.ts_offset,
        };
        self.heard_at = cx.now_us;
        if !has_ack {
            // Both ask at once: ours is repeated with an acknowledgement.
            self.begin(&agreement, u32::from(segment.window), cx.now_us);
            self.last_ack = segment.seq;
            self.edge = self.rcv_nxt + super::first_window(cx.limits);
            self.bits -= Bits::MADE;
            self.state = State::SynReceived;
            self.nxt = self.una;
            self.bits |= Bits::SYN_DUE;
            return News::empty();
        }
        // The window of a SYN is not shifted.
        let window = u32::from(segment.window);
        let _ = self.acknowledge_apart(segment, true, cx);
        self.begin(&agreement, window, cx.now_us);
        self.edge = self.rcv_nxt + super::first_window(cx.limits);
        self.bits -= Bits::SYN_DUE;
        self.bits |= Bits::ACK_NOW;
        cx.stats.connected += 1;
        self.expire_at = NEVER;
        if self.bits.contains(Bits::FIN) {
            self.state = State::FinWait1;
        }
        News::WRITABLE
    }

    /// Whether a segment lies in the window, or may be a repetition of what was acknowledged last.
    fn is_acceptable(&self, segment: &Segment<'_>) -> bool {
        !segment.end().is_before(self.last_ack) && !segment.seq.is_after(self.edge)
    }

    /// Answers a segment out of place, unless it carries nothing and many such have been answered (which two hosts could go on
    /// with for ever).
    fn challenge(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) {
        let epoch = (cx.now_us >> 19) as u32;
        if epoch != self.challenge_epoch {
            (self.challenge_epoch, self.challenges) = (epoch, 0);
        }
        let is_bare = segment.payload.is_empty() || segment.flags.contains(Flags::SYN);
        if is_bare && self.challenges >= MAX_CHALLENGES {
            cx.stats.challenges_limited += 1;
            return;
        }
        self.challenges = self.challenges.saturating_add(u8::from(is_bare));
        cx.stats.challenges += 1;
        self.bits |= Bits::ACK_NOW;
        self.note_repeated(segment, cx);
    }

    /// Tells the peer what it sent a second time (RFC 2883, section 4), also if the segment is dropped for its time: what was sent first and comes
    /// last is how the peer finds out that it sent again too soon.
    fn note_repeated(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) {
        let until = (segment.seq + segment.payload.len() as u32).min(self.rcv_nxt);
        if segment.seq.is_before(until) {
            cx.stats.duplicate_bytes += u64::from(until - segment.seq);
            self.duplicate = Some((segment.seq, until));
        }
    }

    fn receive_synchronized(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) -> News {
        let options = Options::read(segment.options);
        let is_reset = segment.flags.contains(Flags::RST);
        // Protection against wrapped sequences (RFC 7323, section 5.3): a time before the last is from before.
        if self.bits.contains(Bits::TIMESTAMPS) {
            match options.timestamps {
                Some((time, _)) => {
                    let is_old = (time.wrapping_sub(self.ts_recent) as i32) < 0
                        && cx.now_us - self.ts_recent_at_us <= OLD_TIME_US;
                    if is_old && !is_reset {
                        cx.stats.unacceptable += 1;
                        self.challenge(segment, cx);
                        return News::empty();
                    }
                    if !is_old
                        && !segment.seq.is_after(self.last_ack)
                        && self.is_acceptable(segment)
                    {
                        self.ts_recent = time;
                        self.ts_recent_at_us = cx.now_us;
                    }
                }
                // Section 3.2: without a time it is not of this connection.
                None if !is_reset => {
                    cx.stats.unacceptable += 1;
                    return News::empty();
                }
                None => {}
            }
        }
        if is_reset {
            return self.receive_reset(segment, cx);
        }
        if segment.flags.contains(Flags::SYN) && self.state != State::SynReceived {
            // RFC 5961, section 4.2.
            self.challenge(segment, cx);
            return News::empty();
        }
        if !self.is_acceptable(segment) {
            cx.stats.unacceptable += 1;
            self.challenge(segment, cx);
            // Of a FIN that is repeated the acknowledgement counts all the same: it may be what ends the connection.
            if !(segment.flags.contains(Flags::FIN) && segment.end() == self.rcv_nxt) {
                return News::empty();
            }
        }
        if !segment.flags.contains(Flags::ACK) {
            return News::empty();
        }
        if segment.ack.is_after(self.max)
            || segment
                .ack
                .is_before(self.una - self.largest_window.max(self.max - self.una))
        {
            // RFC 5961, section 5.2.
            if self.state == State::SynReceived {
                return News::REFUSE;
            }
            self.challenge(segment, cx);
            return News::empty();
        }
        self.heard_at = cx.now_us;
        self.probes = 0;
        let mut news = self.receive_ack(segment, &options, cx);
        if self.state == State::Closed {
            return news;
        }
        if segment.flags.contains(Flags::URG) {
            news |= self.receive_urgent(segment);
        }
        news |= self.receive_payload(segment, cx);
        news
    }

    /// RFC 5961, section 3.2: only a reset with exactly the next number is believed.
    /// In TIME-WAIT none is: it may answer the acknowledgement of a stray (RFC 1337), as which a SYN is not treated.
    fn receive_reset(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) -> News {
        if segment.seq == self.rcv_nxt && self.state != State::TimeWait {
            // The peer had ended its side: reading has come to the end, and writing breaks off.
            let error = match self.state {
                State::SynReceived => Some(Error::Refused),
                State::CloseWait | State::LastAck | State::Closing => None,
                _ => Some(Error::Reset),
            };
            self.fail(error, cx.pool);
        } else if segment.seq.is_after(self.rcv_nxt) && segment.seq.is_before(self.edge) {
            self.challenge(segment, cx);
        } else {
            cx.stats.unacceptable += 1;
        }
        News::empty()
    }

    fn receive_ack(
        &mut self,
        segment: &Segment<'_>,
        options: &Options,
        cx: &mut Context<'_>,
    ) -> News {
        let mut news = News::empty();
        if self.state == State::SynReceived {
            if !segment.ack.is_after(self.una) {
                return news;
            }
            self.state = if self.bits.contains(Bits::FIN) {
                State::FinWait1
            } else {
                State::Established
            };
            self.bits |= Bits::MADE;
            self.window = u32::from(segment.window) << self.send_scale;
            self.largest_window = self.window;
            self.expire_at = NEVER;
            cx.stats.connected += 1;
            news |= News::WRITABLE;
        }
        let window = u32::from(segment.window) << self.send_scale;
        let is_bare = segment.len() == 0;
        let is_same_window = window == self.window;
        let has_gap = !self.sacked.is_empty();
        let was_sacked = self.sacked.covered(self.una, self.max);
        let before = self.una;
        let has_news = self.note_sack(options, cx.now_us);
        let in_order = !self.is_reordered() || !has_gap && self.sacked.is_empty();
        let under_way = self.max - self.una;
        if segment.ack.is_after(self.una) {
            let acked = segment.ack - self.una;
            let is_fin_acked = self.is_fin_sent() && segment.ack == self.max;
            // With times, also the answer to something sent again tells how long it took.
            if self.rtt.backoff() != 0
                && self.timed_at == 0
                && let Some((_, echo)) = options.timestamps.filter(|times| times.1 != 0)
            {
                let ms = self.timestamp(cx.now_us).wrapping_sub(echo);
                if ms < 60_000 {
                    self.rtt.sample(u64::from(ms.max(1)) * 1000);
                }
            }
            if has_gap && self.was_never_repeated(self.una) {
                self.note_late();
            }
            self.resolve_doubt(segment.ack, options.timestamps.map(|times| times.1));
            news |= self.acknowledge_apart(segment, in_order, cx);
            self.note_progress(acked);
            if self.is_reordered() {
                self.find_late(cx.now_us);
                self.find_loss(cx);
            }
            if is_fin_acked {
                self.fin_acknowledged(cx);
            }
        } else if segment.ack == self.una && self.una != self.max {
            let is_duplicate = is_bare && is_same_window || has_news;
            if is_duplicate && !self.bits.contains(Bits::PERSIST) {
                self.note_duplicate(cx);
            }
        }
        self.await_late();
        let is_sacked = self.sacked.covered(self.una, self.max);
        let delivered = (self.una - before + is_sacked).saturating_sub(was_sacked);
        if self.bits.contains(Bits::RECOVERY) {
            self.note_delivered(delivered);
            self.find_lost_again();
        } else if !in_order {
            self.note_arrived(delivered, under_way, cx.now_us);
        }
        let is_newer = self.window_seq.is_before(segment.seq)
            || self.window_seq == segment.seq && !segment.ack.is_before(self.window_ack);
        if is_newer && !segment.ack.is_before(self.una) {
            self.window_seq = segment.seq;
            self.window_ack = segment.ack;
            let had_none = self.window == 0;
            self.window = window;
            self.largest_window = self.largest_window.max(window);
            if self.bits.contains(Bits::PERSIST) && (window >= self.mss || had_none && window != 0)
            {
                self.bits -= Bits::PERSIST;
                self.retransmit_at = NEVER;
                self.rtt.answered();
            }
        }
        news
    }

    /// Whether our FIN was sent.
    pub(super) fn is_fin_sent(&self) -> bool {
        self.state.has_fin() && self.max == self.data_end() + 1
    }

    fn fin_acknowledged(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                if self.bits.contains(Bits::ORPHAN) {
                    self.await_close(cx.now_us);
                }
            }
            State::Closing => self.state = State::TimeWait,
            State::LastAck => self.fail(None, cx.pool),
            _ => {}
        }
    }

    /// Takes the bytes of a segment, and its end of the peer's side.
    fn receive_payload(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) -> News {
        if segment.payload.is_empty() && !segment.flags.contains(Flags::FIN) {
            return News::empty();
        }
        let mut fin = segment
            .flags
            .contains(Flags::FIN)
            .then(|| segment.end() - 1);
        if !self.state.can_receive() {
            // Repetitions of what ended with the peer's FIN.
            self.bits |= Bits::ACK_NOW;
            return News::empty();
        }
        // What is here already, and what does not fit into the window, is cut off.
        let start = segment.seq.max(self.rcv_nxt);
        let whole = segment.seq + segment.payload.len() as u32;
        let end = whole.min(self.edge);
        if whole.is_after(self.edge) {
            // The peer asks whether the window has opened.
            self.bits |= Bits::ACK_NOW;
        }
        if fin.is_some_and(|fin| fin.is_after(self.edge)) {
            fin = None;
        }
        if segment.seq.is_before(self.rcv_nxt) {
            self.note_repeated(segment, cx);
            self.bits |= Bits::ACK_NOW;
        }
        let bytes = segment
            .payload
            .get((start - segment.seq) as usize..)
            .and_then(|rest| rest.get(..end.ahead_of(start) as usize))
            .unwrap_or_default();
        if start.is_after(self.rcv_nxt) {
            self.receive_early(start, bytes, fin, cx);
            return News::empty();
        }
        let mut news = News::empty();
        if !bytes.is_empty() {
            let queued = self.incoming.len();
            let reach = queued + bytes.len();
            if !self.reserve_incoming(reach, cx) {
                cx.stats.no_memory += 1;
                return news;
            }
            self.incoming.write(queued, bytes);
            let mut next = end;
            if !self.early.is_empty() {
                // A gap was filled, or a part of it: the peer shall know at once (RFC 5681, section 4.2).
                self.bits |= Bits::ACK_NOW;
                while let Some((_, behind)) = self.early.around(next) {
                    next = behind;
                }
                self.early.trim(next);
                if let Some(early) = self.early_fin
                    && !next.is_before(early)
                {
                    // It has a number, and is no byte.
                    (next, fin) = (early, Some(early));
                }
            }
            let count = next - self.rcv_nxt;
            self.incoming.extend(count as usize);
            self.rcv_nxt = next;
            self.owe_ack(bytes.len() as u32, cx.now_us);
            news |= News::READABLE;
        }
        if fin == Some(self.rcv_nxt) {
            self.rcv_nxt += 1;
            self.bits |= Bits::ACK_NOW;
            self.early.clear();
            match self.state {
                State::Established => self.state = State::CloseWait,
                // Our FIN was not acknowledged, or this would be FIN-WAIT-2.
                State::FinWait1 => self.state = State::Closing,
                State::FinWait2 => self.state = State::TimeWait,
                _ => {}
            }
            if self.state == State::TimeWait {
                (self.retransmit_at, self.expire_at) = (NEVER, NEVER);
            }
            news |= News::READABLE;
        }
        news
    }

    fn reserve_incoming(&mut self, reach: usize, cx: &mut Context<'_>) -> bool {
        // All that storage is there for is kept, since early bytes lie beyond the end.
        let kept = self.incoming.capacity();
        cx.pool.reserve(&mut self.incoming, reach, kept)
    }

    /// Takes bytes, and the end of the peer's side, that come before others that are missing.
    fn receive_early(&mut self, start: Seq, bytes: &[u8], fin: Option<Seq>, cx: &mut Context<'_>) {
        cx.stats.out_of_order += 1;
        self.bits |= Bits::ACK_NOW;
        let end = start + bytes.len() as u32 + u32::from(fin.is_some());
        if end == start {
            return;
        }
        if let Some((_, behind)) = self.early.around(start)
            && !end.is_after(behind)
        {
            cx.stats.duplicate_bytes += bytes.len() as u64;
            self.duplicate = Some((start, end));
            return;
        }
        let offset = self.incoming.len() + (start - self.rcv_nxt) as usize;
        if !self.reserve_incoming(offset + bytes.len(), cx) {
            cx.stats.no_memory += 1;
            return;
        }
        if self.early.insert(start, end, MAX_EARLY) {
            self.incoming.write(offset, bytes);
            self.last_early = start;
            self.early_fin = self.early_fin.or(fin);
        } else {
            cx.stats.no_memory += 1;
        }
    }
}
