//! TCP (RFC 9293): one connection, without knowing how its segments travel.
//!
//! [`input`] takes segments, [`output`] says which to send, [`clock`] does what time brings; [`loss`] is what is sent again, [`reordering`] what is not. Around it:
//! [`buffer`] (bytes), [`backlog`] (bytes behind them), [`ranges`] (what came early), [`rtt`] and [`congestion`] (when and how much), [`options`] that a program sets.

mod backlog;
pub(crate) mod buffer;
mod clock;
pub(crate) mod congestion;
mod cubic;
mod hystart;
mod info;
mod input;
mod loss;
mod output;
mod ranges;
mod reordering;
pub(crate) mod rtt;
#[cfg(test)]
mod tests;
mod urgent;

use alloc::boxed::Box;
use alloc::vec::Vec;

use bitflags::bitflags;

use self::backlog::Backlog;
use self::buffer::{Pool, Ring};
use self::congestion::Congestion;
pub use self::congestion::CongestionControl;
pub use self::info::Info;
pub(crate) use self::output::{Plan, Sizes};
use self::ranges::Ranges;
use self::reordering::Reordering;
use self::rtt::Rtt;
use self::urgent::Urgent;
pub use self::urgent::UrgentByte;
use crate::error::Error;
use crate::limits::{Limits, Stats};
use crate::seq::Seq;

/// A time that never comes.
pub(crate) const NEVER: u64 = u64::MAX;
const SECOND: u64 = 1_000_000;
/// How long an acknowledgement waits for data to go with. Linux waits 40 ms at least (`TCP_DELACK_MIN`), and a peer never less than 200 for one.
pub(crate) const ACK_DELAY_US: u64 = 25_000;
/// How long a peer may leave unanswered what we sent, a request for a connection included: at least 100 s (RFC 1122, section 4.2.3.5), so
/// that a link may be down for a minute.
const ANSWER_TIMEOUT_US: u64 = 120 * SECOND;
/// The same where no program waits for it any more.
const ORPHAN_TIMEOUT_US: u64 = 60 * SECOND;
/// How long a handshake that a peer began may take.
pub(crate) const ACCEPT_TIMEOUT_US: u64 = 10 * SECOND;
/// How many seconds a peer may take to close its side after we closed ours for good, unless the program says so.
pub const CLOSE_TIMEOUT_S: u32 = 30;
/// After this time a path that has become narrower may have become wider again (RFC 1191, section 6.3; RFC 8201, section 5.3).
const LONGER_US: u64 = 600 * SECOND;
/// The receive window before it is known that more is of use.
const FIRST_WINDOW: u32 = 64 << 10;
/// What every host takes (RFC 9293, section 3.7.1).
pub(crate) const DEFAULT_MSS: u16 = 536;
/// The same of IPv6.
pub(crate) const DEFAULT_MSS_V6: u16 = 1220;

/// States of RFC 9293, section 3.3.2, as far as they need a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for this machine to get an address.
    Awaiting,
    /// We asked for it.
    SynSent,
    /// Both asked for it at once.
    SynReceived,
    /// Bytes go both ways.
    Established,
    /// We have closed.
    FinWait1,
    /// We have closed, and the peer knows.
    FinWait2,
    /// The peer has closed.
    CloseWait,
    /// Both have closed, and the peer may not know that we did.
    Closing,
    /// The peer has closed, then we did.
    LastAck,
    /// It is over; strays may come.
    TimeWait,
    /// There is none.
    Closed,
}

impl State {
    /// Whether the handshake is not through.
    #[must_use]
    pub fn is_connecting(self) -> bool {
        matches!(self, Self::Awaiting | Self::SynSent | Self::SynReceived)
    }

    /// Whether we have closed and the peer has not acknowledged it.
    pub(crate) fn is_closing(self) -> bool {
        matches!(self, Self::FinWait1 | Self::Closing | Self::LastAck)
    }

    /// Whether the peer may still send.
    fn can_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// Whether we have closed and the peer has not acknowledged that.
    fn has_fin(self) -> bool {
        matches!(self, Self::FinWait1 | Self::Closing | Self::LastAck)
    }

    /// Whether we may still send.
    fn can_send(self) -> bool {
        matches!(self, Self::Established | Self::CloseWait)
    }
}

bitflags! {
    /// What has happened to a connection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct News: u8 {
        /// There are bytes to be read.
        const READABLE = 1 << 0;
        /// There is room to write again.
        const WRITABLE = 1 << 1;
        /// Its state is another.
        const STATE = 1 << 2;
        /// A reset is to be sent for the segment.
        const REFUSE = 1 << 3;
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Bits: u32 {
        /// Timestamps were agreed upon.
        const TIMESTAMPS = 1 << 0;
        /// Selective acknowledgements were agreed upon.
        const SACK = 1 << 1;
        /// An acknowledgement is to be sent now.
        const ACK_NOW = 1 << 2;
        /// The program sends no more.
        const FIN = 1 << 3;
        /// A request for a connection is to be sent.
        const SYN_DUE = 1 << 4;
        /// The timer is for a peer without a window, not for an answer.
        const PERSIST = 1 << 5;
        /// The peer is to be asked for its window, or whether it is there.
        const PROBE = 1 << 6;
        /// A small window is to be used, since it stays.
        const FORCE = 1 << 7;
        /// What was lost is being sent again.
        const RECOVERY = 1 << 8;
        /// The program has found no room.
        const FULL = 1 << 9;
        /// Short segments go out though others are not acknowledged.
        const NODELAY = 1 << 10;
        /// Nobody holds it any more.
        const ORPHAN = 1 << 11;
        /// What comes is acknowledged at once.
        const QUICK_ACK = 1 << 12;
        /// What was cut off was found to be at fault for silence.
        const SHORTENED = 1 << 13;
        /// Short segments wait until they are full, or for a word of the program.
        const CORKED = 1 << 14;
        /// A byte is marked as urgent, of those that come or of those that go.
        const URGENT = 1 << 15;
        /// The last acknowledgement waited for data in vain: the peer alone sends, and short segments are acknowledged at once.
        const ONE_WAY = 1 << 16;
        /// The handshake was through.
        const MADE = 1 << 17;
        /// The peer began it.
        const ACCEPTED = 1 << 18;
    }
}

/// What a connection needs of its engine.
pub(crate) struct Context<'a> {
    pub(crate) now_us: u64,
    pub(crate) pool: &'a mut Pool,
    pub(crate) limits: &'a Limits,
    pub(crate) stats: &'a mut Stats,
}

/// What two ends have agreed upon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreement {
    /// Our first sequence number, that of the SYN.
    pub(crate) isn: Seq,
    /// The peer's.
    pub(crate) irs: Seq,
    /// Largest payload that the peer takes, without options.
    pub(crate) mss: u16,
    /// Bytes of payload that the peer is told to send at most in a segment.
    pub(crate) own_mss: u16,
    /// Shifts of the peer's windows and of ours, if windows are shifted.
    pub(crate) scales: Option<(u8, u8)>,
    pub(crate) is_sack_permitted: bool,
    /// The peer's last time.
    pub(crate) timestamp: Option<u32>,
    /// What is added to our times.
    pub(crate) timestamp_offset: u32,
}

/// Settings of a connection that a program may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Short segments go out though others are not acknowledged (no Nagle).
    pub is_nodelay: bool,
    /// What comes is acknowledged at once, not with what is sent next.
    pub is_quick_ack: bool,
    /// Short segments wait until they are full, the program has no more to send, or this is taken back.
    pub is_corked: bool,
    /// Urgent bytes are read among the others.
    pub is_urgent_inline: bool,
    /// Bytes of payload that a segment has at most, either way; 0: as many as fit. What the peer is told is told when it is asked for the connection.
    pub segment_bytes: u16,
    /// How much may be under way.
    pub congestion_control: CongestionControl,
    /// After how many seconds a silent peer is asked whether it is there; 0: never.
    pub keep_alive_s: u32,
    /// How many seconds are between such questions.
    pub keep_alive_interval_s: u32,
    /// How many of them may go unanswered.
    pub keep_alive_probes: u8,
    /// How many routers a packet may pass.
    pub hop_limit: u8,
    /// Class of traffic of its packets.
    pub traffic_class: u8,
    /// How many seconds the peer may leave unanswered what was sent; 0: the default.
    pub user_timeout_s: u32,
    /// How often a request for a connection is repeated; 0: as often as there is time.
    pub request_repetitions: u8,
    /// How many seconds the peer may take to close its side after ours was closed for good.
    pub close_timeout_s: u32,
    /// As many bytes at most wait to be read, and to be sent: no more than [`Limits`] allow in any case.
    pub receive_bytes: u32,
    /// See `receive_bytes`.
    pub transmit_bytes: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            is_nodelay: false,
            is_quick_ack: false,
            is_corked: false,
            is_urgent_inline: false,
            segment_bytes: 0,
            congestion_control: CongestionControl::default(),
            keep_alive_s: 0,
            keep_alive_interval_s: 75,
            keep_alive_probes: 9,
            hop_limit: 64,
            traffic_class: 0,
            user_timeout_s: 0,
            request_repetitions: 0,
            close_timeout_s: CLOSE_TIMEOUT_S,
            receive_bytes: u32::MAX,
            transmit_bytes: u32::MAX,
        }
    }
}

/// The shift that lets a window of `bytes` be told (RFC 7323, section 2.2).
pub(crate) fn window_scale(bytes: usize) -> u8 {
    (0..14).find(|scale| bytes >> scale <= 0xFFFF).unwrap_or(14)
}

/// A connection.
#[cfg_attr(test, derive(Clone, Debug))]
pub(crate) struct Connection {
    state: State,
    bits: Bits,
    /// Shift of the windows that the peer tells.
    send_scale: u8,
    /// Shift of ours.
    receive_scale: u8,

    /// Oldest number that is not acknowledged; the outgoing bytes begin here once the handshake is through.
    una: Seq,
    /// The number to send next.
    nxt: Seq,
    /// The number after the last that was ever sent.
    max: Seq,
    /// What the peer takes from `una` on.
    window: u32,
    largest_window: u32,
    /// Segment and acknowledgement of the last change of the window.
    window_seq: Seq,
    window_ack: Seq,
    /// Payload of a full segment.
    mss: u32,
    /// What it was before a router said that less gets through, and when that is tried again.
    longer: Option<(u32, u64)>,

    /// The number expected next.
    rcv_nxt: Seq,
    /// The end of the window that the peer was told.
    edge: Seq,
    /// What the peer was told to have come.
    last_ack: Seq,
    /// Largest payload that came.
    seen_mss: u32,
    /// The peer's time to echo, and when it came.
    ts_recent: u32,
    ts_recent_at_us: u64,
    ts_offset: u32,

    retransmit_at: u64,
    ack_at: u64,
    expire_at: u64,
    /// When the peer last said anything.
    heard_at: u64,
    /// When the peer last acknowledged something new, or something was sent while nothing was under way.
    progress_at: u64,

    congestion: Congestion,
    rtt: Rtt,
    /// The number whose acknowledgement is timed, and since when; 0: none is.
    timed: Seq,
    timed_at: u64,

    pub(crate) outgoing: Ring,
    /// What is to be sent after these.
    behind: Option<Box<Backlog>>,
    pub(crate) incoming: Ring,
    urgent: Urgent,

    /// Segments that were sent again.
    retransmitted: u32,
    duplicate_acks: u16,
    probes: u8,
    /// In recovery, what lies before this was sent again.
    high_rxt: Seq,
    /// The same of what was sent again and counts as lost once more.
    repeated_end: Seq,
    /// Recovery ends with the acknowledgement of this; no other begins before it.
    recover: Seq,
    /// What lies before this and did not arrive is lost.
    lost_edge: Seq,
    /// In recovery, all before this was sent before `una` was sent again, or before it was known to be missing.
    repeated_at: Seq,
    /// In recovery, how much may be in the network after what the last segment has told: bursts would be lost again (RFC 6937).
    recovery_window: u32,
    reordering: Reordering,
    /// What the peer has beyond what it acknowledges.
    sacked: Ranges,
    /// What came before something that is missing.
    early: Ranges,
    /// The last that came so.
    last_early: Seq,
    /// The end of the peer's side, if it came so.
    early_fin: Option<Seq>,
    /// What the next segment tells of these.
    told: Vec<(Seq, Seq)>,
    /// What came a second time, to be told (RFC 2883).
    duplicate: Option<(Seq, Seq)>,

    /// How much may wait to be read.
    receive_limit: u32,
    /// Since when, and how many bytes, the program has read: more than a window a round-trip makes the window larger.
    read_since: u64,
    read_bytes: u32,

    challenge_epoch: u32,
    challenges: u8,
    pub(crate) error: Option<Error>,
    pub(crate) settings: Settings,
}

impl Connection {
    /// A connection that we ask for; see [`Connection::open`].
    pub(crate) fn new(now_us: u64) -> Self {
        Self {
            state: State::Awaiting,
            bits: Bits::empty(),
            send_scale: 0,
            receive_scale: 0,
            una: Seq(0),
            nxt: Seq(0),
            max: Seq(0),
            window: 0,
            largest_window: 0,
            window_seq: Seq(0),
            window_ack: Seq(0),
            mss: u32::from(DEFAULT_MSS),
            longer: None,
            rcv_nxt: Seq(0),
            edge: Seq(0),
            last_ack: Seq(0),
            seen_mss: u32::from(DEFAULT_MSS),
            ts_recent: 0,
            ts_recent_at_us: 0,
            ts_offset: 0,
            retransmit_at: NEVER,
            ack_at: NEVER,
            expire_at: NEVER,
            heard_at: now_us,
            progress_at: now_us,
            congestion: Congestion::new(u32::from(DEFAULT_MSS), CongestionControl::default()),
            rtt: Rtt::default(),
            timed: Seq(0),
            timed_at: 0,
            outgoing: Ring::default(),
            behind: None,
            incoming: Ring::default(),
            urgent: Urgent::default(),
            retransmitted: 0,
            duplicate_acks: 0,
            probes: 0,
            high_rxt: Seq(0),
            repeated_end: Seq(0),
            recover: Seq(0),
            lost_edge: Seq(0),
            repeated_at: Seq(0),
            recovery_window: u32::MAX,
            reordering: Reordering::default(),
            sacked: Ranges::default(),
            early: Ranges::default(),
            last_early: Seq(0),
            early_fin: None,
            told: Vec::new(),
            duplicate: None,
            receive_limit: FIRST_WINDOW,
            read_since: now_us,
            read_bytes: 0,
            challenge_epoch: 0,
            challenges: 0,
            error: None,
            settings: Settings::default(),
        }
    }

    /// Asks for the connection, with `isn` as the number of the SYN. `mss` is the most that fits into a packet of ours.
    pub(crate) fn open(
        &mut self,
        isn: Seq,
        ts_offset: u32,
        mss: u16,
        limits: &Limits,
        now_us: u64,
    ) {
        self.state = State::SynSent;
        self.bits = self.bits | Bits::SYN_DUE | Bits::TIMESTAMPS | Bits::SACK;
        (self.una, self.nxt, self.max) = (isn, isn, isn);
        self.recover = isn;
        self.ts_offset = ts_offset;
        self.receive_scale = window_scale(limits.receive_bytes);
        self.receive_limit = self.receive_limit.min(limits.receive_bytes as u32);
        self.mss = u32::from(mss.max(48)).min(Self::segment_limit(&self.settings, 0));
        self.progress_at = now_us;
        self.expire_at = NEVER;
    }

    /// A connection whose handshake is through, begun by the peer.
    pub(crate) fn accepted(
        agreement: &Agreement,
        window: u32,
        limits: &Limits,
        now_us: u64,
    ) -> Self {
        let mut one = Self::new(now_us);
        one.bits |= Bits::ACCEPTED;
        one.receive_limit = FIRST_WINDOW.min(limits.receive_bytes as u32);
        one.ts_offset = agreement.timestamp_offset;
        let first = agreement.isn + 1;
        (one.una, one.nxt, one.max) = (first, first, first);
        one.begin(agreement, window, now_us);
        // What the SYN told, which is never shifted.
        one.edge = one.rcv_nxt + first_window(limits);
        one
    }

    /// Both sides know of the connection.
    fn begin(&mut self, agreement: &Agreement, window: u32, now_us: u64) {
        self.state = State::Established;
        self.bits |= Bits::MADE;
        self.recover = self.una;
        self.high_rxt = self.una;
        self.lost_edge = self.una;
        self.rcv_nxt = agreement.irs + 1;
        self.last_ack = self.rcv_nxt;
        self.window_seq = self.rcv_nxt;
        self.window_ack = self.una;
        self.window = window;
        self.largest_window = window;
        self.take_agreement(agreement, now_us);
    }

    fn take_agreement(&mut self, agreement: &Agreement, now_us: u64) {
        (self.send_scale, self.receive_scale) = agreement.scales.unwrap_or_default();
        self.bits.set(Bits::SACK, agreement.is_sack_permitted);
        self.bits
            .set(Bits::TIMESTAMPS, agreement.timestamp.is_some());
        self.ts_recent = agreement.timestamp.unwrap_or_default();
        self.ts_recent_at_us = now_us;
        self.mss = u32::from(agreement.mss);
        if self.bits.contains(Bits::TIMESTAMPS) {
            self.mss = self.mss.saturating_sub(12).max(48);
        }
        self.congestion = Congestion::new(self.mss, self.settings.congestion_control);
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Whether the handshake was ever through.
    pub(crate) fn was_made(&self) -> bool {
        self.bits.contains(Bits::MADE)
    }

    /// Whether the peer began it, and it is not over.
    pub(crate) fn was_accepted(&self) -> bool {
        self.bits.contains(Bits::ACCEPTED) && self.state != State::Closed
    }

    /// When the peer last got further: acknowledged something new, or had sent half a window's bytes, which were read.
    pub(crate) fn moved_at(&self) -> u64 {
        self.progress_at.max(self.read_since)
    }

    /// Takes the program's settings over.
    pub(crate) fn configure(&mut self, settings: Settings) {
        self.bits.set(Bits::NODELAY, settings.is_nodelay);
        self.bits.set(Bits::QUICK_ACK, settings.is_quick_ack);
        self.bits.set(Bits::CORKED, settings.is_corked);
        let options = u32::from(self.bits.contains(Bits::TIMESTAMPS)) * 12;
        let most = Self::segment_limit(&settings, options);
        self.mss = self.mss.min(most);
        if let Some((longer, _)) = &mut self.longer {
            *longer = most.min(*longer);
        }
        // What the peer was told that it may send stays.
        self.receive_limit = self.receive_limit.min(settings.receive_bytes);
        self.congestion.set_control(settings.congestion_control);
        self.settings = settings;
    }

    /// It is given up then, unless it gets further.
    pub(crate) fn expire_after(&mut self, us: u64, now_us: u64) {
        self.expire_at = now_us.saturating_add(us);
    }

    /// How long the handshake took.
    pub(crate) fn note_round_trip(&mut self, us: u64) {
        self.rtt.sample(us);
    }

    /// Whether a large buffer is empty, and could be given back if it stays so.
    #[inline]
    pub(crate) fn has_empty_buffer(&self) -> bool {
        self.incoming.len() == 0 && self.incoming.capacity() != 0
    }

    /// Whether an acknowledgement is to be sent now.
    #[inline]
    pub(crate) fn owes_ack(&self) -> bool {
        self.bits.contains(Bits::ACK_NOW)
    }

    /// Payload of a full segment.
    pub(crate) fn mss(&self) -> u32 {
        self.mss
    }

    /// The number after all that is queued.
    #[inline]
    fn data_end(&self) -> Seq {
        self.una + self.outgoing.len() as u32
    }

    /// Nobody holds it any more: it goes when it is done.
    pub(crate) fn set_orphan(&mut self, now_us: u64) {
        self.bits |= Bits::ORPHAN;
        if self.state == State::FinWait2 {
            self.await_close(now_us);
        }
    }

    /// We have closed for good, and the peer knows: it may take so long to do so too.
    fn await_close(&mut self, now_us: u64) {
        self.expire_at = now_us + u64::from(self.settings.close_timeout_s) * SECOND;
    }

    /// It is over.
    pub(crate) fn fail(&mut self, error: Option<Error>, pool: &mut Pool) {
        self.state = State::Closed;
        self.error = error;
        (self.retransmit_at, self.ack_at, self.expire_at) = (NEVER, NEVER, NEVER);
        self.bits &= Bits::ORPHAN | Bits::URGENT | Bits::MADE;
        self.sacked.clear();
        self.forget_late();
        self.early.clear();
        self.behind = None;
        pool.take_back(&mut self.outgoing);
    }

    /// Gives all memory back.
    pub(crate) fn release_memory(&mut self, pool: &mut Pool) {
        pool.take_back(&mut self.outgoing);
        pool.take_back(&mut self.incoming);
    }

    /// Whether bytes can be read.
    #[inline]
    pub(crate) fn can_read(&self) -> bool {
        match self.bits.contains(Bits::URGENT) {
            false => self.incoming.len() != 0,
            true => self.readable_around_mark() != 0,
        }
    }

    /// Bytes that can be read now.
    #[inline]
    pub(crate) fn unread(&self) -> usize {
        match self.bits.contains(Bits::URGENT) {
            false => self.incoming.len(),
            true => self.unread_before_mark(),
        }
    }

    /// Whether more bytes may come.
    pub(crate) fn may_receive(&self) -> bool {
        self.state.can_receive() || self.state.is_connecting()
    }

    /// Whether the program may send more.
    pub(crate) fn may_send(&self) -> bool {
        self.state.can_send()
    }

    /// Takes received bytes; with `is_peek` they stay.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when there are none yet, or what broke the connection, once.
    pub(crate) fn read(
        &mut self,
        bytes: &mut [u8],
        is_peek: bool,
        cx: &mut Context<'_>,
    ) -> Result<usize, Error> {
        if self.bits.contains(Bits::URGENT) {
            return self.read_around_mark(bytes, is_peek, cx);
        }
        if self.incoming.len() == 0 {
            return self.nothing_to_read();
        }
        let count = self.incoming.read(0, bytes);
        if !is_peek {
            self.incoming.consume(count);
            self.after_read(count as u32, cx);
        }
        Ok(count)
    }

    fn nothing_to_read(&mut self) -> Result<usize, Error> {
        match self.may_receive() {
            true => Err(Error::WouldBlock),
            false => self.error.take().map_or(Ok(0), Err),
        }
    }

    /// Forgets bytes that were read in place.
    pub(crate) fn consume(&mut self, count: usize, cx: &mut Context<'_>) {
        let count = count.min(self.incoming.len());
        if self.bits.contains(Bits::URGENT) {
            self.advance_mark(count);
        }
        self.incoming.consume(count);
        self.after_read(count as u32, cx);
    }

    #[inline(always)]
    pub(super) fn after_read(&mut self, count: u32, cx: &mut Context<'_>) {
        if self.early.is_empty() {
            cx.pool.rest(&mut self.incoming);
        }
        self.read_bytes += count;
        if self.read_bytes > self.receive_limit / 2 {
            self.enlarge_window(cx);
        }
        // The peer may wait for the window to open by enough to be worth a segment (RFC 9293, section 3.8.6.2.2).
        if self.state.can_receive() {
            let open = self.edge.ahead_of(self.rcv_nxt);
            let free = self
                .receive_limit
                .saturating_sub(self.incoming.len() as u32);
            let step = (self.receive_limit / 2).min(2 * self.seen_mss);
            if open < step && free >= open + step {
                self.bits |= Bits::ACK_NOW;
            }
        }
    }

    /// The program reads a lot: if that was within a round-trip, the window is what holds the peer back.
    #[inline(never)]
    fn enlarge_window(&mut self, cx: &mut Context<'_>) {
        let round_us = u64::from(self.rtt.smoothed_us().unwrap_or(1000).max(1000)) * 2;
        let elapsed = cx.now_us.saturating_sub(self.read_since);
        if elapsed < round_us && !cx.pool.is_tight() {
            let most = cx.limits.receive_bytes.min(1 << 30) as u32;
            let most = most.min(self.settings.receive_bytes);
            let most = if self.receive_scale == 0 {
                most.min(0xFFFF)
            } else {
                most
            };
            self.receive_limit = (self.receive_limit * 2).min(most).max(self.receive_limit);
        }
        self.read_bytes = 0;
        self.read_since = cx.now_us;
    }

    /// How much may wait to be sent: as much as can be under way twice.
    fn send_limit(&self, limits: &Limits) -> usize {
        let wanted = (2 * self.congestion.window as usize).max(FIRST_WINDOW as usize);
        let most = limits
            .transmit_bytes
            .min(self.settings.transmit_bytes as usize);
        wanted.min(most).max(Limits::ASSURED_BYTES)
    }

    /// Queues bytes to be sent, as many as fit; how many. Those of `kept`, the same bytes, stay where they are for ever: they need not be copied.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when none fit, or what broke the connection.
    #[inline]
    pub(crate) fn write(
        &mut self,
        bytes: &[u8],
        kept: Option<&'static [u8]>,
        cx: &mut Context<'_>,
    ) -> Result<usize, Error> {
        if let Some(kept) = kept
            && self.state == State::Established
            && self.outgoing.len() == 0
            && self.outgoing.capacity() == 0
            && let Some(kept) = match kept.len() {
                // As much always fits.
                ..=Limits::ASSURED_BYTES => Some(kept),
                len => kept.get(..len.min(self.send_limit(cx.limits))),
            }
        {
            self.bits.set(Bits::FULL, kept.len() < bytes.len());
            self.outgoing.keep(kept);
            return Ok(kept.len());
        }
        self.write_copied(bytes, cx)
    }

    fn write_copied(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<usize, Error> {
        if !self.state.can_send() || self.bits.contains(Bits::FIN) {
            return match self.state.is_connecting() {
                true => Err(Error::WouldBlock),
                false => Err(self.error.take().unwrap_or(Error::BrokenPipe)),
            };
        }
        let queued = self.outgoing.len();
        let count = self.append(bytes, cx);
        self.bits.set(Bits::FULL, count < bytes.len());
        if count == 0 && !bytes.is_empty() {
            // Nothing is under way whose acknowledgement would tell that there is memory again.
            return match queued {
                0 => Err(Error::OutOfMemory),
                _ => Err(Error::WouldBlock),
            };
        }
        Ok(count)
    }

    /// Queues as many bytes as fit; how many.
    fn append(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        let queued = self.outgoing.len();
        let mut count = bytes
            .len()
            .min(self.send_limit(cx.limits).saturating_sub(queued));
        if count != 0 && !cx.pool.reserve(&mut self.outgoing, queued + count, queued) {
            let assured = self.outgoing.capacity().max(Limits::ASSURED_BYTES);
            count = count.min(assured.saturating_sub(queued));
            if !cx.pool.reserve(&mut self.outgoing, queued + count, queued) {
                // What is queued may have no storage at all.
                count = count.min(self.outgoing.capacity().saturating_sub(queued));
            }
        }
        if count != 0 {
            self.outgoing.write(queued, &bytes[..count]);
            self.outgoing.extend(count);
        }
        count
    }

    /// Whether a call to write would do something.
    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.state.can_send()
            && !self.bits.contains(Bits::FIN)
            && self.outgoing.len() < self.send_limit(limits)
    }

    /// The program wants to know when there is room.
    pub(crate) fn note_full(&mut self) {
        self.bits |= Bits::FULL;
    }

    /// Sends no more, after what is queued.
    pub(crate) fn close(&mut self) {
        self.bits |= Bits::FIN;
        if self.behind.is_some() {
            return;
        }
        match self.state {
            State::Established => self.state = State::FinWait1,
            State::CloseWait => self.state = State::LastAck,
            _ => {}
        }
    }

    /// Bytes queued that the peer has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        match self.state {
            State::Closed => 0,
            _ => self.outgoing.len() + self.backlog(),
        }
    }

    /// Whether the peer has closed its side in order.
    pub(crate) fn has_peer_closed(&self) -> bool {
        matches!(
            self.state,
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        )
    }

    /// What is left of it in TIME-WAIT: the numbers that would be sent and received next.
    pub(crate) fn rest(&self) -> (Seq, Seq) {
        (self.max, self.rcv_nxt)
    }

    /// The peer's last time, if times were agreed upon, and what is added to ours.
    pub(crate) fn times(&self) -> Option<(u32, u32)> {
        self.bits
            .contains(Bits::TIMESTAMPS)
            .then_some((self.ts_recent, self.ts_offset))
    }

    /// A router says that packets with more than `mss` bytes of payload do not get through (RFC 1191, RFC 8201).
    pub(crate) fn shorten(&mut self, mss: u32, least: u32, now_us: u64) {
        let options = if self.bits.contains(Bits::TIMESTAMPS) {
            12
        } else {
            0
        };
        let mss = mss.max(least).saturating_sub(options);
        if mss < self.mss {
            let (longer, _) = self.longer.unwrap_or((self.mss, 0));
            self.longer = Some((longer, now_us + LONGER_US));
            self.mss = mss;
            // What was under way was too long, so it is sent again at once.
            self.nxt = self.una;
            self.timed_at = 0;
        }
    }

    /// Tries again what a router had said to be too long, if that is long ago.
    #[inline]
    fn try_longer(&mut self, now_us: u64) {
        if let Some((longer, _)) = self.longer.take_if(|(_, at)| *at <= now_us) {
            self.mss = longer;
        }
    }

    /// Whether a number is one that is under way: only who sees our segments knows these (RFC 5927).
    pub(crate) fn is_under_way(&self, seq: Seq) -> bool {
        !seq.is_before(self.una) && seq.is_before(self.max)
    }
}

/// The window of a SYN.
pub(crate) fn first_window(limits: &Limits) -> u32 {
    (limits.receive_bytes as u32).min(0xFFFF).min(FIRST_WINDOW)
}
