//! Connections: how they begin, what their segments bring about, how they go out and how they end.

use crate::address::Tuple;
use crate::checksum::Sum;
use crate::device::Device;
use crate::engine::Engine;
use crate::engine::send::{Hop, Outgoing};
use crate::error::Error;
use crate::exit::{Exit, Sent};
use crate::half_open::{HalfOpens, SWEEP_US};
use crate::seq::Seq;
use crate::sockets::{Admission, Sockets};
use crate::tcp::{
    ACK_DELAY_US, Agreement, Connection, DEFAULT_MSS, DEFAULT_MSS_V6, News, State, first_window,
    window_scale,
};
use crate::time_wait::{Rest, Verdict};
use crate::timers::{Key, UNSET};
use crate::wire::protocol;
use crate::wire::put;
use crate::wire::tcp::{Flags, Header, Options, Segment};

/// Tries to find the way to a peer, before its segments wait.
const MAX_TRIES: usize = 4;
/// Timers of connections go off together, where this number of microseconds ends: with thousands of connections a processor that halts in
/// between would else be woken for each. Linux has them in ticks of 4 ms.
pub(super) const GRAIN_US: u64 = (1 << 12) - 1;
/// What has begun just now is not due before.
const SOON_US: u64 = ACK_DELAY_US + GRAIN_US;
/// When to try again after the device had no free buffer.
const RETRY_US: u64 = 1_000;

/// What a connection borrows of its engine.
macro_rules! context {
    ($engine:expr, $now:expr) => {
        crate::tcp::Context {
            now_us: $now,
            pool: &mut $engine.pool,
            limits: &$engine.limits,
            stats: &mut $engine.stats,
        }
    };
}
pub(super) use context;

/// A segment that belongs to no connection.
const BARE: Header<'static> = Header {
    source_port: 0,
    destination_port: 0,
    seq: Seq(0),
    ack: Seq(0),
    flags: Flags::ACK,
    window: 0,
    mss: None,
    window_scale: None,
    is_sack_permitted: false,
    timestamps: None,
    sack: &[],
};

impl<D: Device, S: Sockets> Engine<D, S> {
    /// A segment of a connection, apart from the usual way.
    #[inline(never)]
    pub(super) fn receive_unusual(&mut self, slot: u32, segment: &Segment<'_>, now: u64) {
        self.receive_segment(slot, segment, now);
    }

    /// A segment of a connection.
    #[inline(always)]
    pub(super) fn receive_segment(&mut self, slot: u32, segment: &Segment<'_>, now: u64) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        // A peer that begins anew has forgotten the connection that is in TIME-WAIT here (RFC 9293, section 3.6.1).
        if segment.is_opening() && entry.connection.state() == State::TimeWait {
            let tuple = entry.tuple;
            let rest = rest_of(&entry.connection);
            self.table.forget_tuple(slot);
            self.leave_rest(tuple, rest, now);
            return self.receive_stray(&tuple, segment, now);
        }
        let (sockets, holder) = (&mut self.sockets, &entry.holder);
        let take = &mut |bytes: &[u8]| match holder {
            Some(holder) => sockets.take(slot, holder, bytes),
            None => false,
        };
        let cx = &mut context!(self, now);
        let news = entry.connection.receive(segment, cx, take);
        if news.contains(News::REFUSE) {
            let tuple = entry.tuple;
            self.send_reset(&tuple, segment, now);
            return self.settle(slot, news, now);
        }
        // Nearly always its answer is still to come, and whatever waits is looked after in time.
        if entry.connection.wants_output() || entry.timer > now + SOON_US {
            self.drive(slot, now);
        }
        if !news.is_empty() {
            self.tell(slot, news, now);
        }
    }

    /// A segment of no connection: a new one, one in TIME-WAIT, or nothing.
    #[inline(never)]
    pub(super) fn receive_stray(&mut self, tuple: &Tuple, segment: &Segment<'_>, now: u64) {
        let is_possible = !tuple.remote.is_unspecified() && self.is_possible_source(tuple.remote);
        if !self.addresses.is_own(tuple.local) || !is_possible {
            self.stats.wrong_address += 1;
            return;
        }
        if let Some((verdict, rest)) = self.time_wait.judge(tuple, segment) {
            match verdict {
                Verdict::Anew => {}
                Verdict::Over | Verdict::Ignore => return,
                Verdict::Acknowledge => return self.acknowledge_rest(tuple, rest, now),
            }
        }
        if segment.is_opening() {
            return self.receive_request(tuple, segment, now);
        }
        if let Some(known) = self.half_open.get(tuple) {
            // What it says next brings the connection; or the answer to our repetition, when it has had its time.
            let is_bare = segment.payload.is_empty() && segment.flags == Flags::ACK;
            if is_bare && now < known.deferred_until {
                return;
            }
            let (agreement, answered) = (known.agreement, known.answered);
            // Time echoed from another connection is no answer to ours.
            let round_trip = (answered == 1).then(|| now.saturating_sub(known.since));
            return self.receive_half_open(tuple, segment, agreement, round_trip, now);
        }
        let flags = segment.flags & (Flags::SYN | Flags::RST | Flags::ACK | Flags::FIN);
        if flags == Flags::ACK && self.receive_cookie(tuple, segment, now) {
            return;
        }
        // Who listens passes over what is neither a request nor an answer (RFC 9293, section 3.10.7.2).
        let is_neither = !flags.intersects(Flags::SYN | Flags::RST | Flags::ACK);
        if is_neither && self.sockets.admits(tuple.local()) != Admission::Refused {
            self.stats.unacceptable += 1;
            return;
        }
        if !segment.flags.contains(Flags::RST) {
            self.send_reset(tuple, segment, now);
        }
    }

    /// A peer asks for a connection.
    fn receive_request(&mut self, tuple: &Tuple, segment: &Segment<'_>, now: u64) {
        if let Some(known) = self.half_open.get(tuple) {
            // A repetition is answered as before; another number only by what is known already (RFC 5961, section 4).
            let agreement = known.agreement;
            return self.send_handshake(tuple, &agreement, false, now);
        }
        let (most, deferred_s) = match self.sockets.admits(tuple.local()) {
            Admission::Refused => {
                self.stats.requests_refused += 1;
                return self.send_reset(tuple, segment, now);
            }
            Admission::Full => {
                self.stats.requests_ignored += 1;
                return;
            }
            Admission::Open {
                segment_bytes,
                deferred_s,
            } => (segment_bytes, deferred_s),
        };
        if self.table.is_full() && self.table.oldest_orphan().is_none() {
            self.stats.requests_without_room += 1;
            return;
        }
        let options = Options::read(segment.options);
        let (isn, timestamp_offset) = self.first_numbers(tuple, now);
        let (room, _) = self.payload_room(tuple.local.is_v4());
        let default = if tuple.local.is_v4() {
            DEFAULT_MSS
        } else {
            DEFAULT_MSS_V6
        };
        let scale = window_scale(self.limits.receive_bytes);
        let mut agreement = Agreement {
            isn,
            irs: segment.seq,
            mss: options.mss.unwrap_or(default).max(48).min(room),
            own_mss: if most == 0 { room } else { most.min(room) },
            scales: options.window_scale.map(|theirs| (theirs, scale)),
            is_sack_permitted: options.is_sack_permitted,
            timestamp: options.timestamps.map(|times| times.0),
            timestamp_offset,
        };
        if self.half_open.insert(*tuple, agreement, deferred_s, now) {
            self.timers.set(Key::HalfOpen, now + SWEEP_US);
            return self.send_handshake(tuple, &agreement, false, now);
        }
        self.half_open.bake(tuple, &mut agreement, now);
        self.stats.cookies_sent += 1;
        self.send_handshake(tuple, &agreement, true, now);
    }

    /// Answers a request for a connection.
    pub(super) fn send_handshake(
        &mut self,
        tuple: &Tuple,
        agreement: &Agreement,
        is_cookie: bool,
        now: u64,
    ) {
        let time = ((now / 1000) as u32).wrapping_add(agreement.timestamp_offset);
        let time = match is_cookie {
            true => HalfOpens::bake_time(time, agreement),
            false => time,
        };
        let header = Header {
            source_port: tuple.local_port,
            destination_port: tuple.remote_port,
            seq: agreement.isn,
            ack: agreement.irs + 1,
            flags: Flags::SYN | Flags::ACK,
            window: first_window(&self.limits) as u16,
            mss: Some(agreement.own_mss),
            window_scale: agreement.scales.map(|scales| scales.1),
            is_sack_permitted: agreement.is_sack_permitted,
            timestamps: agreement.timestamp.map(|theirs| (time, theirs)),
            ..BARE
        };
        self.send_bare(tuple, &header, now);
    }

    /// A segment for a handshake that is not through.
    fn receive_half_open(
        &mut self,
        tuple: &Tuple,
        segment: &Segment<'_>,
        agreement: Agreement,
        round_trip: Option<u64>,
        now: u64,
    ) {
        let next = agreement.irs + 1;
        if segment.flags.contains(Flags::RST) {
            if segment.seq == next {
                self.half_open.remove(tuple);
            }
            return;
        }
        if segment.flags.contains(Flags::SYN) || !segment.flags.contains(Flags::ACK) {
            return self.send_handshake(tuple, &agreement, false, now);
        }
        if segment.ack != agreement.isn + 1 {
            return self.send_reset(tuple, segment, now);
        }
        // The number of the first byte, or of one soon after if that was lost.
        if segment.seq.is_before(next) || segment.seq.is_after(next + first_window(&self.limits)) {
            return self.send_handshake(tuple, &agreement, false, now);
        }
        if self.open(tuple, &agreement, round_trip, segment, now) {
            self.half_open.remove(tuple);
        }
    }

    /// Whether an acknowledgement brings a cookie back, and so makes a connection.
    fn receive_cookie(&mut self, tuple: &Tuple, segment: &Segment<'_>, now: u64) -> bool {
        let times = Options::read(segment.options).timestamps;
        let (isn, irs) = (segment.ack - 1, segment.seq - 1);
        let scale = window_scale(self.limits.receive_bytes);
        let Some(mut agreement) = self.half_open.taste(tuple, isn, irs, times, scale, now) else {
            return false;
        };
        agreement.timestamp_offset = self.first_numbers(tuple, now).1;
        let (room, _) = self.payload_room(tuple.local.is_v4());
        agreement.mss = agreement.mss.min(room);
        let is_open = self.open(tuple, &agreement, None, segment, now);
        self.stats.cookies_taken += u64::from(is_open);
        true
    }

    /// The handshake is through: there is a connection from now on, if there is room; whether the handshake may be forgotten.
    fn open(
        &mut self,
        tuple: &Tuple,
        agreement: &Agreement,
        round_trip: Option<u64>,
        segment: &Segment<'_>,
        now: u64,
    ) -> bool {
        // No connection has to go for one that is not taken.
        if self.table.is_crowded() {
            match self.sockets.admits(tuple.local()) {
                Admission::Open { .. } if self.make_room(Some(tuple.remote), now) => {}
                Admission::Open { .. } => {
                    self.stats.requests_without_room += 1;
                    return false;
                }
                refusal => return self.turn_away(tuple, refusal, segment, now),
            }
        }
        let scale = agreement.scales.map_or(0, |scales| scales.0);
        let window = u32::from(segment.window) << scale;
        let mut connection = Connection::accepted(agreement, window, &self.limits, now);
        if let Some(us) = round_trip {
            connection.note_round_trip(us);
        }
        let slot = self.table.next_slot();
        let Ok(inserted) = self.table.insert(*tuple, connection, None) else {
            self.stats.requests_without_room += 1;
            return false;
        };
        debug_assert_eq!(slot, inserted);
        let holder = match self.sockets.accept(slot, tuple) {
            Ok(holder) => holder,
            Err(refusal) => {
                self.table.remove(slot);
                return self.turn_away(tuple, refusal, segment, now);
            }
        };
        if let Some(entry) = self.table.get_mut(slot) {
            entry.holder = Some(holder);
        }
        self.stats.accepted += 1;
        // Nearly always the segment says nothing more than that.
        let is_bare = segment.payload.is_empty() && !segment.flags.contains(Flags::FIN);
        match is_bare && segment.seq == agreement.irs + 1 {
            true => self.settle(slot, News::empty(), now),
            false => self.receive_unusual(slot, segment, now),
        }
        true
    }

    /// Nobody takes a connection whose handshake is through; whether that may be forgotten.
    #[cold]
    fn turn_away(
        &mut self,
        tuple: &Tuple,
        refusal: Admission,
        segment: &Segment<'_>,
        now: u64,
    ) -> bool {
        if refusal == Admission::Refused {
            self.send_reset(tuple, segment, now);
            return true;
        }
        // The peer will repeat what it sends.
        self.stats.requests_ignored += 1;
        false
    }

    /// Has a connection make room for others. A peer that lacks data is told by a reset; one that has everything is not, since a
    /// reset could cost it what it has not read yet.
    pub(super) fn give_up(&mut self, slot: u32, now: u64) {
        let lacks_data = self
            .table
            .get(slot)
            .is_some_and(|entry| entry.connection.unacknowledged() != 0);
        if lacks_data {
            self.break_off(slot, now);
        } else {
            self.destroy(slot);
        }
    }

    /// Ends a connection by a reset to the peer.
    pub(super) fn break_off(&mut self, slot: u32, now: u64) {
        self.reset_peer(slot, now);
        self.destroy(slot);
    }

    /// Tells the peer of a connection that it is over.
    pub(super) fn reset_peer(&mut self, slot: u32, now: u64) {
        if let Some(entry) = self.table.get(slot)
            && !matches!(
                entry.connection.state(),
                State::Closed | State::Awaiting | State::SynSent | State::TimeWait
            )
        {
            let tuple = entry.tuple;
            let (seq, ack) = entry.connection.reset_header();
            let header = Header {
                source_port: tuple.local_port,
                destination_port: tuple.remote_port,
                seq,
                ack,
                flags: Flags::RST | Flags::ACK,
                ..BARE
            };
            self.stats.resets_sent += 1;
            self.send_bare(&tuple, &header, now);
        }
    }

    /// After anything happened to a connection: sends what there is to send, sets its timer, and acts on what has changed.
    #[inline]
    pub(super) fn settle(&mut self, slot: u32, news: News, now: u64) {
        self.drive(slot, now);
        if !news.is_empty() {
            self.tell(slot, news, now);
        }
    }

    /// Tells who holds a connection of news, or acts on it if nobody does.
    #[inline]
    fn tell(&mut self, slot: u32, news: News, now: u64) {
        let Some(entry) = self.table.get(slot) else {
            return;
        };
        if news.contains(News::STATE) || entry.holder.is_none() {
            return self.enter(slot, now);
        }
        if let Some(holder) = &entry.holder {
            self.sockets.notify(slot, holder);
        }
    }

    /// Keeps what is left of a connection in TIME-WAIT, for as long as strays may come.
    fn leave_rest(&mut self, tuple: Tuple, rest: Rest, now: u64) {
        self.time_wait.insert(tuple, rest, now);
        if let Some(at) = self.time_wait.expire(now) {
            self.timers.set(Key::TimeWait, at);
        }
    }

    /// A connection has come into another state, or nobody holds it.
    #[inline(never)]
    fn enter(&mut self, slot: u32, now: u64) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        match (entry.connection.state(), &entry.holder) {
            (State::Closed, None) => return self.destroy(slot),
            (State::Closed, Some(_)) => {
                self.timers.cancel(&mut entry.timer);
                self.table.forget_tuple(slot);
            }
            (State::TimeWait, None) => {
                let (tuple, rest) = (entry.tuple, rest_of(&entry.connection));
                // Another connection may have taken the ends over.
                if self.table.find(&tuple) == Some(slot) {
                    self.leave_rest(tuple, rest, now);
                }
                return self.destroy(slot);
            }
            // Data for a program that is gone is refused, or its peer would wait for ever for the window to open.
            (_, None) if entry.connection.can_read() => return self.break_off(slot, now),
            _ => {}
        }
        if let Some(holder) = self.table.get(slot).and_then(|entry| entry.holder.as_ref()) {
            self.sockets.notify(slot, holder);
        }
    }

    /// A connection that a program may hold is over.
    pub(super) fn fail(&mut self, slot: u32, error: Error, now: u64) {
        if let Some(entry) = self.table.get_mut(slot) {
            entry.connection.fail(Some(error), &mut self.pool);
            self.enter(slot, now);
        }
    }

    /// Forgets a connection, whatever its state.
    pub(super) fn destroy(&mut self, slot: u32) {
        if let Some(entry) = self.table.get_mut(slot) {
            self.timers.cancel(&mut entry.timer);
            if let Some(mut entry) = self.table.remove(slot) {
                entry.connection.release_memory(&mut self.pool);
            }
            self.timers.sweep(|slot| self.table.timer(slot));
        }
    }

    /// Sends what a connection has to send, and sets its timer.
    #[inline]
    pub(super) fn drive(&mut self, slot: u32, now: u64) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        if entry.connection.wants_output() {
            let mut exit = Exit {
                device: self.device.as_dyn(),
                capabilities: &self.capabilities,
                generation: self.neighbors.generation,
                cx: context!(self, now),
            };
            if !exit.send_predicted(&mut entry.connection, &entry.path, &entry.tuple) {
                return self.send_apart(slot, now);
            }
        }
        if entry.timer > now + SOON_US {
            let wanted = entry.connection.deadline() | GRAIN_US;
            self.timers
                .arrange(Key::Connection(slot), &mut entry.timer, wanted);
        }
    }

    /// Sends what does not go the short way, or only after its way was made valid again, or after a rest.
    #[inline(never)]
    fn send_apart(&mut self, slot: u32, now: u64) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        let was_at_rest = entry.connection.leave_rest(now);
        let was_valid = entry.path.is_valid(now, self.neighbors.generation);
        let is_valid = was_valid || self.renew_path(slot, now);
        if is_valid && (was_at_rest || !was_valid) {
            // The second time neither holds.
            return self.drive(slot, now);
        }
        self.send_and_arrange(slot, now);
    }

    #[inline(never)]
    fn send_and_arrange(&mut self, slot: u32, now: u64) {
        let retry_at = self.send_segments(slot, now);
        // The connection may have found its way to be none.
        if let Some(entry) = self.table.get_mut(slot) {
            let wanted = (entry.connection.deadline() | GRAIN_US).min(retry_at);
            self.timers
                .arrange(Key::Connection(slot), &mut entry.timer, wanted);
        }
    }

    /// Sends segments as long as there are any; when to try again if there are more.
    fn send_segments(&mut self, slot: u32, now: u64) -> u64 {
        for _ in 0..MAX_TRIES {
            let Some(entry) = self.table.get_mut(slot) else {
                return UNSET;
            };
            let mut exit = Exit {
                device: self.device.as_dyn(),
                capabilities: &self.capabilities,
                generation: self.neighbors.generation,
                cx: context!(self, now),
            };
            match exit.send(&mut entry.connection, &entry.path, &entry.tuple) {
                Sent::All => return UNSET,
                Sent::NoRoom => return now + RETRY_US,
                Sent::Some => return now,
                Sent::NoPath => {
                    if entry.is_waiting || !self.find_path(slot, now) {
                        if let Some(entry) = self.table.get_mut(slot) {
                            entry.connection.note_no_path(now);
                        }
                        return UNSET;
                    }
                }
            }
        }
        now
    }

    /// Lets a way that has only grown old be used on, if it still leads to the same station; else finds it anew.
    fn renew_path(&mut self, slot: u32, now: u64) -> bool {
        let Some(entry) = self.table.get(slot) else {
            return false;
        };
        let (remote, station) = (entry.tuple.remote, entry.path.station());
        let is_old =
            entry.path.valid_until != 0 && entry.path.generation == self.neighbors.generation;
        if is_old
            && let Ok(Hop::At(mac, valid_until)) = self.hop(remote, now)
            && station == Some(mac)
            && let Some(entry) = self.table.get_mut(slot)
        {
            entry.path.valid_until = valid_until;
            return true;
        }
        self.find_path(slot, now)
    }

    /// Finds the way to the peer; whether there is one now.
    #[inline(never)]
    fn find_path(&mut self, slot: u32, now: u64) -> bool {
        let Some(entry) = self.table.get(slot) else {
            return false;
        };
        let (tuple, settings) = (entry.tuple, entry.connection.settings);
        let (hop_limit, class) = (settings.hop_limit, settings.traffic_class);
        let path = self.path(tuple.local, tuple.remote, hop_limit, class, now);
        let generation = self.neighbors.generation;
        match path {
            Ok(Some(mut path)) => {
                path.generation = generation;
                if let Some(entry) = self.table.get_mut(slot) {
                    entry.path = path;
                }
                true
            }
            Ok(None) => {
                if let Ok(Hop::Asked(neighbor)) = self.hop(tuple.remote, now) {
                    self.neighbors.wait(neighbor, slot);
                    if let Some(entry) = self.table.get_mut(slot) {
                        entry.is_waiting = true;
                    }
                }
                false
            }
            // There may be a way again before the connection is given up.
            Err(error) => {
                if self.state_of(slot).is_connecting() {
                    self.fail(slot, error, now);
                }
                false
            }
        }
    }

    /// Answers a segment of a connection that both sides have closed.
    fn acknowledge_rest(&mut self, tuple: &Tuple, rest: Rest, now: u64) {
        let time = (now / 1000) as u32;
        let header = Header {
            source_port: tuple.local_port,
            destination_port: tuple.remote_port,
            seq: rest.next_send,
            ack: rest.next_receive,
            timestamps: rest
                .times
                .map(|(recent, offset)| (time.wrapping_add(offset), recent)),
            ..BARE
        };
        self.send_bare(tuple, &header, now);
    }

    /// Refuses a segment (RFC 9293, section 3.10.7.1).
    pub(super) fn send_reset(&mut self, tuple: &Tuple, segment: &Segment<'_>, now: u64) {
        if segment.flags.contains(Flags::RST) {
            return;
        }
        let (seq, ack, flags) = match segment.flags.contains(Flags::ACK) {
            true => (segment.ack, Seq(0), Flags::RST),
            false => (Seq(0), segment.end(), Flags::RST | Flags::ACK),
        };
        let header = Header {
            source_port: tuple.local_port,
            destination_port: tuple.remote_port,
            seq,
            ack,
            flags,
            ..BARE
        };
        self.stats.resets_sent += 1;
        self.send_bare(tuple, &header, now);
    }

    /// Sends a segment without payload that belongs to no connection.
    fn send_bare(&mut self, tuple: &Tuple, header: &Header<'_>, now: u64) {
        let out = Outgoing {
            source: tuple.local,
            destination: tuple.remote,
            protocol: protocol::TCP,
            hop_limit: 64,
            traffic_class: 0,
            len: header.len(),
        };
        self.stats.segments_out += 1;
        // What cannot be sent is lost, as on its way.
        let _ = self.send_packet(out, now, &mut |segment| {
            header.write(segment);
            let sum = Sum::pseudo_header(out.source, out.destination, protocol::TCP, out.len);
            let checksum = sum.add(segment).checksum();
            put(segment, 16, &checksum);
        });
    }
}

/// What is left of a connection in TIME-WAIT.
pub(super) fn rest_of(connection: &Connection) -> Rest {
    let (next_send, next_receive) = connection.rest();
    Rest {
        next_send,
        next_receive,
        times: connection.times(),
        is_asked_anew: false,
    }
}
