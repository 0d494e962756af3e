//! What time brings: segments that are sent again, acknowledgements that have waited, peers that are asked and given up (RFC 6298; RFC
//! 1122, sections 4.2.2.17 and 4.2.3.6).

use super::buffer::Pool;
use super::{
    ANSWER_TIMEOUT_US, Bits, Connection, Context, NEVER, News, ORPHAN_TIMEOUT_US, SECOND, State,
};
use crate::error::Error;

/// Longest time between questions for a window.
const MAX_PERSIST_US: u64 = 30 * SECOND;
/// Questions for a window that a peer may leave unanswered.
const MAX_PROBES: u8 = 5;
/// After as many timeouts in a row large segments are thought to get lost on the way unseen (RFC 2923, section 2.1).
const BLACK_HOLE: u8 = 4;

impl Connection {
    /// When time next brings something.
    #[inline]
    pub(crate) fn deadline(&self) -> u64 {
        let mut next = self.ack_at.min(self.expire_at);
        if self.retransmit_at != NEVER {
            next = next.min(self.retransmit_at);
            if self.may_be_given_up() {
                next = next.min(self.give_up_at());
            }
        } else if self.settings.keep_alive_s != 0 {
            next = next.min(self.keep_alive_at());
        }
        next
    }

    fn give_up_at(&self) -> u64 {
        let us = match self.settings.user_timeout_s {
            0 if self.bits.contains(Bits::ORPHAN) => ORPHAN_TIMEOUT_US,
            0 => ANSWER_TIMEOUT_US,
            seconds => u64::from(seconds) * SECOND,
        };
        self.progress_at.saturating_add(us)
    }

    /// Whether a peer that takes nothing is given up after a time, though it answers: one without a window only if the program has gone or
    /// has said how long (tcp(7), `TCP_USER_TIMEOUT`).
    fn may_be_given_up(&self) -> bool {
        !self.bits.contains(Bits::PERSIST)
            || self.bits.contains(Bits::ORPHAN)
            || self.settings.user_timeout_s != 0
    }

    fn keep_alive_at(&self) -> u64 {
        if !matches!(
            self.state,
            State::Established | State::CloseWait | State::FinWait2
        ) {
            return NEVER;
        }
        let settings = &self.settings;
        let wait = u64::from(settings.keep_alive_s)
            + u64::from(self.probes) * u64::from(settings.keep_alive_interval_s.max(1));
        self.heard_at.saturating_add(wait * SECOND)
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) -> News {
        let (before, now) = (self.state, cx.now_us);
        if self.expire_at <= now {
            self.give_up(cx);
            return News::STATE;
        }
        if self.ack_at <= now {
            self.ack_at = NEVER;
            self.bits |= Bits::ACK_NOW | Bits::ONE_WAY;
        }
        if self.retransmit_at != NEVER {
            let is_persist = self.bits.contains(Bits::PERSIST);
            let is_hopeless = self.give_up_at() <= now && self.may_be_given_up();
            if is_hopeless {
                self.give_up(cx);
            } else if self.retransmit_at <= now {
                match is_persist {
                    true => self.ask_for_window(cx),
                    false if self.is_late(cx) => {}
                    false => self.send_again(cx),
                }
            }
        } else if self.settings.keep_alive_s != 0 && self.keep_alive_at() <= now {
            if self.probes >= self.settings.keep_alive_probes {
                self.give_up(cx);
            } else {
                self.probes += 1;
                self.bits |= Bits::PROBE;
            }
        }
        match self.state == before {
            true => News::empty(),
            false => News::STATE,
        }
    }

    /// Gives storage back that is empty: whoever is at rest needs none.
    pub(crate) fn rest_buffers(&mut self, pool: &mut Pool) {
        if self.outgoing.len() == 0 && self.outgoing.capacity() != 0 {
            pool.take_back(&mut self.outgoing);
        }
        if self.incoming.len() == 0 && self.early.is_empty() && self.incoming.capacity() != 0 {
            pool.take_back(&mut self.incoming);
        }
    }

    fn give_up(&mut self, cx: &mut Context<'_>) {
        cx.stats.timed_out += 1;
        let error = match self.state {
            State::LastAck | State::Closing | State::TimeWait => None,
            State::Awaiting => Some(Error::NetworkUnreachable),
            _ => Some(Error::TimedOut),
        };
        self.fail(error, cx.pool);
    }

    /// Nothing was acknowledged in time.
    fn send_again(&mut self, cx: &mut Context<'_>) {
        cx.stats.timeouts += 1;
        if self.state.is_connecting() {
            let most = self.settings.request_repetitions;
            if most != 0 && self.rtt.backoff() >= most {
                return self.give_up(cx);
            }
            self.rtt.back_off();
            self.timed_at = 0;
            self.bits |= Bits::SYN_DUE;
            self.retransmit_at = cx.now_us + self.rtt.timeout_us();
            return;
        }
        self.collapse(cx.now_us);
        self.rtt.back_off();
        if self.rtt.backoff() >= BLACK_HOLE && !self.bits.contains(Bits::SHORTENED) {
            self.bits |= Bits::SHORTENED;
            self.mss = self.mss.min(u32::from(super::DEFAULT_MSS));
            // Nobody would say that more is too long.
            self.longer = None;
        }
        // One segment goes out whatever the window is.
        self.window = self.window.max(1);
        self.retransmit_at = NEVER;
    }

    /// There is no way to the peer now. What is to be sent counts as lost on its way: it is tried again, and given up after as long.
    pub(crate) fn note_no_path(&mut self, now_us: u64) {
        let has_more = self.nxt != self.max
            || self.nxt.is_before(self.data_end())
            || self.state.has_fin() && !self.is_fin_sent();
        if has_more && self.retransmit_at == NEVER && !self.state.is_connecting() {
            if self.una == self.max && self.rtt.backoff() == 0 {
                self.progress_at = now_us;
            }
            self.retransmit_at = now_us + self.rtt.timeout_us();
        }
    }

    /// The peer's window stays shut.
    fn ask_for_window(&mut self, cx: &mut Context<'_>) {
        if self.probes >= MAX_PROBES && self.heard_at + ANSWER_TIMEOUT_US <= cx.now_us {
            self.give_up(cx);
            return;
        }
        self.probes = self.probes.saturating_add(1);
        self.rtt.back_off();
        self.retransmit_at = cx.now_us + self.rtt.timeout_us().min(MAX_PERSIST_US);
        let usable = self.window.saturating_sub(self.nxt - self.una);
        self.bits |= match usable {
            0 => Bits::PROBE,
            // It stays small, so it is used (RFC 1122, section 4.2.3.4).
            _ => Bits::FORCE,
        };
    }
}
